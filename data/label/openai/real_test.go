package openai

import (
	"encoding/json"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/data/label/store"
	"github.com/goprm/goprm/internal/llm"
	"github.com/stretchr/testify/require"
)

// usageLedger keeps what calls cost beside what was reserved for them.
type usageLedger struct {
	t              *testing.T
	bounds, actual []store.Amount
}

func (l *usageLedger) Reserve(bound store.Amount) (uint64, error) {
	l.bounds, l.actual = append(l.bounds, bound), append(l.actual, store.Amount{})
	return uint64(len(l.bounds) - 1), nil
}

func (l *usageLedger) Settle(id uint64, actual store.Amount) error {
	l.actual[id] = actual
	return nil
}

func (l *usageLedger) Lose(id uint64) error {
	l.t.Errorf("call %d of %v was lost", id, l.bounds[id])
	return nil
}

// TestRealServer asks a server that GOPRM_LLM_URL and GOPRM_LLM_MODEL name (scripts/label_real.sh starts one). How good its model
// is does not matter: verdicts are grades that the server wrote, usage is within its bound, and what is cut is no answer.
func TestRealServer(t *testing.T) {
	url, model := os.Getenv("GOPRM_LLM_URL"), os.Getenv("GOPRM_LLM_MODEL")
	if url == "" {
		t.Skip("GOPRM_LLM_URL names no server; scripts/label_real.sh starts one")
	}
	ledger := &usageLedger{t: t}
	client, err := NewClient(ClientOptions{
		URL: url, Concurrency: 1, Timeout: 4 * time.Minute, Attempts: 2, Ledger: ledger,
	})
	require.NoError(t, err)
	c := theCase()

	for _, o := range []JudgeOptions{{}, {Reason: true, Sampling: Sampling{MaxTokens: 400}}, {Sees: label.SeesFuture}} {
		o.Model, o.Schema = model, os.Getenv("GOPRM_LLM_SCHEMA")
		judge, err := NewJudge(client, o)
		require.NoError(t, err)
		steps := []int{1}
		if o.Sees == label.SeesFuture {
			steps = []int{0, 1, 2}
		}
		began := time.Now()
		v, err := judge.Judge(t.Context(), c, steps)
		if e, ok := errors.AsType[*llm.Error](err); ok && (e.Kind == llm.Cut || e.Kind == llm.BadAnswer) {
			t.Logf("sees %q, reason %t: no verdict, as it should be: %v", o.Sees, o.Reason, err)
			continue
		}
		require.NoError(t, err)
		for i := range v {
			t.Logf("sees %q, reason %t: step %d: %.3f %s, %.1f s", o.Sees, o.Reason, steps[i], v[i].Score, v[i].Raw, time.Since(began).Seconds())
			var grades struct{ Correctness, Coherence, Progress float64 }
			require.NoError(t, json.Unmarshal(v[i].Raw[0], &grades))
			require.InDelta(t, (grades.Correctness+grades.Coherence+grades.Progress)/30, v[i].Score, 1e-12)
		}
		again, err := judge.Judge(t.Context(), c, steps)
		require.NoError(t, err)
		t.Logf("asked again: the same: %t", again[0].Score == v[0].Score)
	}

	templater, err := NewTemplater(client, TemplaterOptions{Sampling: Sampling{Model: model, MaxTokens: 300}})
	require.NoError(t, err)
	text, err := templater.Template(t.Context(), c, 0)
	t.Logf("template: %q, %v", text, err)
	require.Equal(t, err == nil, text != "")

	policy, err := NewPolicy(client, PolicyOptions{Sampling: Sampling{Model: model, MaxTokens: 300, Temperature: 0.7}})
	require.NoError(t, err)
	for seed := range uint64(2) {
		text, err := policy.Answer(t.Context(), label.Prompt{Problem: c.Problem, Prefix: c.Thinking[:1]}, seed)
		t.Logf("answer of seed %d: %q, %v", seed, text, err)
		require.Equal(t, err == nil, text != "")
	}
	short, err := NewPolicy(client, PolicyOptions{Sampling: Sampling{Model: model, MaxTokens: 3}})
	require.NoError(t, err)
	text, err = short.Answer(t.Context(), label.Prompt{Problem: "Tell me about prime numbers."}, 0)
	require.ErrorContains(t, err, string(llm.Cut))
	require.Empty(t, text)

	encoder, err := NewEncoder(client, EncoderOptions{Model: model})
	require.NoError(t, err)
	vectors, err := encoder.Encode(t.Context(), []string{"one text", "another text", "one text"})
	t.Logf("embeddings: %d vectors, %v", len(vectors), err)
	if err == nil {
		require.Len(t, vectors, 3)
		require.Equal(t, vectors[0], vectors[2])
	} else { // a model that pools nothing answers with a vector a token
		e, ok := errors.AsType[*llm.Error](err)
		require.True(t, ok)
		require.Equal(t, llm.BadAnswer, e.Kind)
	}
	for i, actual := range ledger.actual {
		require.LessOrEqual(t, actual.Tokens, ledger.bounds[i].Tokens)
		t.Logf("call %d: %d tokens, bound %d", i, actual.Tokens, ledger.bounds[i].Tokens)
	}
}
