package equations

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

type kind uint8

const (
	number kind = iota
	variable
	plus
	minus
	times
	divide
	power
	open    // ( [ {
	closing // ) ] }
	fraction
	binomial
	root
	pi
	percent
	factorial
	unit   // what a number counts; no part of its value
	equals // =
	about  // ≈
	cut    // what ends a statement: another relation, a comma, an arrow, a line's end
	word   // anything that is not understood
)

// token is one symbol of a formula. In plain text what is not a symbol is a word.
type token struct {
	kind        kind
	text        string
	start, end  int  // bytes of the text it was cut from
	space       bool // white space or nothing stands before it
	single      bool // a closing brace's or digit's argument that LaTeX would take alone
	ofThousands bool // a number with thousands separators
}

var latexSymbols = map[string]kind{
	"times": times, "cdot": times, "ast": times, "div": divide, "frac": fraction, "dfrac": fraction, "tfrac": fraction, "cfrac": fraction,
	"binom": binomial, "dbinom": binomial, "tbinom": binomial, "sqrt": root, "pi": pi, "approx": about, "simeq": about,
	"implies": cut, "Rightarrow": cut, "Longrightarrow": cut, "rightarrow": cut, "to": cut, "iff": cut, "Leftrightarrow": cut, "quad": cut,
	"qquad": cut,
	"le":    cut, "leq": cut, "ge": cut, "geq": cut, "lt": cut, "gt": cut, "neq": cut, "ne": cut, "equiv": cut, "sim": cut, "in": cut,
	"therefore": cut, "because": cut,
	"lbrace": word, "rbrace": word, "alpha": variable, "beta": variable, "gamma": variable, "theta": variable, "lambda": variable,
	"mu": variable, "omega": variable,
}

// latexNothing are commands that only change how a formula looks.
var latexNothing = map[string]bool{
	"left": true, "right": true, "big": true, "Big": true, "bigg": true, "Bigg": true, "bigl": true, "bigr": true, "displaystyle": true,
	",": true, ";": true, ":": true, "!": true, " ": true, "$": true, "limits": true, "nonumber": true, "hline": true,
}

var runes = map[rune]kind{
	'+': plus, '-': minus, '−': minus, '–': minus, '*': times, '×': times, '·': times, '⋅': times, '∗': times, '/': divide,
	'÷': divide, '⁄': divide, '^': power,
	'(': open, '[': open, '{': open, ')': closing, ']': closing, '}': closing, '%': percent, '!': factorial, '=': equals, '≈': about,
	'≅': about, '<': cut, '>': cut, '≤': cut, '≥': cut, '≠': cut, '≡': cut, ',': cut, ';': cut, '→': cut, '⇒': cut,
	'⟹': cut, '∴': cut, '\n': cut, 'π': pi, '√': root,
}

var superscripts = map[rune]string{'²': "2", '³': "3", '⁴': "4", '⁵': "5", '⁶': "6", '⁷': "7", '⁸': "8", '⁹': "9"}

// tokenize cuts a formula, or with latex false a line of plain text, into tokens.
func tokenize(text string, latex bool) []token {
	l := lexer{text: text, latex: latex, space: true}
	for l.at < len(text) {
		l.next()
	}
	return l.tokens
}

type lexer struct {
	text   string
	latex  bool
	at     int
	space  bool
	tokens []token
}

func (l *lexer) emit(k kind, n int) {
	l.tokens = append(l.tokens, token{kind: k, text: l.text[l.at : l.at+n], start: l.at, end: l.at + n, space: l.space})
	l.at += n
	l.space = false
}

func (l *lexer) skip(n int) {
	l.at += n
	l.space = true
}

func (l *lexer) next() {
	rest := l.text[l.at:]
	r, size := utf8.DecodeRuneInString(rest)
	switch {
	case rest[0] == '\\':
		l.command(rest)
	case r >= '0' && r <= '9' || r == '.' && len(rest) > 1 && digit(rest[1]) && !l.afterDigitOrDot():
		l.number(rest)
	case strings.HasPrefix(rest, "...") || r == '…':
		l.emit(word, max(size, 1)) // what it stands for is not known
	case strings.HasPrefix(rest, "**") && !l.latex:
		if l.betweenNumbers(2) {
			l.emit(power, 2)
		} else {
			l.skip(2) // bold
		}
	case strings.HasPrefix(rest, "==") || strings.HasPrefix(rest, "!=") || strings.HasPrefix(rest, ">=") || strings.HasPrefix(rest, "<=") ||
		strings.HasPrefix(rest, ":=") || strings.HasPrefix(rest, "=>"):
		l.emit(cut, 2)
	case strings.HasPrefix(rest, "->"):
		l.emit(cut, 2)
	case r == '\n' && l.latex, r != '\n' && unicode.IsSpace(r), r == '&' && l.latex, r == '$', r == '€', r == '£', r == '~' && l.latex:
		l.skip(size)
	case superscripts[r] != "":
		// Two tokens on one place.
		l.tokens = append(l.tokens, token{kind: power, text: "^", start: l.at, end: l.at},
			token{kind: number, text: superscripts[r], start: l.at, end: l.at + size})
		l.at += size
		l.space = false
	case r == '%' && strings.HasPrefix(rest, "%%"):
		l.emit(word, 2)
	case r == '°':
		l.emit(unit, size)
	default:
		if k, ok := runes[r]; ok {
			l.emit(k, size)
			return
		}
		l.letters(rest, r, size)
	}
}

