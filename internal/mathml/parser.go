package mathml

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// parser reads a formula from left to right.
type parser struct {
	s       string
	at      int
	depth   int
	variant string // of letters and digits: "" or an alphabet such as bb
}

// node is what a command or a character came to.
type node struct {
	xml      string
	limits   bool // scripts stand above and below
	function bool // a thin space follows unless a bracket does
}

func (p *parser) fail(format string, args ...any) error {
	return fmt.Errorf("at byte %d: %s", p.at, fmt.Sprintf(format, args...))
}

func (p *parser) spaces() {
	for p.at < len(p.s) && strings.IndexByte(" \t\r\n", p.s[p.at]) >= 0 {
		p.at++
	}
}

// peek is what begins at the next character that is no space: a character, or a command with its backslash; "" at the end.
func (p *parser) peek() string {
	p.spaces()
	rest := p.s[p.at:]
	if rest == "" {
		return ""
	}
	if rest[0] != '\\' {
		_, size := utf8.DecodeRuneInString(rest)
		return rest[:size]
	}
	end := 1
	for end < len(rest) && isLetter(rest[end]) {
		end++
	}
	if end == 1 && len(rest) > 1 {
		_, size := utf8.DecodeRuneInString(rest[1:])
		end = 1 + size
	}
	return rest[:end]
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }

func (p *parser) take() string {
	token := p.peek()
	p.at += len(token)
	return token
}

// ends tells whether a token ends the row it stands in.
func ends(token string) bool {
	switch token {
	case "", "}", "&", `\\`, `\cr`, `\right`, `\middle`, `\end`:
		return true
	}
	return false
}

// row reads elements up to what ends a row, which stays unread; until is one more such token.
func (p *parser) row(until string) ([]string, error) {
	if p.depth++; p.depth > deepest {
		return nil, p.fail("more than %d groups in groups", deepest)
	}
	defer func(variant string) { p.depth, p.variant = p.depth-1, variant }(p.variant)
	var list []string
	for {
		token := p.peek()
		if ends(token) || token == until {
			return list, nil
		}
		if shape, ok := infix[token]; ok {
			p.take()
			below, err := p.row(until)
			if err != nil {
				return nil, err
			}
			return []string{fmt.Sprintf(shape, group(list)+group(below))}, nil
		}
		xml, err := p.scripted()
		if err != nil {
			return nil, err
		}
		if xml != "" {
			list = append(list, xml)
		}
	}
}

// infix commands stand between what is above and what is below.
var infix = map[string]string{
	`\over`: "<mfrac>%s</mfrac>", `\atop`: `<mfrac linethickness="0">%s</mfrac>`,
	`\choose`: `<mrow><mo>(</mo><mfrac linethickness="0">%s</mfrac><mo>)</mo></mrow>`,
}

// scripted reads an element with its indices, powers and primes.
func (p *parser) scripted() (string, error) {
	base := node{xml: "<mrow></mrow>"}
	if t := p.peek(); t != "^" && t != "_" && t != "'" {
		var err error
		if base, err = p.atom(true); err != nil {
			return "", err
		}
	}
	below, above := "", ""
	for more := true; more; {
		var err error
		switch p.peek() {
		case "_":
			if below != "" {
				return "", p.fail("a second index")
			}
			p.take()
			below, err = p.argument()
		case "'", "’", "′":
			primes := ""
			for t := p.peek(); t == "'" || t == "’" || t == "′"; t = p.peek() {
				p.take()
				primes += "′"
			}
			above += element("mo", primes)
		case "^":
			p.take()
			if above != "" && !strings.HasPrefix(above, "<mo>′") {
				return "", p.fail("a second power")
			}
			var power string
			power, err = p.argument()
			if above += power; above != power {
				above = element("mrow", above)
			}
		case `\limits`:
			p.take()
			base.limits = true
		case `\nolimits`:
			p.take()
			base.limits = false
		default:
			more = false
		}
		if err != nil {
			return "", err
		}
	}
	xml := base.with(below, above)
	if next := p.peek(); base.function && !ends(next) && !strings.ContainsAny(next[:1], "([,)]|=") && next != `\left` {
		xml += `<mspace width="0.17em"></mspace>`
	}
	return xml, nil
}

// with sets scripts; "" is none.
func (n node) with(below, above string) string {
	names := [3]string{"msub", "msup", "msubsup"}
	if n.limits {
		names = [3]string{"munder", "mover", "munderover"}
	}
	switch {
	case below == "" && above == "":
		return n.xml
	case above == "":
		return element(names[0], n.xml+below)
	case below == "":
		return element(names[1], n.xml+above)
	}
	return element(names[2], n.xml+below+above)
}
