package nnet

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/engine"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Custom is a head and a loss that are computed outside of the graph, from what the graph gives at its read-outs.
type Custom interface {
	Run(in *Outer) (*Outcome, error)
}

// Outer is what a custom head reads. All tensors are copies in the dtype of parameters.
type Outer struct {
	Batch    MicroBatch
	DType    tensor.Dtype
	Features *tensor.Dense // [R, D]
	Logits   *tensor.Dense // [R, C]; nil without a head of the graph's own
	// Hidden gives the hidden states of all tokens, [T, D].
	Hidden func() (*tensor.Dense, error)
	// Parameter gives the value of a trained tensor of the custom head; init is its first one.
	Parameter func(name string, init *tensor.Dense) (*tensor.Dense, error)
	Backward  bool // gradients are wanted
}

// Outcome is what a custom head makes of it; gradients that are nil are zero.
type Outcome struct {
	Values                      []float64 // [R]; nil where only the loss was asked for and none were set
	Loss                        float64
	DFeatures, DLogits, DHidden *tensor.Dense
	DParameters                 map[string]*tensor.Dense
}

// extra is a parameter of a custom head, and its gradient by the last micro-batch.
type extra struct {
	parameter *Parameter
	grad      *engine.Tensor
}

// errWantsHidden makes the network compile itself once more.
var errWantsHidden = errors.New("the hidden states of all tokens are wanted")

func (m *Graph) splitPlan() engine.Plan {
	plan := engine.Plan{Outputs: append(slices.Clone(m.outer), m.Grads...), Loss: m.Loss, Split: true}
	if m.Spec.Recompute && m.Hidden != nil {
		plan.Keep = m.Keep
	}
	return plan
}

func (n *Network) scoreCustom(ctx context.Context, b MicroBatch) (Scores, error) {
	out, _, err := n.runCustom(ctx, outOuter, b)
	if err != nil {
		return Scores{}, err
	}
	if out.Values == nil {
		return Scores{}, errors.New("the custom head sets no Values, so there is nothing to score with")
	}
	return Scores{Values: out.Values, Logits: out.Values}, nil
}

// inspection hands what the custom head reads to a function, after the head has named its parameters.
type inspection struct {
	custom Custom
	see    func(*Outer) error
}

func (i inspection) Run(o *Outer) (*Outcome, error) {
	if _, err := i.custom.Run(o); err != nil {
		return nil, err
	}
	return &Outcome{}, i.see(o)
}

// InspectOuter runs the trunk over a batch and shows what the custom head reads.
func (n *Network) InspectOuter(ctx context.Context, b MicroBatch, see func(*Outer) error) error {
	own := n.custom
	n.custom = inspection{own, see}
	_, err := reading(n, func() (*Outcome, error) {
		out, _, err := n.runCustom(ctx, outOuter, b)
		return out, err
	})
	n.custom = own
	return err
}

// backwardCustom runs the trunk forward, the custom head, and the trunk backward from the head's gradients.
func (n *Network) backwardCustom(ctx context.Context, b MicroBatch, result *StepResult) ([]*engine.Tensor, error) {
	out, machine, err := n.runCustom(ctx, outGradients, b)
	if err != nil {
		return nil, err
	}
	result.Loss += out.Loss
	for i, w := range b.Weight {
		switch {
		case w == 0:
		case b.Kind[i] == data.KindTrajectory:
			result.NumFinal++
		default:
			result.NumStep++
		}
	}
	for i, d := range n.outerGradients(out) {
		if err := n.uploadGradient(machine, i, d, len(b.Reads), len(b.Tokens)); err != nil {
			return nil, err
		}
	}
	if err := machine.RunBackward(ctx); err != nil {
		return nil, err
	}
	grads := n.gradsOf(machine)
	for _, e := range n.extra {
		raw := make([]byte, e.grad.MemSize()) // zeros for a parameter that the batch left out
		if d := out.DParameters[e.parameter.Name]; d != nil {
			raw = denseBytes(d)
		}
		if err := n.backend.Upload(e.grad, raw); err != nil {
			return nil, err
		}
		grads = append(grads, e.grad)
	}
	return grads, nil
}

