package openai

import (
	"strings"
	"testing"

	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/internal/llm"
	"github.com/goprm/goprm/internal/llmtest"
	"github.com/stretchr/testify/require"
)

func TestTemplater(t *testing.T) {
	s, client := serve(t, llmtest.Script{Answer: func(*llmtest.Chat, int) string { return " 1. Add them.\n" }})
	m, err := NewTemplater(client, TemplaterOptions{Sampling: Sampling{Model: "m", Temperature: 0.7}})
	require.NoError(t, err)
	for attempt := range 2 {
		text, err := m.Template(t.Context(), theCase(), attempt)
		require.NoError(t, err)
		require.Equal(t, "1. Add them.", text)
	}
	calls := s.Calls()
	for _, part := range []string{"What is 2+3?", "[2] 2+3=5.", "\\boxed{5}"} {
		require.Contains(t, calls[0].Chat.Prompt(), part)
	}
	require.NotContains(t, calls[0].Chat.Prompt(), "gold")
	require.NotEqual(t, *calls[0].Chat.Seed, *calls[1].Chat.Seed)
	require.Equal(t, 1024, calls[0].Chat.MaxTokens)
	e, err := m.Plan(theCase())
	require.NoError(t, err)
	require.EqualValues(t, 1024, e.Completion)
	require.EqualValues(t, 1, e.Calls)
	other, err := NewTemplater(client, TemplaterOptions{Sampling: Sampling{Model: "m"}})
	require.NoError(t, err)
	require.NotEqual(t, m.ID(), other.ID())
}

func TestPolicy(t *testing.T) {
	s, client := serve(t, llmtest.Script{})
	p, err := NewPolicy(client, PolicyOptions{Sampling: Sampling{Model: "m", Temperature: 1, TopP: 0.9}})
	require.NoError(t, err)
	ask := func(p *Policy, q label.Prompt, seed uint64) llmtest.Call {
		t.Helper()
		text, err := p.Answer(t.Context(), q, seed)
		require.NoError(t, err)
		calls := s.Calls()
		call := calls[len(calls)-1]
		require.Equal(t, call.Said, []string{text})
		return call
	}
	bare := ask(p, label.Prompt{Problem: "x?"}, 1)
	require.Equal(t, "x?\n", bare.Chat.Messages[1].Content)
	require.NotEqual(t, *bare.Chat.Seed, *ask(p, label.Prompt{Problem: "x?"}, 2).Chat.Seed)
	require.Equal(t, *bare.Chat.Seed, *ask(p, label.Prompt{Problem: "x?"}, 1).Chat.Seed)
	q := label.Prompt{Problem: "x?", Template: "1. Think.", Prefix: []string{"first", "second"}}
	require.Equal(t, "x?\n\nFollow this plan:\n1. Think.\n\nThe solution begins as follows. Go on from there, without repeating it, to "+
		"the final answer.\n\nfirst\n\nsecond\n",
		ask(p, q, 1).Chat.Messages[1].Content)

	fill, err := NewPolicy(client,
		PolicyOptions{Sampling: Sampling{Model: "m", Extra: map[string]any{"continue_final_message": true}}, Prefill: true})
	require.NoError(t, err)
	call := ask(fill, q, 1)
	require.Len(t, call.Chat.Messages, 3)
	require.Equal(t, llmtest.Message{Role: "assistant", Content: "first\n\nsecond\n\n"}, call.Chat.Messages[2])
	require.NotContains(t, call.Chat.Messages[1].Content, "first")
	require.Contains(t, string(call.Body), `"continue_final_message":true`)
	require.NotEqual(t, p.ID(), fill.ID())

	_, client = serve(t, says(" \n"))
	p, err = NewPolicy(client, PolicyOptions{Sampling: Sampling{Model: "m"}})
	require.NoError(t, err)
	_, err = p.Answer(t.Context(), q, 1)
	require.ErrorContains(t, err, "empty")
	_, client = serve(t, llmtest.Script{Fault: func(int) llmtest.Fault { return llmtest.Length }})
	p, err = NewPolicy(client, PolicyOptions{Sampling: Sampling{Model: "m"}})
	require.NoError(t, err)
	text, err := p.Answer(t.Context(), q, 1)
	require.ErrorContains(t, err, string(llm.Cut))
	require.Empty(t, text)
}

func TestEncoder(t *testing.T) {
	length := func(text string) []float32 { return []float32{float32(len(text)), float32(text[len(text)-1])} }
	s, client := serve(t, llmtest.Script{Embed: length})
	e, err := NewEncoder(client, EncoderOptions{Model: "e", Prefix: "query: ", Batch: 3})
	require.NoError(t, err)
	var texts []string
	var want [][]float32
	for i := range 8 {
		texts = append(texts, strings.Repeat("a", i)+"b")
		want = append(want, length("query: "+texts[i]))
	}
	got, err := e.Encode(t.Context(), texts)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Len(t, s.Calls(), 3)
	require.EqualValues(t, 3, e.Plan(texts).Calls)
	got, err = e.Encode(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, got)

	// A server that changes its model midway.
	_, client = serve(t, llmtest.Script{Embed: func(text string) []float32 { return make([]float32, len(text))[:len(text)] }})
	_, err = must(NewEncoder(client, EncoderOptions{Model: "e"})).Encode(t.Context(), []string{"abc"})
	require.ErrorContains(t, err, "no direction")
	n := 1
	_, client = serve(t, llmtest.Script{Embed: func(string) []float32 { n++; return []float32{1, 2, 3, 4}[:n] }})
	_, err = must(NewEncoder(client, EncoderOptions{Model: "e", Batch: 1})).Encode(t.Context(), []string{"a", "b"})
	require.ErrorContains(t, err, "3 numbers, earlier ones had 2")
	_, err = NewEncoder(client, EncoderOptions{})
	require.ErrorContains(t, err, "model")
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
