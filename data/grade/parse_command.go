package grade

import (
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
