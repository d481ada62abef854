package grade

import (
	"fmt"
	"slices"
)

// scalar compares two expressions: as written, then exactly or with many digits at several points.
func (g *grader) scalar(gold, pred *node) Decision {
	if gold.canon() == pred.canon() {
		return Yes
	}
	a, b := quantityOf(gold), quantityOf(pred)
	a.asSterling(b)
	b.asSterling(a)
	if d := g.comparable(a, b); d != Yes {
		if g.asUnits(gold, pred) == Yes {
			return Yes
		}
		return d
	}
	x, y := inOneUnit(a, b)
	if a.kindOf() == "" || b.kindOf() == "" {
		if d := g.marked(x, y); d != Undecided {
			return d
		}
	}
	d := g.value(x, y)
	if d == Yes {
		return d
	}
	switch written := g.asUnits(gold, pred); {
	case written == Yes:
		return Yes
	case d == No && written == Undecided && (a.dims == "") != (b.dims == "") && len(freeVariables(x)) != len(freeVariables(y)):
		return g.undecided("one answer has a unit, and letters of the other may be one")
	}
	return d
}

// asUnits compares quantities whose units were written as variables, "5 m" against "5": only numbers have units.
func (g *grader) asUnits(gold, pred *node) Decision {
	before := g.reason
	defer func() { g.reason = before }()
	a, nameA, okA := bareUnit(gold)
	b, nameB, okB := bareUnit(pred)
	if !okA || !okB || nameA == "" && nameB == "" {
		return Undecided
	}
	x, y := quantityOf(a).with(readUnits(nameA)), quantityOf(b).with(readUnits(nameB))
	if d := g.comparable(x, y); d != Yes {
		return d
	}
	return g.value(inOneUnit(x, y))
}

// marked compares 28% with 28 and 0.28, and 90° with 90 and π/2: the mark may be left out, since the question implies it. A
// fraction below 1 is no percentage without its mark: 1/2 is not 0.5%.
func (g *grader) marked(gold, pred *node) Decision {
	a, b := gold, pred
	sign := func(n *node) (*node, kind) {
		if n.kind == negative && (n.args[0].kind == percent || n.args[0].kind == degree) {
			return newNode(negative, n.args[0].args[0]), n.args[0].kind
		}
		if n.kind == percent || n.kind == degree {
			return n.args[0], n.kind
		}
		return n, number
	}
	a, markA := sign(a)
	b, markB := sign(b)
	if markA == markB || markA != number && markB != number || markA+markB == percent && (properFraction(gold) || properFraction(pred)) {
		return Undecided
	}
	if g.value(a, b) == Yes {
		return Yes
	}
	return Undecided
}

// isThousands tells whether n is a number of thousands or millions, 2.5k or 60K; 2k is a multiple of a variable.
func isThousands(n *node) bool {
	return n.kind == product && len(n.args) == 2 && n.args[0].kind == number &&
		(n.args[1].is(symbol, "K") || (n.args[1].is(symbol, "k") || n.args[1].is(symbol, "M")) && n.args[0].decimals > 0)
}

// lettersBehind tells whether n is a number with letters behind it that may be a unit or a scale which is not known: 2.5k, 3 sqm.
func lettersBehind(n *node) bool {
	for n.kind == negative {
		n = n.args[0]
	}
	names := freeVariables(n)
	if n.kind != product && n.kind != quotient || len(names) < 2 && !names["k"] && !names["K"] && !names["M"] && !names["B"] {
		return false
	}
	for n.kind == product || n.kind == quotient {
		n = n.args[0]
	}
	return n.kind == number
}

func properFraction(n *node) bool {
	return n.kind == quotient && n.args[0].isInteger() && n.args[1].isInteger() && n.args[0].value.Cmp(n.args[1].value) < 0
}

// hasTerm tells whether a sum has a variable as a term.
func hasTerm(n *node, name string) bool {
	return n.kind == sum && slices.ContainsFunc(n.args, func(a *node) bool { return a.is(symbol, name) })
}

// value compares what two expressions evaluate to.
func (g *grader) value(gold, pred *node) Decision {
	if gold.canon() == pred.canon() {
		return Yes
	}
	if gold.isInfinity() != 0 || pred.isInfinity() != 0 {
		if gold.isInfinity() == pred.isInfinity() {
			return Yes
		}
		return g.no("the values differ")
	}
	if hasTerm(gold, "C") && hasTerm(pred, "c") && !freeVariables(gold)["c"] && !freeVariables(pred)["C"] {
		pred = pred.rename("c", "C") // the constant of integration
	}
	variables := map[string]bool{}
	gold.variables(variables)
	pred.variables(variables)
	if len(variables) == 0 {
		return g.numeric(gold, pred)
	}
	d, tried := Undecided, 0
	g.points(gold, pred, variables, func(a, b value) bool {
		switch nearlyEqual(a, b) {
		case -1:
			d = g.no("the expressions differ")
			return false
		case 0:
			d = g.undecided("the expressions are too near to tell apart")
			return false
		}
		tried++
		return true
	})
	if d == Undecided && tried >= enoughPoints {
		return Yes
	}
	if d == No && len(variables) == 1 && isThousands(pred) && len(freeVariables(gold)) == 0 {
		if pred = pred.replace("k", integer(1000)).replace("K", integer(1000)).replace("M", integer(1_000_000)); g.value(gold, pred) == Yes {
			return Yes
		}
	}
	if d == No && (len(freeVariables(pred)) == 0 && lettersBehind(gold) || len(freeVariables(gold)) == 0 && lettersBehind(pred)) {
		return g.undecided("the letters behind a number may be a unit or a factor")
	}
	if d == Undecided {
		g.undecided("the expressions cannot be evaluated: %s and %s are written differently", brief(gold), brief(pred))
	}
	return d
}

func (g *grader) numeric(gold, pred *node) Decision {
	a, err := g.eval(gold)
	if err != nil {
		return g.undecided("the gold answer cannot be evaluated: %v", err)
	}
	b, err := g.eval(pred)
	if err != nil {
		if err == errUndefined {
			return g.no("the answer has no value")
		}
		return g.undecided("the answer cannot be evaluated: %v", err)
	}
	switch nearlyEqual(a, b) {
	case 1:
		return Yes
	case 0:
		return g.undecided("the values are too near to tell apart")
	}
	if rounded(gold, pred, a, b) {
		return Yes
	}
	return g.no("the values differ")
}

// brief is a node's text for a reason.
func brief(n *node) string {
	s := n.canon()
	if len(s) > 40 {
		s = s[:40] + "…"
	}
	return fmt.Sprintf("%q", s)
}
