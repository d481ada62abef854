// Command site makes a static site of the Markdown pages in docs/. It is a module of its own, so that users of goprm do not depend on
// goldmark. Links between pages become links between their HTML; links to other files of the repository lead to where it is hosted.
//
//	cd internal/tools/site && go run . --docs ../../../docs --out ../../../runs/docs-site
package main

import (
	"bytes"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"log"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
)

// order is that of the navigation; pages that are not in it come last.
var order = []string{"quickstart", "quickstart-go", "labelling", "7b", "serving", "deploy", "tracking", "formats", "configuration",
	"commands", "troubleshooting", "capacity", "benchmarks", "status", "extending"}

//go:embed page.html
var layout string

type page struct {
	Name, Title string
	Body        template.HTML
}

func main() {
	docs := flag.String("docs", "docs", "folder of the Markdown pages")
	out := flag.String("out", "", "folder to write, which is made")
	hosted := flag.String("hosted", "https://github.com/goprm/goprm/blob/main", "where the repository's other files are")
	flag.Parse()
	if err := build(*docs, *out, *hosted); err != nil {
		log.Fatal("site: ", err)
	}
}

func build(docs, out, hosted string) error {
	if out == "" {
		return errors.New("--out is needed")
	}
	names, err := filepath.Glob(filepath.Join(docs, "*.md"))
	if err != nil || len(names) == 0 {
		return fmt.Errorf("%s holds no pages: %w", docs, err)
	}
	var pages []page
	for _, name := range names {
		source, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		p, err := convert(strings.TrimSuffix(filepath.Base(name), ".md"), source, hosted)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		pages = append(pages, p)
	}
	return write(out, sorted(pages))
}

func sorted(pages []page) []page {
	var list []page
	rest := map[string]page{}
	for _, p := range pages {
		rest[p.Name] = p
	}
	for _, name := range order {
		if p, ok := rest[name]; ok {
			list = append(list, p)
			delete(rest, name)
		}
	}
	for _, p := range pages {
		if _, ok := rest[p.Name]; ok {
			list = append(list, p)
		}
	}
	return list
}

func write(out string, pages []page) error {
	if err := os.MkdirAll(out, 0o777); err != nil {
		return err
	}
	layout, err := template.New("page").Parse(layout)
	if err != nil {
		return err
	}
	for i, p := range pages {
		var b bytes.Buffer
		if err := layout.Execute(&b, map[string]any{"Page": p, "Pages": pages}); err != nil {
			return err
		}
		files := []string{p.Name + ".html"}
		if i == 0 {
			files = append(files, "index.html")
		}
		for _, name := range files {
			if err := os.WriteFile(filepath.Join(out, name), b.Bytes(), 0o666); err != nil {
				return err
			}
		}
	}
	fmt.Printf("%d pages in %s\n", len(pages), out)
	return nil
}

// converter gives headings the ids that GitHub gives them, so that anchors work in both places.
var converter = goldmark.New(goldmark.WithExtensions(extension.GFM), goldmark.WithParserOptions(parser.WithAutoHeadingID()))

func convert(name string, source []byte, hosted string) (page, error) {
	doc := converter.Parser().Parse(text.NewReader(source), parser.WithContext(parser.NewContext(parser.WithIDs(&ids{}))))
	p := page{Name: name, Title: name}
	err := ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		switch n := n.(type) {
		case *ast.Heading:
			if entering && n.Level == 1 {
				p.Title = string(n.Lines().Value(source))
			}
		case *ast.Link:
			if entering {
				n.Destination = []byte(target(string(n.Destination), hosted))
			}
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		return p, err
	}
	var b bytes.Buffer
	err = converter.Renderer().Render(&b, source, doc)
	p.Body = template.HTML(b.String()) // the repository's own pages, raw HTML left out
	return p, err
}

// target is where a link of a page leads on the site.
func target(link, hosted string) string {
	file, anchor, _ := strings.Cut(link, "#")
	switch {
	case file == "" || strings.Contains(file, ":"):
		return link
	case strings.HasPrefix(file, "../"):
		return strings.TrimSuffix(hosted, "/") + path.Clean("/"+strings.TrimPrefix(file, ".."))
	case anchor != "":
		anchor = "#" + anchor
	}
	return strings.TrimSuffix(file, ".md") + ".html" + anchor
}

type ids struct{ used map[string]int }

var dropped = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)

// Generate makes an id as GitHub does: lower case, punctuation left out, a hyphen for each space.
func (i *ids) Generate(value []byte, _ ast.NodeKind) []byte {
	id := strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(strings.TrimSpace(string(value))), ""), " ", "-")
	if i.used == nil {
		i.used = map[string]int{}
	}
	n := i.used[id]
	i.used[id]++
	if n > 0 {
		id = fmt.Sprintf("%s-%d", id, n)
	}
	return []byte(id)
}

func (i *ids) Put([]byte) {}
