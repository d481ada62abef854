package cpu

import (
	"math"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
)

// Kernels over rows and elements. Inside an element they compute in float64 where that costs little.

// rowChunk is how many rows of a width make a task: some ten thousand elements.
func rowChunk(width int) int { return max(1, 1<<14/max(1, width)) }

func embedding[T float](b *backend, c engine.Call) (engine.Launch, error) {
	vocabulary, k, capacity := c.In[0].Shape()[0], c.In[0].Shape()[1], c.In[1].Size()
	run := b.rowwise(c, capacity, rowChunk(k), func(from, to int) {
		ids, out := engine.Slice[int32](c.In[1]), engine.Slice[T](c.Out)
		for t := from; t < to; t++ {
			row := out[t*k:][:k]
			copy(row, weights(c.In[0], int(ids[t])*k, k, row))
		}
	})
	return func() error {
		rows, err := live(c, c.Rows, capacity)
		if err != nil {
			return err
		}
		if err := ops.CheckIDs("token id", engine.Slice[int32](c.In[1])[:rows], vocabulary); err != nil {
			return err
		}
		return run()
	}, nil
}

// embeddingDTable adds the rows of dy to the rows of a table of zeros, in the order of the tokens.
func embeddingDTable[T float](b *backend, c engine.Call) (engine.Launch, error) {
	capacity, k, vocabulary := c.In[0].Shape()[0], c.In[0].Shape()[1], c.Out.Shape()[0]
	return scatter[T](b, c, "token id", capacity, k, func() (int, error) { return vocabulary, nil })
}

// scatter zeroes the first `targets` rows of the result and adds row r of the first input to row ids[r], r ascending.
func scatter[T float](b *backend, c engine.Call, what string, capacity, k int, targets func() (int, error)) (engine.Launch, error) {
	var rows, n int
	chunk := rowChunk(k)
	zero := func(i int) { clear(engine.Slice[T](c.Out)[i*chunk*k : min(n, (i+1)*chunk)*k]) }
	accumulate := func(i int) {
		dy, ids, out := engine.Slice[T](c.In[0]), engine.Slice[int32](c.In[1]), engine.Slice[T](c.Out)
		from := i * columnBlock
		width := min(columnBlock, k-from)
		for r := range rows {
			axpy(out[int(ids[r])*k+from:][:width], 1, dy[r*k+from:])
		}
	}
	return func() error {
		var err error
		if rows, err = live(c, c.Rows, capacity); err != nil {
			return err
		}
		if n, err = targets(); err != nil {
			return err
		}
		if err := ops.CheckIDs(what, engine.Slice[int32](c.In[1])[:rows], n); err != nil {
			return err
		}
		if err := b.pool.run(ceilDiv(n, chunk), zero); err != nil {
			return err
		}
		return b.pool.run(ceilDiv(k, columnBlock), accumulate)
	}, nil
}

// inverseRMS is 1/√(mean(x²)+eps).
func inverseRMS[T float](x []T, eps float64) float64 {
	var s float64
	for _, v := range x {
		s += float64(float64(v) * float64(v))
	}
	return 1 / math.Sqrt(s/float64(len(x))+eps)
}

// rmsnorm normalises a row's heads, each of the weight's length k, by themselves.
func rmsnorm[T float](b *backend, c engine.Call) (engine.Launch, error) {
	capacity, width, k, eps := c.In[0].Shape()[0], c.In[0].Shape()[1], c.In[1].Size(), c.Attr.(ops.RMSNorm).Eps
	return b.rowwise(c, capacity, rowChunk(width), func(from, to int) {
		x, w, out := engine.Slice[T](c.In[0]), engine.Slice[T](c.In[1]), engine.Slice[T](c.Out)
		for at := from * width; at < to*width; at += k {
			row, y := x[at:][:k], out[at:][:k]
			inv := T(inverseRMS(row, eps))
			for j, v := range row {
				y[j] = T(v*inv) * w[j]
			}
		}
	}), nil
}

// rmsnormDX: with r = 1/√(mean(x²)+eps) and g = w·dy, dx = r·g − x·r³·mean(x·g).
func rmsnormDX[T float](b *backend, c engine.Call) (engine.Launch, error) {
	capacity, width, k, eps := c.In[0].Shape()[0], c.In[0].Shape()[1], c.In[1].Size(), c.Attr.(ops.RMSNorm).Eps
	return b.rowwise(c, capacity, rowChunk(width), func(from, to int) {
		x, w, dy, out := engine.Slice[T](c.In[0]), engine.Slice[T](c.In[1]), engine.Slice[T](c.In[2]), engine.Slice[T](c.Out)
		for at := from * width; at < to*width; at += k {
			row, d, dx := x[at:][:k], dy[at:][:k], out[at:][:k]
			inv := inverseRMS(row, eps)
			var s float64
			for j, v := range row {
				s += float64(float64(v) * float64(w[j]*d[j]))
			}
			s *= inv * inv * inv / float64(k)
			for j, v := range row {
				dx[j] = T(float64(inv*float64(w[j]*d[j])) - float64(float64(v)*s))
			}
		}
	}), nil
}

