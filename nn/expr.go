package nn

import (
	"errors"
	"fmt"

	"github.com/goprm/goprm/internal/nnet"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Expr is one batch's view of a network for a head and a loss of the caller's own, written as Gorgonia expressions. A function in
// [Options].Expr is called for each batch with a fresh Expr: it builds nodes on what the batch gives, and sets Values, Loss or
// both. The network differentiates Loss, runs the expression on the live rows, and continues the backward pass in the trunk.
//
// Ops that Gorgonia differentiates wrongly are refused by name; [ExprOps] lists the others. Dropout is among those that are
// refused, since it draws a new mask at each evaluation. The function must not call gorgonia.Grad.
type Expr struct {
	// Graph belongs to this batch alone.
	Graph *gorgonia.ExprGraph
	// Rows is R, the number of the batch's read-outs.
	Rows int
	// Values are the scores, [R, 1] or [R]; scoring needs them.
	Values *gorgonia.Node
	// Loss is a scalar; training needs it.
	Loss *gorgonia.Node

	outer  *nnet.Outer
	dtype  tensor.Dtype
	leaves map[string]leaf // every input node by its name
	names  []string        // in the order in which the function asked for them
	err    error           // the first of a method, which the caller's function may have gone on from
}

// leaf is an input of the expression, with its value.
type leaf struct {
	node *gorgonia.Node
	kind leafKind
}

type leafKind int

const (
	isConstant leafKind = iota // gets no gradient
	isFeatures
	isLogits
	isHidden
	isParameter
)

// DType is the dtype of every node that Expr's methods give: float32, or float64 for a network in float64. Constants of another
// dtype do not mix with them.
func (e *Expr) DType() tensor.Dtype { return e.dtype }

// Features are the final hidden states at the read-outs, [R, hidden].
func (e *Expr) Features() *gorgonia.Node {
	return e.leaf("features", isFeatures, func() (*tensor.Dense, error) { return e.outer.Features, nil })
}

// Logits are the outputs of the network's own head before their activation, [R, 1] or [R, 2]. Without a head in [Options].Head
// there are none.
func (e *Expr) Logits() *gorgonia.Node {
	return e.leaf("logits", isLogits, func() (*tensor.Dense, error) {
		if e.outer.Logits == nil {
			return nil, errors.New("Logits: the network has no head of its own; set Options.Head")
		}
		return e.outer.Logits, nil
	})
}

// Hidden are the final hidden states of all tokens, [T, hidden]; they are copied only where this is called.
func (e *Expr) Hidden() *gorgonia.Node { return e.leaf("hidden", isHidden, e.outer.Hidden) }

// Target are the read-outs' labels, [R, 1]; 0 where there is none.
func (e *Expr) Target() *gorgonia.Node { return e.column("target", e.outer.Batch.Target) }

// Weight are the read-outs' factors in the loss of the optimizer step, [R, 1]; 0 where there is no label. A sum over the rows of
// Weight times a loss of each row is the loss that [data.Pack] describes.
func (e *Expr) Weight() *gorgonia.Node { return e.column("weight", e.outer.Batch.Weight) }

// Input is the batch's input of that name, in the shape it has there.
func (e *Expr) Input(name string) *gorgonia.Node {
	return e.leaf("input "+name, isConstant, func() (*tensor.Dense, error) {
		d, ok := e.outer.Batch.Inputs[name]
		if !ok || d == nil {
			return nil, fmt.Errorf("Input: the batch has none named %q", name)
		}
		return toDense(d, e.dtype)
	})
}

// Parameter is a trained tensor of the expression. init is its first value; later calls give the trained one. It belongs to the
// head: the optimizer's HeadLR applies, and weight decay where it has two dimensions or more. The network lists and saves it as
// "score."+name. The first batch names all parameters; one that a later batch leaves out gets no gradient from that batch.
func (e *Expr) Parameter(name string, init *tensor.Dense) *gorgonia.Node {
	if name == "" || init == nil || init.Dims() == 0 {
		return e.fail(fmt.Errorf("Parameter: %q needs a name and an initial value of one dimension or more", name))
	}
	first, err := toDense(init, e.dtype)
	if err != nil {
		return e.fail(fmt.Errorf("Parameter: %q: %w", name, err))
	}
	return e.leaf("score."+name, isParameter, func() (*tensor.Dense, error) { return e.outer.Parameter(name, first) })
}

// Scalar is a constant in the network's dtype.
func (e *Expr) Scalar(v float64) *gorgonia.Node {
	if e.dtype == tensor.Float64 {
		return gorgonia.NewConstant(v)
	}
	return gorgonia.NewConstant(float32(v))
}

// Constant is a tensor without a gradient, in the network's dtype.
func (e *Expr) Constant(name string, v *tensor.Dense) *gorgonia.Node {
	return e.leaf("constant "+name, isConstant, func() (*tensor.Dense, error) { return toDense(v, e.dtype) })
}

func (e *Expr) column(name string, v []float64) *gorgonia.Node {
	return e.leaf(name, isConstant, func() (*tensor.Dense, error) {
		return toDense(tensor.New(tensor.WithShape(len(v), 1), tensor.WithBacking(append([]float64{}, v...))), e.dtype)
	})
}

// leaf gives the input node of a name, made by its first call.
func (e *Expr) leaf(name string, kind leafKind, value func() (*tensor.Dense, error)) *gorgonia.Node {
	if l, ok := e.leaves[name]; ok {
		return l.node
	}
	v, err := value()
	if err != nil {
		return e.fail(err)
	}
	n := gorgonia.NewTensor(e.Graph, e.dtype, v.Dims(), gorgonia.WithShape(v.Shape()...), gorgonia.WithName(name), gorgonia.WithValue(v))
	e.leaves[name] = leaf{n, kind}
	e.names = append(e.names, name)
	return n
}

// fail remembers the first error. The node it returns is nil, which Gorgonia's functions refuse or panic at.
func (e *Expr) fail(err error) *gorgonia.Node {
	if e.err == nil {
		e.err = err
	}
	return nil
}

// toDense copies a tensor into one of the dtype that is contiguous.
func toDense(d *tensor.Dense, dtype tensor.Dtype) (*tensor.Dense, error) {
	if !d.DataOrder().IsRowMajor() || d.RequiresIterator() {
		return nil, fmt.Errorf("a tensor of shape %v that is a view or transposed; Clone or Materialize it first", d.Shape())
	}
	wide, err := widen(d)
	if err != nil {
		return nil, err
	}
	if dtype == tensor.Float64 {
		return tensor.New(tensor.WithShape(d.Shape()...), tensor.WithBacking(wide)), nil
	}
	narrow := make([]float32, len(wide))
	for i, v := range wide {
		narrow[i] = float32(v)
	}
	return tensor.New(tensor.WithShape(d.Shape()...), tensor.WithBacking(narrow)), nil
}

func widen(d *tensor.Dense) ([]float64, error) {
	switch v := d.Data().(type) {
	case []float64:
		return append([]float64{}, v...), nil
	case []float32:
		wide := make([]float64, len(v))
		for i, x := range v {
			wide[i] = float64(x)
		}
		return wide, nil
	}
	return nil, fmt.Errorf("a tensor of %s; want float32 or float64", d.Dtype())
}
