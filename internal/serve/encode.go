package serve

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"

	"github.com/goprm/goprm/internal/safetensors"
)

// encoding is how an answer's numbers are written: as JSON, in base64, or as the bytes of the body, with their places in the header
// metadata or without. Names, bytes and metadata are vLLM's (utils/serial_utils.py, entrypoints/pooling/utils.py).
type encoding struct {
	Format     string `json:"encoding_format"`
	DType      string `json:"embed_dtype"`
	Endianness string `json:"endianness"`
}

// number is one of the types that numbers can be written in.
type number struct {
	size   int
	append func(order binary.AppendByteOrder, b []byte, v float32) []byte
}

var numbers = map[string]number{
	"float32": {4, func(o binary.AppendByteOrder, b []byte, v float32) []byte {
		return o.AppendUint32(b, math.Float32bits(v))
	}},
	"float16": {2, func(o binary.AppendByteOrder, b []byte, v float32) []byte {
		return o.AppendUint16(b, safetensors.ToF16(v))
	}},
	"bfloat16": {2, func(o binary.AppendByteOrder, b []byte, v float32) []byte {
		return o.AppendUint16(b, safetensors.ToBF16(v))
	}},
	"fp8_e4m3": {1, func(_ binary.AppendByteOrder, b []byte, v float32) []byte { return append(b, toFP8(v, 3, 7, 0x7E)) }},
	"fp8_e5m2": {1, func(_ binary.AppendByteOrder, b []byte, v float32) []byte { return append(b, toFP8(v, 2, 15, 0x7C)) }},
}

// fill puts the defaults in and checks the values.
func (e *encoding) fill() error {
	for _, f := range []struct {
		name  string
		value *string
		known []string // the first is the default
	}{
		{"encoding_format", &e.Format, []string{"float", "base64", "bytes", "bytes_only"}},
		{"embed_dtype", &e.DType, []string{"float32", "float16", "bfloat16", "fp8_e4m3", "fp8_e5m2"}},
		{"endianness", &e.Endianness, []string{"native", "big", "little"}},
	} {
		if *f.value == "" {
			*f.value = f.known[0]
		}
		if !slices.Contains(f.known, *f.value) {
			return bad("%s: %q is none of %s", f.name, *f.value, strings.Join(f.known, ", "))
		}
	}
	return nil
}

// bytes are the rows one after another, each number rounded to the nearest.
func (e *encoding) bytes(rows [][]float64) []byte {
	var order binary.AppendByteOrder = binary.LittleEndian
	switch e.Endianness {
	case "big":
		order = binary.BigEndian
	case "native":
		order = binary.NativeEndian
	}
	var b []byte
	for _, row := range rows {
		for _, v := range row {
			b = numbers[e.DType].append(order, b, float32(v))
		}
	}
	return b
}

// toFP8 rounds to the nearest number of a sign, 7−mantissa exponent bits and mantissa bits, ties to even. What is too large becomes
// the code over: the largest number in e4m3, which has no infinities, and infinity in e5m2. So does PyTorch 2.13.
func toFP8(v float32, mantissa, bias int, over byte) byte {
	sign := byte(math.Float32bits(v) >> 24 & 0x80)
	x := math.Abs(float64(v))
	switch {
	case math.IsNaN(x):
		return sign | 0x7F
	case x == 0:
		return sign
	case math.IsInf(x, 1):
		return sign | over
	}
	exponent := max(math.Ilogb(x), 1-bias)
	code := (exponent+bias-1)<<mantissa + int(math.RoundToEven(math.Ldexp(x, mantissa-exponent)))
	return sign | byte(min(code, int(over)))
}

// rawAnswer is an answer whose body is no JSON.
type rawAnswer struct {
	metadata string // a header; "": none
	body     []byte
}

// numberList answers with a list of texts' numbers; each item is an object of its own that holds them under the name, or, if flat, a
// single row without its list.
func numberList(c *call, prefix, object, name string, e encoding, texts [][][]float64, flat bool, u usage) any {
	if e.Format == "bytes" || e.Format == "bytes_only" {
		return c.rawList(prefix, e, texts, flat, u)
	}
	list := make([]any, len(texts))
	for i, rows := range texts {
		var value any = rows
		switch {
		case e.Format == "base64":
			value = base64.StdEncoding.EncodeToString(e.bytes(rows))
		case flat:
			value = rows[0]
		}
		list[i] = map[string]any{"index": i, "object": object, name: value}
	}
	return listAnswer(c, prefix, list, u)
}

func (c *call) rawList(prefix string, e encoding, texts [][][]float64, flat bool, u usage) *rawAnswer {
	type place struct {
		Index      int    `json:"index"`
		DType      string `json:"embed_dtype"`
		Endianness string `json:"endianness"`
		Start      int    `json:"start"`
		End        int    `json:"end"`
		Shape      []int  `json:"shape"`
	}
	var answer rawAnswer
	places := make([]place, len(texts))
	for i, rows := range texts {
		shape, start := []int{len(rows), len(rows[0])}, len(answer.body)
		if flat {
			shape = shape[1:]
		}
		answer.body = append(answer.body, e.bytes(rows)...)
		places[i] = place{i, e.DType, e.Endianness, start, len(answer.body), shape}
	}
	if e.Format == "bytes" {
		head := listAnswer(c, prefix, places, usage{})
		delete(head, "object")
		head["usage"] = map[string]int{"prompt_tokens": u.PromptTokens, "total_tokens": u.TotalTokens}
		answer.metadata = asciiJSON(head)
	}
	return &answer
}

// asciiJSON writes JSON that fits a header.
func asciiJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil { // strings and numbers
		return ""
	}
	var b strings.Builder
	for _, r := range string(text) {
		if r < 0x7F {
			b.WriteRune(r)
			continue
		}
		units := []rune{r}
		if r > 0xFFFF {
			units = []rune{0xD800 + (r-0x10000)>>10, 0xDC00 + (r-0x10000)&0x3FF}
		}
		for _, u := range units {
			fmt.Fprintf(&b, `\u%04x`, u)
		}
	}
	return b.String()
}

func (a *rawAnswer) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/octet-stream")
	if a.metadata != "" {
		w.Header().Set("Metadata", a.metadata)
	}
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(a.body) // a client that is gone needs no answer
}
