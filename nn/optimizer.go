package nn

import (
	"fmt"
	"math"
	"unsafe"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"github.com/goprm/goprm/loss"
)

// AdamW holds the settings of one update; see Loshchilov and Hutter, arXiv 1711.05101, in PyTorch's order of operations.
type AdamW struct {
	LR          float64 // of the trunk and adapters
	HeadLR      float64 // of the value head
	Beta1       float64
	Beta2       float64
	Eps         float64
	WeightDecay float64 // on matrices, not on biases and norms
	Clip        float64 // bound on the global L2 norm of the gradient; 0: none
}

// StepResult describes one optimiser step.
type StepResult struct {
	Loss, LossStep, LossFinal float64 // with their λ; Loss is the sum
	NumStep, NumFinal         int     // labelled read-outs
	GradNorm                  float64 // global L2, before clipping
}

// NonFiniteError says that a step was not applied, and which tensor had the first NaN or Inf.
type NonFiniteError struct{ Tensor string }

func (e *NonFiniteError) Error() string {
	return fmt.Sprintf("NaN or Inf in %s: the step was not applied", e.Tensor)
}

// optimizer keeps the moments and the gradient sums of the trained parameters, in graph order.
type optimizer struct {
	net      *Network
	names    []string
	m, v     []*engine.Tensor
	hyper    *engine.Tensor   // f64 [HyperLen]
	squares  *engine.Tensor   // f64, one for each trained parameter
	sums     []*engine.Tensor // views of them
	steps    int              // updates applied so far
	launches map[launchKey]engine.Launch
}

// launchKey tells compiled launches apart by what they read and write.
type launchKey struct {
	op           string
	out, in, in2 *engine.Tensor
}

func newOptimizer(n *Network) *optimizer {
	o := &optimizer{net: n, launches: map[launchKey]engine.Launch{}}
	for _, p := range n.model.params {
		if p.Trained {
			o.names = append(o.names, p.Name)
		}
	}
	return o
}

// allocate gives the moments memory before the first update, or before they are restored.
func (o *optimizer) allocate() error {
	if o.hyper != nil {
		return nil
	}
	b := o.net.backend
	var err error
	if o.hyper, err = engine.CopyTo(b, engine.FromDType(engine.F64, ops.HyperLen)); err != nil {
		return err
	}
	if o.squares, err = engine.CopyTo(b, engine.FromDType(engine.F64, max(1, len(o.names)))); err != nil {
		return err
	}
	for i, name := range o.names {
		o.sums = append(o.sums, engine.NewTensor(unsafe.Add(o.squares.Ptr, 8*i), engine.F64, []int{1}, o.squares))
		t := o.net.tensors[name]
		for _, moments := range []*[]*engine.Tensor{&o.m, &o.v} {
			z, err := engine.CopyTo(b, engine.FromDType(t.Dtype(), t.Shape()...))
			if err != nil {
				return fmt.Errorf("optimiser state of %s: %w", name, err)
			}
			*moments = append(*moments, z)
		}
	}
	return nil
}

// launch compiles an op on whole tensors once and runs it.
func (o *optimizer) launch(op string, attr any, out *engine.Tensor, in ...*engine.Tensor) error {
	key := launchKey{op: op, out: out, in: in[0]}
	if len(in) > 1 {
		key.in2 = in[1]
	}
	run := o.launches[key]
	if run == nil {
		var err error
		run, err = o.net.backend.Compile(engine.Call{Op: op, Attr: attr, Rows: engine.Fixed, In: in, Out: out, Live: wholeTensors})
		if err != nil {
			return fmt.Errorf("%s on %s: %w", op, o.net.backend.Name(), err)
		}
		o.launches[key] = run
	}
	return run()
}

var wholeTensors = engine.FromSlice([]int32{-1, -1, -1}, int(engine.NumDims))

// TrainStep runs the micro-batches of one optimiser batch, adds their gradients in a fixed pairwise tree, and updates
// the trained parameters. When anything is NaN or Inf nothing is changed and the error is a *NonFiniteError.
func (n *Network) TrainStep(batches []Micro, h AdamW) (StepResult, error) {
	if len(batches) == 0 {
		return StepResult{}, fmt.Errorf("an optimiser step without micro-batches")
	}
	if err := n.optim.allocate(); err != nil {
		return StepResult{}, err
	}
	result, grads, err := n.gradients(batches)
	if err != nil {
		return StepResult{}, err
	}
	if result.GradNorm, err = n.optim.norm(grads); err != nil {
		return StepResult{}, err
	}
	if math.IsNaN(result.Loss) || math.IsInf(result.Loss, 0) {
		return StepResult{}, &NonFiniteError{Tensor: "the loss"}
	}
	return result, n.optim.update(grads, result.GradNorm, h)
}

