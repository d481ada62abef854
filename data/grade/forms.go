package grade

import "slices"

// pointOf rewrites what names a point or a function in a form of its own: P(6,-1) is (6,-1), (2,4)^T is (2,4), (y,x) = (6,-1) is
// y = 6, x = -1, x ≠ 2,3 is x ≠ 2 and x ≠ 3, and g: x ↦ 5x is g(x) = 5x. It is nil for everything else.
func pointOf(n *node) *node {
	switch {
	case n.kind == product && len(n.args) == 2 && n.args[0].kind == symbol && len(n.args[0].name) == 1 && n.args[0].name < "a" &&
		n.args[1].kind == tuple && n.args[1].name == "()":
		return n.args[1]
	case n.kind == power && n.args[0].kind == tuple && (n.args[1].is(symbol, "T") || n.args[1].is(symbol, `\top`)):
		return named(tuple, "()", n.args[0].args...)
	case n.kind == list:
		return allExcluded(n)
	case n.kind != relation || len(n.ops) != 1:
		return nil
	case n.ops[0] == "->" && n.args[0].kind == ratio && len(n.args[0].args) == 2 && n.args[0].args[0].kind == symbol &&
		n.args[0].args[1].kind == symbol:
		name := named(applied, n.args[0].args[0].name, n.args[0].args[1])
		return &node{kind: relation, ops: []string{"="}, args: []*node{name, n.args[1]}}
	case n.ops[0] == "=" && n.args[0].kind == tuple && n.args[1].kind == tuple && len(n.args[0].args) == len(n.args[1].args):
		return outOfOrder(n.args[0].args, n.args[1].args)
	}
	return nil
}

// outOfOrder is a list of equations where the names are letters that are not in the order of the alphabet; nil where they are.
func outOfOrder(names, values []*node) *node {
	if slices.ContainsFunc(names, func(n *node) bool { return n.kind != symbol || len(n.name) != 1 }) ||
		slices.IsSortedFunc(names, func(a, b *node) int { return int(a.name[0]) - int(b.name[0]) }) {
		return nil
	}
	all := named(list, ",")
	for i, name := range names {
		all.args = append(all.args, &node{kind: relation, ops: []string{"="}, args: []*node{name, values[i]}})
	}
	return all
}

// allExcluded is x ≠ 2, 3 as x ≠ 2 and x ≠ 3; nil for other lists.
func allExcluded(n *node) *node {
	first := n.args[0]
	if first.kind != relation || len(first.ops) != 1 || first.ops[0] != "!=" || n.name == "or" {
		return nil
	}
	all := named(list, "and", first)
	for _, a := range n.args[1:] {
		if !isScalarKind(a.kind) || len(freeVariables(a)) > 0 {
			return nil
		}
		all.args = append(all.args, &node{kind: relation, ops: first.ops, args: []*node{first.args[0], a}})
	}
	return all
}

// combinations is C(8,3) as a binomial coefficient; nil for everything else.
func combinations(n *node) *node {
	if n.kind != product || len(n.args) != 2 || !n.args[0].is(symbol, "C") || n.args[1].kind != tuple || len(n.args[1].args) != 2 ||
		slices.ContainsFunc(n.args[1].args, func(a *node) bool { return !a.isInteger() }) {
		return nil
	}
	return named(function, "binom", n.args[1].args...)
}
