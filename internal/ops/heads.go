package ops

import (
	"github.com/goprm/goprm/internal/engine"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Gather takes the rows of x [T, K] at reads i32 [R]: [R, K] in the dtype of parameters, as everything after it.
func (b *Builder) Gather(x, reads *gorgonia.Node) *gorgonia.Node {
	if !b.hasShape("gather", "x", x, -1, -1) || !b.hasShape("gather", "reads", reads, -1) {
		return nil
	}
	op := &engine.Op{Kernel: "gather", Rows: engine.Reads, Differentiable: []bool{true, false}}
	op.Gradient = b.gradient(func(in gorgonia.Nodes, _, dy *gorgonia.Node) gorgonia.Nodes {
		return gorgonia.Nodes{b.apply(&engine.Op{Kernel: "gather_dx", Rows: engine.Reads}, in[0].Dtype(), in[0].Shape(), dy, in[1]), nil}
	})
	return b.apply(op, ParamDType(x.Dtype()), tensor.Shape{reads.Shape()[0], x.Shape()[1]}, x, reads)
}

// Sigmoid, elementwise over [R, C].
func (b *Builder) Sigmoid(x *gorgonia.Node) *gorgonia.Node { return b.activation("sigmoid", x) }

// ReLU, elementwise over [R, C].
func (b *Builder) ReLU(x *gorgonia.Node) *gorgonia.Node { return b.activation("relu", x) }

// activation ops have gradients in terms of their own result.
func (b *Builder) activation(kernel string, x *gorgonia.Node) *gorgonia.Node {
	if !b.hasShape(kernel, "x", x, -1, -1) {
		return nil
	}
	op := &engine.Op{Kernel: kernel, Rows: engine.Reads, Differentiable: []bool{true}}
	op.Gradient = b.gradient(func(in gorgonia.Nodes, y, dy *gorgonia.Node) gorgonia.Nodes {
		return gorgonia.Nodes{b.apply(&engine.Op{Kernel: kernel + "_dx", Rows: engine.Reads}, dy.Dtype(), in[0].Shape(), y, dy)}
	})
	return b.apply(op, x.Dtype(), x.Shape(), x)
}

// PositiveProb is the probability of class 1 of two-class logits [R, 2]: [R, 1].
func (b *Builder) PositiveProb(logits *gorgonia.Node) *gorgonia.Node {
	if !b.hasShape("positive_prob", "logits", logits, -1, 2) {
		return nil
	}
	op := &engine.Op{Kernel: "positive_prob", Rows: engine.Reads, Differentiable: []bool{true}}
	op.Gradient = b.gradient(func(in gorgonia.Nodes, y, dy *gorgonia.Node) gorgonia.Nodes {
		return gorgonia.Nodes{b.apply(&engine.Op{Kernel: "positive_prob_dx", Rows: engine.Reads}, dy.Dtype(), in[0].Shape(), y, dy)}
	})
	return b.apply(op, logits.Dtype(), tensor.Shape{logits.Shape()[0], 1}, logits)
}

// Pick takes one column of each row of x [R, C]: [R, 1].
func (b *Builder) Pick(x, column *gorgonia.Node) *gorgonia.Node {
	if !b.hasShape("pick", "x", x, -1, -1) || !b.hasShape("pick", "column", column, x.Shape()[0]) {
		return nil
	}
	op := &engine.Op{Kernel: "pick", Rows: engine.Reads, Differentiable: []bool{true, false}}
	op.Gradient = b.gradient(func(in gorgonia.Nodes, _, dy *gorgonia.Node) gorgonia.Nodes {
		return gorgonia.Nodes{b.apply(&engine.Op{Kernel: "pick_dx", Rows: engine.Reads}, dy.Dtype(), in[0].Shape(), dy, in[1], in[0]), nil}
	})
	return b.apply(op, x.Dtype(), tensor.Shape{x.Shape()[0], 1}, x, column)
}

// SquaredError is Σ weight·(y − target)² over y [R, 1], target and weight [R]: a scalar.
func (b *Builder) SquaredError(y, target, weight *gorgonia.Node) *gorgonia.Node {
	return b.objective("squared_error", "squared_error_dy", 1, y, target, weight)
}

// BCE is Σ weight·(softplus(z) − target·z) over logits z [R, 1].
func (b *Builder) BCE(z, target, weight *gorgonia.Node) *gorgonia.Node {
	return b.objective("bce", "bce_dz", 1, z, target, weight)
}

// CE is soft cross-entropy over two-class logits z [R, 2]; target is the probability of class 1.
func (b *Builder) CE(z, target, weight *gorgonia.Node) *gorgonia.Node {
	return b.objective("ce", "ce_dz", 2, z, target, weight)
}

func (b *Builder) objective(kernel, gradient string, columns int, x, target, weight *gorgonia.Node) *gorgonia.Node {
	if !b.hasShape(kernel, "input", x, -1, columns) || !b.hasShape(kernel, "target", target, x.Shape()[0]) ||
		!b.hasShape(kernel, "weight", weight, x.Shape()[0]) {
		return nil
	}
	op := &engine.Op{Kernel: kernel, Rows: engine.Reads, Differentiable: []bool{true, false, false}}
	op.Gradient = b.gradient(func(in gorgonia.Nodes, _, dL *gorgonia.Node) gorgonia.Nodes {
		d := b.apply(&engine.Op{Kernel: gradient, Rows: engine.Reads}, in[0].Dtype(), in[0].Shape(), in[0], in[1], in[2], dL)
		return gorgonia.Nodes{d, nil, nil}
	})
	return b.apply(op, x.Dtype(), tensor.Shape{}, x, target, weight)
}
