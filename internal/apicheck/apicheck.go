// Package apicheck describes a public Go API: one line for each exported thing, and every way in which one reaches a type
// that is declared under internal/, which a program outside the module cannot name.
package apicheck

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// listed is what the go command says of a package.
type listed struct{ ImportPath, Export, Name string }

// Tree is a folder with packages that belong together: a module.
type Tree struct {
	Dir  string
	Path string // import path of Dir
}

// Load type-checks the public packages that the go command's patterns match in the tree, from the compiler's export data.
func (t Tree) Load(patterns ...string) ([]*types.Package, error) {
	roots, err := list(t.Dir, append([]string{"-json=ImportPath,Name"}, patterns...))
	if err != nil {
		return nil, err
	}
	everything, err := list(t.Dir, append([]string{"-export", "-deps", "-json=ImportPath,Export"}, patterns...))
	if err != nil {
		return nil, err
	}
	exports := map[string]string{}
	for _, p := range everything {
		exports[p.ImportPath] = p.Export
	}
	open := func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) }
	from := importer.ForCompiler(token.NewFileSet(), "gc", open)
	var packages []*types.Package
	for _, p := range roots {
		if t.internal(p.ImportPath) || p.Name == "main" {
			continue
		}
		pkg, err := from.Import(p.ImportPath)
		if err != nil {
			return nil, err
		}
		packages = append(packages, pkg)
	}
	return packages, nil
}

func list(dir string, arguments []string) ([]listed, error) {
	command := exec.Command("go", append([]string{"list"}, arguments...)...)
	command.Dir, command.Stderr = dir, os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	var packages []listed
	decoder := json.NewDecoder(out)
	for {
		var p listed
		if err = decoder.Decode(&p); err != nil {
			break
		}
		packages = append(packages, p)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err := errors.Join(err, command.Wait()); err != nil {
		return nil, fmt.Errorf("go list %s: %w", strings.Join(arguments, " "), err)
	}
	return packages, nil
}

// internal says whether a program outside the tree may not import the package.
func (t Tree) internal(path string) bool {
	inside, ok := strings.CutPrefix(path, t.Path+"/")
	return ok && slices.Contains(strings.Split(inside, "/"), "internal")
}

// API is what the packages offer.
type API struct {
	Lines []string // sorted, without repetitions: a package, then one exported thing of it
	Leaks []string // sorted: an exported thing, then the internal type that it reaches
}

// Describe walks all that the packages export: constants, variables, functions, types with their exported and embedded
// fields, their methods (promoted ones too), type parameters and aliases, and unexported types as far as those lead to them.
func (t Tree) Describe(packages []*types.Package) API {
	w := &walker{tree: t, lines: map[string]bool{}, leaks: map[string]bool{}, seen: map[*types.TypeName]bool{}}
	for _, p := range packages {
		scope := p.Scope()
		for _, name := range scope.Names() {
			if object := scope.Lookup(name); object.Exported() {
				w.object(object)
			}
		}
	}
	return API{Lines: sorted(w.lines), Leaks: sorted(w.leaks)}
}

func sorted(set map[string]bool) []string {
	var list []string
	for s := range set {
		list = append(list, s)
	}
	slices.Sort(list)
	return list
}
