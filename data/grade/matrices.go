package grade

import (
	"slices"
	"strings"
)

// matrixOf carries out sums, products and multiples of matrices; nil where n is none.
func matrixOf(n *node) *node {
	if !n.has(matrix) {
		return nil
	}
	switch n.kind {
	case matrix:
		return n
	case power: // the transpose
		if m := matrixOf(n.args[0]); m != nil && (n.args[1].is(symbol, "T") || n.args[1].is(symbol, `\top`)) {
			return transpose(m)
		}
	case negative:
		if m := matrixOf(n.args[0]); m != nil {
			return m.each(func(a *node) *node { return newNode(negative, a) })
		}
	case quotient:
		if m := matrixOf(n.args[0]); m != nil && !n.args[1].has(matrix) {
			return m.each(func(a *node) *node { return newNode(quotient, a, n.args[1]) })
		}
	case sum:
		var total *node
		for _, a := range n.args {
			m := matrixOf(a)
			if m == nil || total != nil && (len(m.args) != len(total.args) || m.cols != total.cols) {
				return nil
			}
			if total == nil {
				total = m
				continue
			}
			i, before := -1, total
			total = m.each(func(a *node) *node { i++; return newNode(sum, before.args[i], a) })
		}
		return total
	case product:
		var total *node
		for _, a := range n.args {
			m := matrixOf(a)
			if m == nil && a.has(matrix) {
				return nil
			}
			if m == nil {
				m = a
			}
			if total = multiply(total, m); total == nil {
				return nil
			}
		}
		return total
	}
	return nil
}

func (n *node) each(f func(*node) *node) *node {
	m := &node{kind: matrix, cols: n.cols, args: make([]*node, len(n.args))}
	for i, a := range n.args {
		m.args[i] = f(a)
	}
	return m
}

// size is the number of nodes of the tree. Entries of products share nodes, so that the tree may be exponentially larger than
// what it takes in memory, and everything that walks it as well.
func (n *node) size() int {
	if n.nodes == 0 {
		n.nodes = 1
		for _, a := range n.args {
			n.nodes = min(n.nodes+a.size(), 2*maxNodes)
		}
	}
	return n.nodes
}

// multiply multiplies matrices and numbers; nil where the shapes do not fit or the entries become too large.
func multiply(a, b *node) *node {
	switch {
	case a == nil:
		return b
	case a.kind != matrix && b.kind != matrix:
		return newNode(product, a, b)
	case a.size()*len(b.args)+b.size()*len(a.args) > maxNodes:
		return nil
	case a.kind != matrix:
		return b.each(func(x *node) *node { return newNode(product, a, x) })
	case b.kind != matrix:
		return a.each(func(x *node) *node { return newNode(product, x, b) })
	}
	inner, cols := a.cols, b.cols
	rows := len(a.args) / inner
	if len(b.args)/cols != inner || rows*cols > maxElements {
		return nil
	}
	m := &node{kind: matrix, cols: cols}
	for r := range rows {
		for c := range cols {
			terms := make([]*node, inner)
			for k := range inner {
				terms[k] = newNode(product, a.args[r*inner+k], b.args[k*cols+c])
			}
			m.args = append(m.args, newNode(sum, terms...))
		}
	}
	if m.size() > maxNodes {
		return nil
	}
	return m
}

func (g *grader) matrices(gold, pred *node) Decision {
	if gold.cols != pred.cols {
		return g.no("the matrices have different shapes")
	}
	return g.all(gold.args, pred.args)
}

// vectors compares a matrix of one row or column with a tuple.
func (g *grader) vectors(gold, pred *node) Decision {
	for _, n := range []*node{gold, pred} {
		if n.kind == matrix && n.cols != 1 && n.cols != len(n.args) {
			return g.no("a matrix and a tuple")
		}
	}
	return g.all(gold.args, pred.args)
}

// unitVectors are i, j and k in bold or under hats.
var unitVectors = []string{`\hat{i}`, `\hat{j}`, `\hat{k}`}

// asVector is 2i - 3j + k as a tuple of so many components; nil for what is no such sum.
func asVector(n *node, size int) *node {
	names := freeVariables(n)
	if !isScalarKind(n.kind) || size != 2 && size != 3 || size == 2 && names[unitVectors[2]] || !slices.ContainsFunc(unitVectors,
		func(name string) bool { return names[name] }) {
		return nil
	}
	v := named(tuple, "<>")
	for i := range size {
		component := n
		for k, name := range unitVectors {
			value := integer(0)
			if k == i {
				value = integer(1)
			}
			component = component.replace(name, value)
		}
		v.args = append(v.args, component)
	}
	return v
}

func transpose(m *node) *node {
	t := &node{kind: matrix, cols: len(m.args) / m.cols}
	for c := range m.cols {
		for r := range t.cols {
			t.args = append(t.args, m.args[r*m.cols+c])
		}
	}
	return t
}

// rowsOf is a matrix that was written as a list of rows, [[1,2],[3,4]]; nil for everything else.
func rowsOf(n *node) *node { return rowsIn(n, "[]") }

// rowsIn is rowsOf with all of the brackets named.
func rowsIn(n *node, brackets string) *node {
	if n.kind != tuple || !strings.Contains(brackets, n.name) {
		return nil
	}
	m := &node{kind: matrix}
	for i, row := range n.args {
		if row.kind != tuple || row.name != n.name || i > 0 && len(row.args) != m.cols {
			return nil
		}
		m.cols = len(row.args)
		m.args = append(m.args, row.args...)
	}
	return m
}

// determinant is the determinant of a matrix of two or three rows, written out; nil for everything else.
func determinant(n *node) *node {
	if !n.is(function, "det") || len(n.args) != 1 || n.args[0].kind != matrix {
		return nil
	}
	m := n.args[0]
	minor := func(row, i, j int) *node { // of the columns i and j in a row and the next one
		at := func(r, c int) *node { return m.args[r*m.cols+c] }
		return newNode(sum, newNode(product, at(row, i), at(row+1, j)), newNode(negative, newNode(product, at(row, j), at(row+1, i))))
	}
	switch {
	case m.cols == 2 && len(m.args) == 4:
		return minor(0, 0, 1)
	case m.cols == 3 && len(m.args) == 9:
		return newNode(sum, newNode(product, m.args[0], minor(1, 1, 2)), newNode(negative, newNode(product, m.args[1], minor(1, 0, 2))),
			newNode(product, m.args[2], minor(1, 0, 1)))
	}
	return nil
}
