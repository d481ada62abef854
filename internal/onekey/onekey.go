// Package onekey refuses JSON objects that hold a key twice. encoding/json takes the last one, other readers the first.
package onekey

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"unicode/utf8"
)

// Check reports the first key that an object of the text holds twice, at any depth. Text that is not JSON is none of its business: it
// reports nothing then, and whoever decodes it will.
func Check(text []byte) error {
	if !json.Valid(text) {
		return nil
	}
	var open []map[string]bool // the keys of the objects around the present place; nil for a list
	wantsKey := false
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{':
			open, wantsKey = append(open, map[string]bool{}), true
		case '[':
			open, wantsKey = append(open, nil), false
		case '}', ']':
			open, wantsKey = open[:len(open)-1], false
		case ',':
			wantsKey = open[len(open)-1] != nil
		case '"':
			begin := i
			for i++; text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
			if !wantsKey {
				continue
			}
			wantsKey = false
			key, err := unquote(text[begin : i+1])
			if err != nil {
				return err
			}
			if keys := open[len(open)-1]; keys[key] {
				return fmt.Errorf("byte %d: key %.80q is there twice", begin, key)
			} else {
				keys[key] = true
			}
		}
	}
	return nil
}

// unquote gives a key as encoding/json reads it, which replaces bytes that are not UTF-8.
func unquote(token []byte) (key string, err error) {
	if bytes.IndexByte(token, '\\') < 0 && utf8.Valid(token) {
		return string(token[1 : len(token)-1]), nil
	}
	err = json.Unmarshal(token, &key)
	return key, err
}

// Unmarshal is json.Unmarshal of text without doubled keys.
func Unmarshal(text []byte, into any) error {
	if err := Check(text); err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// ReadFile reads a regular file of at most limit bytes.
func ReadFile(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: not a regular file", path)
	case info.Size() > limit:
		return nil, fmt.Errorf("%s: %d bytes are beyond the limit of %d", path, info.Size(), limit)
	}
	return os.ReadFile(path)
}
