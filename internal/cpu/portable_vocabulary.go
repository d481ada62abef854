package cpu

import (
	"math"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
)

// logProbBlock sums in float64 within a block. A label outside of the block leaves its logit as it was, −∞ before the first.
func logProbBlock[T float](b *backend, c engine.Call) (engine.Launch, error) {
	capacity, n, from := c.In[0].Shape()[0], c.In[0].Shape()[1], c.Attr.(ops.LogProbBlock).From
	return b.rowwise(c, capacity, rowChunk(n), func(lo, hi int) {
		x, labels, out := engine.Slice[T](c.In[0]), engine.Slice[int32](c.In[1]), engine.Slice[T](c.Out)
		for r := lo; r < hi; r++ {
			row, state := x[r*n:][:n], out[r*ops.LogProbState:][:ops.LogProbState]
			before := [ops.LogProbState]T{T(math.Inf(-1)), 0, T(math.Inf(-1))}
			if len(c.In) == 3 {
				copy(before[:], engine.Slice[T](c.In[2])[r*ops.LogProbState:])
			}
			top, sum := before[0], 0.0
			for _, v := range row {
				top = max(top, v)
			}
			for _, v := range row {
				sum += math.Exp(float64(v) - float64(top))
			}
			if before[1] != 0 {
				sum += float64(before[1]) * math.Exp(float64(before[0])-float64(top))
			}
			state[0], state[1], state[2] = top, T(sum), before[2]
			if at := int(labels[r]) - from; at >= 0 && at < n {
				state[2] = row[at]
			}
		}
	}), nil
}

func logProb[T float](b *backend, c engine.Call) (engine.Launch, error) {
	return b.rowwise(c, c.Out.Size(), rowChunk(ops.LogProbState), func(lo, hi int) {
		state, out := engine.Slice[T](c.In[0]), engine.Slice[T](c.Out)
		for r := lo; r < hi; r++ {
			s := state[r*ops.LogProbState:]
			out[r] = T(float64(s[2]) - float64(s[0]) - math.Log(float64(s[1])))
		}
	}), nil
}
