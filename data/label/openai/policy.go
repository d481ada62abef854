package openai

import (
	"context"
	"fmt"
	"strings"

	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/internal/llm"
)

// TemplaterOptions of a templater.
type TemplaterOptions struct {
	Sampling         // a further attempt differs from the first only where there is a temperature; MaxTokens 0 means 1024
	Prompt   *Prompt // replaces template-v1
}

// Templater extracts reasoning templates.
type Templater struct {
	client *llm.Client
	o      TemplaterOptions
	prompt *Prompt
}

var _ label.Templater = (*Templater)(nil)

// NewTemplater returns a templater. It calls nobody.
func NewTemplater(client *Client, o TemplaterOptions) (*Templater, error) {
	asked, prompt, err := o.open(client, 1024, o.Prompt, "template-v1")
	if err != nil {
		return nil, err
	}
	return &Templater{asked, o, prompt}, nil
}

func (t *Templater) ID() string {
	return fmt.Sprintf("openai-template/1 %s prompt=%s", t.o.id(), t.prompt.Version())
}

func (t *Templater) messages(c *label.Case) ([]llm.Message, error) {
	return t.prompt.messages(&View{Problem: c.Problem, Steps: c.Thinking, Response: strings.Join(c.Response, "\n\n")})
}

// Template asks for the attempt's template.
func (t *Templater) Template(ctx context.Context, c *label.Case, attempt int) (string, error) {
	messages, err := t.messages(c)
	if err != nil {
		return "", err
	}
	return one(ctx, t.client, t.o.chat(messages, seedOf(t.o.Seed, uint64(attempt))))
}

// Plan estimates what one attempt asks for; its completion is counted in full.
func (t *Templater) Plan(c *label.Case) (e Estimate, err error) {
	messages, err := t.messages(c)
	e.add(len(flat(messages)), 0, 1, int64(t.o.MaxTokens))
	return e, err
}

// PolicyOptions of a policy.
type PolicyOptions struct {
	Sampling         // MaxTokens 0 means 4096; Seed is mixed with that of each answer
	Prompt   *Prompt // replaces policy-v1
	// Prefill puts the steps already taken into a last message of the assistant, which the server goes on from, instead of
	// showing them in the prompt. vLLM needs the extra fields continue_final_message: true and add_generation_prompt: false.
	Prefill bool
}

// Policy answers problems.
type Policy struct {
	client *llm.Client
	o      PolicyOptions
	prompt *Prompt
}

var _ label.Policy = (*Policy)(nil)

// NewPolicy returns a policy. It calls nobody.
func NewPolicy(client *Client, o PolicyOptions) (*Policy, error) {
	asked, prompt, err := o.open(client, 4096, o.Prompt, "policy-v1")
	if err != nil {
		return nil, err
	}
	return &Policy{asked, o, prompt}, nil
}

func (p *Policy) ID() string {
	return fmt.Sprintf("openai-policy/1 %s prompt=%s prefill=%t", p.o.id(), p.prompt.Version(), p.o.Prefill)
}

func (p *Policy) messages(q label.Prompt) ([]llm.Message, error) {
	v := &View{Problem: q.Problem, Template: q.Template, Steps: q.Prefix}
	if p.o.Prefill {
		v.Steps = nil
	}
	messages, err := p.prompt.messages(v)
	if err == nil && p.o.Prefill && len(q.Prefix) > 0 {
		messages = append(messages, llm.Message{Role: "assistant", Content: strings.Join(q.Prefix, "\n\n") + "\n\n"})
	}
	return messages, err
}

// Answer asks for one answer.
func (p *Policy) Answer(ctx context.Context, q label.Prompt, seed uint64) (string, error) {
	messages, err := p.messages(q)
	if err != nil {
		return "", err
	}
	return one(ctx, p.client, p.o.chat(messages, seedOf(p.o.Seed, seed)))
}

// Plan estimates what one answer asks for; its completion is counted in full.
func (p *Policy) Plan(q label.Prompt) (e Estimate, err error) {
	messages, err := p.messages(q)
	e.add(len(flat(messages)), 0, 1, int64(p.o.MaxTokens))
	return e, err
}

func one(ctx context.Context, client *llm.Client, q llm.Chat) (string, error) {
	answer, err := client.Chat(ctx, q)
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(answer.Texts[0])
	if text == "" {
		return "", llm.Bad("the answer is empty", "")
	}
	return text, nil
}
