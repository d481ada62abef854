package data

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
)

// Turn is one message of a conversation.
type Turn struct{ Role, Content string }

// Chat renders conversations by a model folder's chat template.
type Chat struct {
	template *chatTemplate
	special  map[string]string
}

// NewChat reads the folder's chat template.
func NewChat(m ModelText) (*Chat, error) {
	if m.ChatTemplate == "" {
		return nil, errors.New(cmp.Or(m.noTemplate, "the model has no chat template"))
	}
	template, err := parseChat(m.ChatTemplate)
	if err != nil {
		return nil, err
	}
	return &Chat{template, m.Special}, nil
}

// Prompt returns the conversation's text with a generation prompt: the beginning of an answer after it.
func (c *Chat) Prompt(turns []Turn) (string, error) {
	messages := make([]message, len(turns))
	for i, t := range turns {
		messages[i] = message{t.Role, t.Content}
	}
	return c.template.renderPrompt(messages, c.special)
}

// Render returns the conversation's text without a generation prompt, and at which byte each turn's content begins in it. A content
// that does not come out whole, white space at its ends apart, is an error that names the turn.
func (c *Chat) Render(turns []Turn) (text string, places []int, err error) {
	messages, stand := make([]message, len(turns)), "goprm-turn"
	for i, t := range turns {
		messages[i] = message{t.Role, t.Content}
		for strings.Contains(t.Content, stand) {
			stand += "-text"
		}
	}
	if text, err = c.template.render(messages, c.special); err != nil {
		return "", nil, err
	}
	// The same conversation with contents that stand nowhere else tells them from the text around them.
	for i := range messages {
		messages[i].content = fmt.Sprintf("%s-%d-", stand, i)
	}
	around, err := c.template.render(messages, c.special)
	if err != nil {
		return "", nil, err
	}
	at := 0
	for i, t := range turns {
		before, after, ok := strings.Cut(around, messages[i].content)
		if !ok || !strings.HasPrefix(text[at:], before) {
			return "", nil, fmt.Errorf("the chat template drops turn %d, or changes what stands before it with it", i)
		}
		at, around = at+len(before), after
		content := t.Content
		if !strings.HasPrefix(text[at:], content) {
			content = strings.TrimSpace(content)
		}
		if !strings.HasPrefix(text[at:], content) {
			return "", nil, fmt.Errorf("the chat template drops or changes turn %d (%q)", i, clip(t.Content, 60))
		}
		places = append(places, at)
		at += len(content)
	}
	if text[at:] != around {
		return "", nil, errors.New("the chat template changes what stands after the last turn with it")
	}
	return text, places, nil
}
