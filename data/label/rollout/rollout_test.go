package rollout

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/goprm/goprm/data/grade"
	"github.com/goprm/goprm/data/label"
	"github.com/stretchr/testify/require"
)

type policy func(ctx context.Context, p label.Prompt, seed uint64) (string, error)

func (policy) ID() string { return "policy" }
func (f policy) Answer(ctx context.Context, p label.Prompt, seed uint64) (string, error) {
	return f(ctx, p, seed)
}

type suffix struct{}

func (suffix) ID() string { return "suffix" }
func (suffix) Verify(gold, text string) (bool, string, error) {
	if strings.Contains(gold, "code") || strings.Contains(text, "code") {
		return false, "code", errors.New("a code problem")
	}
	return strings.HasSuffix(strings.Trim(text, "}"), gold), "by its end", nil
}

func TestShare(t *testing.T) {
	var mu sync.Mutex
	asked, seeds := map[string]int{}, map[uint64]bool{}
	// The more steps, the more completions are right: 1 of 4, then 2.
	p := policy(func(_ context.Context, p label.Prompt, seed uint64) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		key := strings.Join(p.Prefix, "|")
		n := asked[key]
		asked[key]++
		seeds[seed] = true
		if n < len(p.Prefix) {
			return "it is 5", nil
		}
		return "it is 6", nil
	})
	j, err := New(Options{Policy: p, Verifier: suffix{}, Samples: 4})
	require.NoError(t, err)
	c := &label.Case{Problem: "x", Thinking: []string{"a", "b", "c"}, Answer: "5"}
	v, err := j.Judge(t.Context(), c, []int{1, 0})
	require.NoError(t, err)
	require.Equal(t, 0.5, v[0].Score)
	require.Equal(t, 0.25, v[1].Score)
	require.Equal(t, map[string]int{"a": 4, "a|b": 4}, asked)
	require.Len(t, seeds, 8)
	require.Len(t, v[0].Raw, 4)
	require.Contains(t, fmt.Sprintf("%s", v[0].Raw), `{"answer":"it is 6","right":false,"reason":"by its end"}`)

	for _, gold := range []string{"", "code"} {
		clear(asked)
		c.Answer = gold
		v, err = j.Judge(t.Context(), c, []int{0})
		require.NoError(t, err)
		require.NotEmpty(t, v[0].Unchecked)
		require.Empty(t, asked, "nothing is paid for what cannot be graded")
	}
	_, err = j.Judge(t.Context(), c, []int{3})
	require.Error(t, err)
}

func TestOneFailureMeansNoVerdict(t *testing.T) {
	down := errors.New("down")
	var mu sync.Mutex
	n := 0
	p := policy(func(ctx context.Context, _ label.Prompt, _ uint64) (string, error) {
		mu.Lock()
		n++
		last := n == 8
		mu.Unlock()
		if last {
			return "", down
		}
		<-ctx.Done() // the failure ends the others
		return "", ctx.Err()
	})
	j, err := New(Options{Policy: p, Verifier: suffix{}})
	require.NoError(t, err)
	v, err := j.Judge(t.Context(), &label.Case{Thinking: []string{"a"}, Answer: "5"}, []int{0})
	require.ErrorIs(t, err, down)
	require.NotErrorIs(t, err, context.Canceled)
	require.Nil(t, v)

	p = func(context.Context, label.Prompt, uint64) (string, error) { return "code", nil }
	j, err = New(Options{Policy: p, Verifier: suffix{}})
	require.NoError(t, err)
	v, err = j.Judge(t.Context(), &label.Case{Thinking: []string{"a"}, Answer: "5"}, []int{0})
	require.NoError(t, err)
	require.Equal(t, "the verifier cannot decide: code", v[0].Unchecked)
	_, err = New(Options{Policy: p})
	require.Error(t, err)
}

// TestUnreadAnswersAreWrong: of four completions two are right, one is wrong and one cannot be read; only a gold answer that
// cannot be read leaves the step without a verdict.
func TestUnreadAnswersAreWrong(t *testing.T) {
	answers := make(chan string, 4)
	for _, a := range []string{`\boxed{5}`, `\boxed{6}`, `\boxed{\foo{5}}`, `so it is \boxed{5}.`} {
		answers <- a
	}
	p := policy(func(context.Context, label.Prompt, uint64) (string, error) { return <-answers, nil })
	j, err := New(Options{Policy: p, Verifier: grade.Verifier{}, Samples: 4})
	require.NoError(t, err)
	v, err := j.Judge(t.Context(), &label.Case{Thinking: []string{"a"}, Answer: "5"}, []int{0})
	require.NoError(t, err)
	require.Empty(t, v[0].Unchecked)
	require.Equal(t, 0.5, v[0].Score)
	require.Len(t, v[0].Unread, 1)
	require.Contains(t, v[0].Unread[0], "cannot be read")
	v, err = j.Judge(t.Context(), &label.Case{Thinking: []string{"a"}, Answer: `\foo{5}`}, []int{0})
	require.NoError(t, err)
	require.Contains(t, v[0].Unchecked, "the gold answer cannot be read")
}
