package grade

import (
	"math/big"
	"slices"
	"strings"
)

// quantity is a number with what its words and marks say.
type quantity struct {
	value    *node // without units and words; scale words are multiplied in
	dims     string
	factor   *big.Rat
	words    []string // that are no units
	before   []string // of them, those before the number
	pounds   bool     // of money or mass
	compound bool     // 5 feet 6 inches, in base units
}

// quantityOf splits a number from its units and words, which may stand before it too ("June 20", "at least 3").
func quantityOf(n *node) quantity {
	switch n.kind {
	case unit:
		p := readUnits(n.name)
		q := quantityOf(n.args[0])
		return q.with(p)
	case words:
		if r := spelledNumber(n.name); r != nil {
			return quantity{value: &node{kind: number, value: r}, factor: big.NewRat(1, 1)}
		}
	case negative:
		if q := quantityOf(n.args[0]); q.dims != "" || len(q.words) > 0 || q.value != n.args[0] {
			q.value = newNode(negative, q.value)
			return q
		}
	case product:
		if len(n.args) == 2 && n.args[0].kind == words {
			p := readUnits(n.args[0].name)
			if len(p.dims) == 0 && p.scale.Cmp(big.NewRat(1, 1)) == 0 {
				p.words = slices.DeleteFunc(p.words, func(w string) bool { return harmlessBefore[w] })
				q := quantityOf(n.args[1]).with(p)
				q.before = p.words
				return q
			}
		}
		if last := n.args[len(n.args)-1]; last.kind == unit {
			q := quantityOf(last)
			q.value = newNode(product, append(slices.Clone(n.args[:len(n.args)-1]), q.value)...)
			return q
		}
	case sum:
		if n.name == compoundSum {
			return compoundOf(n)
		}
		if last := n.args[len(n.args)-1]; last.kind == unit || last.kind == negative && last.args[0].kind == unit {
			q := quantityOf(last)
			q.value = newNode(sum, append(slices.Clone(n.args[:len(n.args)-1]), q.value)...)
			return q
		}
	}
	return quantity{value: n, factor: big.NewRat(1, 1)}
}

// with adds what a phrase of units says. Units of both multiply only where one side has none.
func (q quantity) with(p unitPhrase) quantity {
	if p.scale.Cmp(big.NewRat(1, 1)) != 0 {
		q.value = newNode(product, q.value, &node{kind: number, value: p.scale})
	}
	if dims := dimension(p.dims); dims != "" {
		if q.dims != "" && q.dims != dims {
			q.words = append(slices.Clone(q.words), "of "+dims)
		} else if q.dims == "" {
			q.dims, q.factor = dims, p.factor
		}
	}
	q.pounds = q.pounds || p.pounds
	q.words = slices.Concat(q.words, p.words)
	slices.Sort(q.words)
	return q
}

// compoundSum names a sum of quantities of one kind in different units.
const compoundSum = "compound"

func compoundOf(n *node) quantity {
	total := quantity{factor: big.NewRat(1, 1), compound: true}
	var parts []*node
	for _, a := range n.args {
		q := quantityOf(a)
		total.dims, total.words = q.dims, append(total.words, q.words...)
		parts = append(parts, newNode(product, q.value, &node{kind: number, value: q.factor}))
	}
	total.value = newNode(sum, parts...)
	return total
}

// compound joins quantities of one kind, each in a smaller unit than the one before it: 5 feet 6 inches. It is nil for others.
func compound(parts []*node) *node {
	if len(parts) < 2 || len(parts) > 4 {
		return nil
	}
	var before quantity
	for i, part := range parts {
		q := quantityOf(part)
		if q.dims == "" || i > 0 && (q.dims != before.dims || q.factor.Cmp(before.factor) >= 0) {
			return nil
		}
		before = q
	}
	return &node{kind: sum, name: compoundSum, args: parts}
}

