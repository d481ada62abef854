//go:build amd64 && !noasm

package cpu

import (
	"unsafe"

	"github.com/goprm/goprm/internal/engine"
)

// Kernels of elements one by one, sixteen at a time; they decline rows whose width is no multiple of that.

func sixteens(c engine.Call) bool {
	_, width := leading(c.In[0])
	return width%16 == 0
}

func avx512SwiGLU(b *backend, c engine.Call) (engine.Launch, error) {
	if !sixteens(c) || c.Out.Dtype() != engine.F32 {
		return avx2SwiGLU(b, c)
	}
	capacity, width := leading(c.In[0])
	return b.rowwise(c, capacity, rowChunk(width), func(from, to int) {
		i := from * width
		vecSwiGLU16(f32At(c.Out, i), f32At(c.In[0], i), f32At(c.In[1], i), (to-from)*width/16)
	}), nil
}

func bf16At(t *engine.Tensor, i int) *uint16 { return (*uint16)(unsafe.Add(t.Ptr, 2*i)) }

// swigluBF16 and addBF16 have the bits of the kernels in f32, rounded once.
func swigluBF16(b *backend, c engine.Call) (engine.Launch, error) {
	if !sixteens(c) {
		return nil, nil
	}
	capacity, width := leading(c.In[0])
	return b.rowwise(c, capacity, rowChunk(width), func(from, to int) {
		i := from * width
		vecSwiGLUBF16(bf16At(c.Out, i), bf16At(c.In[0], i), bf16At(c.In[1], i), (to-from)*width/16)
	}), nil
}

func addBF16(b *backend, c engine.Call) (engine.Launch, error) {
	if !sixteens(c) {
		return nil, nil
	}
	capacity, width := leading(c.Out)
	s := float32(c.Attr.(engine.AddAttr).Scale)
	return b.rowwise(c, capacity, rowChunk(width), func(from, to int) {
		i := from * width
		vecAddBF16(bf16At(c.Out, i), bf16At(c.In[0], i), bf16At(c.In[1], i), s, (to-from)*width/16)
	}), nil
}
