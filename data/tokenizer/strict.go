package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// strict decodes one JSON value and refuses keys that v, a pointer to a struct, does not have, keys in another case and keys that
// are there twice: readers disagree about those.
func strict(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var err error
	if bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) {
		err = fields(dec, reflect.ValueOf(v).Elem())
	} else {
		err = dec.Decode(v)
	}
	if err == nil {
		if _, more := dec.Token(); more != io.EOF {
			return fmt.Errorf("something follows the JSON value at byte %d", dec.InputOffset())
		}
		return nil
	}
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("not JSON at byte %d: %w", syntax.Offset, err)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fmt.Errorf("not JSON: it ends at byte %d before its value does", len(data))
	}
	return err
}

// fields decodes an object key by key. encoding/json would take "Model" for "model", and the last of two.
func fields(dec *json.Decoder, object reflect.Value) error {
	left := make(map[string]any, object.NumField())
	for i := range object.NumField() {
		field := object.Type().Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" {
			name = field.Name
		}
		left[name] = object.Field(i).Addr().Interface()
	}
	if _, err := token(dec); err != nil {
		return err
	}
	for dec.More() {
		key, err := token(dec)
		if err != nil {
			return err
		}
		name := key.(string) // what an object's key is, or token fails
		value, ok := left[name]
		if !ok {
			return fmt.Errorf("key %q is not known", name)
		}
		if value == nil {
			return fmt.Errorf("key %q is there twice", name)
		}
		left[name] = nil
		if err := dec.Decode(value); err != nil {
			var kind *json.UnmarshalTypeError
			if errors.As(err, &kind) {
				return fmt.Errorf("%s: %w", name, err)
			}
			return err
		}
	}
	_, err := token(dec)
	return err
}

// token is dec.Token with the offset of its syntax errors counted as Decode counts it: the wrong byte has been read.
func token(dec *json.Decoder) (json.Token, error) {
	t, err := dec.Token()
	if syntax := new(json.SyntaxError); errors.As(err, &syntax) {
		syntax.Offset++
	}
	return t, err
}
