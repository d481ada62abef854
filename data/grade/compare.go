package grade

import (
	"slices"
	"strings"
)

// same compares two answers.
func (g *grader) same(gold, pred *node) Decision {
	if err := g.spend(1); err != nil {
		return g.undecided("the comparison takes too long")
	}
	if gold.canon() == pred.canon() {
		return Yes
	}
	gold, pred = settle(gold), settle(pred)
	if gold.has(signs) || pred.has(signs) {
		return g.withSigns(gold, pred)
	}
	switch {
	case gold.kind == words || pred.kind == words:
		return g.asWords(gold, pred)
	case gold.kind == list || pred.kind == list:
		return g.lists(gold, pred)
	case gold.kind == relation || pred.kind == relation:
		return g.relations(gold, pred)
	case gold.kind == matrix && pred.kind == matrix:
		return g.matrices(gold, pred)
	case gold.kind == matrix && pred.kind == tuple, gold.kind == tuple && pred.kind == matrix:
		return g.vectors(gold, pred)
	case gold.kind == ratio || pred.kind == ratio:
		return g.ratios(gold, pred)
	case gold.kind == tuple && pred.kind == tuple:
		return g.tuples(gold, pred)
	case gold.kind == setWhere && pred.kind == setWhere:
		return g.all(gold.args, pred.args)
	case gold.kind == set && pred.kind == set:
		return g.unordered(gold.args, pred.args)
	case isScalarKind(gold.kind) && isScalarKind(pred.kind), gold.kind == unit || pred.kind == unit:
		return g.scalar(gold, pred)
	}
	return g.sets(gold, pred)
}

// settle rewrites what has one plain form: a product of matrices, {x | x > 3} is x > 3, x ∈ {1, 2} is {1, 2}.
func settle(n *node) *node {
	if m := matrixOf(n); m != nil {
		return m
	}
	if n.kind == relation && len(n.ops) == 1 && n.ops[0] == `\in` && n.args[1].kind == set && isName(n.args[0]) {
		return n.args[1]
	}
	if n.kind == setWhere && n.args[1].kind == relation {
		switch member := n.args[0]; {
		case member.kind == symbol:
			return n.args[1]
		case member.kind == relation && member.args[0].kind == symbol:
			return named(list, "and", member, n.args[1])
		}
	}
	return n
}

// all compares element by element.
func (g *grader) all(gold, pred []*node) Decision {
	if len(gold) != len(pred) {
		return g.no("%d and %d elements", len(gold), len(pred))
	}
	result := Yes
	for i := range gold {
		if result = worse(result, g.same(gold[i], pred[i])); result == No {
			return No
		}
	}
	return result
}

// worse of two decisions: No, Undecided, Yes.
func worse(a, b Decision) Decision {
	if a == No || b == No {
		return No
	}
	return min(a, b)
}

// best decision over the candidates: Yes, Undecided, No.
func best(candidates []*node, f func(*node) Decision) Decision {
	result := No
	for _, c := range candidates {
		switch f(c) {
		case Yes:
			return Yes
		case Undecided:
			result = Undecided
		}
	}
	return result
}

// unordered compares as sets: each element of one side has an equal one on the other.
func (g *grader) unordered(gold, pred []*node) Decision {
	result := Yes
	for _, x := range gold {
		result = worse(result, best(pred, func(y *node) Decision { return g.same(x, y) }))
	}
	for _, y := range pred {
		result = worse(result, best(gold, func(x *node) Decision { return g.same(x, y) }))
	}
	switch result {
	case No:
		return g.no("the elements differ")
	case Undecided:
		return g.undecided("some elements cannot be compared")
	}
	return Yes
}

// tuples compares ordered elements. Of two elements the brackets matter, since they may be an interval's ends.
func (g *grader) tuples(gold, pred *node) Decision {
	if len(gold.args) == 2 && gold.name != pred.name {
		return g.no("the brackets differ: %s and %s", gold.name, pred.name)
	}
	return g.all(gold.args, pred.args)
}

func (g *grader) asWords(gold, pred *node) Decision {
	if a, b := wordSet(gold), wordSet(pred); a != nil && b != nil {
		return g.same(a, b)
	}
	a, b := gold, pred
	if a.kind == words && b.kind == words && a.name != "" && sameText(a.name, b.name) {
		return Yes
	}
	if name, value := definition(gold); name != nil && value.kind == words {
		return g.same(value, pred)
	}
	if name, value := definition(pred); name != nil {
		return g.same(gold, value)
	}
	return g.no("the answers are different words")
}

// lists compares several answers: in any order, unless the other side is a tuple.
func (g *grader) lists(gold, pred *node) Decision {
	if a, b := g.realSet(gold), g.realSet(pred); a != nil && b != nil && (a.hasRange() || b.hasRange()) {
		return g.realSets(a, b)
	}
	if _, value := definition(gold); pred.kind == list && value != nil && isCollection(value) {
		gold = value
	}
	if _, value := definition(pred); gold.kind == list && value != nil && isCollection(value) {
		pred = value
	}
	switch {
	case gold.kind == tuple:
		return g.all(gold.args, values(pred.args))
	case pred.kind == tuple && !slices.ContainsFunc(gold.args, func(n *node) bool { return n.kind == tuple }):
		return g.all(values(gold.args), pred.args)
	}
	a, b := elements(gold), elements(pred)
	if inOrder(a, b) || inOrder(b, a) {
		return g.all(values(a), values(b))
	}
	return g.unordered(a, b)
}

func isCollection(n *node) bool {
	return n.kind == list || n.kind == tuple || n.kind == set || n.kind == setOp || n.kind == matrix
}

// elements are the members of a list or set; everything else is its own only member.
func elements(n *node) []*node {
	if n.kind == list || n.kind == set {
		return n.args
	}
	return []*node{n}
}

// values are the right sides of definitions, and what is none as it is.
func values(nodes []*node) []*node {
	out := make([]*node, len(nodes))
	for i, n := range nodes {
		out[i] = n
		if _, value := definition(n); value != nil {
			out[i] = value
		}
	}
	return out
}

// inOrder tells whether the order of b must be that of a: a names different quantities (x = -5, p = 14/3; not the roots
// x_1 = 2, x_2 = 3), and b names none.
func inOrder(a, b []*node) bool {
	bases := map[string]bool{}
	for _, n := range a {
		name, _ := definition(n)
		if name == nil {
			return false
		}
		base, _, _ := strings.Cut(name.canon(), "_")
		bases[base] = true
	}
	return len(bases) > 1 && !slices.ContainsFunc(b, func(n *node) bool { return n.kind == relation })
}
