package cpu

import (
	"math"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
)

// Kernels of sentence encoders.

// moments are a row's mean and 1/√(variance+eps), the variance of K values over K.
func moments[T float](x []T, eps float64) (mean, inverse float64) {
	for _, v := range x {
		mean += float64(v)
	}
	mean /= float64(len(x))
	var s float64
	for _, v := range x {
		d := float64(v) - mean
		s += float64(d * d)
	}
	return mean, 1 / math.Sqrt(s/float64(len(x))+eps)
}

func layernorm[T float](b *backend, c engine.Call) (engine.Launch, error) {
	capacity, k, eps := c.In[0].Shape()[0], c.In[0].Shape()[1], c.Attr.(ops.LayerNorm).Eps
	return b.rowwise(c, capacity, rowChunk(k), func(from, to int) {
		x, w, bias, out := engine.Slice[T](c.In[0]), engine.Slice[T](c.In[1]), engine.Slice[T](c.In[2]), engine.Slice[T](c.Out)
		for t := from; t < to; t++ {
			row, y := x[t*k:][:k], out[t*k:][:k]
			mean, inverse := moments(row, eps)
			for j, v := range row {
				y[j] = T(T((float64(v)-mean)*inverse)*w[j]) + bias[j]
			}
		}
	}), nil
}

// gelu: x·Φ(x) by erfc, which keeps the digits of small results.
func gelu[T float](b *backend, c engine.Call) (engine.Launch, error) {
	f := func(x float64) float64 { return x / 2 * math.Erfc(-x/math.Sqrt2) }
	if c.Attr.(ops.GELU).Tanh {
		// (1 + tanh z)/2 = 1/(1 + e^−2z)
		f = func(x float64) float64 {
			return x * logistic(2*math.Sqrt(2/math.Pi)*(x+float64(0.044715*x*x*x)))
		}
	}
	capacity, n := c.In[0].Shape()[0], c.In[0].Shape()[1]
	return b.rowwise(c, capacity, rowChunk(n), func(from, to int) {
		x, out := engine.Slice[T](c.In[0]), engine.Slice[T](c.Out)
		for i := from * n; i < to*n; i++ {
			out[i] = T(f(float64(x[i])))
		}
	}), nil
}

func tanh[T float](b *backend, c engine.Call) (engine.Launch, error) {
	capacity, n := c.In[0].Shape()[0], c.In[0].Shape()[1]
	return b.rowwise(c, capacity, rowChunk(n), func(from, to int) {
		x, out := engine.Slice[T](c.In[0]), engine.Slice[T](c.Out)
		for i := from * n; i < to*n; i++ {
			out[i] = T(math.Tanh(float64(x[i])))
		}
	}), nil
}

// poolSegments sums in float64, token after token. A NaN in a column is its maximum, as in PyTorch.
func poolSegments[T float](b *backend, c engine.Call) (engine.Launch, error) {
	capacity, k := c.Out.Shape()[0], c.Out.Shape()[1]
	greatest := c.Attr.(ops.Pool).Max
	run := b.rowwise(c, capacity, 1, func(from, _ int) {
		cu, x, out := engine.Slice[int32](c.In[1]), engine.Slice[T](c.In[0]), engine.Slice[T](c.Out)
		first, end, y := int(cu[from]), int(cu[from+1]), out[from*k:][:k]
		clear(y)
		for at := 0; at < k && first < end; at += columnBlock {
			width := min(columnBlock, k-at)
			var sums [columnBlock]float64
			for j, v := range x[first*k+at:][:width] {
				sums[j] = float64(v)
			}
			for t := first + 1; t < end; t++ {
				for j, v := range x[t*k+at:][:width] {
					if greatest {
						sums[j] = max(sums[j], float64(v))
					} else {
						sums[j] += float64(v)
					}
				}
			}
			for j, s := range sums[:width] {
				if !greatest {
					s /= float64(end - first)
				}
				y[at+j] = T(s)
			}
		}
	})
	return func() error {
		rows, err := live(c, c.Rows, capacity)
		if err != nil {
			return err
		}
		tokens, err := live(c, engine.Tokens, c.In[0].Shape()[0])
		if err != nil {
			return err
		}
		if err := ops.CheckSegments(engine.Slice[int32](c.In[1])[:rows+1], tokens); err != nil {
			return err
		}
		return run()
	}, nil
}
