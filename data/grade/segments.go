package grade

import "strings"

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
		if open == "$" && isMoney(s[i+1:stop-1]) {
			continue
		}
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

// isMoney tells whether two dollar signs are amounts of money with prose between them: $5 and $6.
func isMoney(s string) bool {
	if s == "" || !isDigit(s[0]) {
		return false
	}
	for _, w := range latinWord.FindAllString(command.ReplaceAllString(s, " "), -1) {
		if len(w) > 2 && functionWords[w] == "" && units[w] == nil || prose[w] {
			return true
		}
	}
	return strings.HasSuffix(s, " ") && !strings.Contains(s, `\`)
}
