package grade

import (
	"errors"
	"fmt"
	"math/big"
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

var (
	grouped = regexp.MustCompile(`^\d{1,3}(?:,\d{3})+(?:\.\d+)?`)
	spaced  = regexp.MustCompile(`^\d{1,3}(?:(?:\{,\}|,\\!\s*|\\,\s*|\\;\s*|~|')\d{3})+(?:\.\d+)?`)
	// spacedNumber is an answer that is one number with spaces between its thousands.
	spacedNumber = regexp.MustCompile(`^-?\d{1,3}(?: \d{3})+(?:\.\d+)?$`)
	plain        = regexp.MustCompile(`^(?:\d+\.\d+|\d+|\.\d+)(?:[eE][+-]?\d+)?`)
	fullStop     = regexp.MustCompile(`^[.\s$]*(?:\\[\])])?[.\s$]*$`) // and nothing else follows
	repeated     = regexp.MustCompile(`^(\d*)\.(\d*)\\(?:overline|bar|dot)\s*(?:\{\s*(\d+)\s*\}|(\d))`)
	dotted       = regexp.MustCompile(`^(\d*)\.(\d*)\\dot\s*\{?(\d)\}?(\d*)\\dot\s*\{?(\d)\}?`)
	bracketed    = regexp.MustCompile(`^(\d*\.\d*)\((\d+)\)\s*$`)
	ellipsis     = regexp.MustCompile(`^(\d*\.)(\d+)(?:\.\.\.|\\[lc]?dots\b ?)`)
	hexadecimal  = regexp.MustCompile(`^0[xX]([0-9A-Fa-f]+)`)
	ordinal      = regexp.MustCompile(`^(?:st|nd|rd|th)(?:[^A-Za-z]|$)`)
	micro        = regexp.MustCompile(`(\d(?:\\[,;: ]|\s|~)*)\\mu\s*(?:\\(?:text|mathrm)\s*\{\s*)?([mslgLAVF])\b\}?`)
	clockHalf    = regexp.MustCompile(`(?i)(\d)\s*([ap])(?:\.\s?m\.?|m)([^A-Za-z]|$)`)
	remainders   = regexp.MustCompile(`(\d)\s*\\?,?\s*(?:\\text\{\s*)?\b(?:R|r|rem\.?|remainder)\b(?:\s*\})?\s*(\d)`)
)

// readNumber returns the number at the beginning of s and how many bytes it takes.
func (l *lexer) readNumber(s string) (text string, length int) {
	if m := dotted.FindStringSubmatch(s); m != nil {
		return m[1] + "." + m[2] + "(" + m[3] + m[4] + m[5] + ")", len(m[0])
	}
	if m := bracketed.FindStringSubmatch(s); m != nil {
		return m[1] + "(" + m[2] + ")", len(m[0])
	}
	if m := ellipsis.FindStringSubmatch(s); m != nil {
		if before, cycle := cycleOf(m[2]); cycle != "" {
			return m[1] + before + "(" + cycle + ")", len(m[0])
		}
	}
	if m := hexadecimal.FindStringSubmatch(s); m != nil {
		if n, ok := new(big.Int).SetString(m[1], 16); ok && len(m[1]) < 200 {
			return n.String(), len(m[0])
		}
	}
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
	text = plain.FindString(s)
	return text, len(text)
}

// cycleOf is the shortest run of digits that ends s three times, or twice if it is long, and what stands before it.
func cycleOf(s string) (before, cycle string) {
	for n := 1; n <= len(s)/2; n++ {
		times := 3
		if n > 1 {
			times = 2
		}
		cycle = s[len(s)-n:]
		if !strings.HasSuffix(s, strings.Repeat(cycle, times)) {
			continue
		}
		for strings.HasSuffix(s, cycle) {
			s = s[:len(s)-n]
		}
		return s, cycle
	}
	return s, ""
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

// prepare writes what only a pattern finds as a text: a.m., remainders, and a number in words before other words.
func prepare(s string) string {
	s = micro.ReplaceAllString(s, `$1\text{ µ$2} `)
	s = clockHalf.ReplaceAllString(s, `$1\text{ $2.m.}$3`)
	s = remainders.ReplaceAllString(s, `$1\text{ remainder }$2`)
	fields := strings.Fields(s)
	for n := min(len(fields)-1, 6); n > 0; n-- {
		if r := spelledNumber(strings.Join(fields[:n], " ")); r != nil {
			return r.RatString() + " " + strings.Join(fields[n:], " ")
		}
	}
	return s
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

// run adds a run of Latin letters: a function, "and", a unit, a word, or variables.
func (l *lexer) run(s string) {
	last := token{}
	if len(l.out) > 0 {
		last = l.out[len(l.out)-1]
	}
	switch lower := strings.ToLower(s); {
	case lower == "minus" || lower == "negative":
		l.add(tPunct, "-")
	case lower == "plus" || lower == "positive":
		l.add(tPunct, "+")
	case (s == "Rs" || s == "USD" || s == "US" || s == "INR") && len(l.out) == 0:
		l.add(tMoney, s)
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
	case s == "sqrt" || s == "cbrt":
		l.out = append(l.out, token{kind: tCommand, text: s, whole: true})
	case functionWords[s] != "":
		l.add(tCommand, functionWords[s])
	case strings.HasPrefix(s, "or") && last.kind == tNumber && len(s) <= 4: // "1orW(x)"
		l.add(tJoin, "or")
		l.run(s[2:])
	case len(s) > 1 && units[s] != nil && l.afterQuantity() && (last.text != `\pi` || len(s) > 2 || s == "cm" || s == "ft"):
		l.add(tText, s)
	case splitFunction(s) > 0:
		n := splitFunction(s)
		l.add(tCommand, functionWords[s[:n]])
		l.run(s[n:])
	case len(s) > 1 && last.kind == tText, len(s) == 3 && last.kind == tNumber && l.gap && strings.ContainsAny(lower, "eiou"): // 3 hours ago, 5 men
		l.add(tText, s)
	case len(s) > 3 || shortWords[lower] || len(s) > 1 && scaleOf(s) != nil || len(s) > 2 && numberWord(s) != nil:
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

// shortWords are words that are no products of variables.
var shortWords = setOf(`is are was were the not for all any but yes at least most of no on to by if than more less fewer only per men man boy day box can car cat dog pen egg cup bag bus cow pig hen
	red one two six ten odd low new old out off up its way its nor big top end toy pie hat she he we you they it each both`)

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
