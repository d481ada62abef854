package cpu

import (
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
)

// linearInt8 is linear_int8, the specification of every other kernel's bits: out[t,n] = bias[n], to which the blocks are added one after
// the other, each float32(Σ x·w)·(x's scale)·(w's scale).
func linearInt8(b *backend, c engine.Call) (engine.Launch, error) {
	capacity, k, n := c.In[0].Shape()[0], c.In[1].Shape()[1], c.In[1].Shape()[0]
	blocks := ops.Int8Blocks(k)
	narrow, scales := make([][]int8, b.pool.helpers+1), make([][]float32, b.pool.helpers+1)
	for i := range narrow {
		narrow[i], scales[i] = make([]int8, k), make([]float32, blocks)
	}
	work := func(worker, t int) {
		row, scales, x := narrow[worker], scales[worker], engine.Slice[float32](c.In[0])[t*k:][:k]
		for i := range blocks {
			from, to := i*ops.Int8Block, min(k, (i+1)*ops.Int8Block)
			scales[i] = ops.RoundInt8(row[from:to], x[from:to])
		}
		out := engine.Slice[float32](c.Out)[t*n:][:n]
		clear(out)
		if len(c.In) > 3 {
			copy(out, engine.Slice[float32](c.In[3]))
		}
		weight, weightScales := engine.Slice[int8](c.In[1]), engine.Slice[float32](c.In[2])
		for j := range out {
			for i := range blocks {
				from, to := i*ops.Int8Block, min(k, (i+1)*ops.Int8Block)
				sum := dotInt8(row[from:to], weight[j*k+from:j*k+to])
				scaled := float32(float32(sum) * scales[i])
				out[j] += float32(scaled * weightScales[j*blocks+i])
			}
		}
	}
	crew := newCrew(b.pool)
	return func() error {
		rows, err := live(c, c.Rows, capacity)
		if err != nil {
			return err
		}
		return crew.run(rows, work)
	}, nil
}

func dotInt8(x, y []int8) (sum int32) {
	for i, v := range x {
		sum += int32(v) * int32(y[i])
	}
	return sum
}
