package nn

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

type node = *gorgonia.Node

// exprCase builds a loss of x [R, 3], y [R, 1] and a parameter w [3, 2].
type exprCase struct {
	name  string
	ops   []string // what of ExprOps it shows
	build func(e *Expr, x, y, w node) (node, error)
}

// then chains functions that may fail.
func then(n node, err error, f func(node) (node, error)) (node, error) {
	if err != nil {
		return nil, err
	}
	return f(n)
}

func unaryCases() []exprCase {
	var list []exprCase
	for name, f := range map[string]func(node) (node, error){
		"Neg": gorgonia.Neg, "Abs": gorgonia.Abs, "Exp": gorgonia.Exp, "Log": gorgonia.Log, "Log1p": gorgonia.Log1p, "Expm1": gorgonia.Expm1,
		"Tanh": gorgonia.Tanh, "Sigmoid": gorgonia.Sigmoid, "Softplus": gorgonia.Softplus, "Square": gorgonia.Square, "Sqrt": gorgonia.Sqrt,
		"Cube": gorgonia.Cube, "Inverse": gorgonia.Inverse, "Sin": gorgonia.Sin, "Cos": gorgonia.Cos, "Mish": gorgonia.Mish,
		"Rectify":   func(n node) (node, error) { return gorgonia.Rectify(n) },
		"LeakyRelu": func(n node) (node, error) { return gorgonia.LeakyRelu(n, 0.1) },
		"Norm":      func(n node) (node, error) { return gorgonia.Norm(n, 1, 2) },
		"Sum":       func(n node) (node, error) { return gorgonia.Sum(n) },
		"Mean":      func(n node) (node, error) { return gorgonia.Mean(n) },
		"Max":       func(n node) (node, error) { return gorgonia.Max(n) },
		"Transpose": func(n node) (node, error) { return gorgonia.Transpose(n) },
		"Reshape":   func(n node) (node, error) { return gorgonia.Reshape(n, tensor.Shape{n.Shape().TotalSize()}) },
	} {
		list = append(list, exprCase{name + " x", []string{name}, func(_ *Expr, x, _, _ node) (node, error) { return f(x) }})
		if name != "Norm" {
			list = append(list, exprCase{name + " y", []string{name}, func(_ *Expr, _, y, _ node) (node, error) { return f(y) }})
		}
	}
	for name, f := range map[string]func(node, ...int) (node, error){"Sum": gorgonia.Sum, "Mean": gorgonia.Mean, "Max": gorgonia.Max} {
		for axis := range 2 {
			list = append(list, exprCase{fmt.Sprint(name, axis), []string{name}, func(_ *Expr, x, _, _ node) (node, error) { return f(x, axis) }})
		}
	}
	return list
}

func binaryCases() []exprCase {
	var list []exprCase
	binary := map[string]func(a, b node) (node, error){
		"Add": gorgonia.Add, "Sub": gorgonia.Sub, "HadamardProd": gorgonia.HadamardProd, "HadamardDiv": gorgonia.HadamardDiv, "Pow": gorgonia.Pow,
	}
	for name, compare := range map[string]func(a, b node, same bool) (node, error){
		"Gt": gorgonia.Gt, "Gte": gorgonia.Gte, "Lt": gorgonia.Lt, "Lte": gorgonia.Lte,
	} {
		binary[name] = func(a, b node) (node, error) {
			mask, err := compare(a, b, true)
			return then(mask, err, func(m node) (node, error) { return gorgonia.HadamardProd(m, a) })
		}
	}
	for name, f := range binary {
		list = append(list,
			exprCase{name + " nodes", []string{name}, func(_ *Expr, x, _, _ node) (node, error) {
				t, err := gorgonia.Tanh(x)
				return then(t, err, func(t node) (node, error) { return f(x, t) })
			}},
			exprCase{name + " constant right", []string{name}, func(e *Expr, x, _, _ node) (node, error) { return f(x, e.Scalar(0.45)) }},
			exprCase{name + " one column", []string{name}, func(e *Expr, _, y, _ node) (node, error) { return f(y, e.Scalar(0.45)) }},
			exprCase{name + " scalar node", []string{name}, func(_ *Expr, x, y, _ node) (node, error) {
				s, err := gorgonia.Mean(y)
				return then(s, err, func(s node) (node, error) { return f(x, s) })
			}})
	}
	for name, f := range map[string]func(a, b node, left, right []byte) (node, error){
		"BroadcastAdd": gorgonia.BroadcastAdd, "BroadcastSub": gorgonia.BroadcastSub, "BroadcastHadamardProd": gorgonia.BroadcastHadamardProd,
		"BroadcastHadamardDiv": gorgonia.BroadcastHadamardDiv,
	} {
		ops := []string{name, "Repeat (of broadcasts)", "SizeOf"}
		list = append(list, exprCase{name + " column", ops, func(_ *Expr, x, y, _ node) (node, error) { return f(x, y, nil, []byte{1}) }},
			exprCase{name + " row", ops, func(e *Expr, x, _, _ node) (node, error) {
				row := e.Parameter("row", tensor.New(tensor.WithShape(1, 3), tensor.WithBacking([]float64{0.3, 0.7, 1.1})))
				return f(x, row, nil, []byte{0})
			}})
	}
	return list
}

