package grade

import (
	"fmt"
	"slices"
)

// parser turns tokens into a node by recursive descent. After the first error it stands at the end of the input, so that every
// loop ends; what it then returns is not used.
//
//	list     = relation { ("," | ";" | and | or) relation }
//	relation = setOp { (= | < | ...) setOp }
//	setOp    = ratio { (∪ | ∩ | ∖) ratio }
//	ratio    = sum { ":" sum }
//	sum      = [±] term { (+ | - | ±) term }
//	term     = factor { (* | / | mod | nothing) factor }
//	factor   = [-] primary { ^ x | ! | % | ° | ' }
type parser struct {
	tokens    []token
	at        int
	depth     int
	bars      int  // |...| that are open
	integrand bool // a letter d before a variable ends the term
	err       error
}

// parse reads an answer. ambiguous tells that a comma was read as a thousands separator.
func parse(answer string, separators bool) (n *node, ambiguous bool, err error) {
	l, err := lex(answer, separators)
	if err != nil {
		return nil, false, err
	}
	p := &parser{tokens: l.out}
	for p.isPunct("=") || p.isPunct("≈") || p.isPunct("->") || p.isPunct("=>") || p.isPunct(":") { // "= 5"
		p.at++
	}
	n = p.list()
	for p.isPunct(",") || p.isPunct("\\\\") {
		p.at++
	}
	if p.err == nil && p.at < len(p.tokens) {
		p.fail("unexpected %q", p.peek().text)
	}
	if p.err != nil {
		return nil, false, p.err
	}
	return n, l.ambiguous, nil
}

func (p *parser) fail(format string, args ...any) *node {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
	p.at = len(p.tokens)
	return integer(0)
}

// enter bounds the nesting; every call is paired with leave.
func (p *parser) enter() bool {
	if p.depth++; p.depth > maxDepth {
		p.fail("nested too deeply")
		return false
	}
	return true
}
func (p *parser) leave() { p.depth-- }

func (p *parser) peek() token { return p.ahead(0) }
func (p *parser) ahead(n int) token {
	if p.at+n >= len(p.tokens) {
		return token{}
	}
	return p.tokens[p.at+n]
}
func (p *parser) isPunct(text string) bool { t := p.peek(); return t.kind == tPunct && t.text == text }
func (p *parser) isCommand(names ...string) bool {
	t := p.peek()
	return t.kind == tCommand && slices.Contains(names, t.text)
}
func (p *parser) take(text string) bool {
	if p.isPunct(text) {
		p.at++
		return true
	}
	return false
}
func (p *parser) expect(text string) {
	if !p.take(text) && p.err == nil {
		p.fail("no %q where it is needed", text)
	}
}

func (p *parser) list() *node {
	if !p.enter() {
		return integer(0)
	}
	defer p.leave()
	items, name := []*node{p.relation()}, ","
	for {
		start := p.at
		for p.isPunct(",") || p.isPunct(";") || p.peek().kind == tJoin || p.depth == 1 && p.isPunct(`\\`) {
			if p.peek().kind == tJoin {
				name = p.peek().text
			}
			p.at++
		}
		if t := p.peek(); p.at == start || t.kind == tEnd || t.kind == tFinish || t.kind == tPunct && slices.Contains(closers, t.text) {
			if p.at > start && p.peek().kind != tEnd { // "(1,)"
				p.at = start
			}
			break
		}
		if len(items) >= maxElements {
			return p.fail("more than %d elements", maxElements)
		}
		items = append(items, p.relation())
	}
	if len(items) == 1 {
		return items[0]
	}
	return named(list, name, items...)
}

var closers = []string{")", "]", "}", `\}`, "|)", `\rangle`, `\\`, "&"}

var relations = []string{"=", "≈", "<", ">", "<=", ">=", "!=", `\in`, `\notin`, `\subset`, `\equiv`, `\sim`, `\cong`, "->", "=>", "<=>",
	`\perp`, `\parallel`, `\wedge`, `\vee`}

func (p *parser) relation() *node {
	args, ops := []*node{p.setOp()}, []string(nil)
	for t := p.peek(); t.kind == tPunct && slices.Contains(relations, t.text); t = p.peek() {
		p.at++
		p.take("=")
		ops, args = append(ops, t.text), append(args, p.setOp())
	}
	if len(ops) == 0 {
		return args[0]
	}
	return &node{kind: relation, ops: ops, args: args}
}

func (p *parser) setOp() *node {
	left := p.ratio()
	for p.isPunct(`\cup`) || p.isPunct(`\cap`) || p.isPunct(`\setminus`) {
		name := p.peek().text
		p.at++
		left = named(setOp, name, left, p.ratio())
	}
	return left
}

func (p *parser) ratio() *node {
	parts := []*node{p.sum()}
	for p.take(":") {
		parts = append(parts, p.sum())
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return newNode(ratio, parts...)
}
