//go:build amd64 && !noasm

package cpu

import (
	"math"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
)

// Kernels over rows and elements. Vectors of eight elements start at a row's first element, so a row's bits do not
// depend on where it lies; rows whose width is no multiple of eight are declined.

func eights(c engine.Call) bool {
	_, width := leading(c.In[0])
	return c.Out.Dtype() == engine.F32 && width%8 == 0
}

func f32At(t *engine.Tensor, i int) *float32 { return offset((*float32)(t.Ptr), i) }

func avx2Add(b *backend, c engine.Call) (engine.Launch, error) {
	if !eights(c) {
		return nil, nil
	}
	capacity, width := leading(c.Out)
	s := float32(c.Attr.(engine.AddAttr).Scale)
	return b.rowwise(c, capacity, rowChunk(width), func(from, to int) {
		i := from * width
		vecAdd(f32At(c.Out, i), f32At(c.In[0], i), f32At(c.In[1], i), s, (to-from)*width/8)
	}), nil
}

func avx2Scale(b *backend, c engine.Call) (engine.Launch, error) {
	if !eights(c) {
		return nil, nil
	}
	capacity, width := leading(c.Out)
	s := float32(c.Attr.(engine.AddAttr).Scale)
	return b.rowwise(c, capacity, rowChunk(width), func(from, to int) {
		i := from * width
		vecScale(f32At(c.Out, i), f32At(c.In[0], i), s, (to-from)*width/8)
	}), nil
}

func avx2SwiGLU(b *backend, c engine.Call) (engine.Launch, error) {
	if !eights(c) {
		return nil, nil
	}
	capacity, width := leading(c.In[0])
	return b.rowwise(c, capacity, rowChunk(width), func(from, to int) {
		i := from * width
		vecSwiGLU(f32At(c.Out, i), f32At(c.In[0], i), f32At(c.In[1], i), (to-from)*width/8)
	}), nil
}

func avx2SwiGLUBackward(b *backend, c engine.Call) (engine.Launch, error) {
	if !eights(c) {
		return nil, nil
	}
	capacity, width := leading(c.In[0])
	return b.rowwise(c, capacity, rowChunk(width), func(from, to int) {
		i := from * width
		vecSwiGLUBackward(f32At(c.Out, i), f32At(c.Out, capacity*width+i), f32At(c.In[0], i), f32At(c.In[1], i), f32At(c.In[2], i),
			(to-from)*width/8)
	}), nil
}

func avx2RMSNorm(b *backend, c engine.Call) (engine.Launch, error) {
	capacity, width, k, eps := c.In[0].Shape()[0], c.In[0].Shape()[1], c.In[1].Size(), c.Attr.(ops.RMSNorm).Eps
	if !eights(c) || k%8 != 0 {
		return nil, nil
	}
	return b.rowwise(c, capacity, rowChunk(width), func(from, to int) {
		for at := from * width; at < to*width; at += k {
			x := f32At(c.In[0], at)
			inverse := 1 / math.Sqrt(vecSumSquares(x, k/8)/float64(k)+eps)
			vecNorm(f32At(c.Out, at), x, f32At(c.In[1], 0), float32(inverse), k/8)
		}
	}), nil
}

// avx2RMSNormDX: with r = 1/√(mean(x²)+eps) and g = w·dy, dx = r·g − x·r³·mean(x·g).
func avx2RMSNormDX(b *backend, c engine.Call) (engine.Launch, error) {
	capacity, width, k, eps := c.In[0].Shape()[0], c.In[0].Shape()[1], c.In[1].Size(), c.Attr.(ops.RMSNorm).Eps
	if !eights(c) || k%8 != 0 {
		return nil, nil
	}
	return b.rowwise(c, capacity, rowChunk(width), func(from, to int) {
		for at := from * width; at < to*width; at += k {
			x, w, dy := f32At(c.In[0], at), f32At(c.In[1], 0), f32At(c.In[2], at)
			inverse := 1 / math.Sqrt(vecSumSquares(x, k/8)/float64(k)+eps)
			along := vecSumProducts3(x, w, dy, k/8) * inverse * inverse * inverse / float64(k)
			vecNormDX(f32At(c.Out, at), x, w, dy, float32(inverse), float32(along), k/8)
		}
	}), nil
}

