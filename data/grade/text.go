package grade

import (
	"regexp"
	"strings"
	"unicode"
)

var (
	textBraces = regexp.MustCompile(`\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox|operatorname)\s*\{([^{}]*)\}`)
	sizes      = regexp.MustCompile(`\\(?:left|right|[bB]igg?[lr]?)([^A-Za-z]|$)`)
	layout     = strings.NewReplacer(`\dfrac`, `\frac`, `\tfrac`, `\frac`, `\cfrac`, `\frac`, `\displaystyle`, "", `\!`, "", `\,`, " ",
		`\;`, " ", `\:`, " ", `\ `, " ", `\quad`, " ", `\qquad`, " ", "~", " ", `\$`, "", "$", "", `\%`, "%", `\(`, "", `\)`, "",
		`\[`, "", `\]`, "", "−", "-", "\u00a0", " ")
	blanks = regexp.MustCompile(`\s+`)
)

// plainText is the answer without what only sets its type. Space is kept where it keeps words and numbers apart.
func plainText(s string) string {
	if strings.Contains(s, `\`) {
		s = sizes.ReplaceAllString(textBraces.ReplaceAllString(s, " $1 "), "$1")
	}
	s = layout.Replace(s)
	s = strings.TrimRight(strings.TrimSpace(blanks.ReplaceAllString(s, " ")), " .,:;")
	if !strings.Contains(s, " ") {
		return s
	}
	var b strings.Builder
	r := []rune(s)
	for i, c := range r {
		if c == ' ' && i > 0 && i+1 < len(r) && !(isAlphanumeric(r[i-1]) && isAlphanumeric(r[i+1])) {
			continue
		}
		b.WriteRune(c)
	}
	return b.String()
}

func isAlphanumeric(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// sameText compares answers as they are written; words regardless of case.
func sameText(a, b string) bool {
	a, b = plainText(a), plainText(b)
	if a == b {
		return a != ""
	}
	if lower := strings.ToLower(a); shortWords[lower] && lower == strings.ToLower(b) {
		return true
	}
	return isWords(a) && isWords(b) && withoutArticle(a) == withoutArticle(b)
}

// label is a noun before the letter or Roman numeral that it names: Quadrant IV.
var label = regexp.MustCompile(`^(?i:(?:the )?(?:quadrant|statements?|graph|figure|equation|item|row|column|curve|list|table|` +
	`diagram|group|plan|method|set|line|point|angle|triangle|circle|side|vertex|player|team|model|type|class|box|door|route|` +
	`machine|section|part|region) )([IVX]+|[A-Z])$`)

// sameLabel tells whether one answer is a letter or Roman numeral that the other names with a noun before it.
func sameLabel(a, b string) bool {
	if len(a) > 64 || len(b) > 64 {
		return false
	}
	a, b = plainText(a), plainText(b)
	for _, pair := range [][2]string{{a, b}, {b, a}} {
		if m := label.FindStringSubmatch(pair[0]); m != nil && m[1] == pair[1] {
			return true
		}
	}
	return false
}

// infinite are the ways to say infinitely many.
var infinite = regexp.MustCompile(`^(?:there are |there is )?(?:an )?(?:infinite(?:ly many)?)(?: (?:number|amount) of)?` +
	`(?: (?:real |integer |possible )?(?:solutions?|values?|roots?|answers?|triples|pairs|points))?$|^无穷多个?解?$|^无数个?解?$`)

// nonexistent are the ways to say that a limit or a value does not exist.
var nonexistent = regexp.MustCompile(`^(?:(?:it|the limit|the value) )?(?:does not exist|doesn't exist|dne|d\.n\.e)$`)

func withoutArticle(s string) string {
	s = strings.ToLower(s)
	if infinite.MatchString(s) {
		return "infinitely many"
	}
	if nonexistent.MatchString(s) {
		return "does not exist"
	}
	for _, article := range []string{"the ", "a ", "an ", "on "} {
		if rest, ok := strings.CutPrefix(s, article); ok {
			return rest
		}
	}
	return s
}

// isWords tells whether the answer consists of words alone, of which one is longer than a product of variables would be.
func isWords(s string) bool {
	s = plainText(s)
	long := false
	for _, w := range strings.FieldsFunc(s, func(r rune) bool { return !unicode.IsLetter(r) }) {
		long = long || len([]rune(w)) > 2
	}
	return long && strings.IndexFunc(s, func(r rune) bool {
		return !unicode.IsLetter(r) && r != ' ' && r != '-' && r != '\'' && r != ',' && r != '.'
	}) < 0
}

// isProse tells whether the answer consists of words that no mathematics is made of: none is a function or a letter's name, and
// they are too many or too long for a product of variables.
func isProse(s string) bool {
	words := strings.Fields(plainText(s))
	long := len(words) > 1
	for _, w := range words {
		if known(w) || known(strings.ToLower(w)) || w == "and" || w == "or" {
			return false
		}
		long = long || len([]rune(w)) > 3
	}
	return long && isWords(s)
}
