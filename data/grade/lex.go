package grade

import (
	"errors"
	"fmt"
	"regexp"
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
	tMoney             // a currency before its amount
)

type token struct {
	kind  tokenKind
	text  string
	space bool // there was space before it
	whole bool // a root sign that takes all of the number behind it
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
	gap        bool // there was space before what is read
	money      bool // a $ before a digit is a currency: the answer has an odd number of them
	out        []token
}

func lex(answer string, separators bool) (*lexer, error) {
	l := &lexer{in: prepare(asLatex(answer)), separators: separators}
	l.money = (strings.Count(l.in, "$")-strings.Count(l.in, `\$`))%2 == 1
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
		l.gap = space
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
		if ordinal.MatchString(s[n:]) {
			n += 2
			if ordinalOf.MatchString(s[n:]) {
				l.add(tText, "ordinal")
			}
		}
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
	if strings.HasPrefix(s, "+/-") {
		l.add(tCommand, "pm")
		return 3, nil
	}
	if n, ok := l.currency(s); ok {
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
		if len(l.out) > 0 && l.out[len(l.out)-1].kind == tMoney { // Rs. 250
			return size, nil
		}
		if fullStop.MatchString(s) {
			return len(s), nil
		}
	case '$', '~', '"', '`': // delimiters and blanks
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

// currency reads a sign of money before its amount, or behind it.
func (l *lexer) currency(s string) (int, bool) {
	for _, sign := range []string{`\$`, "$", "€", "£", "¥", "₹", "₩", "¢"} {
		if !strings.HasPrefix(s, sign) || sign == "$" && !l.money {
			continue
		}
		name := strings.TrimPrefix(sign, `\`)
		rest := strings.TrimLeft(s[len(sign):], " ")
		rest = strings.TrimLeft(strings.TrimPrefix(rest, `\,`), " ")
		switch {
		case l.afterQuantity() && (rest == "" || !isDigit(rest[0])):
			l.add(tText, name)
		case rest != "" && (isDigit(rest[0]) || strings.IndexByte(`-.\({`, rest[0]) >= 0):
			l.add(tMoney, name)
		default:
			return 0, false
		}
		return len(sign), true
	}
	return 0, false
}

var (
	choice   = regexp.MustCompile(`^\(?([A-Za-z])\)?[.:]?$`) // a letter that names an option, alone
	choices  = regexp.MustCompile(`^\(?[A-Z]\)?(?:\s*(?:,|;|\band\b)\s*\(?[A-Z]\)?)+$`)
	measured = regexp.MustCompile(`^[-+$]?(?:\d|\.\d)[^{}]*$`)
)
