// Package report writes self-contained HTML pages: no script, no font, no image and no style from anywhere else, so a
// page can be mailed, archived and opened without a network. It follows the reader's light or dark scheme, fits a phone and prints.
// Pages can be read without their script, which only searches, orders and jumps.
package report

import (
	"bytes"
	"fmt"
	"html/template"
	"io"
	"strconv"
)

// Page is one HTML document. All text in it and below it is plain text; nothing is taken as HTML.
type Page struct {
	Title    string
	Lead     string // one paragraph under the title
	Sections []Section
}

// Section is a heading with what stands under it.
type Section struct {
	Title  string
	Text   string // a paragraph; may be empty
	Blocks []Block
}

// Block is a [Facts], [LineChart], [Histogram], [Table], [Steps] or [Traces].
type Block interface {
	view() (kind string, data any)
}

// Write renders the page to w.
func Write(w io.Writer, p Page) error {
	return execute(w, "page", struct {
		Page
		Views  []sectionView
		Style  template.CSS
		Script template.JS
		Policy string
	}{p, views(p.Sections, "t"), template.CSS(style), template.JS(script), Policy(style, script)})
}

// WriteSections renders sections without a page around them, to be put into one that has [Style] and [Script].
func WriteSections(w io.Writer, sections []Section) error {
	return execute(w, "sections", views(sections, "t"))
}

// WriteTrace renders one trajectory without a page around it. Links to its steps are #ID-s1 and so on.
func WriteTrace(w io.Writer, id string, s Steps) error {
	v := s.trace()
	v.ID, v.Open = id, true
	return execute(w, "trace", v)
}

// Tools are the tools of a browser of trajectories that come later and have scores; called is the word for one of them. They stand in an
// element of class traces, before one of class pair that holds the trajectories.
func Tools(called string, threshold float64) (template.HTML, error) {
	var out bytes.Buffer
	err := execute(&out, "tools", tracesView{Many: true, Called: called, Threshold: number(threshold)})
	return template.HTML(out.String()), err
}

func execute(w io.Writer, name string, data any) error {
	var out bytes.Buffer
	if err := page.ExecuteTemplate(&out, name, data); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	_, err := w.Write(bytes.ToValidUTF8(out.Bytes(), []byte("\uFFFD")))
	return err
}

type sectionView struct {
	Title, Text string
	Blocks      []blockView
}

type blockView struct {
	Kind string
	Data any
}

// views lays the sections out; trajectories are numbered through the page, since links name them.
func views(sections []Section, prefix string) []sectionView {
	list := make([]sectionView, len(sections))
	traces := 0
	for i, s := range sections {
		list[i] = sectionView{Title: s.Title, Text: s.Text}
		for _, b := range s.Blocks {
			v := viewOf(b)
			if t, ok := v.Data.(tracesView); ok {
				t.ID = "b" + strconv.Itoa(traces+1)
				for k := range t.List {
					traces++
					t.List[k].ID = prefix + strconv.Itoa(traces)
				}
			}
			list[i].Blocks = append(list[i].Blocks, v)
		}
	}
	return list
}

func viewOf(b Block) blockView {
	if b == nil {
		return blockView{}
	}
	kind, data := b.view()
	return blockView{Kind: kind, Data: data}
}
