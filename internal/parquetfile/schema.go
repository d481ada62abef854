package parquetfile

import (
	"fmt"

	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"
)

const maxDepth = 32

// node is one element of the schema.
type node struct {
	name, path         string
	optional, repeated bool
	maxRep, maxDef     int
	list               bool // its only child is repeated, and the rows are an array of what that holds
	children           []*node
	first, end         int // its leaves
	// of leaves:
	kind   format.Type
	write  func(*rowWriter, value) error
	inline bool // see InlineKey
}

// setSchema makes the tree of the schema, which the footer holds depth first.
func (f *File) setSchema() error {
	at := 0
	var build func(parent *node, depth int) (*node, error)
	build = func(parent *node, depth int) (*node, error) {
		if at == len(f.meta.Schema) || depth > maxDepth {
			return nil, fmt.Errorf("schema: %w", errThrift)
		}
		e := &f.meta.Schema[at]
		at++
		n := &node{name: e.Name, path: e.Name, first: len(f.leaves)}
		if parent != nil {
			n.optional = e.RepetitionType.V == format.Optional
			n.repeated = e.RepetitionType.V == format.Repeated
			n.maxRep, n.maxDef = parent.maxRep, parent.maxDef
			if n.repeated {
				n.maxRep++
			}
			if n.repeated || n.optional {
				n.maxDef++
			}
			if depth > 1 {
				n.path = parent.path + "." + e.Name
			}
		}
		if e.Type.Valid {
			n.kind, n.write = e.Type.V, writerOf(e)
			if n.write == nil {
				return nil, fmt.Errorf("column %s: values of the type %s are not read: leave the column out or store it as text", n.path, typeName(e))
			}
			if text := e.Type.V == format.ByteArray; text && n.path == f.marked(JSONKey) {
				n.write = (*rowWriter).document
			} else if text && n.maxRep == 0 && n.path == f.marked(InlineKey) {
				n.inline = true
			}
			f.leaves = append(f.leaves, n)
		}
		names := map[string]bool{}
		for range e.NumChildren.V {
			if e.Type.Valid {
				return nil, fmt.Errorf("schema: column %s has a type and children", n.path)
			}
			child, err := build(n, depth+1)
			if err != nil {
				return nil, err
			}
			if names[child.name] {
				return nil, fmt.Errorf("schema: two columns %s", child.path)
			}
			names[child.name] = true
			n.children = append(n.children, child)
		}
		n.end = len(f.leaves)
		if n.first == n.end {
			return nil, fmt.Errorf("schema: %s has no columns", n.path)
		}
		n.list = isList(e) && len(n.children) == 1 && n.children[0].repeated
		return n, nil
	}
	var err error
	if f.root, err = build(nil, 0); err != nil {
		return err
	}
	if at != len(f.meta.Schema) || f.root.kind != 0 || f.root.write != nil {
		return fmt.Errorf("schema: %w", errThrift)
	}
	return nil
}

func isJSON(e *format.SchemaElement) bool {
	_, logical := e.LogicalType.Value.(*format.JsonType)
	return logical || e.ConvertedType.Valid && e.ConvertedType.V == deprecated.Json
}

// isList tells the annotation of lists; a MAP is written like a list of {key, value}.
func isList(e *format.SchemaElement) bool {
	switch e.LogicalType.Value.(type) {
	case *format.ListType, *format.MapType:
		return true
	}
	return e.ConvertedType.Valid && (e.ConvertedType.V == deprecated.List || e.ConvertedType.V == deprecated.Map ||
		e.ConvertedType.V == deprecated.MapKeyValue)
}

// element is what the repeated node of a list holds: its only child, except in files older than the three-level form
// (parquet-format, LogicalTypes.md, backward compatibility rules).
func (n *node) element(list string) *node {
	if len(n.children) != 1 || n.children[0].repeated || n.name == "array" || n.name == list+"_tuple" {
		return nil
	}
	return n.children[0]
}

func typeName(e *format.SchemaElement) string {
	if v := e.LogicalType.Value; v != nil {
		return v.String()
	}
	if e.ConvertedType.Valid {
		return fmt.Sprintf("%s (converted type %d)", e.Type.V, e.ConvertedType.V)
	}
	return e.Type.V.String()
}
