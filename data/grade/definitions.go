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
	case product: // a segment or a triangle: AB; the measure of an angle
		if len(n.args) == 2 && n.args[0].is(symbol, "m") && n.args[1].kind == symbol && strings.HasPrefix(n.args[1].name, `\angle`) {
			return true
		}
		return !slices.ContainsFunc(n.args, func(a *node) bool {
			return !isName(a) || a.kind == symbol && (len(a.name) != 1 || a.name < "A" || a.name > "Z")
		})
	case unit:
		return n.args[0].kind == symbol || n.args[0].kind == words
	case function:
		return len(n.args) == 1 && isName(n.args[0]) && namesQuantity(n)
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
		return n.args[0].kind == power && n.args[0].args[0].kind == symbol && n.args[0].args[1].kind == negative &&
			n.args[0].args[1].args[0].canon() == "1" && strings.Contains("fghFGH", n.args[0].args[0].name)
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