func matrixCases() []exprCase {
	return []exprCase{
		{"x·w", []string{"Mul (matrices)"}, func(_ *Expr, x, _, w node) (node, error) { return gorgonia.Mul(x, w) }},
		{"x·xᵀ", []string{"Mul (matrices)", "Transpose"}, func(_ *Expr, x, _, _ node) (node, error) {
			t, err := gorgonia.Transpose(x)
			return then(t, err, func(t node) (node, error) { return gorgonia.Mul(x, t) })
		}},
		{"xᵀ·y", []string{"Mul (matrices)"}, func(_ *Expr, x, y, _ node) (node, error) {
			t, err := gorgonia.Transpose(x)
			return then(t, err, func(t node) (node, error) { return gorgonia.Mul(t, y) })
		}},
		{"x·v", []string{"Mul (matrix and vector)"}, func(e *Expr, x, _, _ node) (node, error) {
			return gorgonia.Mul(x, e.Parameter("v", tensor.New(tensor.WithShape(3), tensor.WithBacking([]float64{0.2, -0.4, 0.9}))))
		}},
		{"y⊗y", []string{"OuterProd"}, func(_ *Expr, _, y, _ node) (node, error) {
			v, err := gorgonia.Reshape(y, tensor.Shape{y.Shape()[0]})
			return then(v, err, func(v node) (node, error) { return gorgonia.OuterProd(v, v) })
		}},
		{"softmax of rows", []string{"SoftMax"}, func(_ *Expr, x, _, w node) (node, error) {
			m, err := gorgonia.Mul(x, w)
			return then(m, err, func(m node) (node, error) { return gorgonia.SoftMax(m, 1) })
		}},
		{"softmax of columns", []string{"SoftMax"}, func(_ *Expr, x, _, _ node) (node, error) { return gorgonia.SoftMax(x, 0) }},
		{"columns", []string{"Slice"}, func(_ *Expr, x, _, _ node) (node, error) { return gorgonia.Slice(x, nil, gorgonia.S(0, 2)) }},
		{"rows", []string{"Slice"}, func(_ *Expr, x, _, _ node) (node, error) { return gorgonia.Slice(x, gorgonia.S(0, x.Shape()[0])) }},
		{"one row", []string{"Slice"}, func(_ *Expr, x, _, _ node) (node, error) { return gorgonia.Slice(x, gorgonia.S(0)) }},
		{"below", []string{"Concat"}, func(_ *Expr, x, _, _ node) (node, error) {
			t, err := gorgonia.Tanh(x)
			return then(t, err, func(t node) (node, error) { return gorgonia.Concat(0, x, t) })
		}},
		{"beside", []string{"Concat"}, func(_ *Expr, x, y, _ node) (node, error) { return gorgonia.Concat(1, x, y) }},
	}
}

// outerOf is a boundary of R rows with numbers at which no op has a kink, and parameters that are kept in a map.
func outerOf(rows int) *nnet.Outer {
	x, y := make([]float64, 3*rows), make([]float64, rows)
	for i := range x {
		x[i] = 0.5 + 0.3*math.Sin(float64(7*i+1))
	}
	for i := range y {
		y[i] = 0.5 + 0.3*math.Cos(float64(3*i)) + 0.01*float64(i)
	}
	kept := map[string]*tensor.Dense{}
	return &nnet.Outer{
		Batch: nnet.MicroBatch{Batch: &data.Batch{Reads: make([]int32, rows)}}, DType: tensor.Float64, Backward: true,
		Features: tensor.New(tensor.WithShape(rows, 3), tensor.WithBacking(x)),
		Logits:   tensor.New(tensor.WithShape(rows, 1), tensor.WithBacking(y)),
		Hidden:   func() (*tensor.Dense, error) { return nil, fmt.Errorf("no hidden states here") },
		Parameter: func(name string, init *tensor.Dense) (*tensor.Dense, error) {
			if kept[name] == nil {
				kept[name] = init
			}
			return kept[name], nil
		},
	}
}

