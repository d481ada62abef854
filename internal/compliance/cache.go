package compliance

import (
	"fmt"

	"github.com/goprm/goprm/internal/engine"
)

// cacheCases keep some tokens, one of them in two rows, in a list that has room for more; rows that nobody names stay as they are.
func cacheCases() []testCase {
	var all []testCase
	for _, s := range [][3]int{{1, 1, 1}, {3, 17, 9}, {9, 130, 20}, {150, 64, 40}} {
		tokens, k, rows := s[0], s[1], s[2]
		all = append(all, testCase{fmt.Sprintf("%dx%d/%d", tokens, k, rows), func(m *maker) *call {
			return m.cacheWrite(tokens, k, rows, min(tokens, rows))
		}})
	}
	return append(all, testCase{"nothing", func(m *maker) *call { return m.cacheWrite(3, 5, 4, 0) }})
}

// cacheWrite keeps so many tokens.
func (m *maker) cacheWrite(tokens, k, rows, count int) *call {
	x := m.perRow(1, tokens, k)
	kept := value{dtype: engine.I32}
	into := m.Perm(rows)
	for i := range count {
		token := m.IntN(tokens)
		if i == 1 {
			token = int(kept.ints[0])
		}
		kept.ints = append(kept.ints, int32(token), int32(into[i]))
	}
	kept.ints = append(kept.ints, -1, int32(into[0]), -1, -1) // none
	kept.shape = []int{len(kept.ints) / 2, 2}
	c := m.byToken(&call{op: "cache_write", in: []value{x, kept}, out: m.result(rows, k), want: func() []float64 {
		y := unspecified(rows * k)
		for i := range count {
			copy(y[int(kept.ints[2*i+1])*k:][:k], x.floats[int(kept.ints[2*i])*k:])
		}
		return y
	}}, tokens, false)
	c.partial = true
	return c
}