// outerGradients are in the order of the graph's outer nodes.
func (n *Network) outerGradients(out *Outcome) []*tensor.Dense {
	list := []*tensor.Dense{out.DFeatures}
	if n.graph.Logits != nil {
		list = append(list, out.DLogits)
	}
	if n.spec.outerHidden {
		list = append(list, out.DHidden)
	}
	return list
}

// uploadGradient gives an input of the backward pass its live rows; no gradient is zeros.
func (n *Network) uploadGradient(m *engine.Machine, i int, d *tensor.Dense, reads, tokens int) error {
	node := n.graph.dOuter[i]
	rows := reads
	if n.graph.outer[i] == n.graph.Hidden {
		rows = tokens
	}
	width := node.Shape()[1]
	if d == nil {
		return m.Upload(node, make([]byte, rows*width*int(node.Dtype().Size())))
	}
	if !d.Shape().Eq(tensor.Shape{rows, width}) {
		return fmt.Errorf("gradient of %s: shape %v, want (%d, %d)", n.graph.outer[i].Name(), d.Shape(), rows, width)
	}
	if node.Dtype() == engine.BFloat16 { // hidden states where the trunk computes in bf16
		wide, narrow := engine.Slice[float32](denseTensor(d)), make([]engine.BF16, rows*width)
		for j, v := range wide {
			narrow[j] = engine.ToBF16(v)
		}
		return m.Upload(node, bytesOf(narrow))
	}
	return m.Upload(node, denseBytes(d))
}

// runCustom runs the machine forward, then the custom head on its live rows.
func (n *Network) runCustom(ctx context.Context, what output, b MicroBatch) (*Outcome, *engine.Machine, error) {
	out, machine, err := n.tryCustom(ctx, what, b)
	if errors.Is(err, errWantsHidden) && !n.spec.outerHidden {
		if n.spec.Train == TrainHead {
			return nil, nil, errors.New("Hidden: train: head starts at the features, which have no hidden states; use lora or full")
		}
		n.spec.outerHidden = true
		if err := n.compile(n.capacity); err != nil {
			return nil, nil, err
		}
		out, machine, err = n.tryCustom(ctx, what, b)
	}
	return out, machine, err
}

func (n *Network) tryCustom(ctx context.Context, what output, b MicroBatch) (*Outcome, *engine.Machine, error) {
	machine, err := n.upload(what, b)
	if err != nil {
		return nil, nil, err
	}
	if what == outGradients {
		for _, node := range n.graph.dOuter {
			if err := machine.Upload(node, nil); err != nil { // which gives it memory
				return nil, nil, err
			}
		}
	}
	if err := machine.RunForward(ctx); err != nil {
		return nil, nil, err
	}
	outer := &Outer{Batch: b, DType: n.spec.Params(), Backward: what == outGradients, Parameter: n.extraParameter}
	if outer.Features, err = n.dense(machine, n.graph.Features, len(b.Reads)); err != nil {
		return nil, nil, err
	}
	if n.graph.Logits != nil {
		if outer.Logits, err = n.dense(machine, n.graph.Logits, len(b.Reads)); err != nil {
			return nil, nil, err
		}
	}
	outer.Hidden = func() (*tensor.Dense, error) {
		if !n.spec.outerHidden {
			return nil, errWantsHidden
		}
		return n.dense(machine, n.graph.Hidden, len(b.Tokens))
	}
	out, err := n.custom.Run(outer)
	return out, machine, err
}

// dense downloads the first rows of an output, in the dtype of parameters.
func (n *Network) dense(m *engine.Machine, node *gorgonia.Node, rows int) (*tensor.Dense, error) {
	wide, err := n.read(m.Output(node), rows)
	if err != nil {
		return nil, err
	}
	return newDense(wide, n.spec.Params(), rows, node.Shape()[1]), nil
}