// rmsnormDW: dw = Σ dy·x·r over tokens and heads, in float64.
func rmsnormDW[T float](b *backend, c engine.Call) (engine.Launch, error) {
	capacity, width, k, eps := c.In[0].Shape()[0], c.In[0].Shape()[1], c.Out.Size(), c.Attr.(ops.RMSNorm).Eps
	heads := width / k
	inv := make([]float64, capacity*heads)
	norms := b.rowwise(c, capacity, rowChunk(width), func(from, to int) {
		x := engine.Slice[T](c.In[0])
		for h := from * heads; h < to*heads; h++ {
			inv[h] = inverseRMS(x[h*k:][:k], eps)
		}
	})
	var rows int
	columns := func(i int) {
		x, dy, from := engine.Slice[T](c.In[0]), engine.Slice[T](c.In[1]), i*columnBlock
		width := min(columnBlock, k-from)
		var sums [columnBlock]float64
		for h := range rows * heads {
			row, r := x[h*k+from:][:width], inv[h]
			for j, d := range dy[h*k+from:][:width] {
				sums[j] += float64(float64(d) * float64(row[j]) * r)
			}
		}
		store(engine.Slice[T](c.Out)[from:], sums[:width])
	}
	return func() error {
		if err := norms(); err != nil {
			return err
		}
		var err error
		if rows, err = live(c, c.Rows, capacity); err != nil {
			return err
		}
		return b.pool.run(ceilDiv(k, columnBlock), columns)
	}, nil
}

// rope rotates the pair (i, i+D/2) of each head by position·frequency: angle and its sine in float64, then rounded.
func rope[T float](b *backend, c engine.Call) (engine.Launch, error) {
	a := c.Attr.(ops.RoPE)
	capacity, width, half := c.In[0].Shape()[0], c.In[0].Shape()[1], a.HeadDim/2
	frequency, amplitude := a.Frequencies()
	return b.rowwise(c, capacity, rowChunk(width), func(from, to int) {
		x, positions, out := engine.Slice[T](c.In[0]), engine.Slice[int32](c.In[1]), engine.Slice[T](c.Out)
		for t := from; t < to; t++ {
			for i, f := range frequency {
				s, co := math.Sincos(float64(positions[t]) * f)
				if a.Inverse {
					s = -s
				}
				sin, cos := T(amplitude*s), T(amplitude*co)
				for at := t*width + i; at < (t+1)*width; at += a.HeadDim {
					u, v := x[at], x[at+half]
					out[at] = T(u*cos) - T(v*sin)
					out[at+half] = T(v*cos) + T(u*sin)
				}
			}
		}
	}), nil
}

func swiglu[T float](b *backend, c engine.Call) (engine.Launch, error) {
	capacity, n := c.In[0].Shape()[0], c.In[0].Shape()[1]
	return b.rowwise(c, capacity, rowChunk(n), func(from, to int) {
		gate, up, out := engine.Slice[T](c.In[0]), engine.Slice[T](c.In[1]), engine.Slice[T](c.Out)
		swigluRow(out[from*n:to*n], gate[from*n:], up[from*n:])
	}), nil
}

func swigluRow[T float](out, gate, up []T) {
	for i := range out {
		g := float64(gate[i])
		out[i] = T(g*logistic(g)) * up[i]
	}
}

// swigluBackward: with s = σ(g), dgate = dy·up·s·(1 + g·(1−s)) and dup = dy·g·s.
func swigluBackward[T float](b *backend, c engine.Call) (engine.Launch, error) {
	capacity, n := c.In[0].Shape()[0], c.In[0].Shape()[1]
	return b.rowwise(c, capacity, rowChunk(n), func(from, to int) {
		gate, up, dy, out := engine.Slice[T](c.In[0]), engine.Slice[T](c.In[1]), engine.Slice[T](c.In[2]), engine.Slice[T](c.Out)
		dgate, dup := out[:capacity*n], out[capacity*n:]
		for i := from * n; i < to*n; i++ {
			g, d := float64(gate[i]), float64(dy[i])
			s := logistic(g)
			dgate[i] = T(d * float64(up[i]) * s * (1 + float64(g*(1-s))))
			dup[i] = T(d * g * s)
		}
	}), nil
}

// leading splits a shape into rows and their width; a scalar is one row of one.
func leading(t *engine.Tensor) (rows, width int) {
	if len(t.Shape()) == 0 {
		return 1, 1
	}
	rows = t.Shape()[0]
	return rows, t.Size() / max(1, rows)
}

func add[T float](b *backend, c engine.Call) (engine.Launch, error) {
	capacity, width := leading(c.Out)
	s := T(c.Attr.(engine.AddAttr).Scale)
	return b.rowwise(c, capacity, rowChunk(width), func(from, to int) {
		x, y, out := engine.Slice[T](c.In[0]), engine.Slice[T](c.In[1]), engine.Slice[T](c.Out)
		for i := from * width; i < to*width; i++ {
			out[i] = x[i] + T(s*y[i])
		}
	}), nil
}

func scale[T float](b *backend, c engine.Call) (engine.Launch, error) {
	capacity, width := leading(c.Out)
	s := T(c.Attr.(engine.AddAttr).Scale)
	return b.rowwise(c, capacity, rowChunk(width), func(from, to int) {
		x, out := engine.Slice[T](c.In[0]), engine.Slice[T](c.Out)
		for i := from * width; i < to*width; i++ {
			out[i] = s * x[i]
		}
	}), nil
}
