package compliance

import (
	"fmt"
	"math"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
)

// normEps is large, so that leaving it out shows.
const normEps = 1e-3

func encoderCases() []testCase {
	var all []testCase
	add := func(name string, build func(m *maker) *call) { all = append(all, testCase{name, build}) }
	for _, s := range append(rowSizes, [2]int{40, 384}) {
		tokens, k := s[0], s[1]
		name := fmt.Sprintf("%dx%d", tokens, k)
		add(name, func(m *maker) *call { return m.layernorm(m.perRow(1, tokens, k), tokens, k) })
		add(name+"/offset", func(m *maker) *call { // a mean far from 0: the variance is not a difference of large numbers
			x := m.perRow(0.5, tokens, k)
			for i := range x.floats {
				x.floats[i] = round(x.floats[i]+64, m.dtype)
			}
			return m.layernorm(x, tokens, k)
		})
		for _, attr := range []ops.GELU{{}, {Tanh: true}} {
			add(fmt.Sprintf("%s/%v", name, attr.Tanh), func(m *maker) *call {
				x := m.perRow(2, tokens, k)
				copy(x.floats, []float64{-200, 200, 0, -5.5, 1e-30, -1e-30}[:min(6, k)])
				return m.byToken(&call{op: "gelu", attr: attr, in: []value{x}, out: m.result(tokens+m.spare, k), want: func() []float64 {
					return outer(tokens+m.spare, tokens, k, func(t, j int) float64 {
						v := x.floats[t*k+j]
						if attr.Tanh {
							return 0.5 * v * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(v+0.044715*v*v*v)))
						}
						return 0.5 * v * (1 + math.Erf(v/math.Sqrt2))
					})
				}}, tokens, true)
			})
		}
	}
	for _, lengths := range [][]int{{1}, {3, 1, 0, 7}, {70, 2, 130}} {
		for _, k := range []int{1, 17, 130} {
			for _, greatest := range []bool{false, true} {
				add(fmt.Sprintf("%v of %d, max %v", lengths, k, greatest), func(m *maker) *call { return m.pool(lengths, k, greatest) })
			}
		}
	}
	for _, s := range [][2]int{{1, 1}, {9, 17}, {65, 384}} {
		reads, k := s[0], s[1]
		add(fmt.Sprintf("%dx%d", reads, k), func(m *maker) *call {
			x := m.perRow(1, reads, k)
			copy(x.floats, []float64{-90, 90, 1e-20}[:min(3, k)])
			return m.byRead(&call{op: "tanh", in: []value{x}, out: m.result(reads+m.spare, k), want: func() []float64 {
				return outer(reads+m.spare, reads, k, func(r, j int) float64 {
					// by the exponential: another road than the kernels'
					v := x.floats[r*k+j]
					return math.Copysign(-math.Expm1(-2*math.Abs(v))/(1+math.Exp(-2*math.Abs(v))), v)
				})
			}}, reads, true)
		})
	}
	return all
}

func (m *maker) layernorm(x value, tokens, k int) *call {
	w, bias := m.fixed(m.dtype, 1, k), m.fixed(m.dtype, 1, k)
	return m.byToken(&call{op: "layernorm", attr: ops.LayerNorm{Eps: normEps}, in: []value{x, w, bias}, out: m.result(tokens+m.spare, k),
		want: func() []float64 {
			mean, inverse := make([]float64, tokens), make([]float64, tokens)
			for i, v := range x.floats[:tokens*k] { // differences from the row's first element lose nothing to a common offset
				mean[i/k] += (v - x.floats[i/k*k]) / float64(k)
			}
			for t := range mean {
				mean[t] += x.floats[t*k]
			}
			for i, v := range x.floats[:tokens*k] {
				inverse[i/k] += (v - mean[i/k]) * (v - mean[i/k]) / float64(k)
			}
			return outer(tokens+m.spare, tokens, k, func(t, j int) float64 {
				return (x.floats[t*k+j]-mean[t])/math.Sqrt(inverse[t]+normEps)*w.floats[j] + bias.floats[j]
			})
		}}, tokens, true)
}

func (m *maker) pool(lengths []int, k int, greatest bool) *call {
	cu := value{dtype: engine.I32, ints: []int32{0}}
	for _, n := range lengths {
		cu.ints = append(cu.ints, cu.ints[len(cu.ints)-1]+int32(n))
	}
	segments, tokens := len(lengths), int(cu.ints[len(lengths)])
	starts := cu.ints
	x := m.perRow(1, tokens, k)
	return &call{op: "pool", attr: ops.Pool{Max: greatest}, rows: engine.Segments, live: m.counts(tokens, segments, 1),
		in: []value{x, m.deadInts(cu)}, out: m.result(segments+m.spare, k), want: func() []float64 {
			return outer(segments+m.spare, segments, k, func(s, j int) float64 {
				sum, top, n := 0.0, math.Inf(-1), 0.0
				for t := starts[s]; t < starts[s+1]; t++ {
					v := x.floats[int(t)*k+j]
					sum, top, n = sum+v, math.Max(top, v), n+1
				}
				switch {
				case n == 0:
					return 0
				case greatest:
					return top
				}
				return sum / n
			})
		}}
}