// kindOf is what a number measures: a dimension, "percent" or "angle"; empty for a plain number.
func (q quantity) kindOf() string {
	if q.dims != "" {
		return q.dims
	}
	n := q.value
	for n.kind == negative {
		n = n.args[0]
	}
	switch n.kind {
	case percent:
		return "percent"
	case degree:
		return "angle^1"
	}
	return ""
}

// asSterling takes pounds for money where the other side is.
func (q *quantity) asSterling(other quantity) {
	if q.pounds && q.dims == "mass^1" && other.dims == "sterling^1" {
		q.dims, q.factor = other.dims, big.NewRat(1, 1)
	}
}

// comparable tells whether the units and words of two quantities let their values be compared.
func (g *grader) comparable(a, b quantity) Decision {
	ka, kb := a.kindOf(), b.kindOf()
	if ka != "" && kb != "" && ka != kb {
		if (ka == "¥^1" && (kb == "yen^1" || kb == "yuan^1")) || kb == "¥^1" && (ka == "yen^1" || ka == "yuan^1") {
			return Yes
		}
		return g.no("the units differ: %s and %s", strings.ReplaceAll(ka, "^1", ""), strings.ReplaceAll(kb, "^1", ""))
	}
	labelled := len(telling(a.words)) > 0 && kb != "" && ka == "" || len(telling(b.words)) > 0 && ka != "" && kb == ""
	if !sameWords(a.words, b.words) || (len(telling(a.words)) == 0 || len(telling(b.words)) == 0) && (labelled || tells(a.before) ||
		tells(b.before)) {
		return g.undecided("the words beside the numbers differ: %q and %q", strings.Join(a.words, " "), strings.Join(b.words, " "))
	}
	if (ka == "") != (kb == "") && (a.compound || b.compound) {
		return g.undecided("one answer has several units, the other none")
	}
	return Yes
}

// inOneUnit are the values of two quantities in one unit, where both have one.
func inOneUnit(a, b quantity) (*node, *node) {
	if a.dims == "" || b.dims == "" || a.factor.Cmp(b.factor) == 0 {
		return a.value, b.value
	}
	return newNode(product, a.value, &node{kind: number, value: a.factor}), newNode(product, b.value, &node{kind: number, value: b.factor})
}

// bareUnits are the letters that are read as units behind a number.
var bareUnits = setOf("m g s L h N J W V K")

// bareUnit finds units that were written as variables behind a number: 5 m, 3 g/L, 3e8 m/s.
func bareUnit(n *node) (*node, string, bool) {
	symbolic := func(n *node) string {
		switch {
		case n.kind == symbol && bareUnits[n.name]:
			return n.name
		case n.is(symbol, `\Omega`):
			return "Ω"
		case n.kind == power && n.args[0].kind == symbol && bareUnits[n.args[0].name] && n.args[1].isInteger():
			return n.args[0].name + "^" + n.args[1].value.RatString()
		case n.kind == power && n.args[0].kind == symbol && bareUnits[n.args[0].name] && n.args[1].kind == negative &&
			n.args[1].args[0].isInteger():
			return n.args[0].name + "^-" + n.args[1].args[0].value.RatString()
		}
		return ""
	}
	switch n.kind {
	case number:
		return n, "", true
	case product, quotient:
		if len(n.args) != 2 {
			break
		}
		inner, before, ok := bareUnit(n.args[0])
		if name := symbolic(n.args[1]); ok && name != "" {
			return inner, before + map[kind]string{product: " ", quotient: "/"}[n.kind] + name, true
		}
	case negative:
		if inner, name, ok := bareUnit(n.args[0]); ok {
			return newNode(negative, inner), name, true
		}
	case unit:
		if inner, name, ok := bareUnit(n.args[0]); ok {
			return inner, name + " " + n.name, true
		}
	}
	if len(freeVariables(n)) == 0 && isScalarKind(n.kind) && n.kind != unit {
		return n, "", true
	}
	return n, "", false
}
