package nnet

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/mmap"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// MicroBatch is one packed micro-batch. A network that trains the head alone reads cached hidden states instead of tokens.
type MicroBatch struct {
	*data.Batch
	Labels   []int32 // [R] tokens, for a head of kind TokenLogProb; else nil
	Features []byte  // [R, hidden] in the dtype of parameters (f32 for bf16); nil unless Spec.Train is TrainHead
	Idle     bool    // adds nothing to the loss, and its read-outs do not count: all weights are 0
	// DropoutKeys [T] say what LoRA dropout drops of each token's row, see DropoutKeys; nil: nothing, as for scores.
	DropoutKeys []uint64
	// Inputs are what a custom head reads by name.
	Inputs map[string]*tensor.Dense
	// Cached [B] is where each segment's keys and values from the beginning of its text on lie in the cache, end to end; its batch holds
	// none of the tokens that all descendants of a segment find there. Keep says what of the batch the cache takes in the run: into other
	// rows than those of Cached.
	Cached [][]RowRange
	Keep   []Kept
}

// Network is a model with weights on a backend. It compiles itself for the largest batch it has seen, and is not safe
// for concurrent use.
type Network struct {
	spec    Spec
	backend engine.Backend
	source  Source
	tensors map[string]*engine.Tensor // by parameter name, in the backend's memory
	owned   map[string]bool           // those that are no mapping of a file
	files   mmap.Reader               // of the others
	layers  *streamedLayers           // nil: all weights are in the backend's memory

	capacity Capacity
	graph    *Graph
	machines map[output]*engine.Machine
	arena    engine.Arena // of the machines, of which one runs at a time
	optim    *optimizer
	piece    []byte           // of a tensor that is being written
	cache    []*engine.Tensor // keys and values of each layer
	custom   Custom           // nil: the graph's head and loss
	extra    []*extra         // its parameters, as it named them first
}

// output selects what a run computes.
type output int

const (
	outValues output = iota
	outFeatures
	outHidden
	outGradients
	outSums  // gradients that are added to a sum as they come
	outOuter // what a custom head reads
)

// Source gives a network its weights.
type Source interface {
	// Load returns a host tensor of the dtype and shape: a mapping of the file where it can be one.
	Load(name string, dtype tensor.Dtype, shape []int) (*engine.Tensor, error)
	// IsBF16 reports whether the named tensor is stored as bf16.
	IsBF16(name string) bool
}

// New loads the weights that the spec names. Parameters that the source lacks (a fresh head, adapters) must be set with
// Set before the first run.
func New(spec Spec, backend engine.Backend, source Source) (*Network, error) {
	if err := spec.Validate(); err != nil {
		return nil, err
	}
	if _, ok := backend.(engine.HostMemory); spec.Offload && !ok {
		return nil, fmt.Errorf("optim.offload: %s computes in the host's memory already", backend.Name())
	}
	_, reads := engine.As[engine.ReadsInFloat32](backend)
	spec.allTokens = spec.DType == engine.BFloat16 && !reads
	_, spec.pairs = engine.As[engine.AttendsInBF16](backend)
	n := &Network{spec: spec, backend: backend, source: source, tensors: map[string]*engine.Tensor{}, owned: map[string]bool{}}
	if spec.Streamed {
		var err error
		if n.layers, err = newStreamedLayers(spec, backend); err != nil {
			return nil, err
		}
	}
	if spec.Expr != nil {
		var err error
		if n.custom, err = models.Custom(spec.Expr); err != nil {
			return nil, err
		}
	}
	if err := n.compile(Capacity{Tokens: 1, Segments: 1, Ranges: 1, Reads: 1, Kept: 1}); err != nil {
		return nil, err
	}
	if err := n.files.Do(n.load); err != nil {
		return nil, err
	}
	if n.layers != nil {
		if err := n.layers.start(); err != nil {
			return nil, err
		}
	}
	n.optim = newOptimizer(n)
	return n, nil
}

// load brings the parameters to the backend.
func (n *Network) load() error {
	for _, p := range n.graph.Params {
		if p.derived {
			continue
		}
		if p.Node.Dtype() == engine.I8 {
			if err := n.loadInt8(p); err != nil {
				return err
			}
			continue
		}
		host, err := n.source.Load(p.Name, p.Node.Dtype(), p.Shape)
		if errors.Is(err, ErrAbsent) && (p.Head || p.Trained && n.spec.Train == TrainLoRA) {
			host, err = engine.FromDType(p.Node.Dtype(), p.Shape...), nil
			n.owned[p.Name] = true
		}
		if err != nil {
			return err
		}
		if n.layers.takes(p, host) {
			n.files.Uses(host.Ptr)
			continue
		}
		var placed *engine.Tensor
		if p.Trained {
			placed, err = engine.CopyTo(n.backend, host) // a master copy of its own, never the mapping
			n.owned[p.Name] = true
		} else {
			placed, err = engine.Place(n.backend, host)
			n.files.Uses(host.Ptr)
		}
		if err != nil {
			return fmt.Errorf("tensor %s: %w", p.Name, err)
		}
		n.tensors[p.Name] = placed
		if b, ok := n.backend.(engine.RoundsWeights); ok && n.spec.rounds(p) {
			if err := b.KeepRounded(placed); err != nil {
				return fmt.Errorf("tensor %s: its bf16 copy: %w", p.Name, err)
			}
		}
	}
	return nil
}

