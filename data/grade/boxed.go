package grade

import (
	"regexp"
	"strings"
)

var boxCommand = regexp.MustCompile(`\\(?:boxed|fbox|framebox)\s*`)

// between is what may stand between two boxes of one answer: "and", "or", commas, the ends of formulas, another name; joint is
// what must.
var joint = regexp.MustCompile(`[,;&]|quad|\b(?:and|or)\b`)
var between = regexp.MustCompile(`^(?:[\s,;$&]|\\[()\[\]\s,;!]|\\quad|\\qquad|\\text\s*\{\s*(?:and|or|,)?\s*\}|` +
	`\b(?:and|or)\b|\{|\}|\(|\)|[A-Za-z](?:_\{?\w+\}?)?(?:\(\w\))?\s*=)*$`)

const (
	maxGap   = 120 // bytes between boxes of one answer
	maxAlike = 4   // boxes of one answer that are compared, since one value may be written in two ways
)

type box struct {
	content    string
	start, end int
	cut        bool // it is not closed
}

// boxed is the content of the last box that holds something, joined by commas with that of the boxes before it that belong to
// the same answer.
func boxed(text string) (finding, bool) {
	boxes := lastBoxes(text)
	if len(boxes) == 0 {
		return finding{}, false
	}
	last := len(boxes) - 1
	behind := func(i int) int { // the end of the box before
		if i == 0 {
			return 0
		}
		return boxes[i-1].end
	}
	denied := func(i int) bool { return disputed(text[behind(i):boxes[i].start]) }
	for last > 0 && (blank(boxes[last].content) || denied(last)) {
		last--
	}
	switch {
	case blank(boxes[last].content):
		return inside(""), true
	case denied(last):
		return finding{reason: "the text denies or doubts the answer in the box"}, true
	}
	first := last
	for first > 0 && last-first < maxElements && joined(text[boxes[first-1].end:boxes[first].start]) {
		first--
	}
	var parts []string
	for _, b := range boxes[first : last+1] {
		part := unbox(strings.TrimSpace(halfWidth(b.content)))
		if f := inside(part); f.answer != "" {
			part = f.answer
		} else if f.reason != "" {
			return f, true
		}
		if len(parts) == 0 || parts[len(parts)-1] != part && (last-first > maxAlike || (&grader{}).answers(parts[len(parts)-1], part) != Yes) {
			parts = append(parts, part)
		}
	}
	f := finding{answer: strings.Join(parts, ", ")}
	if boxes[last].cut || f.answer == "" {
		return f, true
	}
	if rest := text[boxes[last].end:]; withdrawn(rest) {
		return settled(rest), true
	}
	if first == last {
		f.beside = beside(text, behind(first), boxes[last], f.answer)
	}
	return f, true
}

func blank(s string) bool { return strings.Trim(s, " \t\n{}$") == "" }

func joined(gap string) bool {
	return len(gap) <= maxGap && joint.MatchString(gap) && between.MatchString(gap)
}

// lastBoxes finds the outermost boxes in one pass, the last maxElements of them. A box that is not closed ends with its formula.
func lastBoxes(text string) []box {
	if !strings.Contains(text, "box") {
		return nil
	}
	var boxes, open []box
	var depths []int
	depth := 0
	closed := func(b box) {
		for len(boxes) > 0 && boxes[len(boxes)-1].start > b.start { // boxes in this one
			boxes = boxes[:len(boxes)-1]
		}
		if n := len(boxes); n > 0 && boxes[n-1].end > b.start { // it is in one without braces
			return
		}
		boxes = append(boxes, b)
		if len(boxes) > 2*maxElements {
			boxes = append(boxes[:0], boxes[maxElements:]...)
		}
	}
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			n := boxLength(text[i:])
			if n == 0 {
				i++
				continue
			}
			if i+n < len(text) && text[i+n] == '{' {
				open, depths = append(open, box{start: i, end: i + n + 1}), append(depths, depth)
				depth++
			} else if b, ok := braceless(text, i, i+n); ok {
				closed(b)
			}
			i += n
			if i < len(text) && text[i] == '\\' {
				i--
			}
		case '{':
			depth++
		case '}':
			depth--
			if n := len(open); n > 0 && depths[n-1] == depth {
				b := open[n-1]
				open, depths = open[:n-1], depths[:n-1]
				b.content, b.end = text[b.end:i], i+1
				closed(b)
			}
		}
	}
	if n := len(open); n > 0 && (len(boxes) == 0 || boxes[len(boxes)-1].start < open[n-1].start) {
		b := open[n-1]
		b.content, b.end, b.cut = unclosed(text[b.end:min(len(text), b.end+2*maxAnswer)]), len(text), true
		closed(b)
	}
	return boxes
}

// boxLength is the length of a box's command with the space behind it, 0 where s does not begin with one.
func boxLength(s string) int {
	for _, name := range []string{`\boxed`, `\fbox`, `\framebox`} {
		if strings.HasPrefix(s, name) && (len(s) == len(name) || !isLetter(s[len(name)])) {
			n := len(name)
			for n < len(s) && isSpace(s[n]) {
				n++
			}
			return n
		}
	}
	return 0
}

// braceless reads \boxed 5.
func braceless(text string, start, at int) (box, bool) {
	if at >= len(text) || text[at] == '\\' {
		return box{}, false
	}
	n := strings.IndexAny(text[at:min(len(text), at+maxAnswer)], "$ \n.,")
	if n < 0 {
		n = min(len(text)-at, maxAnswer)
	}
	return box{content: text[at : at+n], start: start, end: at + n}, n > 0
}

// unclosed is the content of a box that is not closed.
func unclosed(s string) string {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '$', '\n':
			return strings.TrimSpace(s[:i])
		}
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
