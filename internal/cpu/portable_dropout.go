package cpu

import (
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"github.com/goprm/goprm/internal/rng"
)

func dropout[T float](b *backend, c engine.Call) (engine.Launch, error) {
	capacity, k := c.In[0].Shape()[0], c.In[0].Shape()[1]
	attr := c.Attr.(ops.Dropout)
	below, scale := uint64(attr.P*(1<<32)), T(1/(1-attr.P))
	return b.rowwise(c, capacity, rowChunk(k), func(from, to int) {
		x, keys, out := engine.Slice[T](c.In[0]), engine.Slice[int32](c.In[1]), engine.Slice[T](c.Out)
		for t := from; t < to; t++ {
			row, y := x[t*k:][:k], out[t*k:][:k]
			key := uint64(uint32(keys[2*t])) | uint64(uint32(keys[2*t+1]))<<32
			if key == 0 {
				copy(y, row)
				continue
			}
			base := rng.Mix(key ^ attr.Salt)
			for j, v := range row {
				if rng.Mix(base+uint64(j))>>32 < below {
					y[j] = 0
				} else {
					y[j] = v * scale
				}
			}
		}
	}), nil
}