// gradients sums over micro-batches: losses in order, gradients in the tree that pairs neighbours, then neighbours' sums.
func (n *Network) gradients(batches []Micro) (StepResult, []*engine.Tensor, error) {
	var result StepResult
	need := Capacity{}
	for _, b := range batches {
		need = need.Union(n.need(b))
	}
	if _, err := n.machine(outGradients, need); err != nil {
		return result, nil, err
	}
	tree := gradientTree{optim: n.optim}
	for i, b := range batches {
		machine, err := n.run(outGradients, b)
		if err != nil {
			return result, nil, err
		}
		scores, err := n.scores(machine, len(b.Reads))
		if err != nil {
			return result, nil, err
		}
		result.add(n.spec.Loss, b, scores)
		grads := make([]*engine.Tensor, len(n.model.grads))
		for j, g := range n.model.grads {
			grads[j] = machine.Output(g)
		}
		if len(batches) == 1 {
			return result, grads, nil
		}
		if err := tree.push(grads); err != nil {
			return result, nil, fmt.Errorf("micro-batch %d: %w", i, err)
		}
	}
	sum, err := tree.sum()
	return result, sum, err
}

// add accounts a micro-batch's part of the loss, from its read-outs and in float64.
func (r *StepResult) add(kind loss.Kind, b Micro, s Scores) {
	reads := make([]loss.Read, len(b.Reads))
	columns := len(s.Logits) / max(1, len(reads))
	for i := range reads {
		reads[i] = loss.Read{Value: s.Values[i], Target: b.Target[i], Weight: b.Weight[i]}
		if b.Kind[i] == data.Final {
			reads[i].Part = loss.Final
		}
		copy(reads[i].Logits[2-columns:], s.Logits[i*columns:(i+1)*columns])
	}
	parts := loss.Joint(kind, reads)
	r.Loss += parts.Loss
	r.LossStep += parts.Step
	r.LossFinal += parts.Final
	r.NumStep += parts.NStep
	r.NumFinal += parts.NFinal
}

// norm is the global L2 norm of the gradients; a NaN or Inf names the first bad tensor.
func (o *optimizer) norm(grads []*engine.Tensor) (float64, error) {
	for i, g := range grads {
		if err := o.launch("sum_squares", nil, o.sums[i], g); err != nil {
			return 0, err
		}
	}
	if err := o.net.backend.Sync(); err != nil {
		return 0, err
	}
	squares, err := download(o.net.backend, o.squares, len(grads))
	if err != nil {
		return 0, err
	}
	total := 0.0
	for i, s := range squares {
		if math.IsNaN(s) || math.IsInf(s, 0) {
			return 0, &NonFiniteError{Tensor: "the gradient of " + o.names[i]}
		}
		total += s
	}
	return math.Sqrt(total), nil
}

func (o *optimizer) update(grads []*engine.Tensor, norm float64, h AdamW) error {
	t := float64(o.steps + 1)
	var hyper [ops.HyperLen]float64
	hyper[ops.HyperBeta1], hyper[ops.HyperBeta2], hyper[ops.HyperEps] = h.Beta1, h.Beta2, h.Eps
	hyper[ops.HyperCorrection1], hyper[ops.HyperCorrection2] = 1-math.Pow(h.Beta1, t), 1-math.Pow(h.Beta2, t)
	hyper[ops.HyperGradScale] = 1
	if h.Clip > 0 {
		hyper[ops.HyperGradScale] = min(1, h.Clip/(norm+1e-6))
	}
	byName := map[string]*Parameter{}
	for _, p := range o.net.model.params {
		byName[p.Name] = p
	}
	for i, name := range o.names {
		p := byName[name]
		hyper[ops.HyperLR], hyper[ops.HyperWeightDecay] = h.LR, 0
		if p.Head {
			hyper[ops.HyperLR] = h.HeadLR
		}
		if p.Decays() {
			hyper[ops.HyperWeightDecay] = h.WeightDecay
		}
		if err := o.net.backend.Upload(o.hyper, bytesOf(hyper[:])); err != nil {
			return err
		}
		w := o.net.tensors[name]
		if err := o.launch("adamw", nil, w, w, grads[i], o.m[i], o.v[i], o.hyper); err != nil {
			return fmt.Errorf("updating %s: %w", name, err)
		}
	}
	o.steps++
	return o.net.backend.Sync()
}

// Gradients computes the loss and its gradient by each trained parameter, and changes nothing.
func (n *Network) Gradients(batches []Micro) (StepResult, map[string][]float64, error) {
	if len(batches) == 0 {
		return StepResult{}, nil, fmt.Errorf("a gradient without micro-batches")
	}
	if err := n.optim.allocate(); err != nil {
		return StepResult{}, nil, err
	}
	result, grads, err := n.gradients(batches)
	if err != nil {
		return StepResult{}, nil, err
	}
	if result.GradNorm, err = n.optim.norm(grads); err != nil {
		return StepResult{}, nil, err
	}
	byName := map[string][]float64{}
	for i, g := range grads {
		if byName[n.optim.names[i]], err = download(n.backend, g, g.Size()); err != nil {
			return StepResult{}, nil, err
		}
	}
	return result, byName, nil
}
