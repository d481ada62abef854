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

// header is a file's checked table of contents. It is laid out for headers of a million tensors, which need no more than about twice
// their text: names are parts of that text, and shapes are read from it when they are asked for.
type header struct {
	text     string
	entries  []entry  // by place in the file
	byName   []uint32 // indices of entries, in the order of their names
	metadata map[string]string

	counting bool // entries are only counted
	tensors  int
}

// entry is one tensor, packed.
type entry struct {
	name       string
	begin, end int64
	shape      uint32 // where its list begins in the text
	dtype      uint8  // in ascending
}

func (h *header) add(name string, dtype DType, shape int, begin, end int64) {
	if h.tensors++; !h.counting {
		h.entries = append(h.entries, entry{name: name, begin: begin, end: end, shape: uint32(shape), dtype: uint8(dtype.rank())})
	}
}

func (h *header) info(i int) Info {
	e := &h.entries[i]
	s := scanner{text: h.text, at: int(e.shape)}
	s.next()
	shape := []int{}
	for s.more() {
		dim, _ := strconv.Atoi(string(s.next())) // it was read before
		shape = append(shape, dim)
	}
	return Info{Name: e.name, DType: ascending[e.dtype].dtype, Shape: shape, Begin: e.begin, End: e.end}
}

// find is the index of the tensor of that name.
func (h *header) find(name string) (int, bool) {
	at, ok := slices.BinarySearchFunc(h.byName, name, func(i uint32, name string) int { return strings.Compare(h.entries[i].name, name) })
	if !ok {
		return 0, false
	}
	return int(h.byName[at]), true
}

// index orders the entries by place and lists them by name, of which there must not be two alike.
func (h *header) index() error {
	slices.SortFunc(h.entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end), strings.Compare(a.name, b.name))
	})
	h.byName = make([]uint32, len(h.entries))
	for i := range h.byName {
		h.byName[i] = uint32(i)
	}
	slices.SortFunc(h.byName, func(a, b uint32) int { return strings.Compare(h.entries[a].name, h.entries[b].name) })
	for i := 1; i < len(h.byName); i++ {
		if name := h.entries[h.byName[i]].name; name == h.entries[h.byName[i-1]].name {
			return &FormatError{Offset: lengthBytes, Tensor: name, Verdict: InvalidHeaderDeserialization,
				Reason: fmt.Sprintf("key %q appears twice in the header", name)}
		}
	}
	return nil
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

// checkLayout checks that the tensors' data lie end to end from begin to the end of the file.
func (h *header) checkLayout(begin, size int64) error {
	end, before := begin, -1
	for i := range h.entries {
		tensor := &h.entries[i]
		if tensor.end > math.MaxInt64-begin {
			return &FormatError{Tensor: tensor.name, Verdict: ValidationOverflow, Reason: "data offsets overflow"}
		}
		tensor.begin += begin
		tensor.end += begin
		fault := func(verdict Verdict, offset int64, format string, args ...any) error {
			return &FormatError{Tensor: tensor.name, Offset: offset, Verdict: verdict, Reason: fmt.Sprintf(format, args...)}
		}
		switch {
		case tensor.begin < end:
			return fault(InvalidOffset, tensor.begin, "data at offset %d overlap %s, which ends at %d", tensor.begin, h.nameOf(before), end)
		case tensor.begin > end:
			return fault(InvalidOffset, tensor.begin, "data at offset %d leave a gap after %s, which ends at %d",
				tensor.begin, h.nameOf(before), end)
		case tensor.end > size:
			return fault(MetadataIncompleteBuffer, tensor.end, "offset %d beyond end of file (%d)", tensor.end, size)
		}
		end, before = tensor.end, i
	}
	if end < size {
		return &FormatError{Offset: end, Verdict: MetadataIncompleteBuffer,
			Reason: fmt.Sprintf("%d bytes at offset %d belong to no tensor", size-end, end)}
	}
	return nil
}

// nameOf is a tensor as an error names it; −1 stands for what lies before all of them.
func (h *header) nameOf(i int) string {
	if i < 0 {
		return "the header"
	}
	return strconv.Quote(h.entries[i].name)
}
