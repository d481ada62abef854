package strictyaml

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

const (
	maxNodes = 100_000 // values read in all: what aliases repeat counts again, so a small file cannot unfold into a large one
	maxDepth = 64

	maxUnknown = 100 // keys named in one error
)

var (
	yamlUnmarshaler = reflect.TypeFor[yaml.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
	duration        = reflect.TypeFor[time.Duration]()
)

// walker assigns a tree of nodes to a tree of Go values side by side.
type walker struct {
	at    func(*yaml.Node) string // where a node stands, for errors
	root  reflect.Type            // for suggestions
	names []Names
	nodes int

	unknown []error // keys
}

// whole assigns a document. Unknown keys come first in its error.
func (w *walker) whole(n *yaml.Node, v reflect.Value) error {
	err := w.assign(n, v, nil)
	return errors.Join(append(w.unknown, err)...)
}

func (w *walker) errorf(n *yaml.Node, path []string, format string, args ...any) error {
	place := w.at(n) + ": "
	if len(path) > 0 {
		place += strings.Join(path, ".") + ": "
	}
	return fmt.Errorf("%s%s", place, fmt.Sprintf(format, args...))
}

func (w *walker) assign(n *yaml.Node, v reflect.Value, path []string) error {
	if w.nodes++; w.nodes > maxNodes {
		return w.errorf(n, nil, "more than %d values, aliases unfolded", maxNodes)
	}
	if len(path) > maxDepth {
		return w.errorf(n, nil, "nested more than %d deep", maxDepth)
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	isNull := n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
	if readsItself(v.Type()) {
		if isNull { // the YAML package would skip it
			return w.errorf(n, path, "it has no value")
		}
		return w.leaf(n, v, path)
	}
	switch v.Kind() {
	case reflect.Pointer:
		if isNull {
			v.SetZero()
			return nil
		}
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return w.assign(n, v.Elem(), path)
	case reflect.Struct:
		if isNull {
			return nil // a section all of whose keys are left out
		}
		return w.section(n, v, path)
	case reflect.Map:
		if isNull {
			return nil
		}
		return w.table(n, v, path)
	case reflect.Slice:
		if isNull {
			v.SetZero()
			return nil
		}
		return w.list(n, v, path)
	case reflect.Interface:
		return w.leaf(n, v, path)
	}
	if n.Kind != yaml.ScalarNode {
		return w.wrongType(n, v, path)
	}
	if isNull {
		return w.errorf(n, path, "it has no value; %s is wanted", wanted(v.Type()))
	}
	return w.leaf(n, v, path)
}

// readsItself says whether values of type t come with their own way of being read.
func readsItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(yamlUnmarshaler) || p.Implements(textUnmarshaler)
}

// section assigns a mapping to a struct.
func (w *walker) section(n *yaml.Node, v reflect.Value, path []string) error {
	if n.Kind != yaml.MappingNode {
		return w.wrongType(n, v, path)
	}
	fields := fieldsOf(v.Type())
	return w.entries(n, path, func(key string, keyNode, value *yaml.Node, path []string) error {
		index, known := fields.index[key]
		if !known {
			w.notKnown(keyNode, value, fields.names, path)
			return nil
		}
		return w.assign(value, v.FieldByIndex(index), path)
	})
}

// notKnown notes an unknown key; of a section that nothing here resembles, the keys in it.
func (w *walker) notKnown(key, value *yaml.Node, siblings, path []string) {
	if len(w.unknown) >= maxUnknown {
		return
	}
	said, known := w.unknownKey(key, siblings, path)
	if value.Kind != yaml.MappingNode || known || len(value.Content) == 0 || len(path) > maxDepth {
		w.unknown = append(w.unknown, said)
		return
	}
	for i := 0; i+1 < len(value.Content); i += 2 {
		inner := value.Content[i]
		w.notKnown(inner, value.Content[i+1], nil, append(path[:len(path):len(path)], inner.Value))
	}
}

// unknownKey says what an unknown key is here, if anything: by the caller's names for it, else by its spelling, if a known one is near.
func (w *walker) unknownKey(n *yaml.Node, siblings, path []string) (said error, known bool) {
	text := fmt.Sprintf("%s: unknown key %s", w.at(n), strings.Join(path, "."))
	key := path[len(path)-1]
	for _, names := range w.names {
		if here := names.Here(key); here != "" {
			return fmt.Errorf("%s: %s", text, here), true
		}
	}
	name := nearest(siblings, path)
	if name == "" {
		name = elsewhere(w.root, path)
	}
	if name != "" {
		return fmt.Errorf("%s: the nearest known key is %s", text, name), true
	}
	for _, names := range w.names {
		if meant := names.mistyped(key); meant != "" {
			return fmt.Errorf("%s: if it is %s, %s", text, meant, names.Here(meant)), true
		}
	}
	return errors.New(text), false
}

// table assigns a mapping to a map with text keys.
func (w *walker) table(n *yaml.Node, v reflect.Value, path []string) error {
	if n.Kind != yaml.MappingNode {
		return w.wrongType(n, v, path)
	}
	if v.Type().Key().Kind() != reflect.String {
		return w.errorf(n, path, "a %s cannot be configured", v.Type())
	}
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	return w.entries(n, path, func(key string, _, value *yaml.Node, path []string) error {
		element := reflect.New(v.Type().Elem()).Elem()
		if err := w.assign(value, element, path); err != nil {
			return err
		}
		v.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), element)
		return nil
	})
}

