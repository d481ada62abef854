package grade

import (
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
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
	bound     string
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
		for p.isPunct(",") || p.isPunct(";") || p.peek().kind == tJoin {
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
		case t.kind == tNumber && lone && left.kind == number && left.isInteger() && t.space && p.ahead(1).text == "/" && p.ahead(2).kind == tNumber: // 1 1/2
			whole := p.factor()
			p.at++
			left = newNode(sum, left, newNode(quotient, whole, p.factor()))
		case t.kind == tNumber && p.at > 0 && p.tokens[p.at-1].kind == tNumber:
			return p.fail("two numbers side by side")
		default:
			right := p.factor()
			if lone && left.isInteger() && right.kind == quotient && right.args[0].isInteger() && right.args[1].isInteger() && t.kind == tCommand { // 12\frac35
				left = newNode(sum, left, right)
			} else {
				left = newNode(product, left, right)
			}
		}
		lone = false
	}
	return left
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
	case tNumber, tBegin:
		return true
	case tLetter:
		return !(p.integrand && t.text == "d" && p.ahead(1).kind == tLetter)
	case tCommand:
		return !slices.Contains([]string{"pm", "mp", "over", "choose", "rfloor", "rceil", "pmod"}, t.text) || t.text == "choose" && p.ahead(1).text == "{" && p.ahead(1).kind == tPunct && p.depth == 0
	case tPunct:
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

func (p *parser) factor() *node {
	if !p.enter() {
		return integer(0)
	}
	defer p.leave()
	if p.take("-") {
		return newNode(negative, p.factor())
	}
	if p.take("+") {
		return p.factor()
	}
	return p.postfix(p.primary())
}

func (p *parser) postfix(n *node) *node {
	for p.err == nil {
		switch {
		case p.isPunct("^") && (p.ahead(1).text == "°" || p.ahead(1).text == "{" && p.ahead(2).text == "°" && p.ahead(3).text == "}"):
			p.at += map[bool]int{true: 2, false: 4}[p.ahead(1).text == "°"]
			n = newNode(degree, n)
		case p.isPunct("^") && (p.ahead(1).text == "'" || p.ahead(1).text == "{" && p.ahead(2).text == "'"):
			p.at++
			n = named(function, "'"+p.raw(), n)
		case p.take("^"):
			n = newNode(power, n, p.script())
		case p.take("!"):
			n = named(function, "!", n)
		case p.take("%"):
			if n.any(func(m *node) bool {
				return m.kind == symbol && !isConstant(m.name) && !strings.HasPrefix(m.name, `\variable`)
			}) {
				return p.fail("a percentage of a variable")
			}
			n = newNode(percent, n)
		case p.take("°"):
			n = newNode(degree, n)
		case p.take("'"):
			n = named(function, "'", n)
		case p.isPunct("_") && n.kind == number:
			p.at++
			n = named(function, "base", n, p.script())
		case p.isPunct("_"):
			p.at++
			n = named(function, "_"+p.raw(), n)
		default:
			return n
		}
	}
	return n
}

// script reads an exponent: {...}, or what stands there alone.
func (p *parser) script() *node {
	if !p.enter() {
		return integer(0)
	}
	defer p.leave()
	switch {
	case p.take("-"):
		return newNode(negative, p.script())
	case p.take("+"):
		return p.script()
	}
	return p.primary()
}

// argument reads a command's argument: {...}, or one digit, letter or command.
func (p *parser) argument() *node {
	if t := p.peek(); t.kind == tNumber && len(t.text) > 1 && !strings.Contains(t.text, "(") {
		if t.text[1] != '.' { // \frac12; and \frac1.5 is nobody's meaning
			p.tokens = slices.Clone(p.tokens)
			p.tokens[p.at].text = t.text[1:]
			p.tokens[p.at].space = false
			return p.number(t.text[:1])
		}
	}
	if p.isPunct("{") || p.isPunct("(") || p.isPunct("-") {
		return p.script()
	}
	return p.primary()
}

