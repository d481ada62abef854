package grade

import (
	"slices"
)

// same compares two answers.
func (g *grader) same(gold, pred *node) Decision {
	if err := g.spend(1); err != nil {
		return g.undecided("the comparison takes too long")
	}
	if gold.canon() == pred.canon() {
		return Yes
	}
	if c := combinations(gold); c != nil && isScalarKind(pred.kind) {
		gold = c
	}
	if c := combinations(pred); c != nil && isScalarKind(gold.kind) {
		pred = c
	}
	gold, pred = settle(gold), settle(pred)
	if gold.is(symbol, `\mathbb{R}`) && pred.is(symbol, "R") {
		return Yes
	}
	if gold.has(signs) || pred.has(signs) {
		return g.withSigns(gold, pred)
	}
	switch {
	case gold.kind == words || pred.kind == words:
		return g.asWords(gold, pred)
	case mixedWords(gold) != nil && isScalarKind(pred.kind):
		return g.same(mixedWords(gold), pred)
	case mixedWords(pred) != nil && isScalarKind(gold.kind):
		return g.same(gold, mixedWords(pred))
	case gold.kind == list || pred.kind == list:
		return g.lists(gold, pred)
	case gold.kind == relation || pred.kind == relation:
		return g.relations(gold, pred)
	case gold.kind == tuple && asVector(pred, len(gold.args)) != nil:
		return g.all(gold.args, asVector(pred, len(gold.args)).args)
	case pred.kind == tuple && asVector(gold, len(pred.args)) != nil:
		return g.all(asVector(gold, len(pred.args)).args, pred.args)
	case gold.kind == matrix && gold.cols == 1 && asVector(pred, len(gold.args)) != nil:
		return g.all(gold.args, asVector(pred, len(gold.args)).args)
	case pred.kind == matrix && pred.cols == 1 && asVector(gold, len(pred.args)) != nil:
		return g.all(asVector(gold, len(pred.args)).args, pred.args)
	case gold.kind == matrix && pred.kind == matrix:
		return g.matrices(gold, pred)
	case gold.kind == matrix && rowsIn(pred, "[]()") != nil:
		return g.matrices(gold, rowsIn(pred, "[]()"))
	case pred.kind == matrix && rowsIn(gold, "[]()") != nil:
		return g.matrices(rowsIn(gold, "[]()"), pred)
	case gold.kind == matrix && pred.kind == tuple, gold.kind == tuple && pred.kind == matrix:
		return g.vectors(gold, pred)
	case gold.kind == ratio || pred.kind == ratio:
		return g.ratios(gold, pred)
	case gold.kind == tuple && pred.kind == tuple:
		return g.tuples(gold, pred)
	case gold.kind == setWhere && pred.kind == setWhere:
		return g.all(gold.args, pred.args)
	case gold.kind == set && pred.kind == set:
		return g.unordered(elements(gold), elements(pred))
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
	if d := determinant(n); d != nil {
		return d
	}
	if n.kind == words {
		if r := spelledNumber(n.name); r != nil {
			return &node{kind: number, value: r}
		}
	}
	if n.kind == list && n.name != "or" {
		if joined := compound(n.args); joined != nil {
			return joined
		}
	}
	if n.kind == relation && len(n.ops) == 1 && n.ops[0] == `\in` && n.args[1].kind == set && isName(n.args[0]) {
		return n.args[1]
	}
	if point := pointOf(n); point != nil {
		return point
	}
	if n.kind == setWhere && n.args[0].kind == symbol && n.args[1].kind == list &&
		!slices.ContainsFunc(n.args[1].args, func(a *node) bool { return a.kind != relation }) {
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

// multiset compares lists, whose members count as often as they stand there.
func (g *grader) multiset(gold, pred []*node) Decision {
	if len(gold) != len(pred) {
		if d := g.unordered(gold, pred); d != Yes {
			return d
		}
		return g.no("%d and %d elements", len(gold), len(pred))
	}
	result := Yes
	free := slices.Clone(pred)
	for _, x := range gold {
		found := slices.IndexFunc(free, func(y *node) bool { return g.same(x, y) == Yes })
		if found < 0 {
			result = worse(result, best(free, func(y *node) Decision { return g.same(x, y) }))
			continue
		}
		free = slices.Delete(free, found, found+1)
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
	if m, n := rowsOf(gold), rowsOf(pred); m != nil && n == nil || m == nil && n != nil {
		return g.no("a matrix and a list of points")
	}
	if len(gold.args) == 2 && gold.name != pred.name && (gold.name == "<>" && pred.name == "()" || gold.name == "()" && pred.name == "<>") {
		if d := g.all(gold.args, pred.args); d != Yes {
			return d
		}
		return g.undecided("a vector, and a point or an interval")
	}
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
	if a.kind == words && b.kind == words {
		return g.differentWords(a.name, b.name)
	}
	return g.differentWords(wordsIn(a), wordsIn(b))
}

// wordsIn are the names in an answer.
func wordsIn(n *node) string {
	text := n.name
	for _, a := range n.args {
		text += " " + wordsIn(a)
	}
	return text
}
