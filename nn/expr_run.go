package nn

import (
	"errors"
	"fmt"

	"github.com/goprm/goprm/internal/nnet"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// custom is a function of Options.Expr as internal/nnet runs it.
type custom func(*Expr) error

func newCustom(expr any) (nnet.Custom, error) {
	f, ok := expr.(func(*Expr) error)
	if !ok || f == nil {
		return nil, fmt.Errorf("a custom head is a func(*nn.Expr) error, not a %T", expr)
	}
	return custom(f), nil
}

// Run builds the expression for one batch, differentiates and evaluates it.
func (c custom) Run(outer *nnet.Outer) (*nnet.Outcome, error) {
	e, err := c.build(outer, outer.DType)
	if err != nil {
		return nil, err
	}
	return e.evaluate(outer.Backward)
}

// build calls the caller's function and checks what it made.
func (c custom) build(outer *nnet.Outer, dtype tensor.Dtype) (*Expr, error) {
	e := &Expr{Graph: gorgonia.NewGraph(), Rows: len(outer.Batch.Reads), outer: outer, dtype: dtype, leaves: map[string]leaf{}}
	err := guarded("the expression", func() error { return c(e) })
	if e.err != nil { // the cause, where the function went on with a nil node
		return nil, e.err
	}
	if err != nil {
		return nil, fmt.Errorf("Options.Expr: %w", err)
	}
	return e, e.check(outer.Backward)
}

// check refuses what cannot be differentiated or scored with.
func (e *Expr) check(backward bool) error {
	for _, n := range e.Graph.AllNodes() {
		if err := checkOp(n); err != nil {
			return err
		}
	}
	for _, n := range []*gorgonia.Node{e.Values, e.Loss} {
		if n != nil && n.Graph() != e.Graph {
			return errors.New("Options.Expr: Values or Loss belongs to another graph; build on Expr's nodes alone")
		}
	}
	if e.Values != nil && e.Values.Shape().TotalSize() != e.Rows {
		return fmt.Errorf("Options.Expr: Values has shape %v, want one value for each of %d read-outs", e.Values.Shape(), e.Rows)
	}
	if backward && (e.Loss == nil || e.Loss.Shape().TotalSize() != 1 || e.Loss.Dims() > 0) {
		return errors.New("Options.Expr: Loss is not set to a scalar, which training needs; take a Sum or Mean over all axes")
	}
	return nil
}

// evaluate runs the expression and, for training, its gradients by everything that has one.
func (e *Expr) evaluate(backward bool) (*nnet.Outcome, error) {
	var by []string
	var want gorgonia.Nodes
	if backward {
		reached := differentiable(e.Loss)
		for _, name := range e.names {
			l := e.leaves[name]
			if l.kind != isConstant && reached[l.node.ID()] {
				by, want = append(by, name), append(want, l.node)
			}
		}
		if len(by) == 0 {
			return nil, errors.New("Options.Expr: Loss depends on no features, logits, hidden states or parameters")
		}
		forward := want
		if err := guarded("Grad", func() (err error) { want, err = gorgonia.Grad(e.Loss, forward...); return err }); err != nil {
			return nil, fmt.Errorf("Options.Expr: differentiating the loss: %w", err)
		}
	}
	run := evaluation{graph: e.Graph, values: map[int64]gorgonia.Value{}}
	out := &nnet.Outcome{DParameters: map[string]*tensor.Dense{}}
	var err error
	if e.Values != nil {
		if out.Values, err = run.floats(e.Values); err != nil {
			return nil, err
		}
	}
	if e.Loss != nil {
		loss, err := run.floats(e.Loss)
		if err != nil {
			return nil, err
		}
		out.Loss = loss[0]
	}
	for i, name := range by {
		if err := e.gradient(&run, out, e.leaves[name], name, want[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// gradient evaluates the gradient by one input and puts it where it belongs.
func (e *Expr) gradient(run *evaluation, out *nnet.Outcome, l leaf, name string, grad *gorgonia.Node) error {
	wide, err := run.floats(grad)
	if err != nil {
		return err
	}
	if len(wide) != l.node.Shape().TotalSize() {
		return fmt.Errorf("Options.Expr: the gradient by %s has %d numbers, want shape %v", name, len(wide), l.node.Shape())
	}
	d, err := toDense(tensor.New(tensor.WithShape(l.node.Shape()...), tensor.WithBacking(wide)), e.dtype)
	if err != nil {
		return err
	}
	switch l.kind {
	case isFeatures:
		out.DFeatures = d
	case isLogits:
		out.DLogits = d
	case isHidden:
		out.DHidden = d
	default:
		out.DParameters[name] = d
	}
	return nil
}

// evaluation executes nodes by their ops' own Do, each once, its inputs first.
type evaluation struct {
	graph  *gorgonia.ExprGraph
	values map[int64]gorgonia.Value
}

func (v *evaluation) of(n *gorgonia.Node) (gorgonia.Value, error) {
	if value, ok := v.values[n.ID()]; ok {
		return value, nil
	}
	var inputs []gorgonia.Value
	for _, child := range inputsOf(n) {
		value, err := v.of(child)
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, value)
	}
	value := n.Value()
	if len(inputs) > 0 {
		err := guarded(n.Op().String(), func() (err error) { value, err = n.Op().Do(inputs...); return err })
		if err != nil {
			return nil, fmt.Errorf("Options.Expr: %s on %v: %w", n.Op(), shapesOf(inputsOf(n)), err)
		}
	}
	if value == nil {
		return nil, fmt.Errorf("Options.Expr: input %s has no value; take inputs from Expr's methods", n.Name())
	}
	v.values[n.ID()] = value
	return value, nil
}

// floats evaluates a node and widens it.
func (v *evaluation) floats(n *gorgonia.Node) ([]float64, error) {
	value, err := v.of(n)
	if err != nil {
		return nil, err
	}
	switch d := value.Data().(type) {
	case float64:
		return []float64{d}, nil
	case float32:
		return []float64{float64(d)}, nil
	}
	d, ok := value.(*tensor.Dense)
	if !ok {
		return nil, fmt.Errorf("Options.Expr: %s gives a %T", n, value)
	}
	if d.RequiresIterator() || !d.DataOrder().IsRowMajor() {
		d = d.Materialize().(*tensor.Dense)
	}
	return widen(d)
}

func inputsOf(n *gorgonia.Node) gorgonia.Nodes {
	var list gorgonia.Nodes
	for it := n.Graph().From(n.ID()); it.Next(); {
		list = append(list, it.Node().(*gorgonia.Node))
	}
	return list
}

func shapesOf(nodes gorgonia.Nodes) []tensor.Shape {
	shapes := make([]tensor.Shape, len(nodes))
	for i, n := range nodes {
		shapes[i] = n.Shape()
	}
	return shapes
}

// differentiable are the ids of a node and of all on which it depends by a path of differentiable inputs.
func differentiable(n *gorgonia.Node) map[int64]bool {
	seen, open := map[int64]bool{}, gorgonia.Nodes{n}
	for len(open) > 0 {
		n, open = open[len(open)-1], open[:len(open)-1]
		if seen[n.ID()] {
			continue
		}
		seen[n.ID()] = true
		inputs := inputsOf(n)
		if op, ok := n.Op().(gorgonia.SDOp); ok && len(inputs) > 0 {
			for i, d := range op.DiffWRT(len(inputs)) {
				if d {
					open = append(open, inputs[i])
				}
			}
		}
	}
	return seen
}

// guarded turns a panic of Gorgonia, or of the caller's function, into an error.
func guarded(what string, f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s panicked: %v", what, r)
		}
	}()
	return f()
}
