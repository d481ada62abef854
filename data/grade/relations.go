package grade

import (
	"slices"
	"strings"
)

// relations compares where at least one side is an equation or inequality.
func (g *grader) relations(gold, pred *node) Decision {
	goldName, goldValue := definition(gold)
	predName, predValue := definition(pred)
	switch {
	case pred.kind != relation && goldValue != nil:
		return g.same(goldValue, pred)
	case gold.kind != relation && predValue != nil:
		return g.same(gold, predValue)
	case gold.kind != relation && len(pred.ops) == 1 && pred.ops[0] == "=" && (combination(pred.args[0]) || namesQuantity(pred.args[0])):
		return g.same(gold, pred.args[1])
	case pred.kind != relation && len(gold.ops) == 1 && gold.ops[0] == "=" && namesQuantity(gold.args[0]):
		return g.same(gold.args[1], pred)
	}
	if a, b := g.realSet(gold), g.realSet(pred); a != nil && b != nil && goldValue == nil && predValue == nil {
		return g.realSets(a, b)
	}
	if gold.kind != relation || pred.kind != relation {
		if a, b := symbolicInterval(gold), symbolicInterval(pred); a != nil && b != nil {
			return g.tuples(a, b)
		}
		for _, pair := range [][2]*node{{gold, pred}, {pred, gold}} {
			if r := pair[1]; r.kind == relation && len(r.ops) == 1 && r.ops[0] == "=" && pair[0].kind != relation && g.same(pair[0],
				r.args[1]) == Yes {
				return g.undecided("one answer is an equation with the other on its right")
			}
		}
		return g.no("one answer is a relation, the other is not")
	}
	if goldValue != nil && predValue != nil {
		if goldName.kind == applied && predName.kind == applied && goldName.name == predName.name && goldName.args[0].kind == symbol &&
			predName.args[0].kind == symbol {
			from, to := predName.args[0].name, goldName.args[0].name
			if from != to && freeVariables(predValue)[to] {
				return g.no("the functions have different variables") // f(x) = x and f(t) = x
			}
			return g.same(goldValue, predValue.rename(from, to)) // f(x) and f(t)
		}
		if goldName.canon() == predName.canon() || goldName.kind != symbol || predName.kind != symbol {
			return g.same(goldValue, predValue)
		}
	}
	if len(gold.ops) == 1 && len(pred.ops) == 1 {
		return g.single(gold, pred)
	}
	if slices.Equal(gold.ops, pred.ops) {
		return g.all(gold.args, pred.args)
	}
	if mirrored := mirror(pred); slices.Equal(gold.ops, mirrored.ops) {
		return g.all(gold.args, mirrored.args)
	}
	if isInequality(gold) && isInequality(pred) {
		return g.undecided("the inequalities are of different forms")
	}
	return g.no("the relations differ")
}

// symbolicInterval is a ≤ x < b as [a, b), and an interval as it is; nil for everything else.
func symbolicInterval(n *node) *node {
	switch {
	case n.kind == tuple && len(n.args) == 2 && len(n.name) == 2:
		return n
	case n.kind != relation || len(n.ops) != 2 || n.args[1].kind != symbol:
		return nil
	case strings.HasPrefix(n.ops[0], ">"):
		n = mirror(n)
	}
	if !strings.HasPrefix(n.ops[0], "<") || !strings.HasPrefix(n.ops[1], "<") {
		return nil
	}
	ends := map[string]string{"<0": "(", "<=0": "[", "<1": ")", "<=1": "]"}
	return named(tuple, ends[n.ops[0]+"0"]+ends[n.ops[1]+"1"], n.args[0], n.args[2])
}

func isInequality(n *node) bool {
	return !slices.ContainsFunc(n.ops, func(op string) bool {
		return !strings.ContainsAny(op, "<>") || len(op) > 2 || strings.Contains(op, "-")
	})
}

