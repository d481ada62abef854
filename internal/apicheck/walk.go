package apicheck

import (
	"bytes"
	"fmt"
	"go/types"
	"regexp"
	"strings"
)

// walker collects the lines and the leaks of what it has seen.
type walker struct {
	tree         Tree
	lines, leaks map[string]bool
	seen         map[*types.TypeName]bool // types whose own declaration was walked
}

func (w *walker) object(o types.Object) {
	switch o := o.(type) {
	case *types.Const:
		value := strings.ReplaceAll(o.Val().ExactString(), "\n", `\n`)
		w.line(o.Pkg(), fmt.Sprintf("const %s %s = %s", o.Name(), w.text(o.Pkg(), o.Type()), value), o.Type())
	case *types.Var:
		w.line(o.Pkg(), fmt.Sprintf("var %s %s", o.Name(), w.text(o.Pkg(), o.Type())), o.Type())
	case *types.Func:
		w.line(o.Pkg(), fmt.Sprintf("func %s%s", o.Name(), w.signature(o.Pkg(), o.Signature())), o.Type())
	case *types.TypeName:
		w.declaration(o)
	}
}

// declaration walks a type of the tree once: what it is, and everything that a value of it gives access to.
func (w *walker) declaration(o *types.TypeName) {
	if w.seen[o] {
		return
	}
	w.seen[o] = true
	name := o.Name()
	switch t := o.Type().(type) {
	case *types.Alias:
		head := "type " + name + w.parameters(o.Pkg(), t.TypeParams())
		w.line(o.Pkg(), head+" = "+w.text(o.Pkg(), t.Rhs()), t.Rhs(), parameterTypes(t.TypeParams()))
	case *types.Named:
		head := "type " + name + w.parameters(o.Pkg(), t.TypeParams())
		switch u := t.Underlying().(type) {
		case *types.Struct:
			w.line(o.Pkg(), head+" struct", parameterTypes(t.TypeParams()))
			w.fields(o.Pkg(), head, u)
		case *types.Interface:
			sealed := ""
			for m := range u.Methods() {
				if !m.Exported() {
					sealed = " with unexported methods"
				}
			}
			w.line(o.Pkg(), head+" interface"+sealed, parameterTypes(t.TypeParams()))
			w.embedded(o.Pkg(), head, u)
		default:
			w.line(o.Pkg(), head+" "+w.text(o.Pkg(), u), u, parameterTypes(t.TypeParams()))
		}
		w.methods(o.Pkg(), name, t)
	}
}

// fields walks the exported fields and the embedded ones, whose own fields and methods are promoted.
func (w *walker) fields(pkg *types.Package, head string, s *types.Struct) {
	for i := range s.NumFields() {
		f := s.Field(i)
		switch {
		case f.Exported() && f.Embedded():
			w.line(pkg, head+", embedded "+w.text(pkg, f.Type()), f.Type())
		case f.Exported():
			w.line(pkg, fmt.Sprintf("%s, %s %s", head, f.Name(), w.text(pkg, f.Type())), f.Type())
		case f.Embedded():
			w.reach(w.tree.short(pkg.Path())+", "+head+", an embedded field", f.Type())
			if inner, ok := behind(f.Type()).Underlying().(*types.Struct); ok {
				w.fields(pkg, head, inner)
			}
		}
	}
}

// embedded walks what an interface is made of besides its methods.
func (w *walker) embedded(pkg *types.Package, head string, t *types.Interface) {
	for i := range t.NumEmbeddeds() {
		w.line(pkg, head+", embedded "+w.text(pkg, t.EmbeddedType(i)), t.EmbeddedType(i))
	}
}

// methods walks the exported methods of t and *t.
func (w *walker) methods(pkg *types.Package, name string, t *types.Named) {
	var of types.Type = t
	if !types.IsInterface(t) {
		of = types.NewPointer(t)
	}
	byValue := types.NewMethodSet(t)
	for m := range types.NewMethodSet(of).Methods() {
		if !m.Obj().Exported() {
			continue
		}
		receiver := name
		if byValue.Lookup(pkg, m.Obj().Name()) == nil {
			receiver = "*" + name
		}
		w.line(pkg, fmt.Sprintf("method (%s) %s%s", receiver, m.Obj().Name(), w.signature(pkg, m.Type().(*types.Signature))), m.Type())
	}
}

