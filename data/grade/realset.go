package grade

import (
	"slices"
	"strings"
)

// realSet is a set of real numbers: intervals and points in order, disjoint, as few as possible.
type realSet struct {
	variable string // of the inequality that it came from
	spans    []span
}

// hasRange tells whether the set is more than some points.
func (s *realSet) hasRange() bool {
	return len(s.spans) == 0 || slices.ContainsFunc(s.spans, func(i span) bool { return i.low == nil || i.high == nil || i.low != i.high })
}

// realSet reads an interval, a set of numbers, unions and differences of them, or inequalities in one variable; nil where n is
// none of them or has ends that are no real numbers.
func (g *grader) realSet(n *node) *realSet {
	switch n.kind {
	case tuple:
		return g.interval(n)
	case set:
		return g.pointSet(n)
	case symbol:
		switch n.name {
		case `\mathbb{R}`:
			return &realSet{spans: []span{wholeLine}}
		case `\emptyset`:
			return &realSet{}
		}
	case words:
		if s := wordSet(n); s != nil {
			return g.realSet(s)
		}
	case setOp:
		return g.operation(n.name, n.args[0], n.args[1])
	case sum:
		if len(n.args) == 2 && n.args[1].kind == negative && !isScalarKind(n.args[1].args[0].kind) {
			return g.operation(`\setminus`, n.args[0], n.args[1].args[0])
		}
	case relation:
		return g.inequality(n)
	case list:
		return g.conditions(n)
	}
	return nil
}

func (g *grader) interval(n *node) *realSet {
	if len(n.args) != 2 || len(n.name) != 2 || n.name == "<>" {
		return nil
	}
	low, high := n.args[0], n.args[1]
	s := span{lowClosed: n.name[0] == '[', highClosed: n.name[1] == ']'}
	if low.isInfinity() >= 0 {
		if s.low = g.end(low); s.low == nil {
			return nil
		}
	}
	if high.isInfinity() <= 0 {
		if s.high = g.end(high); s.high == nil {
			return nil
		}
	}
	s.lowClosed, s.highClosed = s.lowClosed && s.low != nil, s.highClosed && s.high != nil
	if s.empty() {
		return nil
	}
	return &realSet{spans: []span{s.point()}}
}

func (g *grader) pointSet(n *node) *realSet {
	s := &realSet{}
	for _, a := range n.args {
		e := g.end(a)
		if e == nil {
			return nil
		}
		s.spans = append(s.spans, span{e, e, true, true})
	}
	s.spans = union(s.spans)
	return s
}

func (g *grader) operation(name string, left, right *node) *realSet {
	a, b := g.realSet(left), g.realSet(right)
	if a == nil || b == nil {
		return nil
	}
	s := &realSet{variable: a.variable}
	switch name {
	case `\cup`:
		s.spans = union(slices.Concat(a.spans, b.spans))
	case `\cap`:
		s.spans = intersection(a.spans, b.spans)
	default:
		s.spans = intersection(a.spans, complement(b.spans))
	}
	return s
}

// inequality reads x < a, a < x ≤ b, x ≠ a, x ∈ S and x ∉ S.
func (g *grader) inequality(n *node) *realSet {
	if len(n.ops) == 1 && (n.ops[0] == `\in` || n.ops[0] == `\notin`) {
		s := g.realSet(n.args[1])
		if s == nil || !isName(n.args[0]) {
			return nil
		}
		out := &realSet{variable: n.args[0].canon(), spans: s.spans}
		if n.ops[0] == `\notin` {
			out.spans = complement(s.spans)
		}
		return out
	}
	if s := g.distance(n); s != nil {
		return s
	}
	at := slices.IndexFunc(n.args, func(a *node) bool { return len(freeVariables(a)) > 0 })
	if at < 0 || n.args[at].kind != symbol && n.args[at].kind != applied {
		return nil
	}
	result := &realSet{variable: n.args[at].canon(), spans: []span{wholeLine}}
	for i, op := range n.ops {
		left, right := n.args[i], n.args[i+1]
		switch {
		case i == at:
		case i+1 == at:
			right = left
			if op = mirrored[op]; op == "" {
				return nil
			}
		default:
			return nil
		}
		next := g.bound(op, right)
		if next == nil {
			return nil
		}
		result.spans = intersection(result.spans, next)
	}
	return result
}

