package grade

import (
	"regexp"
	"slices"
	"strings"
)

var (
	doubled = regexp.MustCompile(`(^|[^\\])\\\\([A-Za-z({\[)}\]])`)
	singled = regexp.MustCompile(`(?:^|[^\\])\\([A-Za-z]+)`)
	hopeful = regexp.MustCompile(`(?i)\s*I hope (?:it|this) is correct\.?\s*$`)
	marker  = regexp.MustCompile(`(?i)(?:\bfinal\s+answer\b(?:\s+is\b)?|\banswers?\s*(?:is|are)\b|\banswer\s*:|答案是|答案为|答案：|答案:|####)`)
)

// turns are the marks of chat templates, behind which another speaker begins.
var turns = []string{"<|im_end|>", "<|im_start|>", "<|endoftext|>", "<|eot_id|>", "</s>"}

// Extract returns the final answer of a text, in this order: what the last \boxed{} holds (several that belong together make a
// list), what follows "the answer is", "**Final Answer**" or "####", the last formula or number, whichever is later. A text that
// is nothing but an answer is returned whole. What stands in <think> is passed over, and thinking that is not closed has no
// answer. ok is false where nothing is left.
func Extract(text string) (answer string, ok bool) {
	if len(text) > maxText {
		return "", false
	}
	text = unescape(text)
	text, open := response(text)
	if open {
		return "", false
	}
	for _, turn := range turns {
		if i := strings.Index(text, turn); i > 0 && strings.TrimSpace(text[:i]) != "" {
			text = text[:i]
		}
	}
	if answer, ok := boxed(text); ok {
		return answer, true
	}
	text = hopeful.ReplaceAllString(text, "")
	if m := marker.FindAllStringIndex(text, -1); len(m) > 0 {
		for i := len(m) - 1; i >= max(0, len(m)-maxMarkers); i-- {
			if answer := bare(sentence(text[m[i][1]:])); answer != "" {
				return answer, true
			}
		}
	}
	answer = bare(strings.TrimSpace(text))
	return answer, answer != ""
}

// response is what follows the thinking; open tells that the thinking was never closed.
func response(text string) (rest string, open bool) {
	end := strings.LastIndex(text, "</think>")
	if start := strings.LastIndex(text, "<think>"); start > end {
		return "", true
	}
	if end < 0 {
		return text, false
	}
	return text[end+len("</think>"):], false
}

// unescape makes LaTeX of text in which every backslash was doubled, as in a JSON string that was not decoded.
func unescape(text string) string {
	if doubled.MatchString(text) && !slices.ContainsFunc(singled.FindAllStringSubmatch(text, -1), func(m []string) bool { return known(m[1]) }) {
		text = strings.ReplaceAll(text, `\\`, `\`)
	}
	if strings.Contains(text, `\n`) {
		text = escapedNewline.ReplaceAllString(text, "\n$1")
	}
	return text
}

// escapedNewline is \n that begins no command: \n behind which no command of that name can go on.
var escapedNewline = regexp.MustCompile(`\\n(\\|\s|\*|[A-Z]|$)`)

// sentence is the first sentence of what follows a marker.
func sentence(s string) string {
	s = strings.TrimLeft(s, " \t\r\n*:：\"#_")
	s = strings.TrimPrefix(strings.TrimPrefix(s, "is "), "is:")
	s = strings.TrimLeft(s, " \t\r\n*:\"")
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '$':
			depth ^= 1
		case '\n':
			if depth == 0 && i+1 < len(s) && (s[i+1] == '\n' || !strings.HasPrefix(s, `\[`)) {
				return strings.TrimSpace(s[:i])
			}
		case '.':
			if depth == 0 && (i+1 == len(s) || s[i+1] == ' ' || s[i+1] == '\n') {
				return strings.TrimSpace(s[:i])
			}
		}
	}
	return strings.TrimSpace(s)
}
