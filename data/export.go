package data

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// ExportForms are the forms in which trajectories are written for programs that train on them.
var ExportForms = []string{"goprm", "openthoughts", "s1k", "sharegpt", "chat"}

// Export is the trajectory as one line of JSON in one of the ExportForms:
//
//	goprm         the form that Read reads
//	openthoughts  {"system", "conversations": [{"from": "user" | "assistant", "value"}]}, thinking and solution between OpenThoughts' marks
//	s1k           {"question", "thinking_trajectories": [...], "attempt", "solution", ...} as s1K
//	sharegpt      {"conversations": [{"from": "human" | "gpt", "value"}]}, thinking in <think> tags
//	chat          {"messages": [{"role": "user" | "assistant", "content"}]}, thinking in <think> tags
//
// A part that was given in steps alone has them joined by an empty line. What the row had besides (Meta) is written where
// the form has a field of that name: system; cot_type, source_type, metadata.
func (t *Trajectory) Export(form string) ([]byte, error) {
	if form == "goprm" {
		return t.MarshalJSON()
	}
	if !slices.Contains(ExportForms, form) {
		return nil, fmt.Errorf("form: %q is none of %s", form, alternatives(ExportForms))
	}
	if err := t.Validate(); err != nil {
		return nil, err
	}
	thinking, response := t.Cut("\n\n")
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(t.exported(form, thinking.Text, response.Text)); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

type fromValue struct {
	From  string `json:"from"`
	Value string `json:"value"`
}

type roleContent struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

func (t *Trajectory) exported(form, thinking, response string) any {
	switch form {
	case "openthoughts":
		return struct {
			System        string      `json:"system"`
			Conversations []fromValue `json:"conversations"`
		}{t.metaText("system"), []fromValue{{"user", t.Problem}, {"assistant",
			between(thinking, "<|begin_of_thought|>\n\n", "\n\n<|end_of_thought|>\n\n") +
				"<|begin_of_solution|>\n\n" + strings.TrimSpace(response) + "\n\n<|end_of_solution|>"}}}
	case "s1k":
		return struct {
			Solution   string          `json:"solution"`
			Question   string          `json:"question"`
			CotType    string          `json:"cot_type"`
			SourceType string          `json:"source_type"`
			Metadata   json.RawMessage `json:"metadata"`
			Cot        *string         `json:"cot"`
			Thinking   []string        `json:"thinking_trajectories"`
			Attempt    string          `json:"attempt"`
		}{t.Answer, t.Problem, t.metaText("cot_type"), firstText(t.metaText("source_type"), t.Source), t.metaOr("metadata", `"{}"`), nil,
			[]string{thinking}, response}
	}
	text := between(thinking, "<think>\n", "\n</think>\n\n") + strings.TrimSpace(response)
	if form == "sharegpt" {
		return map[string][]fromValue{"conversations": {{"human", t.Problem}, {"gpt", text}}}
	}
	return map[string][]roleContent{"messages": {{"user", t.Problem}, {"assistant", text}}}
}

// between is the text between its marks, nothing for no text.
func between(text, before, after string) string {
	if text = strings.TrimSpace(text); text == "" {
		return ""
	}
	return before + text + after
}

func (t *Trajectory) metaText(name string) string {
	var text string
	if raw, ok := t.Meta[name]; !ok || json.Unmarshal(raw, &text) != nil {
		return ""
	}
	return text
}

func (t *Trajectory) metaOr(name, other string) json.RawMessage {
	if raw, ok := t.Meta[name]; ok {
		return raw
	}
	return json.RawMessage(other)
}

func firstText(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}
