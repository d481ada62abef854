package safetensors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"unicode/utf8"
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
	p := headerParser{text: text, tokens: json.NewDecoder(bytes.NewReader(text))}
	p.tokens.UseNumber()
	parsed := &header{}
	err := p.object("the header", func(name string) error {
		if name == metadataKey {
			parsed.metadata = map[string]string{}
			return p.object(metadataKey, func(key string) (err error) {
				parsed.metadata[key], err = p.string()
				return err
			})
		}
		p.tensor = name
		info, err := p.info(name)
		p.tensor = ""
		parsed.tensors = append(parsed.tensors, info)
		return err
	})
	if err != nil {
		return nil, err
	}
	return parsed, nil
}

// headerParser walks the tokens of a header that is known to be valid JSON, and accepts only the format's own structure, so that
// nesting and memory stay bounded.
type headerParser struct {
	text   []byte
	tokens *json.Decoder
	tensor string // the one being read
}

func (p *headerParser) fault(verdict Verdict, format string, args ...any) error {
	return &FormatError{Tensor: p.tensor, Offset: lengthBytes + p.tokens.InputOffset(), Verdict: verdict, Reason: fmt.Sprintf(format, args...)}
}

func (p *headerParser) malformed(format string, args ...any) error {
	return p.fault(InvalidHeaderDeserialization, "%s, at offset %d", fmt.Sprintf(format, args...), lengthBytes+p.tokens.InputOffset())
}

func (p *headerParser) token() (json.Token, error) {
	token, err := p.tokens.Token()
	if err != nil {
		return nil, p.malformed("%v", err)
	}
	return token, nil
}

// open reads the delimiter that begins an object or a list.
func (p *headerParser) open(delimiter json.Delim, what string) error {
	token, err := p.token()
	if err != nil {
		return err
	}
	if token != delimiter {
		return p.malformed("%s is not %s", what, map[json.Delim]string{'{': "an object", '[': "a list"}[delimiter])
	}
	return nil
}

// object calls value after each key of the object that follows; value must consume what the key stands for.
func (p *headerParser) object(what string, value func(key string) error) error {
	if err := p.open('{', what); err != nil {
		return err
	}
	seen := map[string]bool{}
	for p.tokens.More() {
		key, err := p.string()
		if err != nil {
			return err
		}
		if seen[key] {
			return p.malformed("key %q appears twice in %s", key, what)
		}
		seen[key] = true
		if err := value(key); err != nil {
			return err
		}
	}
	_, err := p.token()
	return err
}

func (p *headerParser) string() (string, error) {
	begin := p.tokens.InputOffset()
	token, err := p.token()
	if err != nil {
		return "", err
	}
	text, ok := token.(string)
	if !ok {
		return "", p.malformed("%v is not a string", token)
	}
	// The decoder turns half of a surrogate pair into U+FFFD; such text is refused rather than repaired.
	raw := p.text[begin:p.tokens.InputOffset()]
	written := bytes.Count(raw, []byte("\uFFFD")) + bytes.Count(bytes.ToLower(raw), []byte(`\ufffd`))
	if strings.Count(text, "\uFFFD") > written {
		return "", p.malformed("%q holds half of a surrogate pair", text)
	}
	return text, nil
}

// naturals reads a list of at most limit whole numbers, none negative.
func (p *headerParser) naturals(what string, limit int) ([]uint64, error) {
	if err := p.open('[', what); err != nil {
		return nil, err
	}
	var numbers []uint64
	for p.tokens.More() {
		token, err := p.token()
		if err != nil {
			return nil, err
		}
		number, ok := token.(json.Number)
		if !ok {
			return nil, p.malformed("%s holds something that is not a number", what)
		}
		natural, err := strconv.ParseUint(string(number), 10, 64)
		if err != nil {
			return nil, p.malformed("%s holds %s, which is not a whole number from 0 to 2^64-1", what, number)
		}
		if len(numbers) == limit {
			return nil, p.malformed("%s holds more than %d numbers", what, limit)
		}
		numbers = append(numbers, natural)
	}
	_, err := p.token()
	return numbers, err
}

func (p *headerParser) info(name string) (Info, error) {
	var dtype string
	var shape, offsets []uint64
	var present int
	err := p.object("the tensor's entry", func(key string) (err error) {
		present++
		switch key {
		case "dtype":
			dtype, err = p.string()
		case "shape":
			shape, err = p.naturals("shape", maxRank)
		case "data_offsets":
			offsets, err = p.naturals("data_offsets", 2)
		default:
			err = p.malformed("unknown key %q", key)
		}
		return err
	})
	if err != nil {
		return Info{}, err
	}
	if present != 3 || len(offsets) != 2 {
		return Info{}, p.malformed("an entry needs dtype, shape and two data_offsets")
	}
	if DType(dtype).Size() == 0 {
		return Info{}, p.malformed("unknown dtype %q", dtype)
	}
	return p.checkInfo(name, DType(dtype), shape, offsets)
}

// checkInfo checks one tensor's numbers against each other.
func (p *headerParser) checkInfo(name string, dtype DType, shape, offsets []uint64) (Info, error) {
	begin, end := offsets[0], offsets[1]
	if begin > end {
		return Info{}, p.fault(InvalidOffset, "data_offsets [%d, %d] run backwards", begin, end)
	}
	if end > math.MaxInt64 {
		return Info{}, p.fault(ValidationOverflow, "data offset %d is out of range", end)
	}
	dims, want, err := sizeOf(dtype, shape)
	if err != nil {
		return Info{}, p.fault(ValidationOverflow, "%v", err)
	}
	if have := int64(end - begin); have != want {
		return Info{}, p.fault(TensorInvalidInfo, "%s of shape %v needs %d bytes, data_offsets [%d, %d] give %d", dtype, dims, want, begin, end,
			have)
	}
	return Info{Name: name, DType: dtype, Shape: dims, Begin: int64(begin), End: int64(end)}, nil
}

// sizeOf returns the shape as ints and the bytes of such a tensor. Each dimension, and their product with zeros left out, must fit
// an int, so that users can multiply any of them without a check of their own.
func sizeOf(dtype DType, shape []uint64) ([]int, int64, error) {
	dims := make([]int, len(shape))
	product, empty := uint64(dtype.Size()), false
	for i, dim := range shape {
		if dim == 0 {
			empty = true
			continue
		}
		high, low := bits.Mul64(product, dim)
		if high != 0 || low > math.MaxInt {
			return nil, 0, fmt.Errorf("the bytes of %s of shape %v overflow", dtype, shape)
		}
		dims[i], product = int(dim), low
	}
	if empty {
		product = 0
	}
	return dims, int64(product), nil
}
