// Package strictyaml reads configuration files without guessing: an unknown key, a key given twice, a second document,
// a value of the wrong type, a fraction where a whole number is wanted are errors that name file, line and the key's
// full path, never something skipped or rounded.
package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxBytes bounds the size of a configuration file.
const MaxBytes = 1 << 20

// Decode reads one YAML document into the struct that into points at. Keys that the document does not hold keep their
// values, so defaults are set beforehand; lists are replaced whole. name stands for the file in errors:
//
//	run.yaml:12: unknown key optim.lrr: the nearest known key is optim.lr
//
// All unknown keys are in one error, a line each. Types with their own UnmarshalYAML or UnmarshalText are read by it. After an error into
// may be partly filled.
func Decode(data []byte, name string, into any, names ...Names) error {
	target, err := structBehind(into)
	if err != nil {
		return err
	}
	if len(data) > MaxBytes {
		return fmt.Errorf("%s: %d bytes: a configuration has at most %d", name, len(data), MaxBytes)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document, second yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%s: there is nothing in it", name)
	case err != nil:
		return syntaxError(name, err)
	}
	switch err := decoder.Decode(&second); {
	case err == nil:
		return fmt.Errorf("%s:%d: a second document begins here: a configuration is one document", name, second.Line)
	case !errors.Is(err, io.EOF):
		return syntaxError(name, err)
	}
	w := walker{at: func(n *yaml.Node) string { return fmt.Sprintf("%s:%d", name, n.Line) }, root: target.Type(), names: names}
	return w.whole(document.Content[0], target)
}

// Set applies one override of the form a.b=value, the value being YAML (a number, a text, a list such as [a, b]), with
// the checks of Decode. An empty value is the empty text.
func Set(into any, assignment string, names ...Names) error {
	target, err := structBehind(into)
	if err != nil {
		return err
	}
	key, value, found := strings.Cut(assignment, "=")
	if !found || key == "" {
		return fmt.Errorf("--set %s: it must read key=value, as in optim.steps=100", assignment)
	}
	if len(assignment) > MaxBytes {
		return fmt.Errorf("--set %s: the value has %d bytes: at most %d", key, len(value), MaxBytes)
	}
	node := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str"}
	if value != "" {
		var document yaml.Node
		if err := yaml.Unmarshal([]byte(value), &document); err != nil {
			return fmt.Errorf("--set %s: the value cannot be read: %s; a text with special characters needs quotes", assignment,
				strings.TrimPrefix(err.Error(), "yaml: "))
		}
		if len(document.Content) == 1 {
			node = document.Content[0]
		}
	}
	path := strings.Split(key, ".")
	for i := len(path) - 1; i >= 0; i-- {
		node = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{{Kind: yaml.ScalarNode, Tag: "!!str", Value: path[i]},
			node}}
	}
	w := walker{at: func(*yaml.Node) string { return "--set " + assignment }, root: target.Type(), names: names}
	return w.whole(node, target)
}

// Encode writes v as YAML, struct fields in their order and map keys sorted, so that equal values give equal bytes. Texts with line breaks
// are quoted, and lists of plain values stand on one line, as people write them.
func Encode(v any) ([]byte, error) {
	var tree yaml.Node
	if err := tree.Encode(v); err != nil {
		return nil, err
	}
	readable(&tree)
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(&tree); err != nil {
		return nil, err
	}
	if err := encoder.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// readable chooses the style of a tree's values.
func readable(n *yaml.Node) {
	plain := true
	for _, child := range n.Content {
		plain = plain && child.Kind == yaml.ScalarNode
		readable(child)
	}
	switch {
	case n.Kind == yaml.SequenceNode && plain:
		n.Style = yaml.FlowStyle
	case n.Kind == yaml.ScalarNode && strings.Contains(n.Value, "\n"):
		n.Style = yaml.DoubleQuotedStyle
	}
}

func structBehind(into any) (reflect.Value, error) {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return reflect.Value{}, fmt.Errorf("strictyaml: it reads into a pointer to a struct, not into %T", into)
	}
	return v.Elem(), nil
}

var lineOf = regexp.MustCompile(`^yaml: line (\d+): (.*)$`)

func syntaxError(name string, err error) error {
	if m := lineOf.FindStringSubmatch(err.Error()); m != nil {
		return fmt.Errorf("%s:%s: %s", name, m[1], m[2])
	}
	return fmt.Errorf("%s: %s", name, strings.TrimPrefix(err.Error(), "yaml: "))
}
