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
	list, err := elements(b)
	if err != nil {
		return err
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
	m.Role = raw.Role
	var err error
	if m.Content, err = contentText(raw.Content); err != nil {
		return fmt.Errorf("a message of role %q: %w", raw.Role, err)
	}
	return nil
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

func (p *prompt) size() int {
	n := len(p.text)
	for _, m := range p.messages {
		n += len(m.Content)
	}
	return n
}

// problem returns the problem, and what the prompt begins the answer with.
func (p *prompt) problem() (problem, begun string, err error) {
	if p.messages != nil {
		return question(turnsOf(p.messages))
	}
	return fromPrompt(p.text)
}

// elements are those of a list; another value is one by itself.
func elements(b []byte) ([]json.RawMessage, error) {
	if b[0] != '[' {
		return []json.RawMessage{b}, nil
	}
	var list []json.RawMessage
	err := json.Unmarshal(b, &list)
	return list, err
}

// documentText is a text, or the one that an object holds and nothing beside it that would be left out.
func documentText(raw json.RawMessage) (text string, err error) {
	if raw[0] == '"' {
		return text, json.Unmarshal(raw, &text)
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(raw, &object) != nil || len(object) == 0 {
		return "", errDocument
	}
	for name, value := range object {
		if name != "text" && name != "content" {
			return "", fmt.Errorf("%s: not a field of a document, which has text or content", name)
		}
		if len(object) > 1 || name == "text" && value[0] != '"' {
			return "", errDocument
		}
		return contentText(value)
	}
	return "", errDocument
}

// contentText is a text, or its parts put together.
func contentText(raw json.RawMessage) (text string, err error) {
	if len(raw) > 0 && raw[0] == '"' {
		return text, json.Unmarshal(raw, &text)
	}
	if len(raw) == 0 || raw[0] != '[' {
		return "", errors.New("no content")
	}
	var parts []struct {
		Type string  `json:"type"`
		Text *string `json:"text"`
	}
	if err := json.Unmarshal(raw, &parts); err != nil {
		return "", err
	}
	for i, p := range parts {
		if p.Type != "text" || p.Text == nil {
			return "", fmt.Errorf("part %d of the content is of type %q, only text is read", i, p.Type)
		}
		text += *p.Text
	}
	return text, nil
}

// documentOrIDs is a text, or its tokens.
type documentOrIDs struct {
	given bool
	text  string
	ids   []int32
}

func (d *documentOrIDs) UnmarshalJSON(b []byte) error {
	if d.given = string(b) != "null"; !d.given {
		return nil
	}
	if b[0] == '"' {
		return json.Unmarshal(b, &d.text)
	}
	if json.Unmarshal(b, &d.ids) != nil || d.ids == nil {
		return errors.New("neither a text nor token ids")
	}
	return nil
}
