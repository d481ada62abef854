package compliance

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

// specialNumbers: a NaN or infinity in a row shows in that row's result, never vanishes and never reaches another row;
// numbers too small to be normal are not taken for zero.
func specialNumbers(t *testing.T, d device, dtype tensor.Dtype, known []string) {
	const rows, k, bad = 9, 40, 4
	l, a := packed(5, 4), ops.Attention{Heads: 2, KVHeads: 1, HeadDim: 20}
	norm := ops.RMSNorm{Eps: rmsEps}
	for _, special := range []float64{math.NaN(), math.Inf(1)} {
		for _, build := range []func(m *maker) *call{
			func(m *maker) *call { return m.linear(m.perRow(1, rows, k), m.fixed(dtype, 1, k, k), rows) },
			func(m *maker) *call {
				return m.linear(m.perRow(1, rows, k), m.fixed(engine.BFloat16, 1, k, k), rows)
			},
			func(m *maker) *call {
				return m.byToken(&call{op: "linear_dx", in: []value{m.perRow(1, rows, k), m.fixed(dtype, 1, k, k)}, out: m.result(rows, k)}, rows, true)
			},
			func(m *maker) *call {
				return m.byToken(&call{op: "rmsnorm", attr: norm, in: []value{m.perRow(1, rows, k), m.fixed(m.param(), 1, k)}, out: m.result(rows, k)},
					rows, true)
			},
			func(m *maker) *call { // a row of four heads
				return m.byToken(&call{op: "rmsnorm", attr: norm, in: []value{m.perRow(1, rows, k), m.fixed(m.param(), 1, k/4)},
					out: m.result(rows, k)}, rows, true)
			},
			func(m *maker) *call {
				return m.byToken(&call{op: "swiglu", in: []value{m.perRow(1, rows, k), m.perRow(1, rows, k)}, out: m.result(rows, k)}, rows, true)
			},
			func(m *maker) *call { return m.gated(rows, k, k) },
			func(m *maker) *call { return m.layernorm(m.perRow(1, rows, k), rows, k) },
			func(m *maker) *call {
				return m.byToken(&call{op: "gelu", attr: ops.GELU{}, in: []value{m.perRow(1, rows, k)}, out: m.result(rows, k)}, rows, true)
			},
			func(m *maker) *call { return m.rope(rows, 2, k/2, false) },
			func(m *maker) *call { return m.attention(l, a, m.drawAttention(l, a)) }, // row 4 is the last that sees its segment
			func(m *maker) *call {
				return m.byToken(&call{op: "add", attr: engine.AddAttr{Scale: 1}, in: []value{m.perRow(1, rows, k), m.perRow(1, rows, k)},
					out: m.result(rows, k)}, rows, true)
			},
			func(m *maker) *call {
				return m.byRead(&call{op: "sigmoid_dx", in: []value{m.perRow(1, rows, k), m.perRow(1, rows, k)}, out: m.result(rows, k)}, rows, true)
			},
			func(m *maker) *call {
				x := m.perRow(1, rows, k)
				return m.byRead(&call{op: "relu", in: []value{x}, out: m.result(rows, k)}, rows, true)
			},
		} {
			c := build(newMaker(11, 0, dtype))
			if !slices.Contains(known, c.op) {
				continue
			}
			clean := d.run(t, c, placement{})
			c.in[0].floats[bad*k+7] = special
			got, spoiled := d.run(t, c, placement{}), false
			what := fmt.Sprintf("%s with %g in row %d", c.op, special, bad)
			for i := range rows * k {
				if i/k == bad {
					spoiled = spoiled || math.IsNaN(got[i]) || math.IsInf(got[i], 0)
				} else {
					require.Equal(t, math.Float64bits(clean[i]), math.Float64bits(got[i]), "%s: element %d", what, i)
				}
			}
			require.True(t, spoiled, what+" vanished")
		}
	}
	if dtype == engine.BFloat16 {
		return // its subnormal numbers have too few digits to tell
	}
	tiny := 3e-40 // of f32's subnormal numbers
	if dtype == engine.F64 {
		tiny = 3e-310
	}
	m := newMaker(12, 0, dtype)
	x := m.perRow(0, 3, 17)
	for i := range x.floats {
		x.floats[i] = round(tiny, dtype)
	}
	w := m.fixed(dtype, 0, 5, 17)
	for i := range w.floats {
		w.floats[i] = 1
	}
	for _, v := range d.run(t, m.linear(x, w, 3), placement{}) {
		require.InEpsilon(t, 17*tiny, v, 1e-4, "subnormal terms")
	}
}
