package grade

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

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
			n = p.degrees(n)
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
			n = p.degrees(n)
		case p.take("'"):
			n = named(function, "'", n)
		case p.isPunct("_") && n.kind == number:
			p.at++
			base := p.script()
			if base.kind == words {
				if r := spelledNumber(base.name); r != nil {
					base = &node{kind: number, value: r}
				}
			}
			n = named(function, "base", n, base)
		case p.isPunct("_"):
			p.at++
			n = named(function, "_"+p.raw(), n)
		default:
			return n
		}
	}
	return n
}

// degrees reads what stands behind °: Celsius or Fahrenheit, or the minutes of an angle, 30°15'.
func (p *parser) degrees(n *node) *node {
	t := p.peek()
	for _, scale := range []string{"celsius", "fahrenheit"} {
		if (t.kind == tLetter || t.kind == tText) && (strings.EqualFold(t.text, scale) || t.text == strings.ToUpper(scale[:1])) {
			p.at++
			return named(unit, scale, n)
		}
	}
	if t.kind == tNumber && p.ahead(1).text == "'" {
		p.at += 2
		minutes := p.number(t.text)
		return newNode(sum, newNode(degree, n), newNode(degree, newNode(quotient, minutes, integer(60))))
	}
	return newNode(degree, n)
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
	case tMoney:
		amount := p.factor()
		if p.isCommand("frac", "dfrac", "tfrac") && amount.isInteger() { // $7\frac12
			if mixed := mixedNumber(amount, p.factor()); mixed != nil {
				amount = mixed
			} else {
				return p.fail("a fraction behind an amount")
			}
		}
		return named(unit, t.text, amount)
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

// named reads P(X ≥ 1) before an equals sign, of which only the value behind it counts.
func (p *parser) named(name string) (*node, bool) {
	if !p.isPunct("(") && !p.isPunct("[") || len(name) > 1 && name[0] != '\\' {
		return nil, false
	}
	depth, plain := 0, true
	var text strings.Builder
	for i := p.at; i < len(p.tokens); i++ {
		t := p.tokens[i]
		switch {
		case t.kind == tPunct && (t.text == "(" || t.text == "["):
			depth++
		case t.kind == tPunct && (t.text == ")" || t.text == "]"):
			depth--
		case t.kind == tPunct && (slices.Contains(relations, t.text) || slices.Contains([]string{"|", `\mid`, `\cup`, `\cap`, "'"}, t.text)):
			plain = false
		}
		text.WriteString(t.text)
		if depth == 0 {
			next := p.tokens[min(i+1, len(p.tokens)-1)]
			if plain || i+1 == len(p.tokens) || next.kind != tPunct || next.text != "=" && next.text != "≈" {
				return nil, false
			}
			p.at = i + 1
			return named(applied, name, named(words, text.String())), true
		}
	}
	return nil, false
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
	if raw, ok := p.named(name); ok {
		return raw
	}
	isFunction := slices.Contains([]string{"f", "g", "F", "G"}, name[:1]) && len(name) <= 3 || primes != "" ||
		// W(n) = 1, P(2) = 15
		(p.ahead(1).kind == tLetter || p.ahead(1).kind == tNumber && name < "a") && p.ahead(2).text == ")" && p.ahead(3).text == "="
	if isFunction && p.isPunct("(") {
		p.at++
		inner := p.brackets("(")
		return named(applied, name, inner)
	}
	return named(symbol, name)
}