// raw takes one argument and returns its text.
func (p *parser) raw() string {
	if !p.isPunct("{") {
		text := p.peek().text
		if text == "" || slices.Contains(closers, text) {
			p.fail("no argument")
		}
		p.at++
		return text
	}
	var b strings.Builder
	for depth := 0; p.at < len(p.tokens); {
		t := p.peek()
		p.at++
		switch t.text {
		case "{":
			depth++
		case "}":
			depth--
		}
		b.WriteString(t.text)
		if depth == 0 {
			text := b.String()
			if inner := strings.TrimSuffix(strings.TrimPrefix(text, "{"), "}"); len([]rune(inner)) == 1 || isDigits(inner) {
				return inner
			}
			return text
		}
	}
	p.fail("unclosed {")
	return ""
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func (p *parser) number(text string) *node {
	n := &node{kind: number, name: text}
	mantissa, exponent := text, 0
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		var err error
		if exponent, err = strconv.Atoi(text[i+1:]); err != nil || exponent > maxExponent || exponent < -maxExponent {
			return p.fail("an exponent beyond %d", maxExponent)
		}
		mantissa = text[:i]
	}
	whole, fraction, isDecimal := strings.Cut(mantissa, ".")
	fraction, cycle, repeats := strings.Cut(strings.TrimSuffix(fraction, ")"), "(")
	digits, ok := new(big.Int).SetString("0"+whole+fraction, 10)
	if !ok {
		return p.fail("not a number: %q", text)
	}
	ten := big.NewInt(10)
	scale := new(big.Int).Exp(ten, big.NewInt(int64(len(fraction))), nil)
	n.value = new(big.Rat).SetFrac(digits, scale)
	if repeats {
		c, ok := new(big.Int).SetString(cycle, 10)
		if !ok {
			return p.fail("not a number: %q", text)
		}
		nines := new(big.Int).Exp(ten, big.NewInt(int64(len(cycle))), nil)
		nines.Sub(nines, big.NewInt(1))
		n.value.Add(n.value, new(big.Rat).SetFrac(c, nines.Mul(nines, scale)))
		return n
	}
	if exponent != 0 {
		shift := new(big.Rat).SetInt(new(big.Int).Exp(ten, big.NewInt(int64(max(exponent, -exponent))), nil))
		if exponent < 0 {
			shift.Inv(shift)
		}
		n.value.Mul(n.value, shift)
		return n
	}
	if isDecimal {
		n.decimals, n.digits = len(fraction), len(strings.TrimLeft(whole+fraction, "0"))
	}
	return n
}

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
	case end == ")" || end == "]" || end == "[" && open == "]":
		p.at++
	default:
		return p.fail("unclosed %s", open)
	}
	if inner.kind == list && inner.name == "," {
		return named(tuple, open+end, inner.args...)
	}
	if open == "<" {
		return named(tuple, "<>", inner)
	}
	return inner
}

var errNoOperand = errors.New("an operand is missing")

func (p *parser) primary() *node {
	if !p.enter() {
		return integer(0)
	}
	defer p.leave()
	t := p.peek()
	p.at++
	switch t.kind {
	case tNumber:
		return p.number(t.text)
	case tLetter:
		return p.letter(t.text)
	case tText:
		p.at--
		return p.units(nil)
	case tBegin:
		return p.environment(t.text)
	case tCommand:
		return p.command(t.text)
	case tPunct:
		switch t.text {
		case "(", "[", `\langle`:
			return p.brackets(t.text)
		case "]":
			return p.brackets("]")
		case "{":
			return p.group()
		case `\{`:
			return p.set()
		case "|", "|(":
			return p.absolute(t.text)
		}
	}
	p.at--
	if p.err == nil {
		p.err = errNoOperand
		if t.kind != tEnd {
			p.err = fmt.Errorf("unexpected %q", t.text)
		}
	}
	return p.fail("")
}

// group reads {...}: an expression, a list, or {a \choose b} and {a \over b}.
func (p *parser) group() *node {
	bars, integrand := p.bars, p.integrand
	p.bars, p.integrand = 0, false
	defer func() { p.bars, p.integrand = bars, integrand }()
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
	return inner
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
	if inner.kind == relation && inner.args[0].kind == ratio && len(inner.args[0].args) == 2 {
		first := inner.args[0]
		return newNode(setWhere, first.args[0], &node{kind: relation, ops: inner.ops, args: append([]*node{first.args[1]}, inner.args[1:]...)})
	}
	if inner.kind == list {
		return newNode(set, inner.args...)
	}
	return newNode(set, inner)
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

// letter reads a variable with its subscript and primes, or an unknown function with its argument.
func (p *parser) letter(name string) *node {
	name = strings.TrimPrefix(name, "\\variable{")
	if strings.HasPrefix(p.tokens[p.at-1].text, "\\variable{") {
		name = "\\variable{" + name
	}
	for p.isPunct("_") && p.err == nil {
		p.at++
		name += "_" + p.raw()
	}
	primes := ""
	for p.take("'") {
		primes += "'"
	}
	name += primes
	isFunction := slices.Contains([]string{"f", "g", "F", "G"}, name[:1]) && len(name) <= 3 || primes != "" ||
		p.ahead(1).kind == tLetter && p.ahead(2).text == ")" && p.ahead(3).text == "=" // W(n) = 1
	if isFunction && p.isPunct("(") {
		p.at++
		inner := p.brackets("(")
		return named(applied, name, inner)
	}
	return named(symbol, name)
}
