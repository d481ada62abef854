package grade

import (
	"fmt"
	"slices"
	"strings"
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

var relations = []string{"=", "≈", "<", ">", "<=", ">=", "!=", `\in`, `\notin`, `\subset`, `\equiv`, `\sim`, `\cong`, "->", "=>", "<=>", `\perp`, `\parallel`, `\wedge`, `\vee`}

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

// sign reads the signs before a term: "" or "-", "+-", "-+".
func (p *parser) sign() (sign string, any bool) {
	for {
		switch {
		case p.take("+"):
		case p.take("-"):
			sign = map[string]string{"": "-", "-": "", "+-": "-+", "-+": "+-"}[sign]
		case p.isCommand("pm", "mp"):
			sign = map[string]string{"pm": "+-", "mp": "-+"}[p.peek().text]
			p.at++
		default:
			return sign, any
		}
		any = true
	}
}

func signed(sign string, n *node) *node {
	switch sign {
	case "":
		return n
	case "-":
		return newNode(negative, n)
	}
	return named(signs, sign, n)
}

func (p *parser) sum() *node {
	if !p.enter() {
		return integer(0)
	}
	defer p.leave()
	sign, _ := p.sign()
	terms := []*node{signed(sign, p.term())}
	for p.err == nil {
		sign, any := p.sign()
		if !any {
			break
		}
		terms = append(terms, signed(sign, p.term()))
	}
	if len(terms) == 1 {
		return terms[0]
	}
	return newNode(sum, terms...)
}

func (p *parser) term() *node {
	left := p.factor()
	lone := true // left is a single factor
	for p.err == nil {
		t := p.peek()
		switch {
		case p.take("*"):
			left = newNode(product, left, p.factor())
		case p.isPunct("/") && p.ahead(1).kind == tText:
			left = p.units(left)
		case p.take("/"):
			left = newNode(quotient, left, p.divisor(left))
		case p.take(`\mod`):
			left = named(function, "mod", left, p.factor())
		case p.isCommand("pmod"):
			p.at++
			left = named(function, "pmod", left, p.argument())
		case t.kind == tText:
			left = p.units(left)
		case !p.startsOperand():
			return left
		// 1 1/2
		case t.kind == tNumber && lone && left.kind == number && left.isInteger() && t.space && p.ahead(1).text == "/" &&
			p.ahead(2).kind == tNumber:
			whole := p.factor()
			p.at++
			left = newNode(sum, left, newNode(quotient, whole, p.factor()))
		case t.kind == tNumber && p.at > 0 && p.tokens[p.at-1].kind == tNumber:
			return p.fail("two numbers side by side")
		case left.kind == unit && t.kind == tNumber: // 4 hours 30 minutes
			right := p.term()
			if left = joinQuantities(left, right); left == nil {
				return p.fail("two quantities side by side")
			}
		default:
			right := p.factor()
			if mixed := mixedNumber(left, right); lone && mixed != nil && t.kind == tCommand {
				left = mixed
			} else {
				left = newNode(product, left, right)
			}
		}
		lone = false
	}
	return left
}

// joinQuantities is 4 hours 30 minutes as a sum, 7 remainder 2 as a pair, and nil for other neighbours.
func joinQuantities(left, right *node) *node {
	parts := []*node{left, right}
	if right.is(sum, compoundSum) {
		parts = append([]*node{left}, right.args...)
	}
	if n := compound(parts); n != nil {
		return n
	}
	if strings.TrimSpace(left.name) == "remainder" {
		return named(tuple, "remainder", left.args[0], right)
	}
	return nil
}

// divisor reads what stands behind a slash: the factors without space between them, save that a fraction of two numbers is a
// coefficient, as in -1/2x+3/4.
func (p *parser) divisor(left *node) *node {
	right := p.factor()
	if left.kind == number && right.kind == number {
		return right
	}
	for p.err == nil && p.startsOperand() && !p.peek().space && p.peek().kind != tText {
		if right.kind == number && p.peek().kind == tNumber {
			break
		}
		right = newNode(product, right, p.factor())
	}
	return right
}

// startsOperand tells whether a factor without an operator may follow.
func (p *parser) startsOperand() bool {
	t := p.peek()
	switch t.kind {
	case tNumber, tBegin, tMoney:
		return true
	case tLetter:
		return !(p.integrand && t.text == "d" && p.ahead(1).kind == tLetter)
	case tCommand:
		return !slices.Contains([]string{"pm", "mp", "over", "choose", "rfloor", "rceil", "pmod"}, t.text) ||
			t.text == "choose" && p.ahead(1).text == "{" && p.ahead(1).kind == tPunct && p.depth == 0
	case tPunct:
		// [2,5[
		if t.text == "[" && (p.ahead(1).kind == tEnd ||
			p.ahead(1).kind == tPunct && slices.Contains([]string{`\cup`, `\cap`, ",", ")", `\}`}, p.ahead(1).text)) {
			return false
		}
		return slices.Contains([]string{"(", "[", "{", `\{`, "|(", `\langle`}, t.text) || t.text == "|" && p.bars == 0
	}
	return false
}

// units reads the unit behind left, with powers and quotients: \text{ cm}^2, \text{m}/\text{s}.
func (p *parser) units(left *node) *node {
	name := ""
	for p.err == nil {
		t := p.peek()
		switch {
		case t.kind == tText:
			name += " " + t.text
		case name != "" && t.kind == tPunct && t.text == "^" && (p.ahead(1).kind == tNumber || p.ahead(1).text == "{"):
			p.at++
			name += "^" + strings.Trim(p.raw(), "{}")
			continue
		case t.kind == tPunct && (t.text == "/" || t.text == "*") && p.ahead(1).kind == tText:
			name += t.text
		default:
			if left == nil {
				return named(words, strings.TrimSpace(name))
			}
			return named(unit, strings.TrimSpace(name), left)
		}
		p.at++
	}
	return integer(0)
}
