// Command notices prints what the program prm is made of: the licence texts of the modules that are linked into it, or, with -sbom, a
// CycloneDX list of them with their versions and hashes. It needs the modules' sources, as every build does, and no network.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func main() {
	log.SetFlags(0)
	sbom := flag.Bool("sbom", false, "print a CycloneDX 1.6 document instead of licence texts")
	flag.Parse()
	modules, err := linked("./cmd/prm")
	if err == nil && *sbom {
		err = writeSBOM(os.Stdout, modules)
	} else if err == nil {
		err = writeNotices(os.Stdout, modules)
	}
	if err != nil {
		log.Fatal("notices: ", err)
	}
}

// module is one that packages of the program come from.
type module struct {
	Path, Version, Dir, Sum string
	Replace                 *module
}

// linked are the modules of the packages that a program is made of, by path; not those that tests or tools need.
func linked(program string) ([]module, error) {
	c := exec.Command("go", "list", "-deps", "-json=Module", program)
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		return nil, err
	}
	found := map[string]module{}
	for in := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			Module *struct {
				module
				Main bool
			}
		}
		if err := in.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		if p.Module != nil && !p.Module.Main {
			found[p.Module.Path] = p.Module.module
		}
	}
	var list []module
	for _, m := range found {
		if m.Replace != nil {
			m.Version, m.Dir, m.Sum = m.Replace.Version, m.Replace.Dir, m.Replace.Sum
		}
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b module) int { return strings.Compare(a.Path, b.Path) })
	return list, nil
}

var licenceName = regexp.MustCompile(
	`(?i)^(licen[cs]e|copying|notice|copyright|patents|ftl|authors)([.\-_].*)?$|(?i)^.*licen[cs]e.*\.(txt|md)$`)

// licences are the files of a module, by path, that say how it may be used: its own, and those of parts that it took from others.
func licences(m module) ([]string, error) {
	var found []string
	err := filepath.WalkDir(m.Dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && slices.Contains([]string{"testdata", "node_modules"}, d.Name()) {
			return filepath.SkipDir
		}
		if !d.IsDir() && licenceName.MatchString(d.Name()) && filepath.Ext(d.Name()) != ".go" {
			found = append(found, path)
		}
		return nil
	})
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("%s: holds no licence", m.Dir)
	}
	return found, err
}

func writeNotices(w io.Writer, modules []module) error {
	const preface = "prm contains the Go standard library and these modules; each may be used under its own licence."
	if _, err := fmt.Fprintln(w, preface); err != nil {
		return err
	}
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return err
	}
	standard := module{Path: "std", Dir: strings.TrimSpace(string(goroot))}
	for _, m := range append([]module{standard}, modules...) {
		files := []string{filepath.Join(m.Dir, "LICENSE")}
		if m.Path != "std" {
			if files, err = licences(m); err != nil {
				return err
			}
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			name, err := filepath.Rel(m.Dir, file)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(w, "\n%s\n%s %s: %s\n\n%s\n", strings.Repeat("=", 100), m.Path, m.Version, name, text); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeSBOM writes the modules as CycloneDX components, whose hashes are those of go.sum.
func writeSBOM(w io.Writer, modules []module) error {
	type component map[string]any
	list := []component{}
	for _, m := range modules {
		list = append(list, component{"type": "library", "name": m.Path, "version": m.Version, "purl": "pkg:golang/" + m.Path + "@" + m.Version,
			"bom-ref": m.Path + "@" + m.Version, "properties": []map[string]string{{"name": "go.sum", "value": m.Sum}}})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(component{"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": list,
		"metadata": component{"component": component{"type": "application", "name": "prm", "bom-ref": "prm"}}})
}
