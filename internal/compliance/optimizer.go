package compliance

import (
	"fmt"
	"math"
	"testing"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"github.com/stretchr/testify/require"
)

func optimizerCases() []testCase {
	var all []testCase
	for _, n := range []int{1, 3, 17, 65, 4096, 20001} {
		all = append(all, testCase{fmt.Sprint(n), func(m *maker) *call {
			x := m.fixed(m.dtype, 1/math.Sqrt(float64(n)), n)
			out := value{dtype: engine.F64, shape: []int{1}}
			return &call{op: "sum_squares", rows: engine.Fixed, live: m.counts(0, 0, 0), in: []value{x}, out: out, want: func() []float64 {
				var s float64
				for _, v := range x.floats {
					s += v * v
				}
				return []float64{s}
			}}
		}})
	}
	for _, n := range []int{1, 3, 400} {
		for _, bound := range []float64{0, 0.3, 1e-4, 50} {
			all = append(all, testCase{fmt.Sprintf("%d, bound %g", n, bound), func(m *maker) *call {
				squares := m.fixed(engine.F64, 1/float64(n), n)
				norm, factor := 0.0, 1.0
				for i := range squares.floats {
					squares.floats[i] = math.Abs(squares.floats[i])
					norm += squares.floats[i]
				}
				norm = math.Sqrt(norm)
				if bound > 0 {
					factor = min(1, bound/(norm+1e-6))
				}
				in := []value{squares, {dtype: engine.F64, shape: []int{1}, floats: []float64{bound}}}
				return &call{op: "clip", rows: engine.Fixed, live: m.counts(0, 0, 0), in: in, out: value{dtype: engine.F64, shape: []int{ops.ClipLen}},
					want: func() []float64 { return []float64{norm, factor} }}
			}})
		}
	}
	return all
}

// clipNotFinite: a square that is NaN or infinite, wherever it is, makes the norm and the factor NaN.
func clipNotFinite(t *testing.T, d device) {
	for _, bad := range []float64{math.NaN(), math.Inf(1)} {
		for i := range 3 {
			squares := value{dtype: engine.F64, shape: []int{3}, floats: []float64{1, 2, 3}}
			squares.floats[i] = bad
			bound := value{dtype: engine.F64, shape: []int{1}, floats: []float64{float64(i)}}
			c := &call{op: "clip", rows: engine.Fixed, in: []value{squares, bound}, out: value{dtype: engine.F64, shape: []int{ops.ClipLen}}}
			for _, v := range d.run(t, c, placement{}) {
				require.True(t, math.IsNaN(v), "a square of %g", bad)
			}
		}
	}
}
