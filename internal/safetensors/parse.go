package safetensors

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"unicode/utf8"
	"unsafe"
)

// parseHeader reads the header's JSON; Begin and End of the tensors are still relative to the data's beginning.
func parseHeader(text []byte) (*header, error) {
	if !utf8.Valid(text) {
		return nil, &FormatError{Offset: lengthBytes, Verdict: InvalidHeader, Reason: "header is not UTF-8"}
	}
	if len(text) == 0 || text[0] != '{' {
		return nil, &FormatError{Offset: lengthBytes, Verdict: InvalidHeaderStart, Reason: "header does not begin with '{'"}
	}
	if !json.Valid(text) {
		reason, offset := "header is not JSON", int64(0)
		var syntax *json.SyntaxError
		if errors.As(json.Unmarshal(text, new(json.RawMessage)), &syntax) {
			offset = syntax.Offset
			reason = fmt.Sprintf("header is not JSON: %v at offset %d", syntax, lengthBytes+offset)
		}
		return nil, &FormatError{Offset: lengthBytes + offset, Verdict: InvalidHeaderDeserialization, Reason: reason}
	}
	whole := unsafe.String(unsafe.SliceData(text), len(text)) // nobody writes to it
	counted := &header{counting: true}
	if err := parseInto(counted, whole); err != nil {
		return nil, err
	}
	parsed := &header{text: whole, entries: make([]entry, 0, counted.tensors)}
	if err := parseInto(parsed, whole); err != nil {
		return nil, err
	}
	return parsed, parsed.index()
}

func parseInto(h *header, text string) error {
	p := headerParser{scanner: scanner{text: text}, header: h}
	metadata := false
	return p.object("the header", func(name string) error {
		if name != metadataKey {
			p.tensor = name
			err := p.info(name)
			p.tensor = ""
			return err
		}
		if metadata {
			return p.malformed("key %q appears twice in the header", name)
		}
		metadata, h.metadata = true, map[string]string{}
		return p.object(metadataKey, func(key string) error {
			if _, seen := h.metadata[key]; seen {
				return p.malformed("key %q appears twice in %s", key, metadataKey)
			}
			value, err := p.string()
			h.metadata[key] = value
			return err
		})
	})
}

// headerParser reads a header that is known to be valid JSON, and accepts only the format's own structure, so that nesting and memory
// stay bounded.
type headerParser struct {
	scanner
	header *header
	tensor string // the one being read
}

func (p *headerParser) fault(verdict Verdict, format string, args ...any) error {
	return &FormatError{Tensor: p.tensor, Offset: int64(lengthBytes + p.at), Verdict: verdict, Reason: fmt.Sprintf(format, args...)}
}

func (p *headerParser) malformed(format string, args ...any) error {
	return p.fault(InvalidHeaderDeserialization, "%s, at offset %d", fmt.Sprintf(format, args...), lengthBytes+p.at)
}

// open reads the delimiter that begins an object or a list.
func (p *headerParser) open(delimiter token, what string) error {
	if p.next() != delimiter {
		return p.malformed("%s is not %s", what, map[token]string{"{": "an object", "[": "a list"}[delimiter])
	}
	return nil
}

// object calls value after each key of the object that follows; value must consume what the key stands for, and refuse a key that it
// has met before.
func (p *headerParser) object(what string, value func(key string) error) error {
	if err := p.open("{", what); err != nil {
		return err
	}
	for p.more() {
		key, err := p.string()
		if err != nil {
			return err
		}
		if err := value(key); err != nil {
			return err
		}
	}
	p.next()
	return nil
}

func (p *headerParser) string() (string, error) {
	t := p.next()
	value, isString, ok := t.unquote()
	switch {
	case !isString:
		return "", p.malformed("%s is not a string", t)
	case !ok:
		return "", p.malformed("%s holds half of a surrogate pair", t)
	}
	return value, nil
}

