package ops

import (
	"github.com/goprm/goprm/internal/engine"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Boundary stands for a loss that is computed outside of the graph: dx are inputs that take the loss's gradients by x, one each
// of the same shape. It has a gradient and no kernel, so a plan must not ask for its value.
func (b *Builder) Boundary(x, dx gorgonia.Nodes) *gorgonia.Node {
	if b.err != nil {
		return nil
	}
	if len(x) == 0 || len(x) != len(dx) {
		return b.fail("boundary: %d values and %d gradients", len(x), len(dx))
	}
	op := &engine.Op{Kernel: "boundary", Rows: engine.Fixed, Differentiable: make([]bool, 2*len(x))}
	for i := range x {
		if !b.hasShape("boundary", "gradient", dx[i], x[i].Shape()...) {
			return nil
		}
		op.Differentiable[i] = true
	}
	op.Gradient = func(in gorgonia.Nodes, _, _ *gorgonia.Node) (gorgonia.Nodes, error) {
		grads := make(gorgonia.Nodes, len(in))
		copy(grads, in[len(in)/2:])
		return grads, nil
	}
	return b.apply(op, x[0].Dtype(), tensor.Shape{}, append(append(gorgonia.Nodes{}, x...), dx...)...)
}
