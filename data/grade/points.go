package grade

import (
	"math/big"
	"strconv"
)

const (
	enoughPoints = 3  // points at which two expressions must agree
	triedPoints  = 14 // points that are tried to find as many at which both are real
)

// points calls f with the two values at points where both are defined and, if the roots and logarithms in them allow, real:
// √a·√b and √(ab) agree wherever both mean something. The points depend on the names of the variables only.
func (g *grader) points(gold, pred *node, variables map[string]bool, f func(a, b value) bool) {
	whole := func(m *node) bool {
		return m.kind == series ||
			m.kind == function && (m.name == "!" || m.name == "binom" || m.name == "mod" || m.name == "gcd" || m.name == "lcm")
	}
	integers := gold.any(whole) || pred.any(whole)
	defer func() { g.point = nil }()
	used := 0
	for i := 0; i < triedPoints && used < 2*enoughPoints; i++ {
		g.point = map[string]value{}
		for name := range variables {
			g.point[name] = exact(coordinate(name, i, integers))
		}
		g.leftReals = false
		a, err := g.eval(gold)
		if err == errBound {
			return
		}
		if err != nil {
			continue
		}
		b, err := g.eval(pred)
		if err == errBound {
			return
		}
		if err != nil || g.leftReals {
			continue
		}
		used++
		if !f(a, b) {
			return
		}
	}
}

// coordinate is a variable's value at the i-th point: positive at the first three, below 1 at the second of them, of either
// sign later; or an integer.
func coordinate(name string, i int, integers bool) *big.Rat {
	h := hash(name + "\x00" + strconv.Itoa(i))
	if integers {
		return big.NewRat(int64(h>>20%11)+int64(i)+1, 1)
	}
	n := int64(h>>20%89) + 3
	switch {
	case i%3 == 1:
		return big.NewRat(n, 97)
	case i >= 3 && h>>50&1 == 1:
		n = -n
	}
	return big.NewRat(n, 13)
}
