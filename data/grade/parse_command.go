package grade

import (
	"slices"
	"strings"
)

// command reads what a command's name begins.
func (p *parser) command(name string) *node {
	switch name {
	case "nicefrac", "sfrac", "frac", "dfrac", "tfrac", "cfrac":
		return p.fraction()
	case "sqrt":
		return p.root()
	case "cbrt":
		return named(function, "root", p.argument(), integer(3))
	case "binom", "dbinom", "tbinom", "choose":
		top := p.argument()
		return named(function, "binom", top, p.argument())
	case "sum", "prod":
		return p.series(name)
	case "int", "iint", "oint":
		return p.integral(name)
	case "lim":
		return p.limit()
	case "overline", "bar", "vec", "hat", "tilde", "widehat", "overrightarrow":
		n := named(symbol, `\`+map[bool]string{true: "overline", false: name}[name == "bar"]+"{"+strings.Trim(p.raw(), "{}")+"}")
		for p.isPunct("_") && p.err == nil {
			p.at++
			n = named(symbol, n.name+"_"+p.raw())
		}
		return n
	case "angle", "triangle", "measuredangle", "square":
		text := `\angle`
		if name == "triangle" {
			text = `\triangle`
		}
		braces := p.take("{")
		for p.peek().kind == tLetter {
			text += p.peek().text
			p.at++
		}
		if braces {
			p.expect("}")
		}
		return named(symbol, text)
	case "lfloor", "lceil":
		inner := p.list()
		end := "r" + name[1:]
		if !p.isCommand(end) {
			return p.fail("no \\%s", end)
		}
		p.at++
		return named(function, strings.TrimSuffix(name[1:], "ing"), inner)
	case "underbrace", "overbrace":
		return p.argument()
	case "stackrel":
		p.raw()
		return p.argument()
	case "not":
		return p.fail("\\not")
	case "char":
		return named(symbol, `\char`+p.charCode())
	case "pm", "mp", "over", "rfloor", "rceil", "pmod":
		return p.fail("unexpected \\%s", name)
	}
	return p.call(name)
}

// charCode reads the number of \char"190.
func (p *parser) charCode() string {
	if p.peek().kind != tNumber {
		p.fail("\\char without a number")
		return ""
	}
	code := p.peek().text
	p.at++
	return code
}

func (p *parser) fraction() *node {
	top := p.argument()
	if derivative := top.is(symbol, "d") || top.is(symbol, `\partial`); derivative {
		at := p.at
		denominator := p.raw()
		inner := strings.Trim(denominator, "{}")
		if inner != top.name && strings.HasPrefix(inner, top.name) {
			if p.err != nil || !p.startsOperand() {
				return p.fail("a derivative of nothing")
			}
			return named(opaque, `\frac{d}`+denominator, p.term())
		}
		p.at = at
	}
	return newNode(quotient, top, p.argument())
}

func (p *parser) root() *node {
	if p.tokens[p.at-1].whole && p.peek().kind == tNumber {
		return named(function, "root", p.primary(), integer(2))
	}
	if p.take("[") {
		index := p.sum()
		p.expect("]")
		return named(function, "root", p.argument(), index)
	}
	return named(function, "root", p.argument(), integer(2))
}

// scripts reads the subscript and the superscript of a big operator, in either order; nil where there is none.
func (p *parser) scripts() (lower, upper *node) {
	for p.err == nil {
		switch {
		case lower == nil && p.take("_"):
			lower = p.optional()
		case upper == nil && p.take("^"):
			upper = p.optional()
		default:
			return lower, upper
		}
	}
	return lower, upper
}

// optional reads an argument that may be {}.
func (p *parser) optional() *node {
	if p.isPunct("{") && p.ahead(1).text == "}" {
		p.at += 2
		return named(words, "")
	}
	if p.isPunct("{") {
		return p.script()
	}
	return p.argument()
}

func (p *parser) series(name string) *node {
	lower, upper := p.scripts()
	body := p.term()
	if lower != nil && upper != nil && lower.kind == relation && len(lower.ops) == 1 && lower.ops[0] == "=" && lower.args[0].kind == symbol {
		return named(series, name, lower.args[0], lower.args[1], upper, body)
	}
	return named(opaque, name, present(lower), present(upper), body)
}

func present(n *node) *node {
	if n == nil {
		return named(words, "")
	}
	return n
}

func (p *parser) integral(name string) *node {
	lower, upper := p.scripts()
	before := p.integrand
	p.integrand = true
	body := integer(1)
	if p.startsOperand() || p.isPunct("-") {
		body = p.sum()
	}
	p.integrand = before
	variable := ""
	if t := p.peek(); t.kind == tLetter && t.text == "d" && p.ahead(1).kind == tLetter {
		variable = p.ahead(1).text
		p.at += 2
	} else if body.is(number, "") {
		return p.fail("an integral of nothing")
	}
	return named(opaque, name+" d"+variable, present(lower), present(upper), body)
}

func (p *parser) limit() *node {
	if !p.take("_") || !p.isPunct("{") {
		return p.fail("a limit without its variable")
	}
	at := p.at
	p.at++
	if t := p.peek(); t.kind != tLetter || isConstant(t.text) {
		return p.fail("a limit without a variable")
	}
	p.at = at
	where := p.raw()
	if !strings.Contains(where, "->") && !strings.Contains(where, "=>") {
		return p.fail("a limit that goes nowhere")
	}
	return named(opaque, `\lim`+where, p.term())
}

// call reads a function's exponent, base and argument.
func (p *parser) call(name string) *node {
	var exponent, base *node
	for p.err == nil {
		if exponent == nil && p.take("^") {
			exponent = p.script()
		} else if base == nil && p.take("_") {
			base = p.argument()
		} else {
			break
		}
	}
	args := p.callArguments(name)
	if p.err != nil {
		return integer(0)
	}
	if base != nil {
		if name != "log" || len(args) != 1 {
			return p.fail("%s with a subscript", name)
		}
		args = append(args, base)
	}
	many := slices.Contains([]string{"gcd", "lcm", "max", "min"}, name)
	if !many && len(args) != 1 && base == nil {
		return p.fail("%s of %d arguments", name, len(args))
	}
	if name == "sqrt" {
		name, args = "root", append(args, integer(2))
	}
	n := named(function, name, args...)
	if name == "cis" && len(args) == 1 {
		n = newNode(sum, named(function, "cos", args[0]), newNode(product, named(symbol, "i"), named(function, "sin", args[0])))
	}
	if exponent == nil {
		return n
	}
	if exponent.kind == negative && exponent.args[0].isInteger() && exponent.args[0].value.Cmp(integer(1).value) == 0 && inverses[name] != "" {
		return named(function, inverses[name], args...)
	}
	return newNode(power, n, exponent)
}

var inverses = pairs("sin arcsin cos arccos tan arctan cot arccot sinh arcsinh cosh arccosh tanh arctanh arcsin sin arccos cos arctan tan")

// callArguments reads f(x, y), f{x} and f x; without brackets the factors up to the next operator or function are the argument.
func (p *parser) callArguments(name string) []*node {
	switch {
	case p.isPunct("("), p.isPunct("["), p.isPunct("{"):
		inner := p.primary()
		if inner.kind == tuple || inner.kind == list {
			return inner.args
		}
		return []*node{inner}
	case p.isPunct(`\{`):
		if s := p.primary(); s.kind == set {
			return s.args
		}
		return []*node{p.fail("%s of a set", name)}
	case p.take("-"):
		return []*node{newNode(negative, p.postfix(p.primary()))}
	}
	if !p.startsOperand() {
		return []*node{p.fail("%s of nothing", name)}
	}
	arg := p.postfix(p.primary())
	for p.err == nil && p.startsOperand() && p.peek().kind != tCommand && p.peek().kind != tBegin && !p.isPunct("(") && !p.isPunct("[") &&
		!p.isPunct("|(") && !p.isPunct("|") {
		arg = newNode(product, arg, p.postfix(p.primary()))
	}
	return []*node{arg}
}

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