// line adds a line, and the leaks of the types that it speaks of.
func (w *walker) line(pkg *types.Package, text string, of ...types.Type) {
	line := w.tree.short(pkg.Path()) + ", " + text
	w.lines[line] = true
	for _, t := range of {
		if t != nil {
			w.reach(line, t)
		}
	}
}

// reach walks every type within t. Declared types of the tree are walked on their own, those of others cannot name ours.
func (w *walker) reach(from string, t types.Type) {
	switch t := t.(type) {
	case *types.Alias:
		w.named(from, t.Obj(), t.TypeArgs())
		w.reach(from, t.Rhs())
	case *types.Named:
		w.named(from, t.Obj(), t.TypeArgs())
	case *types.TypeParam:
		// Its constraint is walked where it is declared.
	case interface{ Elem() types.Type }: // pointer, slice, array, channel; a map's element
		if m, ok := t.(*types.Map); ok {
			w.reach(from, m.Key())
		}
		w.reach(from, t.Elem())
	case *types.Tuple:
		for v := range t.Variables() {
			w.reach(from, v.Type())
		}
	case *types.Signature:
		w.reach(from, parameterTypes(t.TypeParams()))
		w.reach(from, t.Params())
		w.reach(from, t.Results())
	case *types.Struct:
		for f := range t.Fields() {
			if f.Exported() || f.Embedded() {
				w.reach(from, f.Type())
			}
		}
	case *types.Interface:
		for m := range t.ExplicitMethods() {
			if m.Exported() {
				w.reach(from, m.Type())
			}
		}
		for i := range t.NumEmbeddeds() {
			w.reach(from, t.EmbeddedType(i))
		}
	case *types.Union:
		for i := range t.Len() {
			w.reach(from, t.Term(i).Type())
		}
	}
}

func (w *walker) named(from string, o *types.TypeName, arguments *types.TypeList) {
	for a := range arguments.Types() {
		w.reach(from, a)
	}
	if o.Pkg() == nil || o.Pkg().Path() != w.tree.Path && !strings.HasPrefix(o.Pkg().Path(), w.tree.Path+"/") {
		return
	}
	if w.tree.internal(o.Pkg().Path()) {
		w.leaks[fmt.Sprintf("%s: reaches %s.%s", from, w.tree.short(o.Pkg().Path()), o.Name())] = true
		return
	}
	w.declaration(o)
}

// parameterTypes are the constraints of type parameters.
func parameterTypes(list *types.TypeParamList) types.Type {
	var constraints []*types.Var
	for p := range list.TypeParams() {
		constraints = append(constraints, types.NewVar(0, nil, "", p.Constraint()))
	}
	return types.NewTuple(constraints...)
}

func (w *walker) parameters(pkg *types.Package, list *types.TypeParamList) string {
	if list.Len() == 0 {
		return ""
	}
	var texts []string
	for p := range list.TypeParams() {
		texts = append(texts, p.Obj().Name()+" "+w.text(pkg, p.Constraint()))
	}
	return "[" + strings.Join(texts, ", ") + "]"
}

func (w *walker) signature(pkg *types.Package, s *types.Signature) string {
	var b bytes.Buffer
	types.WriteSignature(&b, s, w.qualifier(pkg))
	text := b.String()
	if s.Results().Len() == 1 && strings.HasPrefix(s.Results().At(0).Name(), "#") {
		result := w.text(pkg, s.Results().At(0).Type())
		text = strings.TrimSuffix(text, "(#rv1 "+result+")") + result
	}
	return compilerNames.ReplaceAllString(text, "")
}

// compilerNames are what the compiler calls results that have no name.
var compilerNames = regexp.MustCompile(`#rv\d+ `)

func (w *walker) text(pkg *types.Package, t types.Type) string {
	return compilerNames.ReplaceAllString(types.TypeString(t, w.qualifier(pkg)), "")
}

// qualifier leaves out the package that is described, and the tree's path.
func (w *walker) qualifier(of *types.Package) types.Qualifier {
	return func(p *types.Package) string {
		if p == of {
			return ""
		}
		return w.tree.short(p.Path())
	}
}

func (t Tree) short(path string) string {
	if path == t.Path {
		return "."
	}
	return strings.TrimPrefix(path, t.Path+"/")
}

// behind is what a pointer points at.
func behind(t types.Type) types.Type {
	if p, ok := t.Underlying().(*types.Pointer); ok {
		return p.Elem()
	}
	return t
}
