package mathml

import (
	"unicode"
	"unicode/utf8"
)

// argument is a group, or the next character or command alone.
func (p *parser) argument() (string, error) {
	switch token := p.peek(); {
	case token == "":
		return "", p.fail("the formula ends where something is due")
	case token == "{":
		n, err := p.braces()
		return n.xml, err
	case ends(token) || token == "^" || token == "_":
		return "", p.fail("%q where something is due", token)
	}
	if p.depth++; p.depth > deepest { // x^\frac\frac… goes down without a row
		return "", p.fail("more than %d groups in groups", deepest)
	}
	defer func() { p.depth-- }()
	n, err := p.atom(false)
	if n.xml == "" { // a command that sets nothing, where an element must stand
		n.xml = group(nil)
	}
	return n.xml, err
}

func (p *parser) braces() (node, error) {
	p.take()
	list, err := p.row("")
	if err != nil {
		return node{}, err
	}
	if p.peek() != "}" {
		return node{}, p.fail("a group that is not closed")
	}
	p.take()
	return node{xml: group(list)}, nil
}

// raw is an argument as it is written, such as a colour or the columns of an array.
func (p *parser) raw() (string, error) {
	if p.peek() != "{" {
		return "", p.fail("%q where { is due", p.peek())
	}
	depth := 0
	for i := p.at; i < len(p.s); i++ {
		switch p.s[i] {
		case '\\':
			i++
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				text := p.s[p.at+1 : i]
				p.at = i + 1
				return text, nil
			}
		}
	}
	return "", p.fail("a group that is not closed")
}

// atom is one element without scripts; whole numbers are one, unless as an argument, which is a single digit.
func (p *parser) atom(whole bool) (node, error) {
	token := p.peek()
	switch c := token[0]; {
	case c == '\\':
		return p.command()
	case c == '{':
		return p.braces()
	case isDigit(c) || c == '.' && p.at+1 < len(p.s) && isDigit(p.s[p.at+1]):
		number := token
		if whole {
			number = p.number()
		}
		p.at += len(number)
		return node{xml: element("mn", styled(p.variant, number))}, nil
	case isLetter(c):
		p.take()
		return node{xml: p.letter(token)}, nil
	}
	p.take()
	if text, ok := characters[token]; ok {
		return node{xml: text}, nil
	}
	r, _ := utf8.DecodeRuneInString(token)
	switch {
	case unicode.IsLetter(r) || unicode.IsMark(r):
		return node{xml: element("mi", escaped(token))}, nil
	case unicode.IsDigit(r):
		return node{xml: element("mn", escaped(token))}, nil
	}
	return node{xml: operator(token)}, nil
}

// number is the longest one that begins here; a comma belongs to it only between groups of three digits.
func (p *parser) number() string {
	rest, end := p.s[p.at:], 0
	digits := func(from int) int {
		n := 0
		for from+n < len(rest) && isDigit(rest[from+n]) {
			n++
		}
		return n
	}
	end = digits(0)
	for end > 0 && end < len(rest) && rest[end] == ',' && digits(end+1) == 3 {
		end += 4
	}
	if end < len(rest) && rest[end] == '.' {
		if n := digits(end + 1); n > 0 {
			end += 1 + n
		}
	}
	return rest[:end]
}

func (p *parser) letter(s string) string {
	if p.variant == "rm" {
		return element(`mi mathvariant="normal"`, s)
	}
	return element("mi", styled(p.variant, s))
}
