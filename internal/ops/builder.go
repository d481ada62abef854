package ops

import (
	"fmt"

	"github.com/goprm/goprm/internal/engine"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Builder adds ops to a graph. The first error sticks: later calls return nil nodes, and Err tells it.
type Builder struct {
	Graph  *gorgonia.ExprGraph
	oracle engine.Backend
	nextID uint64
	names  map[string]bool
	err    error

	// Group is that of the gradients of weights of what is added next: a backend may compute those of one group together, see engine.Op.
	// 0: each by itself.
	Group int
}

// NewBuilder starts an empty graph. oracle, usually nil, lets gorgonia's own machines run the graph in tests.
func NewBuilder(oracle engine.Backend) *Builder {
	return &Builder{Graph: gorgonia.NewGraph(), oracle: oracle, names: map[string]bool{}}
}

// Err is the first error of any call so far.
func (b *Builder) Err() error { return b.err }

func (b *Builder) fail(format string, args ...any) *gorgonia.Node {
	if b.err == nil {
		b.err = fmt.Errorf(format, args...)
	}
	return nil
}

func (b *Builder) id() uint64 {
	b.nextID++
	return b.nextID
}

// Input adds an input; names are unique, since gorgonia merges inputs of equal name, type and shape.
func (b *Builder) Input(name string, dtype tensor.Dtype, shape ...int) *gorgonia.Node {
	if b.names[name] {
		return b.fail("graph input %q: added twice", name)
	}
	b.names[name] = true
	return gorgonia.NewTensor(b.Graph, dtype, len(shape), gorgonia.WithShape(shape...), gorgonia.WithName(name))
}

// apply adds op with the given result; a nil input is an earlier error.
func (b *Builder) apply(op *engine.Op, dtype tensor.Dtype, shape tensor.Shape, in ...*gorgonia.Node) *gorgonia.Node {
	if b.err != nil {
		return nil
	}
	op.Oracle = b.oracle
	n, err := op.Apply(b.id(), dtype, shape, in...)
	if err != nil {
		return b.fail("%s: %w", op.Kernel, err)
	}
	return n
}

// gradientOf builds the gradients of an op's inputs from those, its result and the result's gradient.
type gradientOf func(in gorgonia.Nodes, out, dOut *gorgonia.Node) gorgonia.Nodes

// gradient wraps a function that builds gradients with this builder; its errors go back to gorgonia.
func (b *Builder) gradient(build gradientOf) func(in gorgonia.Nodes, out, dOut *gorgonia.Node) (gorgonia.Nodes, error) {
	return func(in gorgonia.Nodes, out, dOut *gorgonia.Node) (gorgonia.Nodes, error) {
		return build(in, out, dOut), b.err
	}
}

// view shares a packed buffer's memory from an element on.
func (b *Builder) view(packed *gorgonia.Node, from int, shape tensor.Shape, differentiable bool) *gorgonia.Node {
	if b.err != nil {
		return nil
	}
	return b.apply(engine.View(from, differentiable, b.id), packed.Dtype(), shape, packed)
}

// hasShape reports whether every node is there and n has the given shape (-1: any), else the builder fails.
func (b *Builder) hasShape(op, what string, n *gorgonia.Node, want ...int) bool {
	if b.err != nil {
		return false
	}
	if n == nil {
		b.fail("%s: %s is missing", op, what)
		return false
	}
	got := n.Shape()
	ok := len(got) == len(want)
	for i := 0; ok && i < len(want); i++ {
		ok = want[i] < 0 || got[i] == want[i]
	}
	if !ok {
		b.fail("%s: %s has shape %v, want %v", op, what, []int(got), want)
	}
	return ok
}
