//go:build amd64 && !noasm

package cpu

import (
	"math"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
)

// avx2LayerNorm subtracts the mean as a sum of two float32: a mean far from 0 would otherwise lose the digits of small deviations.
func avx2LayerNorm(b *backend, c engine.Call) (engine.Launch, error) {
	if !eights(c) {
		return nil, nil
	}
	capacity, k, eps := c.In[0].Shape()[0], c.In[0].Shape()[1], c.Attr.(ops.LayerNorm).Eps
	return b.rowwise(c, capacity, rowChunk(k), func(from, to int) {
		for t := from; t < to; t++ {
			x := f32At(c.In[0], t*k)
			mean := vecSum(x, k/8) / float64(k)
			inverse := 1 / math.Sqrt(vecSumCentred(x, mean, k/8)/float64(k)+eps)
			high := float32(mean)
			vecLayerNorm(f32At(c.Out, t*k), x, f32At(c.In[1], 0), f32At(c.In[2], 0), high, float32(mean-float64(high)), float32(inverse), k/8)
		}
	}), nil
}

func avx2GELU(b *backend, c engine.Call) (engine.Launch, error) {
	if !eights(c) {
		return nil, nil
	}
	f := vecGELU
	if c.Attr.(ops.GELU).Tanh {
		f = vecGELUTanh
	}
	capacity, width := leading(c.Out)
	return b.rowwise(c, capacity, rowChunk(width), func(from, to int) {
		i := from * width
		f(f32At(c.Out, i), f32At(c.In[0], i), (to-from)*width/8)
	}), nil
}
