package safetensors

import "slices"

// DType is an element type, spelled as in the file.
type DType string

// The element types that are read and written.
const (
	F64    DType = "F64"
	F32    DType = "F32"
	F16    DType = "F16"
	BF16   DType = "BF16"
	F8E4M3 DType = "F8_E4M3"
	F8E5M2 DType = "F8_E5M2"
	I64    DType = "I64"
	I32    DType = "I32"
	I16    DType = "I16"
	I8     DType = "I8"
	U64    DType = "U64"
	U32    DType = "U32"
	U16    DType = "U16"
	U8     DType = "U8"
	Bool   DType = "BOOL"
)

// ascending is the order of element types by which huggingface/safetensors lays out the files it writes (descending, so that wide
// types come first and stay aligned), with the bytes of one element.
var ascending = []struct {
	dtype DType
	bytes int64
}{
	{Bool, 1}, {U8, 1}, {I8, 1}, {F8E5M2, 1}, {F8E4M3, 1}, {I16, 2}, {U16, 2}, {F16, 2}, {BF16, 2},
	{I32, 4}, {U32, 4}, {F32, 4}, {F64, 8}, {I64, 8}, {U64, 8},
}

// rank is the type's place in ascending order, or -1 for an unknown type.
func (d DType) rank() int {
	for i, known := range ascending {
		if known.dtype == d {
			return i
		}
	}
	return -1
}

// Size is the number of bytes of one element, or 0 for an unknown type.
func (d DType) Size() int64 {
	if i := d.rank(); i >= 0 {
		return ascending[i].bytes
	}
	return 0
}

// IsFloat reports whether [AppendFloat32] and [AppendFloat64] decode the type.
func (d DType) IsFloat() bool { return slices.Contains([]DType{F64, F32, F16, BF16}, d) }
