package grade

import (
	"regexp"
	"strings"
)

var boxCommand = regexp.MustCompile(`\\(?:boxed|fbox|framebox)\s*`)

// between is what may stand between two boxes of one answer: "and", "or", commas, the ends of formulas, another name; joint is
// what must.
var joint = regexp.MustCompile(`[,;&]|quad|\b(?:and|or)\b`)
var between = regexp.MustCompile(`^(?:[\s,;$&]|\\[()\[\]\s,;!]|\\quad|\\qquad|\\text\s*\{\s*(?:and|or|,)?\s*\}|\b(?:and|or)\b|\{|\}|\(|\)|[A-Za-z](?:_\{?\w+\}?)?(?:\(\w\))?\s*=)*$`)

type box struct {
	content    string
	start, end int
}

// boxed returns the content of the last box, joined by commas with that of the boxes before it that belong to the same answer.
func boxed(text string) (string, bool) {
	var boxes []box
	for _, m := range boxCommand.FindAllStringIndex(text, -1) {
		if len(boxes) > 0 && m[0] < boxes[len(boxes)-1].end {
			continue // a box in a box
		}
		b := box{start: m[0], end: m[1]}
		switch {
		case m[1] < len(text) && text[m[1]] == '{':
			end := closing(text, m[1])
			if end < 0 { // cut off: what is there counts up to the end of the formula
				b.content, b.end = unclosed(text[m[1]+1:]), len(text)
			} else {
				b.content, b.end = text[m[1]+1:end], end+1
			}
		case m[1] < len(text) && text[m[1]] != '\\':
			n := strings.IndexAny(text[m[1]:], "$ \n.,")
			if n < 0 {
				n = len(text) - m[1]
			}
			b.content, b.end = text[m[1]:m[1]+n], m[1]+n
		}
		if strings.Trim(b.content, " \t\n{}$") != "" {
			boxes = append(boxes, b)
		}
	}
	if len(boxes) == 0 {
		return "", false
	}
	last := len(boxes) - 1
	first := last
	for first > 0 && last-first < maxElements && joined(text[boxes[first-1].end:boxes[first].start]) {
		first--
	}
	var parts []string
	for _, b := range boxes[first:] {
		part := unbox(strings.TrimSpace(b.content))
		if len(parts) == 0 || parts[len(parts)-1] != part {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ", "), true
}

func joined(gap string) bool { return joint.MatchString(gap) && between.MatchString(gap) }

// unclosed is the content of a box that is not closed.
func unclosed(s string) string {
	if i := strings.IndexAny(s, "$\n"); i >= 0 {
		s = s[:i]
	}
	return strings.TrimSpace(s)
}

// unbox removes boxes within the content.
func unbox(s string) string {
	for range maxDepth {
		m := boxCommand.FindStringIndex(s)
		if m == nil || m[1] >= len(s) || s[m[1]] != '{' {
			return s
		}
		end := closing(s, m[1])
		if end < 0 {
			return s
		}
		s = s[:m[0]] + s[m[1]+1:end] + s[end+1:]
	}
	return s
}