// newDense makes a tensor of the dtype.
func newDense(v []float64, dtype tensor.Dtype, shape ...int) *tensor.Dense {
	if dtype == engine.F64 {
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(v))
	}
	narrow := make([]float32, len(v))
	for i, x := range v {
		narrow[i] = float32(x)
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(narrow))
}

// denseTensor views a dense tensor's memory, which must be contiguous.
func denseTensor(d *tensor.Dense) *engine.Tensor {
	if v, ok := d.Data().([]float64); ok {
		return engine.FromSlice(v, len(v))
	}
	v := d.Float32s()
	return engine.FromSlice(v, len(v))
}

func denseBytes(d *tensor.Dense) []byte { return denseTensor(d).Bytes() }

// extraParameter gives a parameter of the custom head its current value; the first call makes it, from the source if that has it.
func (n *Network) extraParameter(name string, init *tensor.Dense) (*tensor.Dense, error) {
	full, dtype, shape := "score."+name, n.spec.Params(), []int(init.Shape())
	t := n.tensors[full]
	if t == nil {
		var err error
		if t, err = n.makeExtra(full, init); err != nil {
			return nil, err
		}
	} else if !slices.ContainsFunc(n.extra, func(e *extra) bool { return e.parameter.Name == full }) {
		return nil, fmt.Errorf("parameter %q: the head has a tensor %s of its own", name, full)
	}
	if !slices.Equal([]int(t.Shape()), shape) {
		return nil, fmt.Errorf("parameter %q: shape %v, it was %v at first", name, shape, t.Shape())
	}
	v, err := download(n.backend, t, t.Size())
	if err != nil {
		return nil, err
	}
	return newDense(v, dtype, shape...), nil
}

func (n *Network) makeExtra(full string, init *tensor.Dense) (*engine.Tensor, error) {
	if n.optim.scalars != nil {
		return nil, fmt.Errorf("parameter %s: it is new; name all parameters in the first batch", full)
	}
	dtype, shape := n.spec.Params(), []int(init.Shape())
	host, err := n.source.Load(full, dtype, shape)
	if errors.Is(err, ErrAbsent) {
		host, err = initialValue(init, dtype)
	}
	if err != nil {
		return nil, err
	}
	value, err := engine.CopyTo(n.backend, host)
	if err != nil {
		return nil, fmt.Errorf("parameter %s: %w", full, err)
	}
	e := &extra{parameter: &Parameter{Name: full, Shape: shape, Trained: n.spec.Train != TrainNothing, Head: true}}
	if e.parameter.Trained {
		if e.grad, err = engine.CopyTo(n.backend, engine.FromDType(dtype, shape...)); err != nil {
			return nil, fmt.Errorf("parameter %s: %w", full, err)
		}
		n.optim.trained, n.optim.names = append(n.optim.trained, e.parameter), append(n.optim.names, full)
	}
	n.extra, n.tensors[full], n.owned[full] = append(n.extra, e), value, true
	return value, nil
}

func initialValue(init *tensor.Dense, dtype tensor.Dtype) (*engine.Tensor, error) {
	wide := make([]float64, 0, init.Size())
	switch v := init.Data().(type) {
	case []float64:
		wide = append(wide, v...)
	case []float32:
		for _, x := range v {
			wide = append(wide, float64(x))
		}
	default:
		return nil, fmt.Errorf("an initial value of %s; want float32 or float64", init.Dtype())
	}
	return denseShaped(newDense(wide, dtype, init.Shape()...), init.Shape()), nil
}

func denseShaped(d *tensor.Dense, shape tensor.Shape) *engine.Tensor {
	if v, ok := d.Data().([]float64); ok {
		return engine.FromSlice(v, shape...)
	}
	return engine.FromSlice(d.Float32s(), shape...)
}