func (c exprCase) expr(e *Expr) error {
	w := e.Parameter("w", tensor.New(tensor.WithShape(3, 2), tensor.WithBacking([]float64{0.6, 0.2, -0.3, 0.8, 0.1, -0.5})))
	n, err := c.build(e, e.Features(), e.Logits(), w)
	if err == nil && n.Dims() > 0 { // squares tell one element's gradient from another's
		n, err = gorgonia.Square(n)
		n, err = then(n, err, func(n node) (node, error) { return gorgonia.Sum(n) })
	}
	e.Loss = n
	return err
}

// Every op that an expression may use has the gradient that central differences have, at 1, 2 and 7 rows; and each is shown.
func TestExprOps(t *testing.T) {
	shown := map[string]bool{}
	for _, c := range slices.Concat(unaryCases(), binaryCases(), matrixCases()) {
		for _, rows := range []int{1, 2, 7} {
			t.Run(fmt.Sprintf("%s/%d", c.name, rows), func(t *testing.T) {
				outer := outerOf(rows)
				require.NoError(t, compareExpr(c.expr, outer))
			})
		}
		for _, op := range c.ops {
			shown[op] = true
		}
	}
	require.Equal(t, ExprOps(), slices.Sorted(maps.Keys(shown)))
}

// What Gorgonia gets wrong is refused by name.
func TestExprRefuses(t *testing.T) {
	sum := func(n node, err error) (node, error) {
		return then(n, err, func(n node) (node, error) { return gorgonia.Sum(n) })
	}
	for want, build := range map[string]func(e *Expr) (node, error){
		"log2":             func(e *Expr) (node, error) { return sum(gorgonia.Log2(e.Features())) },
		"invSqrt":          func(e *Expr) (node, error) { return sum(gorgonia.InverseSqrt(e.Features())) },
		"sign":             func(e *Expr) (node, error) { return sum(gorgonia.Sign(e.Features())) },
		"dropoutOp":        func(e *Expr) (node, error) { return sum(gorgonia.Dropout(e.Features(), 0.5)) },
		"dimension is 1":   func(e *Expr) (node, error) { return sum(gorgonia.SoftMax(e.Logits())) },
		"Slice of one":     func(e *Expr) (node, error) { return gorgonia.Slice(e.Logits(), gorgonia.S(0)) },
		"retSame":          func(e *Expr) (node, error) { n, err := gorgonia.Gt(e.Logits(), e.Scalar(1), false); return n, err },
		"none named \"p\"": func(e *Expr) (node, error) { return sum(gorgonia.Tanh(e.Input("p"))) },
		"needs a name":     func(e *Expr) (node, error) { return sum(gorgonia.Tanh(e.Parameter("", nil))) },
		"not set to a":     func(e *Expr) (node, error) { return gorgonia.Tanh(e.Features()) },
		"depends on no":    func(e *Expr) (node, error) { return sum(gorgonia.Tanh(e.Constant("c", outerOf(2).Features))) },
		"panicked":         func(e *Expr) (node, error) { panic("oh") },
		"no hidden states": func(e *Expr) (node, error) { return sum(gorgonia.Tanh(e.Hidden())) },
		"to another graph": func(e *Expr) (node, error) { return gorgonia.NewScalar(gorgonia.NewGraph(), tensor.Float64), nil },
	} {
		_, err := custom(func(e *Expr) (err error) { e.Loss, err = build(e); return err }).Run(outerOf(2))
		require.ErrorContains(t, err, want)
	}
}

// A gradient that is wrong is found: Loss is the function's, the gradient of features that of another.
func TestCheckExprFindsAWrongGradient(t *testing.T) {
	calls := 0
	err := compareExpr(func(e *Expr) (err error) {
		calls++
		f := gorgonia.Square
		if calls == 1 {
			f = gorgonia.Cube
		}
		n, err := f(e.Features())
		e.Loss, err = then(n, err, func(n node) (node, error) { return gorgonia.Sum(n) })
		return err
	}, outerOf(2))
	require.ErrorContains(t, err, "gradient by features")
}
