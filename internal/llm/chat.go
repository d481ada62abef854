package llm

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// Message is one turn of a chat.
type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// Schema asks for an answer of a JSON schema.
type Schema struct {
	Name   string          `json:"name"`
	Strict bool            `json:"strict"`
	Schema json.RawMessage `json:"schema"`
}

// Chat asks for N completions.
type Chat struct {
	Model    string
	Messages []Message
	Schema   *Schema
	// SchemaAs is how the schema is asked for; "" stands for AsJSONSchema.
	SchemaAs SchemaAs
	// MaxTokens bounds each completion, and with it what the call may cost; it must be positive.
	MaxTokens   int
	N           int // 0 means 1
	Temperature float64
	TopP        float64 // 0: the server's default
	Seed        int64
	// Extra fields of the request, for what one server offers and others do not. Null leaves temperature or seed out, for
	// models that refuse them.
	Extra map[string]any
}

func (q *Chat) n() int { return max(q.N, 1) }

// Bound is the most that the call can take: every token of a byte-level vocabulary stands for a byte at least.
func (q *Chat) bound(overhead int) Usage {
	prompt := int64(overhead)
	for _, m := range q.Messages {
		prompt += int64(len(m.Role)+len(m.Content)) + 8
	}
	if q.Schema != nil {
		prompt += int64(len(q.Schema.Schema) + len(q.Schema.Name))
	}
	// Some servers count the prompt once for every completion.
	n := int64(q.n())
	return Usage{Prompt: n * prompt, Completion: n * int64(q.MaxTokens)}
}

func (q *Chat) fields(limitField string, as SchemaAs) (map[string]any, error) {
	m := map[string]any{
		"model": q.Model, "messages": q.Messages, limitField: q.MaxTokens, "temperature": q.Temperature, "seed": q.Seed,
	}
	if q.n() > 1 {
		m["n"] = q.N
	}
	if q.TopP > 0 {
		m["top_p"] = q.TopP
	}
	switch {
	case q.Schema == nil || as == AsNone:
	case as == AsJSONObject:
		m["response_format"] = map[string]any{"type": "json_object", "schema": q.Schema.Schema}
	default:
		m["response_format"] = map[string]any{"type": "json_schema", "json_schema": q.Schema}
	}
	for k, v := range q.Extra {
		_, taken := m[k]
		switch {
		case v == nil && (k == "temperature" || k == "seed"):
			delete(m, k)
		case taken || k == "n" || k == "stream" || k == "response_format" || k == "max_tokens" || k == "max_completion_tokens":
			return nil, fmt.Errorf("llm: the extra field %q is set by an option of its own", k)
		default:
			m[k] = v
		}
	}
	return m, nil
}

// Answer is what came of a chat.
type Answer struct {
	Texts []string // N whole completions, in the server's order
	Usage Usage
	// SchemaAs is how the schema was asked for, never AsAuto; "" where the chat has none.
	SchemaAs SchemaAs
}

// Chat asks for N whole completions. With AsAuto it finds out, once for the client, whether the server takes a JSON schema.
func (c *Client) Chat(ctx context.Context, q Chat) (Answer, error) {
	if q.MaxTokens <= 0 || q.N < 0 || len(q.Messages) == 0 {
		return Answer{}, fmt.Errorf("llm: a chat needs messages, a positive limit of tokens (%d) and no negative number of completions (%d)",
			q.MaxTokens, q.N)
	}
	if err := q.SchemaAs.Validate(); err != nil {
		return Answer{}, fmt.Errorf("llm: %w", err)
	}
	if q.Schema != nil && q.SchemaAs == AsAuto {
		return c.auto(ctx, q)
	}
	return c.chat(ctx, q, cmp.Or(q.SchemaAs, AsJSONSchema))
}

func (c *Client) chat(ctx context.Context, q Chat, as SchemaAs) (a Answer, err error) {
	fields, err := q.fields(c.o.LimitField, as)
	if err != nil {
		return a, err
	}
	if q.Schema != nil {
		a.SchemaAs = as
	}
	err = c.call(ctx, "/chat/completions", fields, q.bound(c.o.Overhead), func(body []byte) (Usage, error) {
		var rerr error
		a.Texts, a.Usage, rerr = readChat(body, q.n())
		return a.Usage, rerr
	})
	if err != nil {
		a.Texts = nil
	}
	return a, err
}

func readChat(body []byte, n int) ([]string, Usage, error) {
	var r struct {
		Choices []struct {
			Message *struct {
				Content *string `json:"content"`
				Refusal *string `json:"refusal"`
			} `json:"message"`
			FinishReason string `json:"finish_reason"`
		} `json:"choices"`
		Usage *usageJSON `json:"usage"`
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, r.Usage.usage(), unreadable("the response is not a chat completion in JSON", body, err)
	}
	usage := r.Usage.usage()
	raw := string(body)
	bad := func(kind Kind, reason string) ([]string, Usage, error) {
		return nil, usage, &Error{Kind: kind, Reason: reason, Raw: raw}
	}
	if len(r.Choices) != n {
		reason := "the response holds another number of completions than was asked for"
		if len(r.Choices) == 1 {
			reason += "; this server takes one at a time"
		}
		return bad(BadAnswer, reason)
	}
	texts := make([]string, n)
	for i, choice := range r.Choices {
		m := choice.Message
		if m != nil && m.Content != nil && *m.Content != "" {
			raw = *m.Content
		}
		switch {
		case m == nil:
			return bad(BadAnswer, "a completion has no message")
		case m.Refusal != nil && *m.Refusal != "":
			raw = *m.Refusal
			return bad(Refused, "the model refused")
		case choice.FinishReason == "content_filter":
			return bad(Refused, "a content filter stopped the answer")
		case choice.FinishReason == "length":
			return bad(Cut, "the answer reached the limit of tokens")
		case choice.FinishReason != "stop":
			return bad(BadAnswer, "the answer did not end by itself")
		case m.Content == nil:
			return bad(BadAnswer, "a completion has no content")
		}
		texts[i] = *m.Content
	}
	return texts, usage, nil
}

// unreadable tells a body that was cut or garbled, which may come whole the next time, from one of another form, which will not.
func unreadable(reason string, body []byte, err error) error {
	e := &Error{Kind: Transient, Reason: reason, Raw: string(body), Err: err}
	if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		e.Kind = BadAnswer
	}
	return e
}

type usageJSON struct {
	Prompt     int64 `json:"prompt_tokens"`
	Completion int64 `json:"completion_tokens"`
	Details    *struct {
		Cached int64 `json:"cached_tokens"`
	} `json:"prompt_tokens_details"`
}

// usage is zero, unknown, where the server gives none or one that cannot be.
func (u *usageJSON) usage() Usage {
	const most = math.MaxInt32
	if u == nil || u.Prompt < 0 || u.Prompt > most || u.Completion < 0 || u.Completion > most {
		return Usage{}
	}
	usage := Usage{Prompt: u.Prompt, Completion: u.Completion}
	if u.Details != nil && u.Details.Cached >= 0 && u.Details.Cached <= u.Prompt {
		usage.Cached = u.Details.Cached
	}
	return usage
}
