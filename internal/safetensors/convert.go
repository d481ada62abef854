package safetensors

import (
	"encoding/binary"
	"fmt"
	"math"
)

// AppendFloat32 appends the values of a tensor of type F64, F32, F16 or BF16 to dst; F64 is rounded, the others are exact.
func AppendFloat32(dst []float32, info Info, data []byte) ([]float32, error) {
	return appendValues(dst, info, data)
}

// AppendFloat64 appends the values of a tensor of type F64, F32, F16 or BF16 to dst, exactly.
func AppendFloat64(dst []float64, info Info, data []byte) ([]float64, error) {
	return appendValues(dst, info, data)
}

func appendValues[T float32 | float64](dst []T, info Info, data []byte) ([]T, error) {
	if int64(len(data)) != info.Bytes() {
		return dst, fmt.Errorf("tensor %q: %d bytes of data, %d expected", info.Name, len(data), info.Bytes())
	}
	order := binary.LittleEndian
	switch info.DType {
	case F64:
		for ; len(data) > 0; data = data[8:] {
			dst = append(dst, T(math.Float64frombits(order.Uint64(data))))
		}
	case F32:
		for ; len(data) > 0; data = data[4:] {
			dst = append(dst, T(math.Float32frombits(order.Uint32(data))))
		}
	case F16:
		for ; len(data) > 0; data = data[2:] {
			dst = append(dst, T(FromF16(order.Uint16(data))))
		}
	case BF16:
		for ; len(data) > 0; data = data[2:] {
			dst = append(dst, T(FromBF16(order.Uint16(data))))
		}
	default:
		return dst, fmt.Errorf("tensor %q: %s is not a floating-point type that is decoded", info.Name, info.DType)
	}
	return dst, nil
}

// AppendEncoded appends values to dst as dtype F64, F32, F16 or BF16, rounded to the nearest, ties to even; float64 values go to F16
// and BF16 by way of float32.
func AppendEncoded[T float32 | float64](dst []byte, dtype DType, values []T) ([]byte, error) {
	order := binary.LittleEndian
	for _, value := range values {
		switch dtype {
		case F64:
			dst = order.AppendUint64(dst, math.Float64bits(float64(value)))
		case F32:
			dst = order.AppendUint32(dst, math.Float32bits(float32(value)))
		case F16:
			dst = order.AppendUint16(dst, ToF16(float32(value)))
		case BF16:
			dst = order.AppendUint16(dst, ToBF16(float32(value)))
		default:
			return dst, fmt.Errorf("%s is not a floating-point type that is encoded", dtype)
		}
	}
	return dst, nil
}
