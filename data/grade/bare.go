package grade

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// segment is a formula in a text.
type segment struct {
	content    string
	start, end int // with its delimiters
}

// segments finds what stands between $ $, $$ $$, \( \) and \[ \].
func segments(s string) []segment {
	var out []segment
	missing := map[string]bool{} // delimiters that do not come any more, so that they are looked for once
	for i := 0; i < len(s); i++ {
		open, end := "", ""
		switch {
		case strings.HasPrefix(s[i:], "$$"):
			open, end = "$$", "$$"
		case s[i] == '$':
			open, end = "$", "$"
		case strings.HasPrefix(s[i:], `\(`):
			open, end = `\(`, `\)`
		case strings.HasPrefix(s[i:], `\[`):
			open, end = `\[`, `\]`
		case s[i] == '\\':
			i++
			continue
		default:
			continue
		}
		n := -1
		if !missing[end] {
			n = findEnd(s[i+len(open):], end)
		}
		if n < 0 {
			missing[end] = true
			i += len(open) - 1
			continue
		}
		stop := i + len(open) + n + len(end)
		if content := strings.TrimSpace(s[i+len(open) : i+len(open)+n]); content != "" {
			out = append(out, segment{content, i, stop})
		}
		i = stop - 1
	}
	return out
}

// findEnd is the place of a delimiter that is not escaped.
func findEnd(s, delimiter string) int {
	for i := 0; i < len(s); i++ {
		if strings.HasPrefix(s[i:], delimiter) {
			return i
		}
		if s[i] == '\\' {
			i++
		}
	}
	return -1
}

var (
	lastNumber = regexp.MustCompile(`-?(?:\d{1,3}(?:,(?:\\!)?\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)(?:\s*/\s*\d+)?(?:\s*(?:\\?%|percent))?`)
	command    = regexp.MustCompile(`\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox|operatorname|begin|end)\s*\{[^{}]*\}|\\[A-Za-z]+`)
	// emphasis is Markdown's **, which stands on one side of space or the text's end, unlike a power.
	emphasis  = regexp.MustCompile(`(^|[\s(])\*\*|\*\*([\s.,:;)!?।]|$)`)
	latinWord = regexp.MustCompile(`[A-Za-z]{2,}`)
	prose     = setOf(`is are the so of to be we it that this these which there then thus hence therefore answer for with from has have has was were its an as by
		find get can if so let value result equals total number where when each`)
)

// proseWords counts the words outside formulas and commands that are no functions, units or joints.
func proseWords(s string) (count int, sure bool) {
	for _, w := range latinWord.FindAllString(command.ReplaceAllString(s, " "), -1) {
		lower := strings.ToLower(w)
		switch {
		case prose[lower]:
			sure = true
			count++
		case functionWords[w] != "", units[lower] != "", lower == "and", lower == "or", lower == "pi", slices.Contains(percentWords, lower), slices.Contains(degreeWords, lower):
		case len(w) > 2:
			count++
		}
	}
	return count, sure
}

// bare returns the answer in a short text: all of it if it is nothing else, else its last formulas or its last number.
func bare(s string) string {
	s = strings.TrimSpace(strings.Trim(emphasis.ReplaceAllString(s, "$1$2"), "*\" \t\n"))
	if s == "" {
		return ""
	}
	found := segments(s)
	var outside strings.Builder
	at := 0
	for _, f := range found {
		outside.WriteString(s[at:f.start] + " ")
		at = f.end
	}
	count, sure := proseWords(outside.String() + s[at:])
	if len(found) == 0 {
		if number := lastNumber.FindString(s); number != "" && (sure || count > 1) || strings.Contains(s, "\n\n") {
			return tailNumber(s)
		}
		return s
	}
	if count == 0 && !sure {
		return s
	}
	last := len(found) - 1
	if tail := s[found[last].end:]; lastNumber.MatchString(tail) {
		return tailNumber(tail)
	}
	first := last
	for first > 0 && joined(s[found[first-1].end:found[first].start]) {
		first--
	}
	// a unit or a sign of percentage may stand behind the formula
	end := found[last].end
	if rest := strings.TrimLeft(s[end:], " "); strings.HasPrefix(rest, "%") || strings.HasPrefix(rest, `\%`) || strings.HasPrefix(rest, "percent") {
		return s[found[first].start:end] + `\%`
	}
	return s[found[first].start:end]
}

// tailNumber is the last number of a text that is no part of a word, with its percent sign.
func tailNumber(s string) string {
	all := lastNumber.FindAllStringIndex(s, -1)
	for i := len(all) - 1; i >= 0; i-- {
		start, end := all[i][0], all[i][1]
		if start > 0 && isWordByte(s[start-1]) {
			continue
		}
		if strings.HasPrefix(s[start:], "-") && start > 0 && s[start-1] != ' ' && s[start-1] != '=' && s[start-1] != '(' {
			start++ // a hyphen
		}
		return s[start:end]
	}
	return s
}

func isWordByte(c byte) bool { return unicode.IsLetter(rune(c)) || c == '_' }
