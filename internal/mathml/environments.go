package mathml

import (
	"strings"
)

// table is how an environment sets its lines.
type table struct {
	open, close string // fences around it
	align       string // of the columns, repeated: r, l or c
	arguments   int    // that follow its name
	display     bool
}

var environments = map[string]table{
	"matrix": {align: "c"}, "smallmatrix": {align: "c"}, "array": {align: "c", arguments: 1}, "tabular": {align: "c", arguments: 1},
	"pmatrix": {open: "(", close: ")", align: "c"}, "bmatrix": {open: "[", close: "]", align: "c"},
	"Bmatrix": {open: "{", close: "}", align: "c"}, "vmatrix": {open: "|", close: "|", align: "c"},
	"Vmatrix": {open: "‖", close: "‖", align: "c"},
	"cases":   {open: "{", align: "l"}, "dcases": {open: "{", align: "l", display: true}, "rcases": {close: "}", align: "l"},
	"aligned": {align: "rl", display: true}, "align": {align: "rl", display: true}, "split": {align: "rl", display: true},
	"alignat": {align: "rl", arguments: 1, display: true}, "alignedat": {align: "rl", arguments: 1, display: true},
	"eqnarray": {align: "rcl", display: true}, "gathered": {align: "c", display: true}, "gather": {align: "c", display: true},
	"equation": {align: "c", display: true}, "multline": {align: "c", display: true}, "displaymath": {align: "c", display: true},
	"math": {align: "c"}, "subarray": {align: "c", arguments: 1},
}

// environment reads \begin{name}, whose name is next, up to its \end.
func (p *parser) environment() (node, error) {
	name, err := p.raw()
	if err != nil {
		return node{}, err
	}
	t, ok := environments[strings.TrimSuffix(name, "*")]
	if !ok {
		return node{}, p.fail("unknown environment %q", name)
	}
	if t.arguments > 0 {
		columns, err := p.raw()
		if err != nil {
			return node{}, err
		}
		if align := only(columns, "lcr"); align != "" && t.align == "c" {
			t.align = align
		}
	}
	rows, err := p.rows()
	if err != nil {
		return node{}, err
	}
	if p.peek() != `\end` {
		return node{}, p.fail(`\begin{%s} without its \end`, name)
	}
	p.take()
	if end, err := p.raw(); err != nil || end != name {
		return node{}, p.fail(`\end{%s} ends \begin{%s}`, end, name)
	}
	return node{xml: t.xml(rows)}, nil
}

// only keeps the letters of a column specification.
func only(s, letters string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(letters, r) {
			return r
		}
		return -1
	}, s)
}

// lines is a formula; where it has several lines without an environment, they are set under each other.
func (p *parser) lines() (string, error) {
	rows, err := p.rows()
	if err != nil {
		return "", err
	}
	if len(rows) == 1 && len(rows[0]) == 1 {
		return group(rows[0][0]), nil
	}
	return table{align: "rl", display: true}.xml(rows), nil
}

// rows are the cells up to what ends them; an empty last line is none.
func (p *parser) rows() ([][][]string, error) {
	var rows [][][]string
	var cells [][]string
	for {
		cell, err := p.row("")
		if err != nil {
			return nil, err
		}
		cells = append(cells, cell)
		switch token := p.peek(); token {
		case "&":
			p.take()
		case `\\`, `\cr`:
			p.take()
			if err := p.lineSkip(); err != nil {
				return nil, err
			}
			rows, cells = append(rows, cells), nil
		default:
			if len(rows) == 0 || len(cells) > 1 || len(cells[0]) > 0 {
				rows = append(rows, cells)
			}
			return rows, nil
		}
	}
}

// lineSkip drops the distance of \\[2pt], which is no matrix entry.
func (p *parser) lineSkip() error {
	if p.at < len(p.s) && p.s[p.at] == '*' {
		p.at++
	}
	if p.at >= len(p.s) || p.s[p.at] != '[' {
		return nil
	}
	end := strings.IndexByte(p.s[p.at:], ']')
	if end < 0 || end > 12 {
		return p.fail("a distance between lines that is not closed")
	}
	p.at += end + 1
	return nil
}

func (t table) xml(rows [][][]string) string {
	var b strings.Builder
	if t.open != "" || t.close != "" {
		b.WriteString("<mrow>")
	}
	if t.open != "" {
		b.WriteString(element("mo", escaped(t.open)))
	}
	if t.display {
		b.WriteString(`<mtable displaystyle="true">`)
	} else {
		b.WriteString("<mtable>")
	}
	for _, cells := range rows {
		b.WriteString("<mtr>")
		for i, cell := range cells {
			b.WriteString(element(`mtd class="`+t.align[i%len(t.align):][:1]+`"`, strings.Join(cell, "")))
		}
		b.WriteString("</mtr>")
	}
	b.WriteString("</mtable>")
	if t.close != "" {
		b.WriteString(element("mo", escaped(t.close)))
	}
	if t.open != "" || t.close != "" {
		b.WriteString("</mrow>")
	}
	return b.String()
}

func (p *parser) substack() (node, error) {
	if p.take() != "{" {
		return node{}, p.fail(`\substack without its lines`)
	}
	rows, err := p.rows()
	if err != nil {
		return node{}, err
	}
	if p.take() != "}" {
		return node{}, p.fail("a group that is not closed")
	}
	return node{xml: table{align: "c"}.xml(rows)}, nil
}

// fences that \left, \right and \big take beside single characters.
var fences = map[string]string{
	`\{`: "{", `\}`: "}", `\|`: "‖", `\lbrace`: "{", `\rbrace`: "}", `\lbrack`: "[", `\rbrack`: "]", `\langle`: "⟨", `\rangle`: "⟩",
	`\lfloor`: "⌊", `\rfloor`: "⌋", `\lceil`: "⌈", `\rceil`: "⌉", `\vert`: "|", `\lvert`: "|", `\rvert`: "|", `\Vert`: "‖",
	`\lVert`: "‖", `\rVert`: "‖", "<": "⟨", ">": "⟩", "(": "(", ")": ")", "[": "[", "]": "]", "|": "|", "/": "/", ".": "",
	`\uparrow`: "↑", `\downarrow`: "↓", `\backslash`: `\`,
}

func (p *parser) delimiter() (string, error) {
	token := p.peek()
	text, ok := fences[token]
	if !ok {
		return "", p.fail("%q where a bracket is due", token)
	}
	p.take()
	return text, nil
}

func stretched(fence, attributes string) string {
	if fence == "" {
		return ""
	}
	return element(`mo stretchy="true"`+attributes, escaped(fence))
}

// fence reads \left … \right; brackets grow with what they hold.
func (p *parser) fence() (node, error) {
	open, err := p.delimiter()
	if err != nil {
		return node{}, err
	}
	body := stretched(open, ` form="prefix"`)
	for {
		list, err := p.row("")
		if err != nil {
			return node{}, err
		}
		body += strings.Join(list, "")
		token := p.take()
		if token != `\middle` && token != `\right` {
			return node{}, p.fail(`\left without its \right`)
		}
		text, err := p.delimiter()
		if err != nil {
			return node{}, err
		}
		if token == `\right` {
			return node{xml: element("mrow", body+stretched(text, ` form="postfix"`))}, nil
		}
		body += stretched(text, ` form="infix"`)
	}
}

var bigSizes = map[string]string{"bi": "1.2em", "Bi": "1.8em", "big": "2.4em", "Big": "3em"}

func (p *parser) big(size string) (node, error) {
	text, err := p.delimiter()
	return node{xml: stretched(text, ` minsize="`+size+`" maxsize="`+size+`"`)}, err
}
