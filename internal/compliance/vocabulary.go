package compliance

import (
	"fmt"
	"math"

	"github.com/goprm/goprm/internal/ops"
)

// vocabularyCases fold a block of logits into nothing, and into what came before it.
func vocabularyCases() []testCase {
	var all []testCase
	for _, s := range [][2]int{{1, 1}, {3, 17}, {17, 700}, {200, 65}} {
		reads, n := s[0], s[1]
		for _, first := range []bool{true, false} {
			all = append(all, testCase{fmt.Sprintf("%dx%d/%v", reads, n, first), func(m *maker) *call {
				const from = 10
				x, labels := m.perRow(3, reads, n), m.ids(reads, from+n+5) // some lie before the block, some behind it
				in := []value{x, labels}
				if !first {
					state := m.perRow(1, reads, ops.LogProbState)
					for r := range reads {
						state.floats[r*ops.LogProbState+1] = 1.5
					}
					in = append(in, state)
				}
				return m.byRead(&call{op: "log_prob_block", attr: ops.LogProbBlock{From: from}, in: in, out: m.result(reads+m.spare, ops.LogProbState),
					want: func() []float64 {
						y := unspecified((reads + m.spare) * ops.LogProbState)
						for r := range reads {
							state := [ops.LogProbState]float64{math.Inf(-1), 0, math.Inf(-1)}
							if !first {
								copy(state[:], in[2].floats[r*ops.LogProbState:])
							}
							top, total := state[0], 0.0
							for j := range n {
								top = max(top, x.floats[r*n+j])
							}
							for j := range n {
								total += math.Exp(x.floats[r*n+j] - top)
							}
							if !first {
								total += state[1] * math.Exp(state[0]-top)
							}
							label := int(labels.ints[r])
							if label >= from && label < from+n {
								state[2] = x.floats[r*n+label-from]
							}
							copy(y[r*ops.LogProbState:], []float64{top, total, state[2]})
						}
						return y
					}}, reads, true)
			}})
		}
		all = append(all, testCase{fmt.Sprint(reads), func(m *maker) *call {
			state := m.perRow(2, reads, ops.LogProbState)
			for r := range reads {
				s := state.floats[r*ops.LogProbState:]
				s[1], s[2] = round(1+1000*math.Abs(s[1]), m.dtype), round(s[0]-3, m.dtype)
			}
			return m.byRead(&call{op: "log_prob", in: []value{state}, out: m.result(reads+m.spare, 1), want: func() []float64 {
				return outer(reads+m.spare, reads, 1, func(r, _ int) float64 {
					s := state.floats[r*ops.LogProbState:]
					return s[2] - s[0] - math.Log(s[1])
				})
			}}, reads, true)
		}})
	}
	return all
}
