package grade

import "slices"

// brackets reads what stands between brackets.
func (p *parser) brackets(open string) *node {
	bars, integrand := p.bars, p.integrand
	p.bars, p.integrand = 0, false
	defer func() { p.bars, p.integrand = bars, integrand }()
	inner := p.list()
	end := p.peek().text
	switch {
	case open == `\langle`:
		p.expect(`\rangle`)
		end = ">"
		open = "<"
	case end == ")" || end == "]" || end == "[" && (open == "]" || open == "["):
		p.at++
	default:
		return p.fail("unclosed %s", open)
	}
	if open == "]" || end == "[" { // ]2,5] is (2,5]
		open, end = map[bool]string{true: "(", false: open}[open == "]"], map[bool]string{true: ")", false: end}[end == "["]
	}
	if inner.kind == list && inner.name == "," {
		return named(tuple, open+end, inner.args...)
	}
	if open == "<" {
		return named(tuple, "<>", inner)
	}
	return inner
}

// group reads {...}: an expression, a list, or {a \choose b} and {a \over b}.
func (p *parser) group() *node {
	bars, integrand := p.bars, p.integrand
	p.bars, p.integrand = 0, false
	defer func() { p.bars, p.integrand = bars, integrand }()
	if p.conditioned() { // {x | x > 1}, a slip for \{x | x > 1\}
		p.bars = 1
		inner := p.list()
		p.at++
		inner = newNode(setWhere, inner, p.list())
		p.expect("}")
		return inner
	}
	inner := p.list()
	for p.isCommand("choose", "over") {
		over := p.isCommand("over")
		p.at++
		if second := p.list(); over {
			inner = newNode(quotient, inner, second)
		} else {
			inner = named(function, "binom", inner, second)
		}
	}
	p.expect("}")
	if inner.is(list, ",") && len(inner.args) > 1 { // {4,5}, a slip for \{4,5\}
		return newNode(set, inner.args...)
	}
	return inner
}

// conditioned tells whether one | parts the group into a name and its condition.
func (p *parser) conditioned() bool {
	if t := p.peek(); t.kind != tLetter || p.ahead(1).text != "|" && p.ahead(1).text != `\mid` {
		return false
	}
	bars, depth := 0, 0
	for _, t := range p.tokens[p.at:] {
		switch {
		case t.kind == tPunct && t.text == "{":
			depth++
		case t.kind == tPunct && t.text == "}":
			if depth--; depth < 0 {
				return bars == 1
			}
		case t.kind == tPunct && (t.text == "|" || t.text == `\mid`):
			bars++
		}
	}
	return false
}

func (p *parser) set() *node {
	bars, integrand := p.bars, p.integrand
	p.bars, p.integrand = 1, false // a | separates the condition
	defer func() { p.bars, p.integrand = bars, integrand }()
	if p.take(`\}`) {
		return newNode(set)
	}
	inner := p.list()
	if p.take("|") || p.take(`\mid`) || p.take(":") {
		inner = newNode(setWhere, inner, p.list())
		p.expect(`\}`)
		return inner
	}
	p.expect(`\}`)
	if inner.kind == ratio && len(inner.args) == 2 { // {x : x > 0}, whose condition was taken for a number
		return newNode(setWhere, inner.args...)
	}
	if where := whereOf(inner); where != nil {
		return where
	}
	if inner.kind == list { // {y : y < 0 or y > 5}
		if where := whereOf(inner.args[0]); where != nil {
			return newNode(setWhere, where.args[0], named(list, inner.name, append([]*node{where.args[1]}, inner.args[1:]...)...))
		}
	}
	if inner.kind == list {
		return newNode(set, inner.args...)
	}
	return newNode(set, inner)
}

// whereOf parts a relation at the colon that was taken for a ratio's: x in R : x > 0. It is nil where there is none.
func whereOf(n *node) *node {
	if n.kind != relation {
		return nil
	}
	at := slices.IndexFunc(n.args, func(a *node) bool { return a.kind == ratio && len(a.args) == 2 })
	if at < 0 || at == len(n.args)-1 {
		return nil
	}
	colon := n.args[at]
	member := colon.args[0]
	if at > 0 {
		member = &node{kind: relation, ops: n.ops[:at], args: append(slices.Clone(n.args[:at]), member)}
	}
	return newNode(setWhere, member, &node{kind: relation, ops: n.ops[at:], args: append([]*node{colon.args[1]}, n.args[at+1:]...)})
}

func (p *parser) absolute(open string) *node {
	bars := p.bars
	p.bars++
	defer func() { p.bars = bars }()
	if open == "|(" {
		p.bars = 0
	}
	inner := p.list()
	if !p.take("|)") && !p.take("|") {
		return p.fail("unclosed |")
	}
	if inner.kind == matrix {
		return named(function, "det", inner)
	}
	return named(function, "abs", inner)
}
