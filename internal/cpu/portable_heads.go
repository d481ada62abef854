package cpu

import (
	"math"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
)

// Kernels over read-outs: a few numbers each, so they compute in float64 and round once.

func gather[T float](b *backend, c engine.Call) (engine.Launch, error) {
	k, capacity := c.In[0].Shape()[1], c.In[1].Size()
	run := b.rowwise(c, capacity, rowChunk(k), func(from, to int) {
		x, reads, out := engine.Slice[T](c.In[0]), engine.Slice[int32](c.In[1]), engine.Slice[T](c.Out)
		for r := from; r < to; r++ {
			copy(out[r*k:][:k], x[int(reads[r])*k:])
		}
	})
	return func() error {
		tokens, err := live(c, engine.Tokens, c.In[0].Shape()[0])
		if err != nil {
			return err
		}
		rows, err := live(c, c.Rows, capacity)
		if err != nil {
			return err
		}
		if err := ops.CheckIDs("read-out position", engine.Slice[int32](c.In[1])[:rows], tokens); err != nil {
			return err
		}
		return run()
	}, nil
}

// gatherDX adds the rows of dy to rows of zeros, in the order of the read-outs.
func gatherDX[T float](b *backend, c engine.Call) (engine.Launch, error) {
	capacity, k, tokens := c.In[0].Shape()[0], c.In[0].Shape()[1], c.Out.Shape()[0]
	return scatter[T](b, c, "read-out position", capacity, k, func() (int, error) { return live(c, engine.Tokens, tokens) })
}

// elementwise makes the launch of out = f(first input, second input if there is one), over read-outs.
func elementwise[T float](b *backend, c engine.Call, f func(x, y float64) float64) (engine.Launch, error) {
	capacity, width := leading(c.Out)
	return b.rowwise(c, capacity, rowChunk(width), func(from, to int) {
		x, y, out := engine.Slice[T](c.In[0]), engine.Slice[T](c.In[len(c.In)-1]), engine.Slice[T](c.Out)
		for i := from * width; i < to*width; i++ {
			out[i] = T(f(float64(x[i]), float64(y[i])))
		}
	}), nil
}

func sigmoid[T float](b *backend, c engine.Call) (engine.Launch, error) {
	return elementwise[T](b, c, func(x, _ float64) float64 { return logistic(x) })
}

func sigmoidDX[T float](b *backend, c engine.Call) (engine.Launch, error) {
	return elementwise[T](b, c, func(y, dy float64) float64 { return dy * y * (1 - y) })
}

func relu[T float](b *backend, c engine.Call) (engine.Launch, error) {
	return elementwise[T](b, c, func(x, _ float64) float64 { return max(x, 0) }) // NaN stays NaN
}

func reluDX[T float](b *backend, c engine.Call) (engine.Launch, error) {
	return elementwise[T](b, c, func(y, dy float64) float64 {
		if y <= 0 {
			return 0
		}
		return dy
	})
}

func positiveProb[T float](b *backend, c engine.Call) (engine.Launch, error) {
	return b.rowwise(c, c.Out.Size(), rowChunk(2), func(from, to int) {
		z, out := engine.Slice[T](c.In[0]), engine.Slice[T](c.Out)
		for r := from; r < to; r++ {
			out[r] = T(logistic(float64(z[2*r+1]) - float64(z[2*r])))
		}
	}), nil
}

func positiveProbDX[T float](b *backend, c engine.Call) (engine.Launch, error) {
	return b.rowwise(c, c.In[0].Size(), rowChunk(2), func(from, to int) {
		y, dy, out := engine.Slice[T](c.In[0]), engine.Slice[T](c.In[1]), engine.Slice[T](c.Out)
		for r := from; r < to; r++ {
			d := T(float64(dy[r]) * float64(y[r]) * (1 - float64(y[r])))
			out[2*r], out[2*r+1] = -d, d
		}
	}), nil
}

// withColumns checks the chosen columns of the live rows, then runs.
func withColumns(c engine.Call, columns int, run engine.Launch) engine.Launch {
	return func() error {
		rows, err := live(c, c.Rows, c.In[1].Size())
		if err != nil {
			return err
		}
		if err := ops.CheckIDs("column", engine.Slice[int32](c.In[1])[:rows], columns); err != nil {
			return err
		}
		return run()
	}
}

