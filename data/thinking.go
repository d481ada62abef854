package data

import (
	"encoding/json"
	"strings"
)

// thinkingMarks are the ways in which models mark their thinking. It ends at the first of ends; what is left of the
// opening and closing marks around the response is taken off.
var thinkingMarks = []struct {
	begin       string
	ends        []string
	open, close string // around the response, where they are
	beginGiven  bool   // the prompt may end with begin, so that the text starts in the thinking
}{
	// OpenThoughts and Sky-T1.
	{"<|begin_of_thought|>", []string{"<|end_of_thought|>", "<|begin_of_solution|>"}, "<|begin_of_solution|>", "<|end_of_solution|>", true},
	// DeepSeek-R1, QwQ, Qwen3.
	{"<think>", []string{"</think>"}, "", "", true},
	// s1.
	{"<|im_start|>think", []string{"<|im_start|>answer"}, "", "<|im_end|>", false},
}

// CutThinking cuts what a model wrote into its thinking and its response, without the marks and the white space around
// each. Known are <|begin_of_thought|> … <|end_of_thought|> <|begin_of_solution|> … <|end_of_solution|>, <think> … </think>
// and <|im_start|>think … <|im_start|>answer …, the first two also without their beginning, which may be in the prompt.
// A text without marks is a response. Thinking that is never closed is all thinking, and unclosed says so.
func CutThinking(text string) (thinking, response string, unclosed bool) {
	body := strings.TrimSpace(text)
	for _, m := range thinkingMarks {
		rest, begun := strings.CutPrefix(body, m.begin)
		end, length := -1, 0
		for _, mark := range m.ends {
			if i := strings.Index(rest, mark); i >= 0 && (end < 0 || i < end) {
				end, length = i, len(mark)
			}
		}
		switch {
		case end < 0 && begun:
			return strings.TrimSpace(rest), "", true
		case end < 0 || !begun && (!m.beginGiven || strings.Contains(rest[:end], m.begin)):
			continue
		}
		response = strings.TrimSpace(rest[end+length:])
		response = strings.TrimPrefix(response, m.open)
		return strings.TrimSpace(rest[:end]), strings.TrimSpace(strings.TrimSuffix(response, m.close)), false
	}
	return "", body, false
}

// thinkClosed is the field of Meta that tells whether the thinking was closed.
const thinkClosed = "think_closed"

// Unclosed tells whether the thinking broke off before a response: whether Meta has "think_closed": false. Readers that look
// for marks of thinking put it there, and data sets with separate columns may hold it. It is kept in what is written.
func (t *Trajectory) Unclosed() bool { return string(t.Meta[thinkClosed]) == "false" }

// setText sets thinking and response from what the model wrote.
func (t *Trajectory) setText(text string) {
	unclosed := false
	if t.Thinking, t.Response, unclosed = CutThinking(text); unclosed {
		t.Meta = map[string]json.RawMessage{thinkClosed: json.RawMessage("false")}
	}
}
