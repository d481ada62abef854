package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goprm/goprm/internal/atomicfile"
)

// Tensor is one tensor to write. Its data, little-endian and row-major, are Data or what Write produces.
type Tensor struct {
	Name  string
	DType DType
	Shape []int
	Data  []byte
	Write func(io.Writer) error // used when Data is nil
}

// headerAlignment is the multiple of bytes at which the data begin.
const headerAlignment = 8

// Save writes a file that appears whole or not at all. It may replace a file that is mapped.
func Save(path string, tensors []Tensor, metadata map[string]string) error {
	return atomicfile.WriteFile(path, func(w io.Writer) error { return Write(w, tensors, metadata) })
}

// Write writes a file: wide element types first, then by name, as the format's reference writer does, so that the same tensors give
// the same bytes in whatever order they come. Everything but the data themselves is checked before the first byte is written; a
// tensor whose data are not as long as its shape says is an error.
func Write(w io.Writer, tensors []Tensor, metadata map[string]string) error {
	ordered := slices.SortedFunc(slices.Values(tensors), func(a, b Tensor) int {
		return cmp.Or(-cmp.Compare(a.DType.rank(), b.DType.rank()), strings.Compare(a.Name, b.Name))
	})
	sizes, err := checkTensors(ordered)
	if err != nil {
		return err
	}
	text, err := encodeHeader(ordered, sizes, metadata)
	if err != nil {
		return err
	}
	var prefix [lengthBytes]byte
	binary.LittleEndian.PutUint64(prefix[:], uint64(len(text)))
	if _, err := w.Write(prefix[:]); err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	for i, tensor := range ordered {
		if err := writeData(w, tensor, sizes[i]); err != nil {
			return fmt.Errorf("tensor %q: %w", tensor.Name, err)
		}
	}
	return nil
}

// checkTensors returns each tensor's bytes.
func checkTensors(tensors []Tensor) ([]int64, error) {
	seen := make(map[string]bool, len(tensors))
	sizes := make([]int64, len(tensors))
	for i, tensor := range tensors {
		fault := func(format string, args ...any) error {
			return fmt.Errorf("tensor %q: %s", tensor.Name, fmt.Sprintf(format, args...))
		}
		if tensor.Name == metadataKey || !utf8.ValidString(tensor.Name) {
			return nil, fault("not a name for a tensor")
		}
		if seen[tensor.Name] {
			return nil, fault("written twice")
		}
		seen[tensor.Name] = true
		if tensor.DType.Size() == 0 {
			return nil, fault("unknown dtype %q", tensor.DType)
		}
		if len(tensor.Shape) > maxRank {
			return nil, fault("more than %d dimensions", maxRank)
		}
		shape := make([]uint64, len(tensor.Shape))
		for j, dim := range tensor.Shape {
			if dim < 0 {
				return nil, fault("negative dimension in shape %v", tensor.Shape)
			}
			shape[j] = uint64(dim)
		}
		var err error
		if sizes[i], err = sizeOf(tensor.DType, shape, make([]int, len(shape))); err != nil {
			return nil, fault("%v", err)
		}
		if tensor.Data == nil && tensor.Write == nil && sizes[i] > 0 {
			return nil, fault("no data")
		}
		if tensor.Data != nil && int64(len(tensor.Data)) != sizes[i] {
			return nil, fault("%d bytes of data, %s of shape %v needs %d", len(tensor.Data), tensor.DType, tensor.Shape, sizes[i])
		}
	}
	return sizes, nil
}

func encodeHeader(tensors []Tensor, sizes []int64, metadata map[string]string) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	field := func(key string, value any) error {
		if text.Len() > 1 {
			text.WriteByte(',')
		}
		if err := encoder.Encode(key); err != nil {
			return err
		}
		text.Truncate(text.Len() - 1) // the line's end
		text.WriteByte(':')
		err := encoder.Encode(value)
		text.Truncate(text.Len() - 1)
		return err
	}
	text.WriteByte('{')
	if len(metadata) > 0 {
		for key, value := range metadata {
			if !utf8.ValidString(key) || !utf8.ValidString(value) {
				return nil, fmt.Errorf("metadata %q is not UTF-8", key)
			}
		}
		if err := field(metadataKey, metadata); err != nil {
			return nil, err
		}
	}
	var end int64
	for i, tensor := range tensors {
		begin := end
		end += sizes[i]
		if end < begin {
			return nil, errors.New("the tensors' sizes overflow")
		}
		shape := tensor.Shape
		if shape == nil {
			shape = []int{} // a scalar's shape is [], not null
		}
		if err := field(tensor.Name, struct {
			DType   DType    `json:"dtype"`
			Shape   []int    `json:"shape"`
			Offsets [2]int64 `json:"data_offsets"`
		}{tensor.DType, shape, [2]int64{begin, end}}); err != nil {
			return nil, err
		}
	}
	text.WriteByte('}')
	for text.Len()%headerAlignment != 0 {
		text.WriteByte(' ')
	}
	if text.Len() > maxHeaderBytes {
		return nil, fmt.Errorf("a header of %d bytes is beyond the format's limit of %d", text.Len(), maxHeaderBytes)
	}
	return text.Bytes(), nil
}

func writeData(w io.Writer, tensor Tensor, size int64) error {
	if tensor.Data != nil {
		_, err := w.Write(tensor.Data)
		return err
	}
	if tensor.Write == nil {
		return nil
	}
	counted := &limitedWriter{to: w, left: size}
	if err := tensor.Write(counted); err != nil {
		return err
	}
	if counted.left != 0 {
		return fmt.Errorf("%d bytes of data, %s of shape %v needs %d", size-counted.left, tensor.DType, tensor.Shape, size)
	}
	return nil
}

// limitedWriter refuses what would run past a tensor's end.
type limitedWriter struct {
	to   io.Writer
	left int64
}

func (w *limitedWriter) Write(p []byte) (int, error) {
	if int64(len(p)) > w.left {
		return 0, fmt.Errorf("more data than its shape has room for: %d bytes too many", int64(len(p))-w.left)
	}
	n, err := w.to.Write(p)
	w.left -= int64(n)
	return n, err
}