func pick[T float](b *backend, c engine.Call) (engine.Launch, error) {
	columns := c.In[0].Shape()[1]
	return withColumns(c, columns, b.rowwise(c, c.Out.Size(), rowChunk(columns), func(from, to int) {
		x, column, out := engine.Slice[T](c.In[0]), engine.Slice[int32](c.In[1]), engine.Slice[T](c.Out)
		for r := from; r < to; r++ {
			out[r] = x[r*columns+int(column[r])]
		}
	})), nil
}

func pickDX[T float](b *backend, c engine.Call) (engine.Launch, error) {
	columns := c.Out.Shape()[1]
	return withColumns(c, columns, b.rowwise(c, c.In[0].Size(), rowChunk(columns), func(from, to int) {
		dy, column, out := engine.Slice[T](c.In[0]), engine.Slice[int32](c.In[1]), engine.Slice[T](c.Out)
		clear(out[from*columns : to*columns])
		for r := from; r < to; r++ {
			out[r*columns+int(column[r])] = dy[r]
		}
	})), nil
}

// objective sums term(input row, target)·weight over the live read-outs, in float64 and in their order.
func objective[T float](c engine.Call, term func(x []T, target float64) float64) (engine.Launch, error) {
	capacity, width := c.In[0].Shape()[0], c.In[0].Shape()[1]
	return func() error {
		rows, err := live(c, c.Rows, capacity)
		if err != nil {
			return err
		}
		x, target, weight := engine.Slice[T](c.In[0]), engine.Slice[T](c.In[1]), engine.Slice[T](c.In[2])
		var sum float64
		for r := range rows {
			sum += float64(float64(weight[r]) * term(x[r*width:][:width], float64(target[r])))
		}
		engine.Slice[T](c.Out)[0] = T(sum)
		return nil
	}, nil
}

// objectiveGradient writes slope(input row, target)·weight·dL to the last column of each row; of two columns, the
// first gets its negative.
func objectiveGradient[T float](b *backend, c engine.Call, slope func(x []T, target float64) float64) (engine.Launch, error) {
	capacity, width := c.In[0].Shape()[0], c.In[0].Shape()[1]
	return b.rowwise(c, capacity, rowChunk(width), func(from, to int) {
		x, target, weight := engine.Slice[T](c.In[0]), engine.Slice[T](c.In[1]), engine.Slice[T](c.In[2])
		dL, out := float64(engine.Slice[T](c.In[3])[0]), engine.Slice[T](c.Out)
		for r := from; r < to; r++ {
			d := T(dL * float64(weight[r]) * slope(x[r*width:][:width], float64(target[r])))
			out[r*width] = -d
			out[r*width+width-1] = d
		}
	}), nil
}

func squaredError[T float](_ *backend, c engine.Call) (engine.Launch, error) {
	return objective(c, func(y []T, target float64) float64 {
		d := float64(y[0]) - target
		return d * d
	})
}

func squaredErrorDY[T float](b *backend, c engine.Call) (engine.Launch, error) {
	return objectiveGradient(b, c, func(y []T, target float64) float64 { return 2 * (float64(y[0]) - target) })
}

// crossEntropy is softplus(z) − target·z.
func crossEntropy(z, target float64) float64 {
	return max(z, 0) + math.Log1p(math.Exp(-math.Abs(z))) - float64(target*z)
}

func bce[T float](_ *backend, c engine.Call) (engine.Launch, error) {
	return objective(c, func(z []T, target float64) float64 { return crossEntropy(float64(z[0]), target) })
}

func bceDZ[T float](b *backend, c engine.Call) (engine.Launch, error) {
	return objectiveGradient(b, c, func(z []T, target float64) float64 { return logistic(float64(z[0])) - target })
}

func ce[T float](_ *backend, c engine.Call) (engine.Launch, error) {
	return objective(c, func(z []T, target float64) float64 { return crossEntropy(float64(z[1])-float64(z[0]), target) })
}

func ceDZ[T float](b *backend, c engine.Call) (engine.Launch, error) {
	return objectiveGradient(b, c, func(z []T, target float64) float64 {
		return logistic(float64(z[1])-float64(z[0])) - target
	})
}
