package grade

import (
	"slices"
	"strings"
)

// lists compares several answers: with their multiplicity and in any order, unless the other side is a tuple or names them.
func (g *grader) lists(gold, pred *node) Decision {
	gold, pred = chained(gold, pred), chained(pred, gold)
	if d := g.joints(gold, pred); d != Yes {
		return d
	}
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
	case gold.kind == tuple && gold.name != pred.name && !onlyTuples(pred.args):
		return g.againstTuple(gold, pred, true)
	case pred.kind == tuple && gold.name != pred.name && !onlyTuples(gold.args):
		return g.againstTuple(pred, gold, false)
	}
	if restated := g.restated(pred); restated != nil && gold.kind != list {
		return g.same(gold, restated)
	}
	a, b := elements(gold), elements(pred)
	if inOrder(a, b) || inOrder(b, a) {
		if len(a) == len(b) && g.all(inGivenOrder(a), inGivenOrder(b)) == Yes {
			return Yes
		}
		if x, y := inAlphabet(a), inAlphabet(b); x != nil && y != nil {
			return g.all(x, y)
		}
		return g.undecided("the order of the names is not known")
	}
	if gold.kind == set || pred.kind == set || onlyTuples(a) && onlyTuples(b) {
		d := g.unordered(a, b)
		if d == Yes && (gold.kind == list && pred.kind == set && len(a) > g.distinct(b) ||
			pred.kind == list && gold.kind == set && len(b) > g.distinct(a)) {
			return g.undecided("a list that names a value twice, and a set")
		}
		return d
	}
	return g.multiset(a, b)
}

// distinct counts the members of a set.
func (g *grader) distinct(nodes []*node) int {
	n := 0
	for i, x := range nodes {
		if !slices.ContainsFunc(nodes[:i], func(y *node) bool { return g.same(x, y) == Yes }) {
			n++
		}
	}
	return n
}

// restated is the first of several equal values joined by "or": 9 cm or 90 mm. It is nil where they differ.
func (g *grader) restated(n *node) *node {
	if !n.is(list, "or") || len(n.args) > 3 {
		return nil
	}
	for _, a := range n.args[1:] {
		if g.same(n.args[0], a) != Yes {
			return nil
		}
	}
	return n.args[0]
}

func onlyTuples(nodes []*node) bool {
	return !slices.ContainsFunc(nodes, func(n *node) bool { return n.kind != tuple })
}

// againstTuple compares a list with a tuple, (x, y): names go in the order of the alphabet. Square brackets may be an interval,
// and values joined by "or" are no point.
func (g *grader) againstTuple(point, values *node, goldFirst bool) Decision {
	switch items := inAlphabet(values.args); {
	case values.name == "or":
		return g.undecided("values joined by or are no point")
	case strings.ContainsAny(point.name, "[]") && len(point.args) == 2 && !slices.ContainsFunc(values.args,
		func(n *node) bool { return n.kind == relation }):
		return g.undecided("square brackets around two values may be an interval")
	case items == nil:
		return g.undecided("the order of the names is not known")
	case goldFirst:
		return g.all(point.args, items)
	default:
		return g.all(items, point.args)
	}
}

// joints tells whether "and" and "or" let two lists be compared. Between values they are commas. Between conditions on several
// variables they differ, and between letters and words both may be meant.
func (g *grader) joints(gold, pred *node) Decision {
	a, b := gold.is(list, "or"), pred.is(list, "or")
	if a == b || gold.kind != list && pred.kind != list {
		return Yes
	}
	if severalNames(gold) || severalNames(pred) {
		return g.no("conditions joined by and, and by or")
	}
	and := func(n *node) bool { return n.is(list, "and") }
	if a != b && (and(gold) || and(pred)) && !slices.ContainsFunc(slices.Concat(gold.args, pred.args),
		func(n *node) bool { return n.kind != symbol && n.kind != words && n.kind != product }) {
		return g.undecided("one answer says and, the other or")
	}
	return Yes
}

// severalNames tells whether a list has conditions on more than one variable.
func severalNames(n *node) bool {
	if n.kind != list {
		return false
	}
	names := map[string]bool{}
	for _, a := range n.args {
		if a.kind != relation {
			return false
		}
		a.variables(names)
	}
	return len(names) > 1
}

func isCollection(n *node) bool {
	return n.kind == list || n.kind == tuple || n.kind == set || n.kind == setOp || n.kind == matrix
}

// elements are the members of a list or set; everything else is its own only member.
func elements(n *node) []*node {
	if n.kind == list || n.kind == set {
		return writtenOut(n.args)
	}
	return []*node{n}
}

// inAlphabet are the values of named elements in the order of their names, and elements without names as they are. It is nil
// where the names have no order that everyone would give them.
func inAlphabet(nodes []*node) []*node {
	type pair struct {
		name  string
		value *node
	}
	var named []pair
	var out []*node
	for _, n := range nodes {
		name, value := definition(n)
		if value == nil {
			out = append(out, n)
			continue
		}
		if name.kind != symbol {
			return inGivenOrder(nodes)
		}
		named = append(named, pair{name.name, value})
	}
	if len(named) == 0 {
		return out
	}
	if len(out) > 0 {
		return inGivenOrder(nodes)
	}
	sorted := slices.IsSortedFunc(named, func(a, b pair) int { return strings.Compare(a.name, b.name) })
	for _, p := range named {
		if p.name[0] == '\\' || !sorted && len(p.name) > 1 && !strings.Contains(p.name, "_") {
			return nil
		}
	}
	slices.SortStableFunc(named, func(a, b pair) int { return strings.Compare(a.name, b.name) })
	for _, p := range named {
		out = append(out, p.value)
	}
	return out
}

// inGivenOrder are the right sides of definitions, and what is none as it is.
func inGivenOrder(nodes []*node) []*node {
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
