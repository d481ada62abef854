package grade

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// finding is what a text gives as its final answer.
type finding struct {
	answer string // empty where nothing was found
	beside string // the answer with what touches its box; empty where nothing does
	reason string // why there is no answer: the text bounds it, denies it, or states none
	empty  bool   // the text has no content at all, or its thinking never ended
}

// turns are the marks of chat templates, behind which another speaker begins.
var turns = []string{"<|im_end|>", "<|im_start|>", "<|endoftext|>", "<|eot_id|>", "</s>"}

// Extract returns the final answer of a text. It stands, in this order, in the last \boxed{} (several that belong together make
// a list), in the last <answer>, behind the last marker ("the answer is", "####", 答案是), or in the last sentence that states a
// value. What is taken is the first complete expression there, never a part of one. What stands in <think> is passed over, and
// thinking that is not closed has no answer. ok is false where nothing is found.
func Extract(text string) (answer string, ok bool) {
	if len(text) > maxText {
		return "", false
	}
	f := find(text)
	return f.answer, f.answer != ""
}

func find(text string) finding {
	text, open := response(unescape(text))
	if open {
		return finding{empty: true, reason: "no final answer was found: the thinking is not closed"}
	}
	for _, turn := range turns {
		if i := strings.Index(text, turn); i > 0 && strings.TrimSpace(text[:i]) != "" {
			text = text[:i]
		}
	}
	if f, ok := boxed(text); ok {
		return f
	}
	tail := strings.TrimSpace(halfWidth(lastBytes(text, maxTail)))
	if m := hopeful.FindStringIndex(lastBytes(tail, 64)); m != nil {
		tail = strings.TrimSpace(tail[:max(0, len(tail)-64)+m[0]])
	}
	if content, ok := tagged(tail); ok {
		return inside(content)
	}
	if f, ok := marked(tail); ok {
		return f
	}
	return stated(tail)
}

// findGold is the gold answer: all of the text, unless a box, a tag or a marker says where it stands.
func findGold(text string) finding {
	f := find(text)
	text = strings.TrimSpace(unescape(text))
	if len(text) > maxAnswer || strings.Contains(text, `\boxed`) || strings.Contains(text, `\fbox`) || len(markersIn(text)) > 0 ||
		strings.Contains(text, "<") && tag.MatchString(text) {
		return f
	}
	if reals := exceptFrom(text); reals != "" {
		return finding{answer: reals}
	}
	return finding{answer: strings.Trim(text, "*\""), empty: text == ""}
}

func lastBytes(s string, n int) string {
	if len(s) <= n {
		return s
	}
	s = s[len(s)-n:]
	for len(s) > 0 && !utf8.RuneStart(s[0]) {
		s = s[1:]
	}
	return s
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

var (
	hopeful = regexp.MustCompile(`(?i)\s*I hope (?:it|this) is correct\.?\s*$`)
	tag     = regexp.MustCompile(`(?i)<answer>`)
	tagEnd  = regexp.MustCompile(`(?i)</answer>`)
)

// tagged is the content of the last <answer>, which may be cut off.
func tagged(text string) (string, bool) {
	if !strings.ContainsRune(text, '<') {
		return "", false
	}
	all := tag.FindAllStringIndex(text, -1)
	if len(all) == 0 {
		return "", false
	}
	content := text[all[len(all)-1][1]:]
	if end := tagEnd.FindStringIndex(content); end != nil {
		content = content[:end[0]]
	}
	return content, true
}

// inside is the answer in a box or tag: all of it, unless a marker in it says where it stands.
func inside(content string) finding {
	content = strings.TrimSpace(content)
	if strings.Trim(content, " \t\n{}$.*\"") == "" {
		return finding{empty: true, reason: "no final answer was found: its place is empty"}
	}
	if len(content) > maxAnswer {
		return finding{answer: content}
	}
	if plain := untext(content); len(markersIn(plain)) > 0 {
		if f, ok := marked(plain); ok && (f.answer != "" || f.reason != "") {
			return f
		}
	}
	plain := trimMarks(untext(content))
	if value := introduction.ReplaceAllString(plain, ""); value != plain && mathStart(value) { // \text{the total is 88}
		return finding{answer: value}
	}
	return finding{answer: introduction.ReplaceAllString(trimMarks(content), "")}
}

// introduction are words before an answer that say nothing: it is, a total of.
var introduction = regexp.MustCompile(`(?i)^(?:(?:it|this|that|he|she|which) (?:is|was|equals)|it's|they are|there (?:is|are)|` +
	`we (?:get|have|obtain|find)|` +
	`(?:a|the) (?:grand )?total (?:number )?of|exactly|altogether|(?:the|its|our) (?:[a-z]+ ){0,4}?(?:total|value|sum|number|result|area|` +
	`volume|length|distance|price|cost|probability|average|mean|median|perimeter|speed)(?: of (?:[a-z]+ ){0,3}[a-z]+)? (?:is|was|equals))\s+`)

// untext removes the commands around texts, \text{the answer is} 5, and keeps what they hold.
func untext(s string) string {
	for at := 0; at < len(s); {
		m := textCommand.FindStringIndex(s[at:])
		if m == nil {
			return s
		}
		open := at + m[1] - 1
		end := closing(s, open)
		if end < 0 {
			return s
		}
		s, at = s[:at+m[0]]+s[open+1:end]+s[end+1:], at+m[0]
	}
	return s
}

var textCommand = regexp.MustCompile(`\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox|emph)\s*\{`)

// trimMarks removes Markdown's emphasis and quotes around an answer.
func trimMarks(s string) string {
	if strings.Contains(s, "**") {
		s = emphasis.ReplaceAllString(s, "$1$2")
	}
	s = strings.TrimSpace(s)
	if strings.Count(s, "`") == 2 {
		s = strings.Trim(s, "`")
	}
	return strings.TrimSpace(strings.Trim(s, "*\"“” \t\n"))
}

// emphasis is Markdown's **, which stands on one side of space or the text's end, unlike a power.
var emphasis = regexp.MustCompile(`(^|[\s(])\*\*|\*\*([\s.,:;)!?।]|$)`)
