package grade

import (
	"slices"
)

// span is an interval; an end that is nil is infinite, and open.
type span struct {
	low, high             *end
	lowClosed, highClosed bool
}

// end is the end of an interval, as written and as evaluated.
type end struct {
	node  *node
	value value
}

var wholeLine = span{}

func compareEnds(a, b *end) int {
	if nearlyEqual(a.value, b.value) == 1 {
		return 0
	}
	x, _ := a.value.parts()
	y, _ := b.value.parts()
	return x.Cmp(y)
}

// compareLow orders by where spans begin, -∞ first.
func compareLow(a, b span) int {
	switch {
	case a.low == nil && b.low == nil:
		return 0
	case a.low == nil:
		return -1
	case b.low == nil:
		return 1
	}
	if c := compareEnds(a.low, b.low); c != 0 || a.lowClosed == b.lowClosed {
		return c
	}
	if a.lowClosed {
		return -1
	}
	return 1
}

// compareHigh orders by where spans end, +∞ last.
func compareHigh(a, b span) int {
	switch {
	case a.high == nil && b.high == nil:
		return 0
	case a.high == nil:
		return 1
	case b.high == nil:
		return -1
	}
	if c := compareEnds(a.high, b.high); c != 0 || a.highClosed == b.highClosed {
		return c
	}
	if a.highClosed {
		return 1
	}
	return -1
}

// union joins spans that overlap or touch.
func union(spans []span) []span {
	slices.SortStableFunc(spans, compareLow)
	var out []span
	for _, s := range spans {
		if n := len(out); n > 0 && touches(out[n-1], s) {
			if compareHigh(out[n-1], s) < 0 {
				out[n-1].high, out[n-1].highClosed = s.high, s.highClosed
			}
			continue
		}
		out = append(out, s)
	}
	return out
}

// touches tells whether b, which begins no earlier, leaves no gap behind a.
func touches(a, b span) bool {
	if a.high == nil || b.low == nil {
		return true
	}
	c := compareEnds(a.high, b.low)
	return c > 0 || c == 0 && (a.highClosed || b.lowClosed)
}

func intersection(a, b []span) []span {
	var out []span
	for _, x := range a {
		for _, y := range b {
			s := x
			if compareLow(x, y) < 0 {
				s.low, s.lowClosed = y.low, y.lowClosed
			}
			if compareHigh(x, y) > 0 {
				s.high, s.highClosed = y.high, y.highClosed
			}
			if !s.empty() {
				out = append(out, s.point())
			}
		}
	}
	return union(out)
}

func (s span) empty() bool {
	if s.low == nil || s.high == nil {
		return false
	}
	c := compareEnds(s.low, s.high)
	return c > 0 || c == 0 && !(s.lowClosed && s.highClosed)
}

// point makes the ends of a single point one.
func (s span) point() span {
	if s.low != nil && s.high != nil && s.low != s.high && compareEnds(s.low, s.high) == 0 {
		s.high = s.low
	}
	return s
}

func complement(spans []span) []span {
	out := []span{wholeLine}
	for _, s := range spans {
		var around []span
		if s.low != nil {
			around = append(around, span{high: s.low, highClosed: !s.lowClosed})
		}
		if s.high != nil {
			around = append(around, span{low: s.high, lowClosed: !s.highClosed})
		}
		out = intersection(out, around)
	}
	return out
}

func (g *grader) end(n *node) *end {
	if !isScalarKind(n.kind) && n.kind != unit {
		return nil
	}
	before := g.reason
	v, err := g.eval(n)
	g.reason = before
	if err != nil || !v.isReal() {
		return nil
	}
	return &end{n, v}
}