// ErrAbsent is what a Source returns for a tensor that it does not hold.
var ErrAbsent = errors.New("no such tensor")

// compile builds the graph for a capacity; machines follow when they are first used.
func (n *Network) compile(capacity Capacity) error {
	if err := n.closeMachines(); err != nil {
		return err
	}
	if n.optim != nil {
		if err := n.optim.forget(); err != nil {
			return err
		}
	}
	g, err := newGraph(n.spec, capacity, n.source.IsBF16, nil)
	if err != nil {
		return err
	}
	n.graph, n.capacity, n.machines = g, capacity, map[output]*engine.Machine{}
	return nil
}

func (n *Network) closeMachines() error {
	var errs []error
	for _, m := range n.machines {
		errs = append(errs, m.Close())
	}
	n.machines = nil
	return errors.Join(errs...)
}

// Close frees the compiled machines; weights belong to the backend.
func (n *Network) Close() error {
	n.freeCache()
	return errors.Join(n.closeMachines(), n.optim.forget(), n.layers.close())
}

// plan says what the machine for an output computes.
func (m *Graph) plan(what output) engine.Plan {
	switch what {
	case outFeatures:
		return engine.Plan{Outputs: gorgonia.Nodes{m.Features}}
	case outHidden:
		return engine.Plan{Outputs: gorgonia.Nodes{m.Hidden}}
	case outOuter:
		return engine.Plan{Outputs: m.outer}
	case outGradients, outSums:
		if m.Spec.Expr != nil {
			return m.splitPlan()
		}
		plan := engine.Plan{Outputs: append(gorgonia.Nodes{m.Loss, m.Logits, m.Values}, m.Grads...), Loss: m.Loss}
		if m.Spec.Recompute && m.Hidden != nil {
			plan.Keep = m.Keep
		}
		if what == outSums {
			plan.Brief = m.Grads
		}
		return plan
	}
	return engine.Plan{Outputs: append(gorgonia.Nodes{m.Logits, m.Values}, m.written...)}
}

// machine returns a compiled machine for the output and at least the capacity.
func (n *Network) machine(what output, need Capacity) (*engine.Machine, error) {
	if !n.capacity.Covers(need) {
		if err := n.compile(n.capacity.Union(need)); err != nil {
			return nil, err
		}
	}
	if m := n.machines[what]; m != nil {
		return m, nil
	}
	plan := n.graph.plan(what)
	plan.Arena = &n.arena
	plan.Bound = map[*gorgonia.Node]*engine.Tensor{}
	for _, p := range n.graph.Params {
		if n.layers.host(p.Name) == nil {
			plan.Bound[p.Node] = n.tensors[p.Name]
		}
	}
	plan.Streamed = n.layers.of(n.graph)
	for i, node := range n.graph.Cached {
		plan.Bound[node] = n.cache[i]
	}
	m, err := engine.Compile(plan, n.backend)
	if errors.Is(err, engine.ErrArena) {
		if err := n.compile(n.capacity); err != nil { // closes the machines that need less; the next one of them will find room
			return nil, err
		}
		return n.machine(what, need)
	}
	if err != nil {
		return nil, fmt.Errorf("capacity %+v: %w", n.capacity, err)
	}
	n.machines[what] = m
	return m, nil
}

// run uploads the batch and runs the machine for the output; between launches it looks at the context.
func (n *Network) run(ctx context.Context, what output, b MicroBatch) (*engine.Machine, error) {
	machine, err := n.upload(what, b)
	if err != nil {
		return nil, err
	}
	if err := machine.RunAllContext(ctx); err != nil {
		return nil, err
	}
	return machine, nil
}

// Scores are a batch's read-outs, in its order.
type Scores struct {
	Values []float64 // [R], after the activation
	Logits []float64 // [R·C]: one per read-out of a scalar head, two of a two-class head
}

