//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"math"

	"github.com/goprm/goprm/internal/engine"
	"gorgonia.org/tensor"
)

// placed copies a host tensor to the device.
func (t *trial) placed(host *engine.Tensor) *engine.Tensor {
	if t.failed != nil {
		return host
	}
	x, err := engine.CopyTo(t.b, host)
	if t.failed = err; x == nil {
		return host
	}
	t.owned = append(t.owned, x.Ptr)
	return x
}

func (t *trial) zeros(dtype tensor.Dtype, shape ...int) *engine.Tensor {
	return t.placed(engine.FromDType(dtype, shape...))
}

func (t *trial) integers(v ...int32) *engine.Tensor { return t.placed(engine.FromSlice(v, len(v))) }

func (t *trial) random(rows, width int) *engine.Tensor { return t.rows(rows, rows, width) }

func (t *trial) bias(n int) *engine.Tensor {
	v := make([]float32, n)
	for i := range v {
		v[i] = t.number()
	}
	return t.placed(engine.FromSlice(v, n))
}

// number is random, between −1 and 1.
func (t *trial) number() float32 {
	t.drawn++
	return float32(2*t.stream.Float64(t.drawn) - 1)
}

// rows are random, and past the live ones NaN, which must go nowhere.
func (t *trial) rows(live, rows, width int) *engine.Tensor {
	v := make([]engine.BF16, rows*width)
	for i := range v {
		v[i] = engine.ToBF16(float32(math.NaN()))
		if i < live*width {
			v[i] = engine.ToBF16(t.number())
		}
	}
	return t.placed(engine.FromSlice(v, rows, width))
}
