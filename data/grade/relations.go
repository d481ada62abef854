package grade

import (
	"slices"
	"strings"
)

// definition splits "name = value" where the left side only names what is asked for: x, f(x), AB, (p, q), A:B. Of a chain the
// last value counts that is no approximation: in x = √2 ≈ 1.41 it is √2. It returns nil for everything else; in "2x + z = 1"
// nothing is named.
func definition(n *node) (name, value *node) {
	if n.kind != relation || slices.ContainsFunc(n.ops, func(op string) bool { return op != "=" && op != "≈" }) {
		return nil, nil
	}
	last := slices.Index(n.ops, "≈")
	if last < 0 {
		last = len(n.ops)
	}
	switch left, right := n.args[0], n.args[len(n.args)-1]; {
	case isName(left):
		return left, n.args[max(last, 1)]
	case len(freeVariables(left)) == 0 && len(freeVariables(right)) == 0:
		return left, n.args[last]
	}
	return nil, nil
}

func freeVariables(n *node) map[string]bool {
	m := map[string]bool{}
	n.variables(m)
	return m
}

func isName(n *node) bool {
	switch n.kind {
	case symbol, applied, words:
		return true
	case tuple, ratio, quotient:
		return !slices.ContainsFunc(n.args, func(a *node) bool { return !isName(a) })
	case product: // a segment or a triangle: AB
		return !slices.ContainsFunc(n.args, func(a *node) bool {
			return !isName(a) || a.kind == symbol && (len(a.name) != 1 || a.name < "A" || a.name > "Z")
		})
	case unit:
		return n.args[0].kind == symbol || n.args[0].kind == words
	case function:
		return len(n.args) == 1 && n.name != "!" && isName(n.args[0])
	}
	return false
}

// namesQuantity tells whether n only names what is asked for, though it is an expression: P(X ≥ 1), sin A, |AB|, lim f. An
// unknown in it makes it an equation to solve: |x| = 7, sin x = 1.
func namesQuantity(n *node) bool {
	switch n.kind {
	case applied, opaque:
		return true
	case product: // f^{-1}(x)
		return n.args[0].kind == power && n.args[0].args[0].kind == symbol && n.args[0].args[1].kind == negative && n.args[0].args[1].args[0].canon() == "1" && strings.Contains("fghFGH", n.args[0].args[0].name)
	case quotient: // dy/dx
		return isDifferential(n.args[0]) && isDifferential(n.args[1])
	case function:
		if n.name == "!" || n.name == "root" || n.name == "binom" {
			return false
		}
		for name := range freeVariables(n) {
			if strings.Contains("xyztnk", name) {
				return false
			}
		}
		return true
	}
	return false
}

func isDifferential(n *node) bool {
	return n.kind == product && len(n.args) == 2 && (n.args[0].is(symbol, "d") || n.args[0].is(symbol, `\partial`)) && n.args[1].kind == symbol
}

// combination tells whether n is made of names alone, as in a + b: an answer "a + b = 5" gives the value 5.
func combination(n *node) bool {
	switch n.kind {
	case sum, product, negative, quotient:
		return !slices.ContainsFunc(n.args, func(a *node) bool { return !combination(a) })
	}
	return isName(n)
}

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
		return g.no("one answer is a relation, the other is not")
	}
	if goldValue != nil && predValue != nil {
		if goldName.kind == applied && predName.kind == applied && goldName.name == predName.name && goldName.args[0].kind == symbol && predName.args[0].kind == symbol {
			return g.same(goldValue, predValue.rename(predName.args[0].name, goldName.args[0].name)) // f(x) and f(t)
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
	a, b := gold.args[1], pred.args[1]
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

// ratios compares a:b, in which a common factor does not matter, save in times of the day.
func (g *grader) ratios(gold, pred *node) Decision {
	if gold.kind != ratio || pred.kind != ratio {
		a, b := asQuotient(gold), asQuotient(pred)
		if a == nil || b == nil {
			return g.no("one answer is a ratio, the other is not")
		}
		return g.same(a, b)
	}
	if len(gold.args) != len(pred.args) || isClock(gold) || isClock(pred) {
		return g.all(gold.args, pred.args)
	}
	result := Yes
	for i := 1; i < len(gold.args); i++ {
		result = worse(result, g.same(newNode(product, gold.args[0], pred.args[i]), newNode(product, gold.args[i], pred.args[0])))
	}
	return result
}

// asQuotient is a ratio of two as their quotient, and an expression as it is.
func asQuotient(n *node) *node {
	switch {
	case n.kind == ratio && len(n.args) == 2 && !isClock(n):
		return newNode(quotient, n.args...)
	case isScalarKind(n.kind):
		return n
	}
	return nil
}

// isClock tells whether a ratio is written as a time: 4:30.
func isClock(n *node) bool {
	for _, a := range n.args[1:] {
		for a.kind == product || a.kind == unit {
			a = a.args[0]
		}
		if !a.isInteger() || len(a.name) != 2 {
			return false
		}
	}
	return true
}