// bound are the x with x op n.
func (g *grader) bound(op string, n *node) []span {
	if infinite := n.isInfinity(); infinite != 0 {
		if infinite > 0 && strings.HasPrefix(op, "<") || infinite < 0 && strings.HasPrefix(op, ">") {
			return []span{wholeLine}
		}
		return nil
	}
	e := g.end(n)
	if e == nil {
		return nil
	}
	switch op {
	case "<", "<=":
		return []span{{high: e, highClosed: op == "<="}}
	case ">", ">=":
		return []span{{low: e, lowClosed: op == ">="}}
	case "=":
		return []span{{e, e, true, true}}
	case "!=":
		return complement([]span{{e, e, true, true}})
	}
	return nil
}

// conditions joins inequalities, which "or" unites and "and" intersects; a comma does the latter where something is left, and
// the former else. Equations among them are solutions, and united. Intervals are united by "or".
func (g *grader) conditions(n *node) *realSet {
	all := []span{wholeLine}
	var some []span
	variable, equations := "", false
	for i, a := range n.args {
		s := g.realSet(a)
		if s == nil || a.kind != relation && n.name != "or" || i > 0 && s.variable != variable {
			return nil
		}
		variable = s.variable
		equations = equations || a.kind == relation && a.ops[0] == "="
		all = intersection(all, s.spans)
		some = append(some, s.spans...)
	}
	if n.name == "or" || equations || n.name == "," && len(all) == 0 {
		all = union(some)
	}
	return &realSet{variable, all}
}

// sets compares as sets of real numbers, or what is none by its parts.
func (g *grader) sets(gold, pred *node) Decision {
	if a, b := g.realSet(gold), g.realSet(pred); a != nil && b != nil {
		return g.realSets(a, b)
	}
	switch {
	case gold.holdsEmptySet() || pred.holdsEmptySet():
		return g.no("one answer is a set that holds the empty set")
	case gold.kind == set && len(gold.args) == 1 && pred.kind != set:
		return g.same(gold.args[0], pred)
	case pred.kind == set && len(pred.args) == 1 && gold.kind != set:
		return g.same(gold, pred.args[0])
	case gold.kind == setOp && pred.kind == setOp && gold.name == pred.name && gold.name != `\setminus`:
		return g.unordered(operands(gold), operands(pred))
	case gold.kind == pred.kind && gold.name == pred.name && len(gold.args) > 0:
		return g.all(gold.args, pred.args)
	}
	for _, n := range []*node{gold, pred} {
		if isScalarKind(n.kind) && n.has(tuple, set, list, matrix, setOp, relation, words) {
			return g.undecided("%s cannot be evaluated", brief(n))
		}
	}
	return g.no("the answers are of different kinds")
}

func (n *node) holdsEmptySet() bool {
	return n.kind == set && slices.ContainsFunc(n.args, func(a *node) bool { return a.is(symbol, `\emptyset`) })
}

// operands of a chain of one operation.
func operands(n *node) []*node {
	var out []*node
	for _, a := range n.args {
		if a.is(setOp, n.name) {
			out = append(out, operands(a)...)
		} else {
			out = append(out, a)
		}
	}
	return out
}

func (g *grader) realSets(gold, pred *realSet) Decision {
	if gold.variable != "" && pred.variable != "" && gold.variable != pred.variable {
		return g.no("the variables differ")
	}
	if len(gold.spans) != len(pred.spans) {
		return g.no("the sets differ")
	}
	result := Yes
	for i, a := range gold.spans {
		b := pred.spans[i]
		if a.lowClosed != b.lowClosed || a.highClosed != b.highClosed || (a.low == nil) != (b.low == nil) || (a.high == nil) != (b.high == nil) {
			return g.no("the intervals differ")
		}
		if a.low != nil {
			result = worse(result, g.scalar(a.low.node, b.low.node))
		}
		if a.high != nil {
			result = worse(result, g.scalar(a.high.node, b.high.node))
		}
	}
	return result
}
