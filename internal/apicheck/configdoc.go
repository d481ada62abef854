package apicheck

import (
	"encoding"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goprm/goprm/internal/strictyaml"
)

// Key is a key of a configuration file as its struct describes it.
type Key struct {
	Path    []string // from the file's top
	Section bool     // it holds the keys that follow it
	Type    string
	Default string // as YAML
	Doc     string // the field's comment, with keys in place of names of fields
	Values  []string
}

// Keys lists the keys of a configuration, a struct with yaml tags that holds the defaults, in the order of its fields. Comments are read
// from the sources in the tree.
func (t Tree) Keys(config any) ([]Key, error) {
	w := keyWalk{tree: t, packages: map[string]*sources{}}
	err := w.section(reflect.ValueOf(config), nil)
	return w.keys, err
}

type keyWalk struct {
	tree     Tree
	packages map[string]*sources
	within   []reflect.Type // sections above
	keys     []Key
}

// sources are the comments of a package.
type sources struct {
	fields map[string]map[string]string // by type and field
	values map[string][]string          // constants of a named text type
}

func (w *keyWalk) section(v reflect.Value, path []string) error {
	from, err := w.source(v.Type().PkgPath())
	if err != nil {
		return err
	}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, option, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if !f.IsExported() || name == "-" {
			continue
		}
		if option == "inline" {
			if err := w.section(v.Field(i), path); err != nil {
				return err
			}
			continue
		}
		key := Key{Path: append(slices.Clone(path), name), Doc: renamed(from.fields[v.Type().Name()][f.Name], f.Name, v.Type())}
		if err := w.key(key, v.Field(i)); err != nil {
			return err
		}
	}
	return nil
}

// key adds a key, and what it holds.
func (w *keyWalk) key(key Key, v reflect.Value) error {
	inner, name := v, key.Path
	switch v.Kind() {
	case reflect.Map:
		inner, name = reflect.New(v.Type().Elem()).Elem(), append(slices.Clone(name), "NAME")
	case reflect.Slice:
		inner, name = reflect.New(v.Type().Elem()).Elem(), append(slices.Clone(name), "N")
	}
	key.Section = inner.Kind() == reflect.Struct && !readsItself(inner.Type())
	if key.Section {
		w.keys = append(w.keys, key)
		if slices.Contains(w.within, inner.Type()) { // a judge may hold judges
			return nil
		}
		w.within = append(w.within, inner.Type())
		defer func() { w.within = w.within[:len(w.within)-1] }()
		return w.section(inner, name)
	}
	text, err := strictyaml.Encode(v.Interface())
	if err != nil {
		return err
	}
	key.Default, key.Type = strings.TrimSuffix(string(text), "\n"), typeName(v.Type())
	if key.Default == "null" {
		key.Default = ""
	}
	named := inner.Type()
	if named.Kind() == reflect.String && named.PkgPath() != "" {
		from, err := w.source(named.PkgPath())
		if err != nil {
			return err
		}
		key.Values = from.values[named.Name()]
	}
	w.keys = append(w.keys, key)
	return nil
}

func readsItself(t reflect.Type) bool {
	_, marshals := reflect.New(t).Interface().(interface{ MarshalYAML() (any, error) })
	return marshals || reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextMarshaler]())
}

func typeName(t reflect.Type) string {
	switch {
	case t.Kind() == reflect.Pointer:
		return typeName(t.Elem())
	case t == reflect.TypeFor[time.Duration]():
		return "duration"
	case readsItself(t) || t.Kind() == reflect.Interface:
		return "value"
	case t.Kind() == reflect.Slice:
		return "list"
	case t.Kind() == reflect.Map:
		return "section"
	case t.Kind() == reflect.String:
		return "text"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Float64:
		return "number"
	}
	return "whole number"
}

