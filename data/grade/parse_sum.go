package grade

import (
	"slices"
	"strings"
)

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
