package grade

import (
	"slices"
	"strings"
)

// environment reads a matrix, or the lines of cases and aligned equations as a list.
func (p *parser) environment(name string) *node {
	bars, integrand := p.bars, p.integrand
	p.bars, p.integrand = 0, false
	defer func() { p.bars, p.integrand = bars, integrand }()
	isMatrix := strings.HasSuffix(name, "matrix") || name == "array"
	var rows [][]*node
	var row []*node
	total := 0
	for p.err == nil {
		if p.isPunct(`\\`) || p.peek().kind == tFinish || p.isPunct("&") {
			if isMatrix && (p.isPunct("&") || len(row) > 0 && !p.isPunct(`\\`) && p.peek().kind != tFinish) {
				return p.fail("an empty entry")
			}
		} else {
			row = append(row, p.list())
			total++
		}
		if total > maxElements {
			return p.fail("more than %d entries", maxElements)
		}
		t := p.peek()
		p.at++
		switch {
		case t.kind == tPunct && t.text == "&":
		case t.kind == tPunct && t.text == `\\`, t.kind == tFinish && t.text == name:
			if len(row) > 0 {
				rows = append(rows, row)
				row = nil
			}
			if t.kind == tFinish {
				return p.lines(name, isMatrix, rows)
			}
		default:
			p.at--
			return p.fail("unclosed %s", name)
		}
	}
	return integer(0)
}

func (p *parser) lines(name string, isMatrix bool, rows [][]*node) *node {
	if len(rows) == 0 {
		return p.fail("an empty %s", name)
	}
	cols := len(rows[0])
	all := slices.Concat(rows...)
	if !isMatrix {
		if len(all) == 1 {
			return all[0]
		}
		return named(list, ",", all...)
	}
	for _, r := range rows {
		if len(r) != cols {
			return p.fail("rows of different lengths")
		}
	}
	n := newNode(matrix, all...)
	n.cols = cols
	if name == "vmatrix" {
		return named(function, "det", n)
	}
	return n
}
