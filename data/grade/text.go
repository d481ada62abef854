package grade

import (
	"regexp"
	"strings"
	"unicode"
)

var (
	textBraces = regexp.MustCompile(`\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox|operatorname)\s*\{([^{}]*)\}`)
	sizes      = regexp.MustCompile(`\\(?:left|right|[bB]igg?[lr]?)([^A-Za-z]|$)`)
	layout     = strings.NewReplacer(`\dfrac`, `\frac`, `\tfrac`, `\frac`, `\cfrac`, `\frac`, `\displaystyle`, "", `\!`, "", `\,`, " ", `\;`, " ",
		`\:`, " ", `\ `, " ", `\quad`, " ", `\qquad`, " ", "~", " ", `\$`, "", "$", "", `\%`, "%", `\(`, "", `\)`, "", `\[`, "", `\]`, "", "−", "-", "\u00a0", " ")
	blanks = regexp.MustCompile(`\s+`)
)

// plainText is the answer without what only sets its type. Space is kept where it keeps words and numbers apart.
func plainText(s string) string {
	s = layout.Replace(sizes.ReplaceAllString(textBraces.ReplaceAllString(s, " $1 "), "$1"))
	s = strings.TrimRight(strings.TrimSpace(blanks.ReplaceAllString(s, " ")), " .,:;")
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
	return isWords(a) && isWords(b) && strings.EqualFold(strings.TrimPrefix(strings.ToLower(a), "the "), strings.TrimPrefix(strings.ToLower(b), "the "))
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
		if known(w) || known(strings.ToLower(w)) {
			return false
		}
		long = long || len([]rune(w)) > 3
	}
	return long && isWords(s)
}

var (
	soleChoice  = regexp.MustCompile(`^\(?([A-Z])\)?[.:]?$`)
	firstChoice = regexp.MustCompile(`^(?:option|choice)?\s*(?:\(([A-Z])\)|([A-Z])[.):])\s*\S`)
)

// choiceLetter is the letter of an option, "" where the answer is none. Where the other answer is a letter alone, the option's
// text may follow: (B) 12.
func choiceLetter(answer, other string) string {
	s := plainText(answer)
	s = strings.TrimPrefix(strings.TrimPrefix(s, "Option "), "option ")
	if m := soleChoice.FindStringSubmatch(s); m != nil {
		return m[1]
	}
	if soleChoice.MatchString(plainText(other)) {
		if m := firstChoice.FindStringSubmatch(s); m != nil {
			return m[1] + m[2]
		}
	}
	return ""
}

// options are the ways in which a text names the option it takes.
var options = regexp.MustCompile(`(?im)(?:\b(?:option|choice|answer(?:\s+is)?)\b|উত্তর)[^\pL\d]{0,12}([A-J])(?:[^\pL\d]|$)|\*\*\(?([A-J])(?:[).:]|\s*\*\*)|^\s*\(?([A-J])[).:]?\s*$`)

// chosen is the option that a text names last, "" for none. It is asked only where the gold answer is a letter and the text does
// not end with one.
func chosen(text string) string {
	text, _ = response(text)
	all := options.FindAllStringSubmatch(text, -1)
	if len(all) == 0 {
		return ""
	}
	m := all[len(all)-1]
	return strings.ToUpper(m[1] + m[2] + m[3])
}
