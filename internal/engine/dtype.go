package engine

import (
	"errors"
	"fmt"
	"math"
	"reflect"

	"gorgonia.org/tensor"
)

// BF16 is a bfloat16: the upper half of a float32. It is a defined type because gorgonia compares dtypes by reflect.Type.
type BF16 uint16

// The dtypes that tensors may have.
var (
	F32      = tensor.Float32
	F64      = tensor.Float64
	I32      = tensor.Int32
	I8       = tensor.Int8
	BFloat16 = tensor.Dtype{Type: reflect.TypeFor[BF16]()}
)

// Float32 widens b exactly.
func (b BF16) Float32() float32 { return math.Float32frombits(uint32(b) << 16) }

// ToBF16 rounds f to the nearest bfloat16, ties to even; a NaN stays a (quiet) NaN.
func ToBF16(f float32) BF16 {
	bits := math.Float32bits(f)
	if bits&0x7fffffff > 0x7f800000 {
		return BF16(bits>>16 | 0x40)
	}
	return BF16((bits + 0x7fff + bits>>16&1) >> 16)
}

// DTypeName is the name used in configs and messages: f32, f64, bf16, i32 or i8.
func DTypeName(d tensor.Dtype) string {
	switch d {
	case F32:
		return "f32"
	case F64:
		return "f64"
	case I32:
		return "i32"
	case BFloat16:
		return "bf16"
	case I8:
		return "i8"
	}
	return d.String()
}

// ParseDType is the inverse of DTypeName for the floating dtypes.
func ParseDType(name string) (tensor.Dtype, error) {
	switch name {
	case "f32":
		return F32, nil
	case "f64":
		return F64, nil
	case "bf16":
		return BFloat16, nil
	}
	return tensor.Dtype{}, fmt.Errorf("dtype %q: want f32, f64 or bf16", name)
}

// Int8 is the arithmetic of scoring whose frozen projections multiply int8: everything else is f32.
const Int8 = "int8"

// ErrInt8Training refuses to train in Int8.
var ErrInt8Training = errors.New("dtype: int8 is for scoring, not for training")

// ResolveDType names the dtype that a backend computes in: "" and auto are bf16 where it prefers that, else f32.
func ResolveDType(name string, b Backend) (string, error) {
	_, narrow := b.(ComputesBF16)
	_, preferred := b.(PrefersBF16)
	_, int8 := b.(ComputesInt8)
	switch {
	case name == Int8 && !int8:
		return "", fmt.Errorf("dtype: int8 is for the device cpu: %s has no products of int8", b.Name())
	case name == Int8:
		return name, nil
	case (name == "" || name == "auto") && preferred:
		return "bf16", nil
	case name == "" || name == "auto":
		return "f32", nil
	case name == "bf16" && !narrow:
		return "", fmt.Errorf("dtype: bf16 compute needs a GPU, or a CPU with AVX512_BF16 (backend: avx512bf16): %s computes in f32 and f64 "+
			"(bf16 weights are read as they are)", b.Name())
	}
	_, err := ParseDType(name)
	return name, err
}
