package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/goprm/goprm/data"
)

// texts is a list of strings, or one.
type texts []string

func (t *texts) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil && b[0] == '"' {
		*t = texts{one}
		return nil
	}
	var list []*string
	if err := json.Unmarshal(b, &list); err != nil {
		return errors.New("neither a string nor a list of strings")
	}
	*t = nil
	for i, s := range list {
		if s == nil {
			return fmt.Errorf("text %d is null", i)
		}
		*t = append(*t, *s)
	}
	return nil
}

// labels are gold answers: strings or numbers; null is an empty one.
type labels []string

func (l *labels) UnmarshalJSON(b []byte) error {
	list := []json.RawMessage{b}
	if b[0] == '[' {
		if err := json.Unmarshal(b, &list); err != nil {
			return err
		}
	}
	*l = nil
	for i, raw := range list {
		text := ""
		switch c := raw[0]; {
		case c == '"':
			if err := json.Unmarshal(raw, &text); err != nil {
				return err
			}
		case c == '-' || c >= '0' && c <= '9':
			text = string(raw)
		case string(raw) != "null":
			return fmt.Errorf("label %d is neither a string nor a number", i)
		}
		*l = append(*l, text)
	}
	return nil
}

// input is one text, or its tokens.
type input struct {
	text string
	ids  []int32 // nil: text
}

// inputs is a text, tokens, or a list of either.
type inputs []input

func (in *inputs) UnmarshalJSON(b []byte) error {
	var list texts
	if list.UnmarshalJSON(b) == nil {
		*in = nil
		for _, s := range list {
			*in = append(*in, input{text: s})
		}
		return nil
	}
	var ids []int32
	if json.Unmarshal(b, &ids) == nil {
		*in = inputs{{ids: ids}}
		return nil
	}
	var many [][]int32
	if json.Unmarshal(b, &many) != nil || bytes.Contains(b, []byte("null")) {
		return errors.New("neither a text, nor token ids, nor a list of either")
	}
	*in = nil
	for i, ids := range many {
		if len(ids) == 0 {
			return fmt.Errorf("text %d has no tokens", i)
		}
		*in = append(*in, input{ids: ids})
	}
	return nil
}

// message is a turn of a conversation. Its content may come in parts.
type message struct {
	Role    string
	Content string
}

func (m *message) UnmarshalJSON(b []byte) error {
	var raw struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	m.Role, m.Content = raw.Role, ""
	if len(raw.Content) > 0 && raw.Content[0] == '[' {
		var parts []struct {
			Type string  `json:"type"`
			Text *string `json:"text"`
		}
		if err := json.Unmarshal(raw.Content, &parts); err != nil {
			return err
		}
		for i, p := range parts {
			if p.Type != "text" || p.Text == nil {
				return fmt.Errorf("part %d of a message's content is of type %q, only text is read", i, p.Type)
			}
			m.Content += *p.Text
		}
		return nil
	}
	if len(raw.Content) == 0 || raw.Content[0] != '"' {
		return errors.New("a message without content")
	}
	return json.Unmarshal(raw.Content, &m.Content)
}

func turnsOf(list []message) []data.Turn {
	turns := make([]data.Turn, len(list))
	for i, m := range list {
		turns[i] = data.Turn{Role: m.Role, Content: m.Content}
		if role, ok := roles[m.Role]; ok {
			turns[i].Role = role
		}
	}
	return turns
}

// prompt is what a policy was given: a text, or the messages.
type prompt struct {
	text     string
	messages []message
}

func (p *prompt) UnmarshalJSON(b []byte) error {
	if b[0] == '[' {
		return json.Unmarshal(b, &p.messages)
	}
	if b[0] != '"' {
		return errors.New("neither a text nor a list of messages")
	}
	return json.Unmarshal(b, &p.text)
}

// problem returns the problem, and what the prompt begins the answer with.
func (p *prompt) problem() (problem, begun string, err error) {
	if p.messages != nil {
		return question(turnsOf(p.messages))
	}
	return fromPrompt(p.text)
}