// Score evaluates every read-out of the batch. It stops between two launches, with the context's error, when the context ends; so
// do Features and Hidden.
func (n *Network) Score(ctx context.Context, b MicroBatch) (Scores, error) {
	return reading(n, func() (Scores, error) {
		if n.custom != nil {
			return n.scoreCustom(ctx, b)
		}
		m, err := n.run(ctx, outValues, b)
		if err != nil {
			return Scores{}, err
		}
		return n.scores(m, len(b.Reads))
	})
}

// reading calls what reads the weights. When their file is lost the network is of no use any more, and its memory is freed: a kernel
// may have been left half done. Later calls return the same error.
func reading[T any](n *Network, f func() (T, error)) (T, error) {
	var result, none T
	err := n.files.Do(func() (err error) {
		result, err = f()
		return err
	})
	if n.files.Lost() != nil {
		return none, errors.Join(err, n.closeMachines())
	}
	return result, err
}

// Lost is why the network is of no use any more: a weight file was cut short or changed while it was in use; nil: it is.
func (n *Network) Lost() error { return n.files.Lost() }

func (n *Network) scores(m *engine.Machine, reads int) (Scores, error) {
	values, err := n.read(m.Output(n.graph.Values), reads)
	if err != nil {
		return Scores{}, err
	}
	logits, err := n.read(m.Output(n.graph.Logits), reads)
	return Scores{Values: values, Logits: logits}, err
}

// Features are the final hidden states at the read-outs, [R, hidden] in the dtype of parameters.
func (n *Network) Features(ctx context.Context, b *data.Batch) ([]byte, error) {
	if n.spec.Train == TrainHead {
		return nil, errors.New("a network that trains the head alone has no trunk to compute features with")
	}
	return reading(n, func() ([]byte, error) {
		m, err := n.run(ctx, outFeatures, MicroBatch{Batch: b})
		if err != nil {
			return nil, err
		}
		features := make([]byte, len(b.Reads)*n.spec.Config.HiddenSize*int(n.spec.Params().Size()))
		return features, n.backend.Download(features, m.Output(n.graph.Features))
	})
}

// FeatureValues are the features, widened.
func (n *Network) FeatureValues(ctx context.Context, b *data.Batch) ([]float64, error) {
	return reading(n, func() ([]float64, error) {
		m, err := n.run(ctx, outFeatures, MicroBatch{Batch: b})
		if err != nil {
			return nil, err
		}
		return n.read(m.Output(n.graph.Features), len(b.Reads))
	})
}

// Hidden are the final hidden states of every token, [T, hidden].
func (n *Network) Hidden(ctx context.Context, b *data.Batch) ([]float64, error) {
	return reading(n, func() ([]float64, error) {
		m, err := n.run(ctx, outHidden, MicroBatch{Batch: b})
		if err != nil {
			return nil, err
		}
		return n.read(m.Output(n.graph.Hidden), len(b.Tokens))
	})
}

// Parameters lists the model's tensors in graph order, then those of a custom head.
func (n *Network) Parameters() []*Parameter {
	list := slices.Clone(n.graph.Params)
	for _, e := range n.extra {
		list = append(list, e.parameter)
	}
	return list
}

// Get reads a parameter's current value, widened.
func (n *Network) Get(name string) ([]float64, error) {
	if host := n.layers.host(name); host != nil {
		return reading(n, func() ([]float64, error) { return download(onHost{}, host, host.Size()) })
	}
	t := n.tensors[name]
	if t == nil {
		return nil, fmt.Errorf("tensor %s: the network has none of that name", name)
	}
	if t.Dtype() == engine.I8 {
		return nil, fmt.Errorf("tensor %s: rounded to int8", name)
	}
	return reading(n, func() ([]float64, error) { return download(n.backend, t, t.Size()) })
}

// Set gives a parameter a value, rounded to the parameter's dtype. One whose memory is a file's gets memory of its own first.
func (n *Network) Set(name string, v []float64) error {
	t := n.tensors[name]
	streamed := n.layers.host(name)
	if streamed != nil {
		t = streamed
	}
	if t == nil || t.Size() != len(v) || t.Dtype() == engine.I8 {
		return fmt.Errorf("tensor %s: cannot take %d values", name, len(v))
	}
	if n.owned[name] {
		return n.backend.Upload(t, toDType(v, t.Dtype()))
	}
	host := engine.FromDType(t.Dtype(), t.Shape()...)
	copy(host.Bytes(), toDType(v, t.Dtype()))
	if streamed != nil {
		n.layers.tensors[name] = host
		return n.compile(n.capacity)
	}
	own, err := engine.CopyTo(n.backend, host)
	if err != nil {
		return fmt.Errorf("tensor %s: %w", name, err)
	}
	n.tensors[name], n.owned[name] = own, true
	return n.compile(n.capacity) // machines are bound to the old memory
}

// Spec is what the network was made from.
func (n *Network) Spec() Spec { return n.spec }
