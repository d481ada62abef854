// Package report writes self-contained HTML pages: no script, no font, no image and no style from anywhere else, so a
// page can be mailed, archived and opened without a network. It follows the reader's light or dark scheme and fits a phone.
package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
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

// Block is a [LineChart], [Histogram], [Table] or [Steps].
type Block interface {
	view() (kind string, data any)
}

// Table is a table with a heading row. Columns that hold only numbers (or nothing) are set flush right.
type Table struct {
	Title   string
	Columns []string
	Rows    [][]string // shorter rows are filled with empty cells; cells beyond the columns are left out
}

// Steps shows one trajectory, each step's text on a colour that follows its score.
type Steps struct {
	Title   string
	Problem string // shown first; may be empty
	First   int    // number of the first step; 0: 1
	Steps   []Step
}

// Step is one step of a trajectory.
type Step struct {
	Part  string  // such as "thinking"; shown where it changes
	Text  string  //
	Score float64 // in [0,1] from bad to good; NaN: none
	Label float64 // what the step was labelled; NaN: nothing
}

//go:embed page.html.tmpl
var pageSource string

// page is parsed once; a template cannot be changed after its first use.
var page = template.Must(template.New("page").Funcs(template.FuncMap{"view": viewOf}).Parse(pageSource))

// Write renders the page to w.
func Write(w io.Writer, p Page) error {
	var out bytes.Buffer
	if err := page.Execute(&out, p); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	_, err := w.Write(bytes.ToValidUTF8(out.Bytes(), []byte("\uFFFD")))
	return err
}

type blockView struct {
	Kind string
	Data any
}

func viewOf(b Block) blockView {
	if b == nil {
		return blockView{}
	}
	kind, data := b.view()
	return blockView{Kind: kind, Data: data}
}

type cell struct {
	Text   string
	Number bool
}

type tableView struct {
	Title string
	Head  []cell
	Rows  [][]cell
}

func (t Table) view() (string, any) {
	v := tableView{Title: t.Title, Head: make([]cell, len(t.Columns)), Rows: make([][]cell, len(t.Rows))}
	for c, title := range t.Columns {
		number := false
		for _, row := range t.Rows {
			if c < len(row) && row[c] != "" {
				if number = isNumber(row[c]); !number {
					break
				}
			}
		}
		v.Head[c] = cell{title, number}
	}
	for r, row := range t.Rows {
		v.Rows[r] = make([]cell, len(t.Columns))
		for c := range t.Columns {
			v.Rows[r][c].Number = v.Head[c].Number
			if c < len(row) {
				v.Rows[r][c].Text = row[c]
			}
		}
	}
	return "table", v
}

// isNumber takes what a table shows as a number: 12, −0.5, 93.0 %, or a dash for nothing.
func isNumber(s string) bool {
	switch s {
	case "-", "–", "—":
		return true
	}
	if n := len(s); s[n-1] == '%' {
		s = s[:n-1]
	}
	for len(s) > 0 && s[len(s)-1] == ' ' {
		s = s[:len(s)-1]
	}
	_, err := strconv.ParseFloat(s, 64)
	return err == nil
}

type stepView struct {
	Number       int
	Part         string // only where it differs from the step before
	Text         string
	Score, Label string
	Class        string       // none, low or high: which pair of colours is mixed
	Style        template.CSS // the share of the second of them
	Verdict      string       // right or wrong, by the label
}

type stepsView struct {
	Title, Problem string
	Steps          []stepView
}

func (s Steps) view() (string, any) {
	v := stepsView{Title: s.Title, Problem: s.Problem, Steps: make([]stepView, len(s.Steps))}
	part := ""
	for i, step := range s.Steps {
		view := stepView{Number: max(1, s.First) + i, Text: step.Text, Score: "no score", Label: "no label", Class: "none"}
		if step.Part != part {
			part = step.Part
			view.Part = part
		}
		if !math.IsNaN(step.Score) {
			view.Score = strconv.FormatFloat(step.Score, 'f', 2, 64)
			share := 2 * math.Max(0, math.Min(1, step.Score))
			view.Class = "low"
			if share >= 1 {
				view.Class = "high"
				share--
			}
			view.Style = template.CSS(fmt.Sprintf("--share:%.0f%%", 100*share))
		}
		if !math.IsNaN(step.Label) {
			view.Label = "label " + strconv.FormatFloat(step.Label, 'f', 2, 64)
			view.Verdict = "wrong"
			if step.Label >= 0.5 {
				view.Verdict = "right"
			}
		}
		v.Steps[i] = view
	}
	return "steps", v
}
