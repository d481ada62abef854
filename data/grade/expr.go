package grade

import (
	"crypto/sha256"
	"math/big"
	"slices"
	"strings"
)

// kind says what a node is.
type kind uint8

const (
	number   kind = iota // value; decimals where it was written as a decimal
	symbol               // name
	sum                  // args
	product              // args
	negative             // args[0]
	quotient             // args[0] / args[1]
	power                // args[0] ^ args[1]
	function             // name, args
	applied              // an unknown function: name, args
	percent              // args[0]
	degree               // args[0]
	signs                // ±args[0] (name "+-") or ∓args[0] (name "-+")
	unit                 // args[0] with the unit name
	ratio                // args[0] : args[1] : ...
	relation             // args joined by ops
	list                 // args joined by commas, "and" or "or" (name)
	tuple                // args between the brackets that name holds, "()", "[)" and so on
	set                  // {args}
	setWhere             // {args[0] | args[1]}
	setOp                // name ∪ ∩ ∖
	matrix               // args by rows, cols to a row
	series               // name sum or prod: variable args[0], from args[1], to args[2], of args[3]
	opaque               // an integral, limit or derivative: compared by its parts only
	words                // text
)

// node is an expression. Nodes are not changed once they are built.
type node struct {
	kind     kind
	name     string
	value    *big.Rat
	decimals int // of a number written with a decimal point
	digits   int // its significant digits
	cols     int
	ops      []string
	args     []*node

	key   string // canon's memory
	nodes int    // size's memory
}

func newNode(k kind, args ...*node) *node            { return &node{kind: k, args: args} }
func named(k kind, name string, args ...*node) *node { return &node{kind: k, name: name, args: args} }
func integer(n int64) *node                          { return &node{kind: number, value: big.NewRat(n, 1)} }
func (n *node) is(k kind, name string) bool          { return n.kind == k && n.name == name }
func (n *node) isInteger() bool                      { return n.kind == number && n.decimals == 0 && n.value.IsInt() }
func (n *node) any(f func(*node) bool) bool {
	return f(n) || slices.ContainsFunc(n.args, func(a *node) bool { return a.any(f) })
}
func (n *node) has(kinds ...kind) bool {
	return n.any(func(m *node) bool { return slices.Contains(kinds, m.kind) })
}
func isScalarKind(k kind) bool { return k <= degree || k == series || k == opaque }

// isInfinity returns the sign of an infinity, 0 for everything else.
func (n *node) isInfinity() int {
	switch {
	case n.is(symbol, `\infty`):
		return 1
	case n.kind == negative && n.args[0].isInfinity() != 0:
		return -n.args[0].isInfinity()
	}
	return 0
}

// variables adds the names of the free symbols to the set; constants are none.
func (n *node) variables(into map[string]bool) {
	if n.kind == series {
		inner := map[string]bool{}
		n.args[3].variables(inner)
		delete(inner, n.args[0].name)
		for name := range inner {
			into[name] = true
		}
		n.args[1].variables(into)
		n.args[2].variables(into)
		return
	}
	if n.kind == symbol && !isConstant(n.name) {
		into[n.name] = true
	}
	for _, a := range n.args {
		a.variables(into)
	}
}

// isConstant tells which symbols stand for one value, or for none that can be computed.
func isConstant(name string) bool {
	return slices.Contains([]string{`\pi`, "e", "i", `\infty`, `\dots`}, name)
}

// canon is a text that two nodes share if they differ only in the order of terms and factors and in how they were written.
func (n *node) canon() string {
	if n.key == "" {
		n.key = n.canonical()
	}
	return n.key
}

const longNumber = 512 // bits

func (n *node) canonical() string {
	switch n.kind {
	case number:
		if n.value.Num().BitLen() > longNumber || n.value.Denom().BitLen() > longNumber { // many long ones would fill the memory
			sum := sha256.Sum256([]byte(n.value.RatString()))
			return "#" + string(sum[:])
		}
		return n.value.RatString()
	case symbol, words:
		return n.name
	case sum, product:
		parts := n.flat(n.kind, nil)
		slices.Sort(parts)
		return map[kind]string{sum: "+", product: "*"}[n.kind] + "(" + strings.Join(parts, " ") + ")"
	}
	parts := make([]string, len(n.args))
	for i, a := range n.args {
		parts[i] = a.canon()
	}
	if n.kind == set {
		slices.Sort(parts)
		parts = slices.Compact(parts)
	}
	return string('a'+rune(n.kind)) + n.name + strings.Join(n.ops, "") + string('0'+rune(n.cols)) + "(" + strings.Join(parts, " ") + ")"
}

func (n *node) flat(k kind, parts []string) []string {
	for _, a := range n.args {
		if a.kind == k {
			parts = a.flat(k, parts)
		} else {
			parts = append(parts, a.canon())
		}
	}
	return parts
}

// rename replaces a variable by another one.
func (n *node) rename(from, to string) *node { return n.replace(from, named(symbol, to)) }

// replace puts an expression in a variable's place.
func (n *node) replace(from string, to *node) *node {
	if n.is(symbol, from) {
		return to
	}
	c := *n
	c.key, c.nodes, c.args = "", 0, make([]*node, len(n.args))
	for i, a := range n.args {
		c.args[i] = a.replace(from, to)
	}
	return &c
}