var mirrored = map[string]string{"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "!=": "!="}

// mirror reads a chain from right to left.
func mirror(n *node) *node {
	m := &node{kind: relation}
	for i := len(n.ops) - 1; i >= 0; i-- {
		op, ok := mirrored[n.ops[i]]
		if !ok {
			return n
		}
		m.ops = append(m.ops, op)
	}
	m.args = slices.Clone(n.args)
	slices.Reverse(m.args)
	return m
}

// single compares two relations of two sides.
func (g *grader) single(gold, pred *node) Decision {
	op := gold.ops[0]
	if strings.HasPrefix(op, ">") {
		gold = mirror(gold)
		op = gold.ops[0]
	}
	if strings.HasPrefix(pred.ops[0], ">") {
		pred = mirror(pred)
	}
	switch {
	case op != pred.ops[0]:
		return g.no("the relations differ")
	case op == `\equiv`:
		return g.congruences(gold, pred)
	case mirrored[op] == "":
		return g.all(gold.args, pred.args)
	}
	if !scalars(gold) || !scalars(pred) {
		d := g.all(gold.args, pred.args)
		if d != Yes && (op == "=" || op == "!=") {
			if m := g.all(gold.args, mirror(pred).args); m == Yes {
				return Yes
			}
		}
		return d
	}
	d := g.all(gold.args, pred.args)
	if d == Yes {
		return d
	}
	return g.multiples(difference(gold), difference(pred), op)
}

// congruences compares a ≡ b (mod m): b may differ by a multiple of m.
func (g *grader) congruences(gold, pred *node) Decision {
	a, b := residue(gold.args[1]), residue(pred.args[1])
	isMod := func(n *node) bool { return n.kind == function && (n.name == "mod" || n.name == "pmod") }
	if !isMod(a) || !isMod(b) {
		return g.all(gold.args, pred.args)
	}
	if d := g.all([]*node{gold.args[0], a.args[1]}, []*node{pred.args[0], b.args[1]}); d != Yes {
		return d
	}
	v, err := g.eval(newNode(quotient, newNode(sum, a.args[0], newNode(negative, b.args[0])), a.args[1]))
	if err != nil || v.rat == nil {
		return g.same(a.args[0], b.args[0])
	}
	if !v.rat.IsInt() {
		return g.no("the residues differ")
	}
	return Yes
}

// residue is -5 (mod 8) with the sign within the residue.
func residue(n *node) *node {
	if n.kind == negative && n.args[0].kind == function && (n.args[0].name == "mod" || n.args[0].name == "pmod") {
		inner := n.args[0]
		return named(function, inner.name, newNode(negative, inner.args[0]), inner.args[1])
	}
	return n
}

func scalars(n *node) bool {
	return !slices.ContainsFunc(n.args, func(a *node) bool { return !isScalarKind(a.kind) })
}

func difference(n *node) *node { return newNode(sum, n.args[0], newNode(negative, n.args[1])) }

// multiples tells whether the differences of the two sides are in a constant ratio, which is positive for inequalities: then
// the relations hold at the same places.
func (g *grader) multiples(gold, pred *node, op string) Decision {
	variables := freeVariables(gold)
	if names := freeVariables(pred); len(names) != len(variables) {
		return g.no("the relations have different variables")
	}
	pred.variables(variables)
	if len(variables) == 0 || len(variables) != len(freeVariables(gold)) {
		return g.no("the relations have different variables")
	}
	d, tried := Undecided, 0
	var first value
	g.points(gold, pred, variables, func(a, b value) bool {
		if a.isZero() && b.isZero() {
			return true
		}
		r, err := over(b, a)
		switch {
		case err != nil || r.isZero(), op != "=" && op != "!=" && (!r.isReal() || r.sign() < 0), tried > 0 && nearlyEqual(first, r) != 1:
			d = No
			return false
		case tried == 0:
			first = r
		}
		tried++
		return true
	})
	switch {
	case d == Undecided && tried >= enoughPoints:
		return Yes
	case d == No && polynomial(gold) && polynomial(pred):
		return g.no("the relations differ")
	}
	return g.undecided("the relations are no multiples of one another")
}

// polynomial tells whether n is one in its variables: then relations that are no multiples have different solutions, save for
// multiple factors.
func polynomial(n *node) bool {
	switch n.kind {
	case quotient:
		return len(freeVariables(n.args[1])) == 0 && polynomial(n.args[0])
	case power:
		return n.args[1].isInteger() && polynomial(n.args[0]) || len(freeVariables(n)) == 0
	case function:
		return len(freeVariables(n)) == 0
	case number, symbol:
		return true
	case sum, product, negative:
		return !slices.ContainsFunc(n.args, func(a *node) bool { return !polynomial(a) })
	}
	return false
}
