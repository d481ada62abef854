package engine

import (
	"fmt"
	"unsafe"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Tensor is a gorgonia.Value over memory that may be Go heap, an arena, a read-only mapping or a device's.
// Gorgonia never touches the memory. Kernels read Ptr at every launch, so a slot may be given other memory between runs.
type Tensor struct {
	Ptr   unsafe.Pointer
	dtype tensor.Dtype
	shape tensor.Shape
	keep  any // keeps the memory alive
}

var (
	_ gorgonia.Value = (*Tensor)(nil)
	_ gorgonia.Typer = (*Tensor)(nil)
)

// NewTensor describes memory at ptr; keep is held as long as the tensor is.
func NewTensor(ptr unsafe.Pointer, dtype tensor.Dtype, shape []int, keep any) *Tensor {
	return &Tensor{Ptr: ptr, dtype: dtype, shape: append(tensor.Shape{}, shape...), keep: keep}
}

// Number is an element type of a tensor.
type Number interface {
	float32 | float64 | int32 | int8 | BF16
}

// FromSlice makes a tensor of data's memory, without a copy; len(data) must be the product of shape.
func FromSlice[T Number](data []T, shape ...int) *Tensor {
	if n := elements(shape); n != len(data) {
		panic(fmt.Sprintf("engine.FromSlice: %d elements for shape %v", len(data), shape))
	}
	return NewTensor(unsafe.Pointer(unsafe.SliceData(data)), dtypeOf[T](), shape, data)
}

// Slice views a host tensor's memory as a slice, without a copy; T must be the tensor's element type.
func Slice[T Number](t *Tensor) []T {
	if dtypeOf[T]() != t.dtype {
		panic(fmt.Sprintf("engine.Slice: %s tensor viewed as %s", DTypeName(t.dtype), DTypeName(dtypeOf[T]())))
	}
	return unsafe.Slice((*T)(t.Ptr), elements(t.shape))
}

func dtypeOf[T Number]() tensor.Dtype {
	var z T
	switch any(z).(type) {
	case float32:
		return F32
	case float64:
		return F64
	case int32:
		return I32
	case int8:
		return I8
	}
	return BFloat16
}

func elements(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// Bytes is the tensor's memory as bytes; only for host tensors.
func (t *Tensor) Bytes() []byte { return unsafe.Slice((*byte)(t.Ptr), t.MemSize()) }

// Point makes the tensor use src's memory; dtype and shape must agree.
func (t *Tensor) Point(src *Tensor) error {
	if t.dtype != src.dtype || !t.shape.Eq(src.shape) {
		return fmt.Errorf("slot of %s %v given %s %v", DTypeName(t.dtype), []int(t.shape), DTypeName(src.dtype), []int(src.shape))
	}
	t.Ptr, t.keep = src.Ptr, src.keep
	return nil
}

func (t *Tensor) Shape() tensor.Shape     { return t.shape }
func (t *Tensor) Size() int               { return elements(t.shape) }
func (t *Tensor) Data() any               { return nil } // the memory may be a device's: never handed to gorgonia
func (t *Tensor) Dtype() tensor.Dtype     { return t.dtype }
func (t *Tensor) Uintptr() uintptr        { return uintptr(t.Ptr) }
func (t *Tensor) MemSize() uintptr        { return uintptr(elements(t.shape)) * t.dtype.Size() }
func (t *Tensor) Pointer() unsafe.Pointer { return t.Ptr }

// Format prints dtype and shape only.
func (t *Tensor) Format(s fmt.State, _ rune) {
	_, _ = fmt.Fprintf(s, "%s%v", DTypeName(t.dtype), []int(t.shape))
}

// Type is a scalar's dtype or a gorgonia tensor type.
func (t *Tensor) Type() hm.Type { return typeOf(t.dtype, len(t.shape)) }

func typeOf(dtype tensor.Dtype, dims int) hm.Type {
	if dims == 0 {
		return dtype
	}
	return gorgonia.TensorType{Dims: dims, Of: dtype}
}

// FromDType makes a zeroed host tensor.
func FromDType(dtype tensor.Dtype, shape ...int) *Tensor {
	words := make([]uint64, (elements(shape)*int(dtype.Size())+7)/8)
	return NewTensor(unsafe.Pointer(unsafe.SliceData(words)), dtype, shape, words)
}