// avx2RoPE computes a token's angles once, in float64, for all of its heads.
func avx2RoPE(b *backend, c engine.Call) (engine.Launch, error) {
	a := c.Attr.(ops.RoPE)
	if c.Out.Dtype() != engine.F32 || a.HeadDim%16 != 0 || a.HeadDim > maxHeadDim {
		return nil, nil
	}
	capacity, width, half := c.In[0].Shape()[0], c.In[0].Shape()[1], a.HeadDim/2
	frequency, amplitude := a.Frequencies()
	return b.rowwise(c, capacity, rowChunk(width), func(from, to int) {
		var table [2][maxHeadDim / 2]float32
		cos, sin := &table[0], &table[1]
		positions := engine.Slice[int32](c.In[1])
		for t := from; t < to; t++ {
			for i, f := range frequency {
				s, co := math.Sincos(float64(positions[t]) * f)
				if a.Inverse {
					s = -s
				}
				cos[i], sin[i] = float32(amplitude*co), float32(amplitude*s)
			}
			for at := t * width; at < (t+1)*width; at += a.HeadDim {
				vecRotate(f32At(c.Out, at), f32At(c.In[0], at), &cos[0], &sin[0], half/8)
			}
		}
	}), nil
}

// avx2AdamW gives the portable kernel's bits.
func avx2AdamW(b *backend, c engine.Call) (engine.Launch, error) {
	n := c.Out.Size()
	if c.Out.Dtype() != engine.F32 || c.In[2].Dtype() != engine.F32 || n%8 != 0 {
		return nil, nil
	}
	const chunk = 1 << 13
	var hyper [9]float32
	task := func(i int) {
		at := i * chunk
		vecAdamW(f32At(c.Out, at), f32At(c.In[0], at), f32At(c.In[1], at), f32At(c.In[2], at), f32At(c.In[3], at), &hyper[0], min(chunk, n-at)/8)
	}
	return func() error {
		h, factor := engine.Slice[float64](c.In[4]), engine.Slice[float64](c.In[5])[ops.ClipFactor]
		if math.IsNaN(factor) {
			return nil
		}
		hyper = [9]float32{
			float32(1 - float64(h[ops.HyperLR]*h[ops.HyperWeightDecay])),
			float32(h[ops.HyperBeta1]), float32(1 - h[ops.HyperBeta1]), float32(h[ops.HyperBeta2]), float32(1 - h[ops.HyperBeta2]),
			float32(h[ops.HyperLR] / h[ops.HyperCorrection1]), float32(math.Sqrt(h[ops.HyperCorrection2])), float32(h[ops.HyperEps]),
			float32(factor),
		}
		return b.pool.run(ceilDiv(n, chunk), task)
	}, nil
}

// avx2SumSquares sums blocks of fixed size in float64, then the blocks' sums upwards.
func avx2SumSquares(b *backend, c engine.Call) (engine.Launch, error) {
	n := c.In[0].Size()
	if c.In[0].Dtype() != engine.F32 || n%8 != 0 {
		return nil, nil
	}
	const block = 1 << 12
	sums := make([]float64, ceilDiv(n, block))
	task := func(i int) { sums[i] = vecSumSquares(f32At(c.In[0], i*block), min(block, n-i*block)/8) }
	return func() error {
		if err := b.pool.run(len(sums), task); err != nil {
			return err
		}
		var total float64
		for _, s := range sums {
			total += s
		}
		engine.Slice[float64](c.Out)[0] = total
		return nil
	}, nil
}
