package grade

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

type tokenKind uint8

const (
	tEnd     tokenKind = iota
	tNumber            // digits without separators; "0.1(6)" repeats the 6
	tLetter            // a variable: a Latin letter or a Greek one as \alpha
	tCommand           // a command without its backslash, or a function's name
	tPunct             // an operator or bracket, several spellings made one
	tText              // the words of \text{} or of plain text
	tJoin              // "and" or "or"
	tBegin             // \begin{text}
	tFinish            // \end{text}
)

type token struct {
	kind  tokenKind
	text  string
	space bool // there was space before it
}

var (
	errUnknown = errors.New("unknown command")
)

// lexer cuts an answer into tokens. Where separators is set, "1,234" at the top level is one number.
type lexer struct {
	in         string
	separators bool
	ambiguous  bool // a comma was read as a thousands separator
	brackets   int
	out        []token
}

var (
	grouped = regexp.MustCompile(`^\d{1,3}(?:,\d{3})+(?:\.\d+)?`)
	spaced  = regexp.MustCompile(`^\d{1,3}(?:(?:\{,\}|,\\!\s*|\\,\s*|\\;\s*|~)\d{3})+(?:\.\d+)?`)
	// spacedNumber is an answer that is one number with spaces between its thousands.
	spacedNumber = regexp.MustCompile(`^-?\d{1,3}(?: \d{3})+(?:\.\d+)?$`)
	plain        = regexp.MustCompile(`^(?:\d+\.\d+|\d+|\.\d+)(?:[eE][+-]?\d+)?`)
	fullStop     = regexp.MustCompile(`^[.\s$]*(?:\\[\])])?[.\s$]*$`) // and nothing else follows
	repeated     = regexp.MustCompile(`^(\d*)\.(\d*)\\(?:overline|bar|dot)\s*(?:\{\s*(\d+)\s*\}|(\d))`)
)

// readNumber returns the number at the beginning of s and how many bytes it takes.
func (l *lexer) readNumber(s string) (string, int) {
	if m := repeated.FindStringSubmatch(s); m != nil {
		return m[1] + "." + m[2] + "(" + m[3] + m[4] + ")", len(m[0])
	}
	follows := func(n int) bool { return n < len(s) && s[n] >= '0' && s[n] <= '9' }
	if m := spaced.FindString(s); m != "" && !follows(len(m)) {
		return keepDigits(m), len(m)
	}
	if m := grouped.FindString(s); m != "" && !follows(len(m)) && l.separators && l.brackets == 0 {
		l.ambiguous = true
		tail := plain.FindString("0" + s[len(m):])[1:]
		return keepDigits(m) + tail, len(m) + len(tail)
	}
	m := plain.FindString(s)
	if i := strings.IndexAny(m, "eE"); i >= 0 && m[i] == 'e' && !strings.ContainsAny(m[i:], "+-") && !strings.Contains(m[:i], ".") {
		m = m[:i] // 2e3 is rather 2·e·3 than 2000
	}
	return m, len(m)
}

func keepDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r == '.' {
			return r
		}
		return -1
	}, s)
}

