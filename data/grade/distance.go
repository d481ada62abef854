package grade

import "slices"

// distance reads |x - a| < b and its like with ≤, > and ≥, on either side, as a set of real numbers; nil where n is none of them,
// or b is below 0.
func (g *grader) distance(n *node) *realSet {
	if len(n.ops) != 1 {
		return nil
	}
	inner, limit, op := n.args[0], n.args[1], n.ops[0]
	if !inner.is(function, "abs") {
		inner, limit, op = limit, inner, mirrored[op]
	}
	if !inner.is(function, "abs") || !slices.Contains([]string{"<", "<=", ">", ">="}, op) {
		return nil
	}
	variable, shift := shifted(inner.args[0])
	if e := g.end(limit); variable == "" || e == nil || e.value.sign() < 0 {
		return nil
	}
	low, high := g.end(newNode(sum, newNode(negative, limit), newNode(negative, shift))), g.end(newNode(sum, limit, newNode(negative, shift)))
	if low == nil || high == nil {
		return nil
	}
	closed := len(op) == 2
	s := span{low: low, high: high, lowClosed: closed, highClosed: closed}
	if op[0] == '>' {
		return &realSet{variable, union([]span{{high: low, highClosed: closed}, {low: high, lowClosed: closed}})}
	}
	if s.empty() {
		return &realSet{variable: variable}
	}
	return &realSet{variable, []span{s.point()}}
}

// shifted takes x + c apart, where c is a number; variable is empty for everything else.
func shifted(n *node) (variable string, shift *node) {
	if n.kind == symbol && len(freeVariables(n)) == 1 {
		return n.canon(), integer(0)
	}
	if n.kind != sum || len(n.args) != 2 || len(freeVariables(n.args[1])) > 0 {
		return "", nil
	}
	variable, _ = shifted(n.args[0])
	if n.args[0].kind != symbol {
		return "", nil
	}
	return variable, n.args[1]
}
