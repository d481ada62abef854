package grade

import "strings"

// formulaEnds are what a formula cannot reach over.
var formulaEnds = []string{"$", `\(`, `\)`, `\[`, `\]`, "\n", `\begin`, `\end`, `\text`, `\boxed`, `\fbox`, `\framebox`, "<", ">", "="}

// enclosing is what stands around a box that is one member of a point or one end of an interval: "(" and ", 2)" for
// (\boxed{9}, 2). Both are empty where the box stands in no such brackets.
func enclosing(before, after string) (left, right string) {
	for _, end := range formulaEnds {
		if i := strings.LastIndex(before, end); i >= 0 {
			before = before[i+len(end):]
		}
		if i := strings.Index(after, end); i >= 0 {
			after = after[:i]
		}
	}
	start, stop := lastOpen(before), firstClosed(after)
	if start < 0 || stop < 0 {
		return "", ""
	}
	left, right = before[start:], after[:stop+1]
	if !strings.Contains(left+right, ",") || latinWord.MatchString(command.ReplaceAllString(left+" "+right, " ")) {
		return "", ""
	}
	return left, right
}

// lastOpen is the place of the last bracket that is not closed in s; -1 where there is none.
func lastOpen(s string) int {
	depth := 0
	for i := len(s) - 1; i >= 0; i-- {
		switch s[i] {
		case ')', ']':
			depth++
		case '(', '[':
			if depth--; depth < 0 {
				return i
			}
		}
	}
	return -1
}

// firstClosed is the place of the first bracket that closes none in s; -1 where there is none.
func firstClosed(s string) int {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '(', '[':
			depth++
		case ')', ']':
			if depth--; depth < 0 {
				return i
			}
		}
	}
	return -1
}
