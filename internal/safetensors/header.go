package safetensors

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

const (
	lengthBytes = 8 // the file begins with the header's length as a little-endian u64
	// maxHeaderBytes is the format's own limit.
	maxHeaderBytes = 100_000_000
	// maxRank bounds the dimensions of a tensor, as PyTorch and NumPy do.
	maxRank     = 64
	metadataKey = "__metadata__"
)

// Info describes one tensor of a file.
type Info struct {
	Name       string
	DType      DType
	Shape      []int // not to be changed
	Begin, End int64 // its bytes' place in the file; data may be unaligned
}

// Bytes is the size of the tensor's data.
func (i Info) Bytes() int64 { return i.End - i.Begin }

// Elements is the number of elements; 1 for a scalar.
func (i Info) Elements() int64 { return i.Bytes() / i.DType.Size() }

// header is a file's checked table of contents.
type header struct {
	tensors  []Info // by place in the file
	metadata map[string]string
}

// readHeader reads and checks everything but the data of a file of size bytes. Nothing is allocated before its length is known to be
// backed by that many bytes of the file. Errors are of type *FormatError (without the file's name), or the reader's own.
func readHeader(file io.ReaderAt, size int64) (*header, error) {
	if size == 0 {
		return nil, &FormatError{Verdict: Empty, Reason: "the file is empty"}
	}
	if size < lengthBytes {
		return nil, &FormatError{Verdict: HeaderTooSmall, Reason: fmt.Sprintf("%d bytes are too few for a safetensors file", size)}
	}
	var prefix [lengthBytes]byte
	if _, err := file.ReadAt(prefix[:], 0); err != nil {
		return nil, err
	}
	length := binary.LittleEndian.Uint64(prefix[:])
	if length > maxHeaderBytes {
		return nil, &FormatError{Verdict: HeaderTooLarge,
			Reason: fmt.Sprintf("header length %d beyond the format's limit of %d; not a safetensors file?", length, maxHeaderBytes)}
	}
	if int64(length) > size-lengthBytes {
		return nil, &FormatError{Verdict: InvalidHeaderLength, Reason: fmt.Sprintf("header ends at %d beyond end of file (%d)",
			length+lengthBytes, size)}
	}
	text := make([]byte, length)
	if _, err := file.ReadAt(text, lengthBytes); err != nil && length > 0 {
		return nil, err
	}
	parsed, err := parseHeader(text)
	if err != nil {
		return nil, err
	}
	return parsed, parsed.checkLayout(lengthBytes+int64(length), size)
}

// checkLayout orders the tensors by place and checks that their data lie end to end from begin to the end of the file.
func (h *header) checkLayout(begin, size int64) error {
	slices.SortFunc(h.tensors, func(a, b Info) int {
		return cmp.Or(cmp.Compare(a.Begin, b.Begin), cmp.Compare(a.End, b.End), strings.Compare(a.Name, b.Name))
	})
	end, before := begin, "the header"
	for i := range h.tensors {
		tensor := &h.tensors[i]
		if tensor.End > math.MaxInt64-begin {
			return &FormatError{Tensor: tensor.Name, Verdict: ValidationOverflow, Reason: "data offsets overflow"}
		}
		tensor.Begin += begin
		tensor.End += begin
		fault := func(verdict Verdict, offset int64, format string, args ...any) error {
			return &FormatError{Tensor: tensor.Name, Offset: offset, Verdict: verdict, Reason: fmt.Sprintf(format, args...)}
		}
		switch {
		case tensor.Begin < end:
			return fault(InvalidOffset, tensor.Begin, "data at offset %d overlap %s, which ends at %d", tensor.Begin, before, end)
		case tensor.Begin > end:
			return fault(InvalidOffset, tensor.Begin, "data at offset %d leave a gap after %s, which ends at %d", tensor.Begin, before, end)
		case tensor.End > size:
			return fault(MetadataIncompleteBuffer, tensor.End, "offset %d beyond end of file (%d)", tensor.End, size)
		}
		end, before = tensor.End, strconv.Quote(tensor.Name)
	}
	if end < size {
		return &FormatError{Offset: end, Verdict: MetadataIncompleteBuffer,
			Reason: fmt.Sprintf("%d bytes at offset %d belong to no tensor", size-end, end)}
	}
	return nil
}
