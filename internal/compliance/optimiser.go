package compliance

import (
	"fmt"
	"math"
	"testing"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
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
	return all
}

// optimiser runs three updates against the formulas of Loshchilov and Hutter, Decoupled Weight Decay Regularization,
// as PyTorch words them, and compares one worker with three.
func optimiser(t *testing.T, one, three device, dtype tensor.Dtype) {
	for _, n := range []int{1, 3, 17, 20001} {
		m := newMaker(uint64(n), 0, dtype)
		param, first, second := m.fixed(dtype, 1, n), m.fixed(dtype, 0, n), m.fixed(dtype, 0, n)
		hyper := value{dtype: engine.F64, shape: []int{ops.HyperLen}}
		c := &call{op: "adamw", rows: engine.Fixed, in: []value{param, m.fixed(dtype, 1, n), first, second, hyper}, inPlace: true}
		c.in[4].floats = make([]float64, ops.HyperLen)
		launch, ec := one.prepare(t, c, placement{inPlace: true})
		again, ec3 := three.prepare(t, c, placement{inPlace: true})
		p, mean, square := param.floats, first.floats, second.floats
		for s := 1; s <= 3; s++ {
			const lr, b1, b2, eps, decay, clip = 1e-2, 0.9, 0.999, 1e-8, 0.1, 0.25
			c1, c2 := 1-math.Pow(b1, float64(s)), 1-math.Pow(b2, float64(s))
			grad := m.fixed(dtype, 1, n)
			for _, to := range []struct {
				device
				engine.Call
			}{{one, ec}, {three, ec3}} {
				require.NoError(t, to.Upload(to.In[1], encode(grad)))
				require.NoError(t, to.Upload(to.In[4], encode(value{dtype: engine.F64, floats: []float64{lr, b1, b2, eps, decay, clip, c1, c2}})))
			}
			for i, g := range grad.floats {
				g *= clip
				mean[i] = b1*mean[i] + (1-b1)*g
				square[i] = b2*square[i] + (1-b2)*g*g
				p[i] = p[i]*(1-lr*decay) - lr*(mean[i]/c1)/(math.Sqrt(square[i]/c2)+eps)
			}
			require.NoError(t, launch())
			require.NoError(t, again())
			for i, want := range map[int][]float64{0: p, 2: mean, 3: square} {
				got := one.read(t, ec.In[i], 0)
				requireClose(t, "adamw", dtype, want, got)
				requireSameBits(t, "workers", got, three.read(t, ec3.In[i], 0))
			}
		}
		require.Zero(t, testing.AllocsPerRun(2, func() { _ = launch() }))
	}
}