func (w *walker) entries(n *yaml.Node, path []string, each func(key string, keyNode, value *yaml.Node, path []string) error) error {
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge" {
			return w.errorf(key, path, "a key must be a plain name; aliases and merges are not keys")
		}
		inner := append(path[:len(path):len(path)], key.Value)
		if seen[key.Value] {
			return w.errorf(key, inner, "the key is given twice")
		}
		seen[key.Value] = true
		if err := each(key.Value, key, n.Content[i+1], inner); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) list(n *yaml.Node, v reflect.Value, path []string) error {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" && n.Value != "" && v.Type().Elem().Kind() == reflect.String {
		n = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Line: n.Line, Column: n.Column,
			Content: []*yaml.Node{n}} // a bare string is a list of one
	}
	if n.Kind != yaml.SequenceNode {
		return w.wrongType(n, v, path)
	}
	out := reflect.MakeSlice(v.Type(), 0, 0)
	for i, item := range n.Content {
		element := reflect.New(v.Type().Elem()).Elem()
		inner := append(path[:len(path):len(path)], strconv.Itoa(i))
		if err := w.assign(item, element, inner); err != nil {
			return err
		}
		out = reflect.Append(out, element)
	}
	v.Set(out)
	return nil
}

var leadingZero = regexp.MustCompile(`^[-+]?0[0-9_]`)

// leaf reads one value, or hands a type that reads itself its node.
func (w *walker) leaf(n *yaml.Node, v reflect.Value, path []string) error {
	if err := decodeNode(n, v.Addr().Interface()); err != nil {
		single := reflect.PointerTo(v.Type()).Implements(textUnmarshaler) && n.Kind != yaml.ScalarNode
		if single || !readsItself(v.Type()) && v.Kind() != reflect.Interface {
			return w.wrongType(n, v, path)
		}
		return w.errorf(n, path, "%s", strings.Join(strings.Fields(strings.TrimPrefix(err.Error(), "yaml: ")), " "))
	}
	// The decoder cuts fractions off and reads 010 as eight; both would be silent surprises.
	if isInteger(v.Type()) {
		if n.ShortTag() == "!!float" {
			f, err := strconv.ParseFloat(strings.ReplaceAll(n.Value, "_", ""), 64)
			if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
				return w.wrongType(n, v, path)
			}
		}
		if leadingZero.MatchString(n.Value) {
			return w.errorf(n, path, "%s begins with a zero, which some would read as octal: leave the zero out", n.Value)
		}
	}
	return nil
}

// decodeNode keeps a panic of a type's own reader, or of the YAML package, from crossing this package's border.
func decodeNode(n *yaml.Node, into any) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("cannot be read: %v", r)
		}
	}()
	return n.Decode(into)
}

func isInteger(t reflect.Type) bool {
	return t.Kind() >= reflect.Int && t.Kind() <= reflect.Uintptr && t != duration && !readsItself(t)
}

func (w *walker) wrongType(n *yaml.Node, v reflect.Value, path []string) error {
	keys := ""
	if v.Kind() == reflect.Struct && len(path) > 0 && !readsItself(v.Type()) {
		keys = ": its keys are " + strings.Join(fieldsOf(v.Type()).names, ", ")
	}
	return w.errorf(n, path, "%s is wanted, not %s%s", wanted(v.Type()), found(n), keys)
}

func wanted(t reflect.Type) string {
	switch k := t.Kind(); {
	case readsItself(t):
		return "a single value"
	case t == duration:
		return "a duration such as 30s"
	case k == reflect.Bool:
		return "true or false"
	case k >= reflect.Uint && k <= reflect.Uintptr:
		return "a whole number from 0"
	case isInteger(t):
		return "a whole number"
	case k == reflect.Float32 || k == reflect.Float64:
		return "a number"
	case k == reflect.String:
		return "a text"
	case k == reflect.Slice:
		return "a list"
	case k == reflect.Struct || k == reflect.Map:
		return "a section of keys"
	}
	return t.String()
}

func found(n *yaml.Node) string {
	switch n.Kind {
	case yaml.SequenceNode:
		return "a list"
	case yaml.MappingNode:
		return "a section of keys"
	}
	value := n.Value
	if len(value) > 40 {
		value = value[:40] + "…"
	}
	return strconv.Quote(value)
}
