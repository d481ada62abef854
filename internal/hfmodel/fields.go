package hfmodel

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/goprm/goprm/internal/lfspointer"
	"github.com/goprm/goprm/internal/onekey"
)

// maxJSONBytes bounds the JSON files of a model folder: an index of 100,000 tensors has around 10 MB, all others a few kilobytes.
// maxTokenizerBytes bounds tokenizer.json, of which the largest known are around 20 MB.
const (
	maxJSONBytes      = 32 << 20
	maxTokenizerBytes = 256 << 20
)

// readJSON reads a regular file that holds one JSON object, without doubled keys.
func readJSON(path string) ([]byte, error) {
	limit := int64(maxJSONBytes)
	if filepath.Base(path) == TokenizerName {
		limit = maxTokenizerBytes
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: not a regular file", path)
	case info.Size() == 0:
		return nil, fmt.Errorf("%s: the file is empty", path)
	case info.Size() > limit:
		return nil, fmt.Errorf("%s: %d bytes are beyond the limit of %d", path, info.Size(), limit)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if err := lfspointer.Check(path, text); err != nil {
		return nil, err
	}
	var syntax *json.SyntaxError
	if err := json.Unmarshal(text, new(json.RawMessage)); err != nil {
		if errors.As(err, &syntax) {
			return nil, fmt.Errorf("%s: not JSON: %w at offset %d", path, err, syntax.Offset)
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if trimmed := bytes.TrimLeft(text, " \t\r\n"); trimmed[0] != '{' {
		return nil, fmt.Errorf("%s: not a JSON object", path)
	}
	if err := onekey.Check(text); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return text, nil
}

// fields reads the values of a JSON object by their exact keys. The first fault is kept and the rest of the reading goes on with
// zeros, so that a reader checks for it once, at the end.
type fields struct {
	values map[string]json.RawMessage
	err    error
}

func (f *fields) parse(text []byte) error { return json.Unmarshal(text, &f.values) }

func (f *fields) fail(format string, args ...any) {
	if f.err == nil {
		f.err = fmt.Errorf(format, args...)
	}
}

// raw returns the value of a key, nil where it is absent or null.
func (f *fields) raw(key string) json.RawMessage {
	value := f.values[key]
	if string(value) == "null" {
		return nil
	}
	return value
}

func (f *fields) isNull(key string) bool { return string(f.values[key]) == "null" }

// given reports whether the key is there, null included.
func (f *fields) given(key string) bool { return f.values[key] != nil }

func (f *fields) has(key string) bool { return f.raw(key) != nil }

// read decodes a key's value, and returns fallback where it is absent or null.
func read[T any](f *fields, key, kind string, fallback T) T {
	value := f.raw(key)
	if value == nil {
		return fallback
	}
	var decoded T
	if err := json.Unmarshal(value, &decoded); err != nil {
		f.fail("%s is %s, not %s", key, shorten(value), kind)
		return fallback
	}
	return decoded
}

func (f *fields) text(key, fallback string) string      { return read(f, key, "a text", fallback) }
func (f *fields) flag(key string) bool                  { return read(f, key, "true or false", false) }
func (f *fields) number(key string, or float64) float64 { return read(f, key, "a number", or) }

// count reads a whole number from 1 to limit. A fallback of 0 makes the key a required one.
func (f *fields) count(key string, fallback, limit int) int {
	if !f.has(key) && fallback == 0 {
		f.fail("%s is missing", key)
	}
	value := read(f, key, "a whole number", fallback)
	if f.err == nil && (value < 1 || value > limit) {
		f.fail("%s is %d, not from 1 to %d", key, value, limit)
	}
	return value
}

// shorten keeps error messages to one readable line.
func shorten(value json.RawMessage) string {
	const most = 80
	var compact bytes.Buffer
	if json.Compact(&compact, value) != nil || compact.Len() > most {
		return string(bytes.ToValidUTF8(value[:min(most, len(value))], nil)) + "..."
	}
	return compact.String()
}
