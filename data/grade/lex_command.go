package grade

import (
	"errors"
	"slices"
	"strings"
	"unicode"
)

// command reads what begins with a backslash.
func (l *lexer) command(s string) (int, error) {
	if len(s) == 1 {
		return 0, errors.New("a backslash at the end")
	}
	if n, ok := l.currency(s); ok {
		return n, nil
	}
	if !isLetter(s[1]) {
		switch s[1] {
		case '{', '}':
			l.brackets += map[byte]int{'{': 1, '}': -1}[s[1]]
			l.add(tPunct, s[:2])
		case '|':
			l.add(tPunct, "|")
		case '%':
			l.add(tPunct, "%")
		case '\\':
			l.add(tPunct, `\\`)
		case '$', ',', ';', ':', '!', ' ', '(', ')', '[', ']', '\n', '\t', '>', '&', '#', '-', '"':
		case '_':
			return 0, errors.New("unexpected \\_")
		default:
			return 0, errors.New("unexpected backslash")
		}
		return 2, nil
	}
	n := 1
	for n < len(s) && isLetter(s[n]) {
		n++
	}
	name := s[1:n]
	if !known(name) { // \quadx, \pir: what stands behind the name was glued to it
		cut := len(name) - 1
		for cut > 1 && cut >= len(name)-2 && !known(name[:cut]) {
			cut--
		}
		if cut < 2 || cut < len(name)-2 || !known(name[:cut]) {
			return 0, errUnknown
		}
		name = name[:cut]
		n = 1 + cut
	}
	rest := func() string { return s[n:] }
	switch {
	case dropped[name]:
	case textCommands[name]:
		content, size, err := braced(rest())
		if err != nil {
			return 0, err
		}
		l.text(content)
		n += size
	case fontCommands[name]:
		content, size, err := braced(rest())
		if err != nil {
			return 0, err
		}
		n += size
		l.font(name, content)
	case name == "left" || name == "right" || strings.HasPrefix(name, "big") || strings.HasPrefix(name, "Big"):
		for n < len(s) && isSpace(s[n]) {
			n++
		}
		switch {
		case strings.HasPrefix(rest(), "."):
			n++
		case strings.HasPrefix(rest(), "|") || strings.HasPrefix(rest(), `\|`):
			n += strings.IndexByte(rest(), '|') + 1
			l.add(tPunct, map[bool]string{true: "|(", false: "|)"}[name == "left"])
			if name != "left" && name != "right" {
				l.out[len(l.out)-1].text = "|"
			}
		case strings.HasPrefix(rest(), "{") && name == "left", strings.HasPrefix(rest(), "}") && name == "right": // a slip for \{ and \}
			l.add(tPunct, `\`+rest()[:1])
			n++
		}
	case name == "textcolor" || name == "color":
		_, size, err := braced(rest())
		if err != nil {
			return 0, err
		}
		n += size
	case name == "begin" || name == "end":
		content, size, err := braced(rest())
		if err != nil {
			return 0, err
		}
		n += size
		if name == "begin" && content == "array" {
			if _, size, err := braced(rest()); err == nil {
				n += size
			}
		}
		l.add(map[string]tokenKind{"begin": tBegin, "end": tFinish}[name], strings.TrimSuffix(content, "*"))
	case greek[name] != "":
		l.add(tLetter, greek[name])
	case punctCommands[name] != "":
		l.add(tPunct, punctCommands[name])
	case functionWords[name] != "":
		l.add(tCommand, functionWords[name])
	default:
		l.add(tCommand, name)
	}
	return n, nil
}

// text adds the content of \text{}.
func (l *lexer) text(content string) {
	content = strings.TrimSpace(content)
	for strings.HasPrefix(content, "$") || strings.HasSuffix(content, "$") {
		content = strings.Trim(content, "$ ")
	}
	lower := strings.ToLower(strings.Trim(content, " ,.~\\"))
	switch {
	case lower == "":
	case lower == "minus" || lower == "negative":
		l.add(tPunct, "-")
	case lower == "and" || lower == "or":
		l.add(tJoin, lower)
	case slices.Contains(percentWords, lower):
		l.add(tPunct, "%")
	case slices.Contains(degreeWords, lower):
		l.add(tPunct, "°")
	case l.afterQuantity() && (unitNamed(lower) != nil || len(lower) == 1 && isLetter(lower[0])):
		l.add(tText, content)
	case choice.MatchString(content):
		l.add(tLetter, choice.FindStringSubmatch(content)[1])
	case measured.MatchString(content), choices.MatchString(content): // \text{12 cm}, \text{A, C}
		inner, err := lex(content, l.separators)
		if err != nil {
			l.add(tText, content)
			return
		}
		l.out = append(l.out, inner.out...)
	case functionWords[content] != "":
		l.add(tCommand, functionWords[content])
	default:
		l.add(tText, strings.Trim(content, " ,.~"))
	}
}

// afterQuantity tells whether a unit may follow.
func (l *lexer) afterQuantity() bool {
	if len(l.out) == 0 {
		return false
	}
	last := l.out[len(l.out)-1]
	return last.kind == tNumber || last.kind == tText || last.text == "}" || last.text == ")" || last.text == "/" || last.text == `\pi` || last.text == "!" || last.text == "%"
}

// font adds what \mathrm{} and its like hold: a letter, a function, a unit, or mathematics.
func (l *lexer) font(name, content string) {
	trimmed := strings.Trim(content, " ~")
	switch {
	case name == "mathbb" || name == "mathcal" || name == "mathfrak" || name == "variable":
		l.add(tLetter, `\`+name+"{"+strings.Join(strings.Fields(trimmed), "")+"}")
	case name == "mathbf" && (trimmed == "i" || trimmed == "j" || trimmed == "k"):
		l.add(tLetter, `\hat{`+trimmed+"}")
	case name == "operatorname" && functionWords[trimmed] != "":
		l.add(tCommand, functionWords[trimmed])
	case len(trimmed) > 1 && isWord(trimmed), units[trimmed] != nil && l.afterQuantity():
		l.text(trimmed)
	case trimmed == "" || strings.ContainsAny(trimmed, `{}\`):
		if inner, err := lex(content, l.separators); err == nil && len(inner.out) > 0 {
			l.out = append(append(append(l.out, token{kind: tPunct, text: "{"}), inner.out...), token{kind: tPunct, text: "}"})
			return
		}
		l.text(trimmed)
	case len(trimmed) == 1 && isLetter(trimmed[0]):
		l.add(tLetter, trimmed)
	default:
		l.text(trimmed)
	}
}

func isWord(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return !unicode.IsLetter(r) }) < 0
}

// braced returns the content of the {...} at the beginning of s and the length of all.
func braced(s string) (string, int, error) {
	start := 0
	for start < len(s) && isSpace(s[start]) {
		start++
	}
	if start == len(s) || s[start] != '{' {
		return "", 0, errors.New("a command without its {}")
	}
	end := closing(s, start)
	if end < 0 {
		return "", 0, errors.New("unclosed {")
	}
	return s[start+1 : end], end + 1, nil
}

// closing is the place of the brace that closes the one at start, or -1.
func closing(s string, start int) int {
	depth := 0
	for i := start; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}