func lex(answer string, separators bool) (*lexer, error) {
	l := &lexer{in: asLatex(answer), separators: separators}
	if text := plainText(answer); spacedNumber.MatchString(text) {
		l.in = strings.ReplaceAll(text, " ", "")
	}
	for i := 0; i < len(l.in); {
		space := false
		for i < len(l.in) && isSpace(l.in[i]) {
			i, space = i+1, true
		}
		if i == len(l.in) {
			break
		}
		if len(l.out) >= maxTokens {
			return nil, fmt.Errorf("more than %d tokens", maxTokens)
		}
		before := len(l.out)
		n, err := l.next(l.in[i:])
		if err != nil {
			return nil, err
		}
		if space && before < len(l.out) {
			l.out[before].space = true
		}
		i += n
	}
	return l, nil
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

func (l *lexer) add(k tokenKind, text string) { l.out = append(l.out, token{kind: k, text: text}) }

// next reads one token, or something that makes none, and returns its length.
func (l *lexer) next(s string) (int, error) {
	c, size := utf8.DecodeRuneInString(s)
	switch {
	case c >= '0' && c <= '9' || c == '.' && len(s) > 1 && (s[1] >= '0' && s[1] <= '9' || repeated.MatchString(s)):
		text, n := l.readNumber(s)
		l.add(tNumber, text)
		return n, nil
	case c == '\\':
		return l.command(s)
	case c < utf8.RuneSelf && unicode.IsLetter(c):
		n := 1
		for n < len(s) && isLetter(s[n]) {
			n++
		}
		l.run(s[:n])
		return n, nil
	}
	for _, two := range []string{"<=", ">=", "!=", "==", ":=", "->", "||"} {
		if strings.HasPrefix(s, two) {
			switch two {
			case "==", ":=":
				l.add(tPunct, "=")
			case "||":
				l.add(tPunct, "|")
				return 1, nil
			default:
				l.add(tPunct, two)
			}
			return 2, nil
		}
	}
	if s[0] == '*' && strings.HasPrefix(s, "**") {
		l.add(tPunct, "^")
		return 2, nil
	}
	if strings.ContainsRune("+-*/^_()[]{}|,;:!=<>'%°&", c) {
		switch c {
		case '(', '[':
			l.brackets++
		case ')', ']':
			l.brackets--
		}
		l.add(tPunct, string(c))
		return size, nil
	}
	switch c {
	case '≈':
		l.add(tPunct, "≈")
		return size, nil
	case '.':
		if fullStop.MatchString(s) {
			return len(s), nil
		}
	case '$', '~', '€', '£', '¥', '"', '`': // delimiters, blanks and currencies
		return size, nil
	case '@', '#':
		return 0, errors.New("unexpected " + string(c))
	}
	if unicode.IsLetter(c) || unicode.IsMark(c) {
		n := 0
		for n < len(s) {
			r, k := utf8.DecodeRuneInString(s[n:])
			if r < utf8.RuneSelf || !unicode.IsLetter(r) && !unicode.IsMark(r) {
				break
			}
			n += k
		}
		l.add(tText, s[:n])
		return n, nil
	}
	return 0, errors.New("unexpected character")
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// run adds a run of Latin letters: a function, "and", a unit, a word, or variables.
func (l *lexer) run(s string) {
	last := token{}
	if len(l.out) > 0 {
		last = l.out[len(l.out)-1]
	}
	switch lower := strings.ToLower(s); {
	case lower == "and" || lower == "or":
		l.add(tJoin, lower)
	case slices.Contains(percentWords, lower):
		l.add(tPunct, "%")
	case slices.Contains(degreeWords, lower) && last.kind != tEnd:
		l.add(tPunct, "°")
	case s == "pi":
		l.add(tLetter, `\pi`)
	case lower == "infinity" || s == "inf" || s == "infty" || s == "oo":
		l.add(tLetter, `\infty`)
	case functionWords[s] != "":
		l.add(tCommand, functionWords[s])
	case strings.HasPrefix(s, "or") && last.kind == tNumber && len(s) <= 4: // "1orW(x)"
		l.add(tJoin, "or")
		l.run(s[2:])
	case len(s) > 1 && units[s] != "" && (last.kind == tNumber || last.kind == tText || last.text == "}" || last.text == ")" || last.text == "/"):
		l.add(tText, s)
	case splitFunction(s) > 0:
		n := splitFunction(s)
		l.add(tCommand, functionWords[s[:n]])
		l.run(s[n:])
	case len(s) > 3:
		l.add(tText, s)
	default:
		for _, c := range s {
			l.add(tLetter, string(c))
		}
	}
}

// splitFunction is the length of the function's name in a run such as "sinx".
func splitFunction(s string) int {
	for n := len(s) - 1; n >= 2 && n >= len(s)-2; n-- {
		if functionWords[s[:n]] != "" {
			return n
		}
	}
	return 0
}

// command reads what begins with a backslash.
func (l *lexer) command(s string) (int, error) {
	if len(s) == 1 {
		return 0, errors.New("a backslash at the end")
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
	case lower == "and" || lower == "or":
		l.add(tJoin, lower)
	case slices.Contains(percentWords, lower):
		l.add(tPunct, "%")
	case slices.Contains(degreeWords, lower):
		l.add(tPunct, "°")
	case choice.MatchString(content):
		l.add(tLetter, choice.FindStringSubmatch(content)[1])
	case plain.FindString(content) == content:
		l.add(tNumber, content)
	case functionWords[content] != "":
		l.add(tCommand, functionWords[content])
	default:
		l.add(tText, strings.Trim(content, " ,.~"))
	}
}

// choice is a letter that names an option, alone.
var choice = regexp.MustCompile(`^\(?([A-Za-z])\)?[.:]?$`)

// font adds what \mathrm{} and its like hold: a letter, a function, a unit, or mathematics.
func (l *lexer) font(name, content string) {
	trimmed := strings.Trim(content, " ~")
	switch {
	case name == "mathbb" || name == "mathcal" || name == "mathfrak" || name == "variable":
		l.add(tLetter, `\`+name+"{"+strings.Join(strings.Fields(trimmed), "")+"}")
	case name == "operatorname" && functionWords[trimmed] != "":
		l.add(tCommand, functionWords[trimmed])
	case len(trimmed) > 1 && isWord(trimmed):
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