func (l *lexer) afterDigitOrDot() bool {
	return l.at > 0 && (digit(l.text[l.at-1]) || l.text[l.at-1] == '.')
}

func digit(b byte) bool { return b >= '0' && b <= '9' }

// number reads 12, 1,200, 3.5, 10{,}000.
func (l *lexer) number(rest string) {
	n := len(l.tokens)
	if l.latex && n > 0 && (l.tokens[n-1].kind == fraction || n > 1 && l.tokens[n-2].kind == fraction && l.tokens[n-1].single) {
		l.emit(number, 1) // \frac12 is one half
		l.tokens[n].single = true
		return
	}
	i, thousands := 0, false
	for i < len(rest) && digit(rest[i]) {
		i++
	}
	if i >= 1 && i <= 3 {
		for {
			gap := 0
			switch {
			case strings.HasPrefix(rest[i:], ","):
				gap = 1
			case l.latex && (strings.HasPrefix(rest[i:], "{,}") || strings.HasPrefix(rest[i:], "\\,")):
				gap = len("{,}")
				if rest[i] == '\\' {
					gap = 2
				}
			case l.latex && strings.HasPrefix(rest[i:], ",\\!"):
				gap = 3
			}
			if gap == 0 || !threeDigits(rest[i+gap:]) {
				break
			}
			i += gap + 3
			thousands = true
		}
	}
	if i+1 < len(rest) && rest[i] == '.' && digit(rest[i+1]) {
		for i++; i < len(rest) && digit(rest[i]); i++ {
		}
	}
	l.emit(number, i)
	l.tokens[n].ofThousands = thousands
}

func threeDigits(s string) bool {
	return len(s) >= 3 && digit(s[0]) && digit(s[1]) && digit(s[2]) && (len(s) == 3 || !digit(s[3]))
}

// command reads what begins with a backslash.
func (l *lexer) command(rest string) {
	n := 1
	for n < len(rest) && (rest[n] >= 'a' && rest[n] <= 'z' || rest[n] >= 'A' && rest[n] <= 'Z') {
		n++
	}
	if n == 1 {
		if len(rest) == 1 {
			l.emit(word, 1)
			return
		}
		_, size := utf8.DecodeRuneInString(rest[1:])
		switch name := rest[1 : 1+size]; {
		case name == "\\":
			l.emit(cut, 2)
		case name == "%":
			l.emit(percent, 2)
		case latexNothing[name]:
			l.skip(2)
		default:
			l.emit(word, 1+size)
		}
		return
	}
	name := rest[1:n]
	switch k, ok := latexSymbols[name]; {
	case ok:
		l.emit(k, n)
	case latexNothing[name]:
		l.skip(n)
	case name == "text" || name == "mathrm" || name == "textbf" || name == "mbox" || name == "operatorname":
		body := braces(rest[n:])
		if body == "" {
			l.emit(word, n)
			return
		}
		l.emit(unit, n+len(body))
	case name == "circ":
		l.emit(unit, n)
	case name == "boxed":
		l.skip(n) // its braces group
	default:
		l.emit(word, n)
	}
}

// braces returns the group that s begins with, or "".
func braces(s string) string {
	if !strings.HasPrefix(s, "{") {
		return ""
	}
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return s[:i+1]
			}
		}
	}
	return ""
}

// letters reads a variable with its index, or in plain text a whole word.
func (l *lexer) letters(rest string, r rune, size int) {
	if !unicode.IsLetter(r) {
		l.emit(word, size)
		return
	}
	n := size
	for n < len(rest) {
		r, size := utf8.DecodeRuneInString(rest[n:])
		if !unicode.IsLetter(r) && (l.latex || r != '\'' && r != '-' && r != '_' && !unicode.IsDigit(r)) || superscripts[r] != "" {
			break
		}
		n += size
	}
	switch {
	case !l.latex && (rest[:n] == "x" || rest[:n] == "X") && l.betweenNumbers(n):
		l.emit(times, n)
		return
	case !l.latex && n > 1 && (rest[0] == 'x' || rest[0] == 'X') && l.at > 0 && digit(l.text[l.at-1]) && onlyDigits(rest[1:n]):
		l.emit(times, 1) // 5x3
		return
	case !l.latex:
		l.emit(word, n)
		return
	case n > size+2:
		l.emit(word, n) // a word within a formula
		return
	}
	n = size // letters side by side are factors
	if strings.HasPrefix(rest[n:], "_") {
		index := braces(rest[n+1:])
		if index == "" && len(rest) > n+1 {
			_, one := utf8.DecodeRuneInString(rest[n+1:])
			index = rest[n+1 : n+1+one]
		}
		n += 1 + len(index)
	}
	l.emit(variable, n)
}

func onlyDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }

// betweenNumbers tells whether the n bytes here stand between a number or a closing bracket and a number or an opening one.
func (l *lexer) betweenNumbers(n int) bool {
	before, after := strings.TrimRight(l.text[:l.at], " "), strings.TrimLeft(l.text[l.at+n:], " $")
	if before == "" || after == "" {
		return false
	}
	b, a := before[len(before)-1], after[0]
	return (digit(b) || b == ')' || b == '%') && (digit(a) || a == '(' || a == '.')
}
