package openai

import "strings"

// blank is the white space that JSON allows around a value.
const blank = " \t\r\n"

// unwrap takes off what models put around their JSON: at most one byte order mark, one closed block of thinking, one answer tag around
// the rest, and one code fence, in any order. What is left must be the answer as a whole.
func unwrap(text string) (body string, mended []string) {
	cuts := []struct {
		what string
		cut  func(string) (string, bool)
	}{
		{"a byte order mark", func(s string) (string, bool) { return strings.CutPrefix(s, "\ufeff") }},
		{"an answer tag", cutAnswerTag},
		{"a block of thinking", cutThinking},
		{"a code fence", cutFence},
	}
	for again := true; again; {
		text, again = strings.Trim(text, blank), false
		for i, c := range cuts {
			if inner, ok := c.cut(text); ok {
				text, mended, again = inner, append(mended, c.what), true
				cuts = append(cuts[:i], cuts[i+1:]...)
				break
			}
		}
	}
	return text, mended
}

// thinkTags open and close the thinking of reasoning models.
var thinkTags = [][2]string{{"<think>", "</think>"}, {"<thinking>", "</thinking>"}, {"<thought>", "</thought>"}, {"[THINK]", "[/THINK]"}}

// cutThinking takes a block of thinking off the beginning. The chat templates of some models open it within the prompt, so that
// the answer has its end alone; a text that begins as JSON or as a fence has none.
func cutThinking(text string) (rest string, ok bool) {
	if strings.HasPrefix(text, "{") || strings.HasPrefix(text, "`") {
		return text, false
	}
	for _, tag := range thinkTags {
		thought, answer, closed := strings.Cut(text, tag[1])
		thought = strings.TrimPrefix(thought, tag[0])
		if closed && !strings.Contains(thought, tag[0]) {
			return answer, true
		}
	}
	return text, false
}

// cutAnswerTag takes off <answer> and </answer> around the whole text.
func cutAnswerTag(text string) (inner string, ok bool) {
	inner, opened := strings.CutPrefix(text, "<answer>")
	inner, closed := strings.CutSuffix(inner, "</answer>")
	return inner, opened && closed
}

// cutFence takes off a fence of three or more backticks or tildes around the whole text, with the language's name behind the first.
func cutFence(text string) (inner string, ok bool) {
	tick := text[:min(1, len(text))]
	if tick != "`" && tick != "~" {
		return text, false
	}
	ticks := len(text) - len(strings.TrimLeft(text, tick))
	inner, closed := strings.CutSuffix(text[ticks:], text[:ticks])
	if ticks < 3 || !closed || strings.HasSuffix(inner, tick) {
		return text, false
	}
	name := strings.IndexFunc(inner, func(r rune) bool { return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9') })
	return inner[max(name, 0):], true
}