// source reads the comments of a package of the tree.
func (w *keyWalk) source(path string) (*sources, error) {
	if s := w.packages[path]; s != nil {
		return s, nil
	}
	s := &sources{fields: map[string]map[string]string{}, values: map[string][]string{}}
	files, err := filepath.Glob(filepath.Join(w.tree.Dir, strings.TrimPrefix(path, w.tree.Path), "*.go"))
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.TypeSpec:
				s.structType(n)
			case *ast.ValueSpec:
				s.constant(n)
			}
			return true
		})
	}
	w.packages[path] = s
	return s, nil
}

func (s *sources) structType(n *ast.TypeSpec) {
	fields, ok := n.Type.(*ast.StructType)
	if !ok {
		return
	}
	docs := map[string]string{}
	for _, f := range fields.Fields.List {
		for _, name := range f.Names {
			docs[name.Name] = strings.Join(strings.Fields(f.Doc.Text()+" "+f.Comment.Text()), " ")
		}
	}
	s.fields[n.Name.Name] = docs
}

func (s *sources) constant(n *ast.ValueSpec) {
	of, typed := n.Type.(*ast.Ident)
	if !typed || len(n.Values) != 1 {
		return
	}
	if literal, ok := n.Values[0].(*ast.BasicLit); ok && literal.Kind == token.STRING {
		value, _ := strconv.Unquote(literal.Value) // it has been parsed
		s.values[of.Name] = append(s.values[of.Name], value)
	}
}

var fieldName = regexp.MustCompile(`\b[A-Z][A-Za-z]+\b`)

// renamed puts keys in place of the names of a struct's fields in a comment, and leaves out the field's own at its beginning.
func renamed(doc, own string, t reflect.Type) string {
	doc = strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(doc, own+" "), "is "), "are ")
	doc = fieldName.ReplaceAllStringFunc(doc, func(word string) string {
		if f, ok := t.FieldByName(word); ok {
			if name, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); name != "" && name != "-" {
				return name
			}
		}
		return word
	})
	return strings.ReplaceAll(doc, "nil: ", "left out: ")
}

// ExampleYAML is a configuration with every key, its default and its comment. given are values of required keys.
func ExampleYAML(head string, keys []Key, given map[string]string) string {
	const width, most = 100, 130
	var b strings.Builder
	b.WriteString(head)
	for _, k := range keys {
		indent := strings.Repeat("  ", len(k.Path)-1)
		value := k.Default
		if own, ok := given[strings.Join(k.Path, ".")]; ok {
			value = own
		}
		line := strings.TrimRight(indent+k.Path[len(k.Path)-1]+": "+value, " ")
		switch doc := k.comment(); {
		case doc == "":
			b.WriteString(line + "\n")
		case len(line)+4+len(doc) <= most:
			fmt.Fprintf(&b, "%-34s # %s\n", line, doc)
		default:
			for _, part := range wrapped(doc, width-len(indent)) {
				b.WriteString(indent + "# " + part + "\n")
			}
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

// comment is what a key means and which values it takes.
func (k Key) comment() string {
	doc := strings.TrimSuffix(k.Doc, ".")
	if i := strings.LastIndex(doc, "; "); i >= 0 && sameValue(doc[i+2:], k.Default) {
		doc = doc[:i]
	}
	if len(k.Values) > 0 && !slices.ContainsFunc(k.Values, func(v string) bool { return strings.Contains(doc, v) }) {
		doc = strings.TrimPrefix(doc+"; "+strings.Join(k.Values, ", "), "; ")
	}
	return doc
}

func sameValue(a, b string) bool {
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	return a == b || errX == nil && errY == nil && x == y
}

func wrapped(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	return append(lines, line)
}

// KeyTable is a Markdown table of keys.
func KeyTable(keys []Key) string {
	var b strings.Builder
	b.WriteString("| key | type | default | |\n|---|---|---|---|\n")
	cell := strings.NewReplacer("|", `\|`, "<", "&lt;", ">", "&gt;", "*", `\*`)
	for _, k := range keys {
		if k.Section && k.Doc == "" {
			continue
		}
		value := k.Default
		if value != "" {
			value = "`" + value + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", strings.Join(k.Path, "."), k.Type, value, cell.Replace(k.comment()))
	}
	return b.String()
}
