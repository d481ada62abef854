package compliance

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"github.com/goprm/goprm/internal/rng"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

func optimiserCases() []kase {
	var all []kase
	for _, n := range []int{1, 3, 17, 65, 4096, 20001} {
		all = append(all, kase{fmt.Sprint(n), func(m *maker) *call {
			x := m.fixed(m.dtype, 1/math.Sqrt(float64(n)), n)
			return &call{op: "sum_squares", rows: engine.Fixed, live: m.counts(0, 0, 0), in: []value{x}, out: value{dtype: engine.F64, shape: []int{1}}, want: func() []float64 {
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
			all = append(all, kase{fmt.Sprintf("%d, bound %g", n, bound), func(m *maker) *call {
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

// optimiser runs three updates against the formulas of Loshchilov and Hutter, Decoupled Weight Decay Regularization,
// as PyTorch words them, and compares one worker with three. Moments in bf16 are followed as they are kept: each must be one of
// the two neighbours of what the formulas make of the one before. Then a factor of NaN, which must change nothing.
func optimiser(t *testing.T, one, three device, dtype, moments tensor.Dtype) {
	for _, n := range []int{1, 3, 17, 20001} {
		m := newMaker(uint64(n), 0, dtype)
		param, first, second := m.fixed(dtype, 1, n), m.fixed(moments, 0, n), m.fixed(moments, 0, n)
		hyper, clip := value{dtype: engine.F64, floats: make([]float64, ops.HyperLen), shape: []int{ops.HyperLen}}, value{dtype: engine.F64, floats: make([]float64, ops.ClipLen), shape: []int{ops.ClipLen}}
		c := &call{op: "adamw", rows: engine.Fixed, in: []value{param, m.fixed(dtype, 1, n), first, second, hyper, clip}, inPlace: true}
		launch, ec := one.prepare(t, c, placement{inPlace: true})
		again, ec3 := three.prepare(t, c, placement{inPlace: true})
		p, mean, square := param.floats, first.floats, second.floats
		update := func(factor float64, hyper, grad value) {
			for _, to := range []struct {
				device
				engine.Call
			}{{one, ec}, {three, ec3}} {
				require.NoError(t, to.Upload(to.In[1], encode(grad)))
				require.NoError(t, to.Upload(to.In[4], encode(hyper)))
				require.NoError(t, to.Upload(to.In[5], encode(value{dtype: engine.F64, floats: []float64{3, factor}})))
			}
			require.NoError(t, launch())
			require.NoError(t, again())
		}
		for s := 1; s <= 3; s++ {
			const lr, b1, b2, eps, decay, factor = 1e-2, 0.9, 0.999, 1e-8, 0.1, 0.25
			c1, c2 := 1-math.Pow(b1, float64(s)), 1-math.Pow(b2, float64(s))
			grad := m.fixed(dtype, 1, n)
			for i, g := range grad.floats {
				g *= factor
				mean[i] = b1*mean[i] + (1-b1)*g
				square[i] = b2*square[i] + (1-b2)*g*g
				p[i] = p[i]*(1-lr*decay) - lr*(mean[i]/c1)/(math.Sqrt(square[i]/c2)+eps)
			}
			update(factor, value{dtype: engine.F64, floats: []float64{lr, b1, b2, eps, decay, float64(s) * (1<<50 + 1), c1, c2}}, grad)
			for i, want := range map[int][]float64{0: p, 2: mean, 3: square} {
				got := one.read(t, ec.In[i], 0)
				requireSameBits(t, "workers", got, three.read(t, ec3.In[i], 0))
				if i == 0 || moments != engine.BFloat16 {
					requireClose(t, "adamw", dtype, want, got)
					continue
				}
				for j, w := range want {
					require.LessOrEqual(t, math.Abs(got[j]-w), 1.001*2*half*math.Abs(w)+1e-30, "moment %d: %g, not a neighbour of %g", j, got[j], w)
				}
				copy(want, got)
			}
		}
		before := [][]float64{one.read(t, ec.In[0], 0), one.read(t, ec.In[2], 0), one.read(t, ec.In[3], 0)}
		update(math.NaN(), hyper, m.fixed(dtype, 1, n))
		for i, to := range []int{0, 2, 3} {
			requireSameBits(t, "a step that is not applied", before[i], one.read(t, ec.In[to], 0))
		}
		require.Zero(t, testing.AllocsPerRun(2, func() { _ = launch() }))
	}
	squares := value{dtype: engine.F64, shape: []int{3}, floats: []float64{1, 2, 3}}
	for _, bad := range []float64{math.NaN(), math.Inf(1)} {
		for i := range squares.floats {
			c := &call{op: "clip", rows: engine.Fixed, in: []value{squares, {dtype: engine.F64, shape: []int{1}, floats: []float64{float64(i)}}}, out: value{dtype: engine.F64, shape: []int{ops.ClipLen}}}
			c.in[0].floats = slices.Clone(squares.floats)
			c.in[0].floats[i] = bad
			for _, v := range one.run(t, c, placement{}) {
				require.True(t, math.IsNaN(v), "a square of %g", bad)
			}
		}
	}
}

// dithering: moments in bf16 follow those in float64 where each step changes them by less than half their last place, and the
// rounding is that of internal/ops' description.
func dithering(t *testing.T, d device) {
	const n, steps = 2000, 60
	m := newMaker(1, 0, engine.F32)
	ones := value{dtype: engine.F32, shape: []int{n}, floats: make([]float64, n)}
	for i := range ones.floats {
		ones.floats[i] = 1
	}
	moment := ones
	moment.dtype = engine.BFloat16
	c := &call{op: "adamw", rows: engine.Fixed, in: []value{m.fixed(engine.F32, 1, n), ones, moment, moment, {dtype: engine.F64, shape: []int{ops.HyperLen}, floats: make([]float64, ops.HyperLen)},
		{dtype: engine.F64, shape: []int{ops.ClipLen}, floats: []float64{2, 2}}}, inPlace: true}
	launch, ec := d.prepare(t, c, placement{inPlace: true})
	want := 1.0
	for s := range steps {
		salt := float64(s) * 1e9
		require.NoError(t, d.Upload(ec.In[4], encode(value{dtype: engine.F64, floats: []float64{1e-3, 0.999, 0.999, 1e-8, 0, salt, 1, 1}})))
		before := d.read(t, ec.In[3], 0)
		require.NoError(t, launch())
		want = 0.999*want + 0.001*4
		for i, got := range d.read(t, ec.In[3], 0) {
			exact := float32(0.999)*float32(before[i]) + float32(float32(1-0.999)*2)*2
			noise := uint16(rng.Mix(uint64(salt)+uint64(i)) >> 16)
			require.Equal(t, float64(engine.BF16((math.Float32bits(exact)+uint32(noise))>>16).Float32()), got, "step %d, element %d", s, i)
		}
	}
	sum, sum1, means := 0.0, 0.0, d.read(t, ec.In[2], 0)
	for i, v := range d.read(t, ec.In[3], 0) {
		sum += v
		sum1 += means[i]
	}
	// A rounding's deviation is at most half a last place, 2^-8 from 1 to 2; of 60 and 2000 elements, five deviations of the mean.
	bound := 5 * math.Sqrt(steps) / 256 / math.Sqrt(n)
	require.InDelta(t, want, sum/n, bound)
	require.InDelta(t, 1+(1-math.Pow(0.999, steps)), sum1/n, bound) // towards 2, the gradient
}
