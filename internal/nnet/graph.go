package nnet

import (
	"errors"
	"fmt"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"gorgonia.org/gorgonia"
)

// Parameter is one tensor of the model, by its Hugging Face name.
type Parameter struct {
	Name    string
	Shape   []int
	Trained bool
	Head    bool // belongs to the value head: its own learning rate
	Node    *gorgonia.Node
	derived bool // from another parameter, when that is loaded
}

// Decays reports whether weight decay applies: to matrices, not to biases and norms.
func (p *Parameter) Decays() bool { return len(p.Shape) >= 2 }

// Graph is a model's graph of one capacity: the inputs that a network fills and the nodes that it reads. Weights are inputs;
// the network binds their memory.
type Graph struct {
	*ops.Builder
	Spec   Spec
	Cap    Capacity
	BF16   func(name string) bool // a frozen matrix that is stored as bf16 stays so
	Params []*Parameter

	IDs, Positions *gorgonia.Node // i32 [T]
	Keys, Sliding  ops.Keys       // of all layers; of those with a window, where some have one
	DropKeys       *gorgonia.Node // i32 [T, 2], nil without dropout
	Cached         gorgonia.Nodes // [C, G·Dh], keys and values of each layer, where there is a cache
	Kept           *gorgonia.Node // i32 [M, 2], what the cache takes of the batch; nil without one
	written        gorgonia.Nodes // Cached, with the batch's own
	Reads, Column  *gorgonia.Node // i32 [R]; column is a head's own row, or the token that is the label
	Target, Weight *gorgonia.Node // [R]

	Hidden   *gorgonia.Node // after the final norm [T, D]; nil when the graph starts at cached features
	Features *gorgonia.Node // hidden at the read-outs [R, D]
	Logits   *gorgonia.Node // [R, C]
	Values   *gorgonia.Node // [R, 1]
	Loss     *gorgonia.Node // scalar
	outer    gorgonia.Nodes // what a custom head reads: features, logits if there is a head, hidden if it is asked for
	dOuter   gorgonia.Nodes // inputs: the gradients of outer
	Grads    gorgonia.Nodes // of the trained parameters, in order
	Keep     gorgonia.Nodes // what the backward pass finds in memory
}

// Models is what package nn knows and this one does not.
type Models struct {
	// Build adds a backbone, a head and a loss to a graph that has the inputs of read-outs: it sets Hidden, Features, Logits,
	// Values, Loss and Keep; no loss for a custom head. The graph's first error stands for all.
	Build func(*Graph)
	// Custom makes a custom head of Spec.Expr.
	Custom func(expr any) (Custom, error)
}

var models Models

// Register makes models known. Package nn does so when it is imported.
func Register(m Models) { models = m }

// newGraph builds the graph and derives its backward pass.
func newGraph(spec Spec, capacity Capacity, bf16 func(name string) bool, oracle engine.Backend) (*Graph, error) {
	if models.Build == nil {
		return nil, errors.New(`no backbone is known: import _ "github.com/goprm/goprm/nn"`)
	}
	g := &Graph{Builder: ops.NewBuilder(oracle), Spec: spec, Cap: capacity, BF16: bf16}
	g.Reads = g.Input("reads", engine.I32, capacity.Reads)
	g.Column = g.Input("column", engine.I32, capacity.Reads)
	g.Target = g.Input("target", spec.Params(), capacity.Reads)
	g.Weight = g.Input("weight", spec.Params(), capacity.Reads)
	models.Build(g)
	if spec.Expr != nil {
		g.boundary()
	}
	if err := g.Err(); err != nil {
		return nil, err
	}
	if spec.Train == TrainNothing {
		return g, nil
	}
	var trained gorgonia.Nodes
	for _, p := range g.Params {
		if p.Trained {
			trained = append(trained, p.Node)
		}
	}
	if len(trained) == 0 { // a custom head alone
		return g, nil
	}
	grads, err := gorgonia.Grad(g.Loss, trained...)
	if err == nil {
		err = g.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("deriving the backward pass: %w", err)
	}
	g.Grads = grads
	return g, nil
}

// boundary makes what a custom head reads the end of the graph.
func (g *Graph) boundary() {
	if g.Err() != nil {
		return
	}
	g.outer = gorgonia.Nodes{g.Features}
	if g.Logits != nil {
		g.outer = append(g.outer, g.Logits)
	}
	if g.Spec.outerHidden {
		g.outer = append(g.outer, g.Hidden)
	}
	for i, n := range g.outer {
		g.dOuter = append(g.dOuter, g.Input(fmt.Sprintf("outer_gradient.%d", i), n.Dtype(), n.Shape()...))
	}
	g.Loss = g.Boundary(g.outer, g.dOuter)
}

// Matrix is a trunk matrix: trained in the dtype of parameters, or frozen as stored.
func (g *Graph) Matrix(name string, shape ...int) *gorgonia.Node {
	full := g.Spec.Train == TrainFull
	if full || !g.BF16(name) {
		return g.Parameter(name, full, false, shape...)
	}
	if n := g.parameter(name); n != nil {
		return n
	}
	n := g.Input(name, engine.BFloat16, shape...)
	g.Params = append(g.Params, &Parameter{Name: name, Shape: shape, Node: n})
	return n
}

// Vector is a trunk bias or norm: always in the dtype of parameters.
func (g *Graph) Vector(name string, n int) *gorgonia.Node {
	return g.Parameter(name, g.Spec.Train == TrainFull, false, n)
}

// Parameter is a tensor in the dtype of parameters. The same name is the same node.
func (g *Graph) Parameter(name string, trained, head bool, shape ...int) *gorgonia.Node {
	if n := g.parameter(name); n != nil {
		return n
	}
	n := g.Input(name, g.Spec.Params(), shape...)
	g.Params = append(g.Params, &Parameter{Name: name, Shape: shape, Trained: trained, Head: head, Node: n})
	return n
}

// parameter is the node of a parameter that is there already, else nil.
func (g *Graph) parameter(name string) *gorgonia.Node {
	for _, p := range g.Params {
		if p.Name == name {
			return p.Node
		}
	}
	return nil
}

// CacheKeysValues adds the cache of a layer's keys and values k and v [T, G·Dh], in the order of the network's tensors, and what brings
// the batch's own into it; nil where there is no cache.
func (g *Graph) CacheKeysValues(layer int, k, v *gorgonia.Node) (cachedK, cachedV *gorgonia.Node) {
	if g.Spec.Cache == 0 || g.Err() != nil {
		return nil, nil
	}
	if g.Kept == nil {
		g.Kept = g.Input("kept", engine.I32, g.Cap.Kept, 2)
	}
	width := g.Spec.Config.NumKeyValueHeads * g.Spec.Config.HeadDim
	cachedK = g.Input(fmt.Sprintf("cached_k.%d", layer), g.Spec.DType, g.Spec.Cache, width)
	cachedV = g.Input(fmt.Sprintf("cached_v.%d", layer), g.Spec.DType, g.Spec.Cache, width)
	g.Cached = append(g.Cached, cachedK, cachedV)
	g.written = append(g.written, g.CacheWrite(k, g.Kept, cachedK), g.CacheWrite(v, g.Kept, cachedV))
	return cachedK, cachedV
}
