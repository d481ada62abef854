package nn

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"gorgonia.org/gorgonia"
)

// exprOps are the ops of Gorgonia v0.9.18 that are checked against central differences at 1, 2 and 7 rows, by the names that
// their gorgonia functions have, with the op's own spelling. What is not here has a wrong gradient there (Log2, InverseSqrt,
// SoftMax of one column), none (Sign, Ceil, Floor), draws at random (Dropout), or was not checked.
var exprOps = map[string]string{
	"Neg": "neg", "Abs": "abs", "Exp": "exp", "Log": "ln", "Log1p": "log1p", "Expm1": "expm1", "Tanh": "tanh", "Sigmoid": "sigmoid",
	"Softplus": "softplus", "Square": "square", "Sqrt": "sqrt", "Cube": "cube", "Inverse": "inv", "Sin": "sin", "Cos": "cos",
	"Add": "+", "Sub": "-", "HadamardProd": "⊙", "HadamardDiv": "÷", "Pow": "^", "Gt": ">", "Gte": ">=", "Lt": "<", "Lte": "<=",
	"Mul (matrices)": "A × B", "Mul (matrix and vector)": "A × b", "OuterProd": "a ⊗ b",
	"Sum": "sumOp", "Max": "maxOp", "SoftMax": "softmaxOp", "Reshape": "reshapeOp", "Transpose": "transposeOp", "Slice": "sliceOp",
	"Concat": "concatOp", "SizeOf": "sizeOp", "Repeat (of broadcasts)": "repeatOp",
}

// compositions are functions of gorgonia that are made of ops in exprOps.
var compositions = []string{
	"BroadcastAdd", "BroadcastHadamardDiv", "BroadcastHadamardProd", "BroadcastSub", "LeakyRelu", "Mean", "Mish", "Norm", "Rectify",
}

// ExprOps lists the functions of package gorgonia that an [Expr] may use.
func ExprOps() []string {
	return slices.Sorted(slices.Values(append(slices.Collect(maps.Keys(exprOps)), compositions...)))
}

// spelling is what exprOps calls the op of a node, with what tells it apart from ops of the same type.
func spelling(op gorgonia.Op) string {
	kind := strings.TrimPrefix(strings.TrimPrefix(fmt.Sprintf("%T", op), "*"), "gorgonia.")
	switch kind {
	case "elemUnaryOp", "linAlgBinOp":
		return op.String()
	case "elemBinOp":
		operator, _, _ := strings.Cut(op.String(), " ")
		return operator
	}
	return kind
}

// checkOp refuses an op that is not in exprOps, or one of a shape at which Gorgonia goes wrong.
func checkOp(n *gorgonia.Node) error {
	if n.Op() == nil || len(inputsOf(n)) == 0 { // an input or a constant
		return nil
	}
	op, in := spelling(n.Op()), inputsOf(n)[0].Shape()
	allowed := false
	for _, s := range exprOps {
		allowed = allowed || s == op
	}
	switch {
	case !allowed:
		return fmt.Errorf("Options.Expr: the op %v (%s) is not among those whose gradients are checked; use one of %s",
			n.Op(), op, strings.Join(ExprOps(), ", "))
	case strings.HasSuffix(n.Op().String(), " false") && strings.ContainsAny(op, "<>"):
		return fmt.Errorf("Options.Expr: the comparison %s gives booleans; call it with retSame true", op)
	case op == "softmaxOp" && in.Dims() > 0 && in[in.Dims()-1] == 1:
		return fmt.Errorf("Options.Expr: SoftMax of shape %v: Gorgonia's gradient is wrong where the last dimension is 1; "+
			"transpose or reshape it to one row", in)
	case op == "softmaxOp" && strings.Contains(n.Op().String(), "true"):
		return fmt.Errorf("Options.Expr: the logarithmic SoftMax is not checked; take Log of SoftMax")
	case op == "sliceOp" && n.Shape().TotalSize() == 1 && in.TotalSize() > 1:
		return fmt.Errorf("Options.Expr: a Slice of one element out of %v fails in Gorgonia; multiply by a constant mask and Sum", in)
	}
	return nil
}
