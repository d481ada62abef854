package grade

import (
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// rewriting writes a form that the grammar does not have as one that it has. Only answers that hold key are searched.
type rewriting struct {
	key  string
	from *regexp.Regexp
	to   string
}

var rewritings = []rewriting{
	{`\\`, regexp.MustCompile(`\\\\\s*\[\s*-?[\d.]+\s*(?:pt|em|ex|mm|cm|px)\s*\]`), `\\ `}, // a line break with the space behind it
	{"∴", regexp.MustCompile(`^[\s$]*∴\s*`), ""},
	{"therefore", regexp.MustCompile(`^[\s$]*\\therefore\b\s*`), ""},
	{"+", regexp.MustCompile(`^\+\s?-\s?(\d|\\)`), `\pm $1`},
	{"minus", regexp.MustCompile(`(?i)\bplus or minus\s+`), `\pm `},
	{`\ `, regexp.MustCompile(`(\d)\\\s+(\d+/\d)`), "$1 $2"},
	// 1 kg 500 g
	{" ", regexp.MustCompile(`^(\d[\d.,]*)\s*(kg|km|min|m|t|L)\s+(\d[\d.]*)\s*(g|m|s|h|min|cm|mL|mm|kg)$`), `$1\text{ $2 }$3\text{ $4}`},
	{"er", regexp.MustCompile(`(?i)\bper\s+cent\b`), "percent"},
	{"$", regexp.MustCompile(`\bU\.?S\.?\s*(\\?\$)`), "$1"},
	{"x", regexp.MustCompile(`(\d)\s+x\s+(\d)|(\d)\s*x\s*(10\s*\^)`), `$1$3\times $2$4`},
	{"X", regexp.MustCompile(`(\d)\s*X\s*(10\s*\^)`), `$1\times $2`},
	{"U", regexp.MustCompile(`([\])}])\s*U\s*(\\left|[\[({])`), `$1\cup $2`},
	{"root", regexp.MustCompile(`\\root\s*\{?(\w+)\}?\s*\\of\b`), `\sqrt[$1]`},
	{"mod", regexp.MustCompile(`\(\s*(?:\\(?:text|mathrm|operatorname)\s*\{)?\s*\\?(?:mod|bmod)\s*\}?\s*([^()]*)\)`), `\pmod{$1}`},
	{"mod", regexp.MustCompile(`(\w)\s+mod\s+(\w)`), `$1\mod $2`},
	{"base", regexp.MustCompile(`_\{?\s*\\text\s*\{\s*base\s+(\d+)\s*\}\s*\}?`), `_{$1}`},
	{"base", regexp.MustCompile(`^\(?([0-9A-Za-z.]+)\)?\s*(?:\\text\s*\{)?\s*\(?(?:in\s+)?base[\s-]*\}?\s*(\d+)\s*\)?\s*\}?$`), `${1}_{$2}`},
	{"base", regexp.MustCompile(`^\(?([0-9A-Za-z.]+)\)?\s*(?:\\text\s*\{)?\s*\(?(?:in\s+)?base[\s-]*([a-z]{3,8})\s*\)?\s*\}?$`),
		`${1}_{\text{$2}}`},
	{"pounds", regexp.MustCompile(`\\pounds\b\s*`), "£"},
	{"度", regexp.MustCompile(`摄氏度`), "°C"},
	{"度", regexp.MustCompile(`(\d\s*)度`), "$1°"},
	{". ", regexp.MustCompile(`\b(ft|in|lb|lbs|oz|min|hr|hrs|sec|yd|mi|cm|km|kg|sq)\.(\s)`), "$1$2"},
	{"R", regexp.MustCompile(`(?:\\mathbb\{R\}|\\R\b|^R)\s*(?:\\\s|\\backslash|-)\s*\\?\{([^{}\\]*)\\?\}`), `\mathbb{R}\setminus\{$1\}`},
	{"to", regexp.MustCompile(`^(\d+(?:\.\d+)?)\s+to\s+(\d+(?:\.\d+)?)\s+to\s+(\d+(?:\.\d+)?)$`), `$1:$2:$3`},
	{"to", regexp.MustCompile(`^(\d+(?:\.\d+)?)\s+to\s+(\d+(?:\.\d+)?)$`), `$1:$2`},
	{"choose", regexp.MustCompile(`^(\d+)\s+choose\s+(\d+)$`), `\binom{$1}{$2}`},
	{"factorial", regexp.MustCompile(`(\d)\s+factorial\b`), "$1!"},
	{" of ", regexp.MustCompile(`^(\d+)\s+out\s+of\s+(?:every\s+)?(\d+)$`), "$1/$2"},
	{" in ", regexp.MustCompile(`^(\d+)\s+in\s+(?:every\s+)?(\d+)$`), "$1/$2"},
	{"log", regexp.MustCompile(`\\?\blog(2|10)\s*\(`), `\log_{$1}(`},
	{"<", regexp.MustCompile(`^<\s*([^<>=]+,[^<>=]+)>$`), `\langle $1\rangle`},
	{"{", regexp.MustCompile(`^\{\s*([A-Za-z]\b[^{}]*?[:|][^{}]*)\}$`), `\{$1\}`}, // a slip for \{x : x > 1\}
	{"{", regexp.MustCompile(`^\\?\{\s*(?:∅|\\emptyset|\\varnothing)\s*\\?\}$`), `\{\emptyset\}`},
	{"'", regexp.MustCompile(`^(\d+)\s*'\s*(\d{1,2}(?:\.\d+)?)\s*(?:"|''|”|″)?$`), `$1\text{ feet }$2\text{ inches}`},
}

var (
	programRows = regexp.MustCompile(`^\[\s*([^\[\](){};]+(?:;[^\[\](){};]+)+?);?\s*\]$`)
	entry       = regexp.MustCompile(`^-?\d+(?:\.\d+)?(?:/\d+)?$`)
)

func rewrite(s string) string {
	for _, r := range rewritings {
		if strings.Contains(s, r.key) {
			s = r.from.ReplaceAllString(s, r.to)
		}
	}
	if strings.Contains(s, "&") && !strings.Contains(s, `\begin`) {
		s = strings.ReplaceAll(strings.ReplaceAll(s, `\&`, "&"), " & ", " and ")
	}
	if strings.Contains(s, ";") {
		s = matrixRows(s)
	}
	if strings.Contains(s, "quad") {
		s = apart(s)
	}
	return numeral(s)
}

var (
	wideSpace = regexp.MustCompile(`\\q?quad\b`)
	numerals  = regexp.MustCompile(`^(?:\\text\s*\{)?\(?([0-9A-Za-z]{2,60})\)?\}?_\{?(\d\d)\}?$`)
)

// apart writes a comma between equations that only wide space parts: x=2 \quad y=5.
func apart(s string) string {
	parts := wideSpace.Split(s, -1)
	for _, part := range parts {
		if !strings.Contains(part, "=") || strings.Contains(part, `\begin`) {
			return s
		}
	}
	return strings.Join(parts, ", ")
}

// numeral writes a number with letters for digits as a decimal: 2A7_{12}. There is a digit in it, or all are those of base 16.
func numeral(s string) string {
	m := numerals.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil || strings.IndexFunc(m[1], unicode.IsLetter) < 0 || !strings.ContainsAny(m[1], "0123456789") && m[2] != "16" {
		return s
	}
	base, err := strconv.Atoi(m[2])
	if err != nil || base > 36 {
		return s
	}
	n, ok := new(big.Int).SetString(strings.ToLower(m[1]), base)
	if !ok {
		return s
	}
	return n.String()
}

// matrixRows writes a matrix as in a program, [1 2; 3 4], as an environment. Rows of one entry may be an interval's ends.
func matrixRows(s string) string {
	m := programRows.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil {
		return s
	}
	var rows []string
	for _, row := range strings.Split(m[1], ";") {
		fields := strings.FieldsFunc(row, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
		for _, f := range fields {
			if !entry.MatchString(f) {
				return s
			}
		}
		if len(fields) < 2 {
			return s
		}
		rows = append(rows, strings.Join(fields, " & "))
	}
	return `\begin{pmatrix}` + strings.Join(rows, ` \\ `) + `\end{pmatrix}`
}