// naturals reads a list of at most len(into) whole numbers, none negative.
func (p *headerParser) naturals(what string, into []uint64) ([]uint64, error) {
	if err := p.open("[", what); err != nil {
		return nil, err
	}
	numbers := into[:0]
	for p.more() {
		t := p.next()
		if t[0] != '-' && (t[0] < '0' || t[0] > '9') {
			return nil, p.malformed("%s holds something that is not a number", what)
		}
		natural, err := strconv.ParseUint(string(t), 10, 64)
		if err != nil {
			return nil, p.malformed("%s holds %s, which is not a whole number from 0 to 2^64-1", what, t)
		}
		if len(numbers) == len(into) {
			return nil, p.malformed("%s holds more than %d numbers", what, len(into))
		}
		numbers = append(numbers, natural)
	}
	p.next()
	return numbers, nil
}

// info reads one tensor's entry.
func (p *headerParser) info(name string) error {
	var dtype string
	var shape, offsets []uint64
	var dims [maxRank]uint64
	var places [2]uint64
	var seen [3]bool
	var shapeAt int
	if err := p.open("{", "the tensor's entry"); err != nil { // no closure: each of a million would take memory
		return err
	}
	for p.more() {
		key, err := p.string()
		if err != nil {
			return err
		}
		at := slices.Index([]string{"dtype", "shape", "data_offsets"}, key)
		switch {
		case at < 0:
			return p.malformed("unknown key %q", key)
		case seen[at]:
			return p.malformed("key %q appears twice in the tensor's entry", key)
		}
		seen[at] = true
		switch at {
		case 0:
			dtype, err = p.string()
		case 1:
			shapeAt = p.at
			shape, err = p.naturals("shape", dims[:])
		default:
			offsets, err = p.naturals("data_offsets", places[:])
		}
		if err != nil {
			return err
		}
	}
	p.next()
	if seen != [3]bool{true, true, true} || len(offsets) != 2 {
		return p.malformed("an entry needs dtype, shape and two data_offsets")
	}
	if DType(dtype).Size() == 0 {
		return p.malformed("unknown dtype %q", dtype)
	}
	return p.checkInfo(name, DType(dtype), shape, shapeAt, offsets)
}

// checkInfo checks one tensor's numbers against each other, and adds it to the header.
func (p *headerParser) checkInfo(name string, dtype DType, shape []uint64, shapeAt int, offsets []uint64) error {
	begin, end := offsets[0], offsets[1]
	if begin > end {
		return p.fault(InvalidOffset, "data_offsets [%d, %d] run backwards", begin, end)
	}
	if end > math.MaxInt64 {
		return p.fault(ValidationOverflow, "data offset %d is out of range", end)
	}
	var room [maxRank]int
	dims := room[:len(shape)]
	want, err := sizeOf(dtype, shape, dims)
	if err != nil {
		return p.fault(ValidationOverflow, "%v", err)
	}
	if have := int64(end - begin); have != want {
		return p.fault(TensorInvalidInfo, "%s of shape %v needs %d bytes, data_offsets [%d, %d] give %d", dtype, slices.Clone(dims), want, begin,
			end, have)
	}
	p.header.add(name, dtype, shapeAt, int64(begin), int64(end))
	return nil
}

// sizeOf returns the bytes of a tensor of the shape, which it puts into dims as ints. Each dimension, and their product with zeros left
// out, must fit an int, so that users can multiply any of them without a check of their own.
func sizeOf(dtype DType, shape []uint64, dims []int) (int64, error) {
	product, empty := uint64(dtype.Size()), false
	for i, dim := range shape {
		if dims[i] = 0; dim == 0 {
			empty = true
			continue
		}
		high, low := bits.Mul64(product, dim)
		if high != 0 || low > math.MaxInt {
			return 0, fmt.Errorf("the bytes of %s of shape %v overflow", dtype, slices.Clone(shape))
		}
		dims[i], product = int(dim), low
	}
	if empty {
		product = 0
	}
	return int64(product), nil
}
