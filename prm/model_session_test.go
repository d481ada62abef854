package prm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/prefix"
	"github.com/goprm/goprm/internal/shareddata"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

// A session that grows step by step, thinking and then response, has the scores of its trajectories, in every format, in windows too;
// most of what it reads is known from the step before.
func TestSessionScoresAsTheWhole(t *testing.T) {
	for _, c := range cachedFormats(t) {
		for _, window := range []int{0, 260} {
			if window > 0 && filepath.Base(c.dir) == "sequence_classification" {
				continue // it reads no windows
			}
			plain, err := Open(c.dir, OpenOptions{Format: c.format, MaxTokens: window})
			require.NoError(t, err)
			m, err := Open(c.dir, OpenOptions{Format: c.format, MaxTokens: window})
			require.NoError(t, err)
			require.Contains(t, m.Cache().Off, "no Session yet")
			whole := part(long(), 5, 17)
			s, err := m.Session(whole.Problem)
			require.NoError(t, err)
			require.Equal(t, defaultCacheTokens, s.Cache().Tokens)
			tokens, reused, windows := 0, 0, 0
			for n := range 12 {
				so := part(whole, 0, n+1)
				so.ID = ""
				want, err := plain.Score(t.Context(), so)
				require.NoError(t, err)
				got, err := (*Score)(nil), error(nil)
				if k := n - len(whole.Steps); k < 0 {
					got, err = s.Append(t.Context(), whole.Steps[n])
				} else {
					got, err = s.AppendResponse(t.Context(), whole.ResponseSteps[k])
				}
				require.NoError(t, err)
				require.Equal(t, lines(t, want), lines(t, got), "%s, step %d", c.dir, n)
				require.Equal(t, so, s.Trajectory())
				tokens, reused = tokens+s.Tokens(), reused+s.Reused()
				for _, step := range got.Steps {
					windows = max(windows, step.Window)
				}
			}
			if require.Equal(t, window > 0, windows > 0, c.dir); window == 0 {
				require.Greater(t, reused, tokens/2, c.dir)
			}
			require.NoError(t, m.Close())
			_, err = s.Append(t.Context(), "More.")
			require.ErrorIs(t, err, ErrClosed)
			require.NoError(t, plain.Close())
		}
	}
}

// trie counts the tokens of texts in blocks of prefix.Block: those that no earlier text had in the same place, behind the same tokens,
// and those behind the last whole block.
type trie struct {
	next     map[string]*trie
	computed int
}

func (x *trie) add(tokens []int32) {
	at, known := x, true
	for from := 0; from < len(tokens); from += prefix.Block {
		end := min(from+prefix.Block, len(tokens))
		key := fmt.Sprint(tokens[from:end])
		if end-from < prefix.Block {
			x.computed += end - from
			return
		}
		if at.next == nil {
			at.next = map[string]*trie{}
		}
		if known = known && at.next[key] != nil; !known {
			at.next[key] = &trie{}
			x.computed += end - from
		}
		at = at.next[key]
	}
}

// A beam search by Session and Fork computes what a trie of its texts has, and keeps what Score would keep.
func TestBeamSearchComputesATrie(t *testing.T) {
	dir := train(t, config(t, tiny(t, tinymodel.Options{}))).Model
	m, err := Open(dir, OpenOptions{})
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	plain, err := Open(dir, OpenOptions{CacheTokens: new(0)})
	require.NoError(t, err)
	defer func() { require.NoError(t, plain.Close()) }()
	type beam struct {
		session *Session
		steps   []string
		score   float64
	}
	root, err := m.Session("A shelf holds 4 rows of 9 books; 5 are lent out. How many are left?")
	require.NoError(t, err)
	beams, texts := []beam{{session: root}}, &trie{}
	all, computed := 0, 0
	for depth := range 5 {
		var grown []beam
		for _, b := range beams {
			for k := range 4 {
				s := b.session.Fork()
				step := fmt.Sprintf("Step %d takes the way %d.", depth, k)
				got, err := s.Append(t.Context(), step)
				require.NoError(t, err)
				want, err := plain.Score(t.Context(), s.Trajectory())
				require.NoError(t, err)
				require.Equal(t, lines(t, want), lines(t, got))
				_, laid, err := m.text(t.Context(), s.Trajectory(), 0)
				require.NoError(t, err)
				texts.add(laid.examples[0].Tokens)
				all, computed = all+s.Tokens(), computed+s.Tokens()-s.Reused()
				grown = append(grown, beam{s, append(slices.Clone(b.steps), step), got.Steps[depth].Score})
			}
		}
		for _, b := range grown {
			require.Equal(t, b.steps, b.session.Trajectory().Steps, "forks share steps")
		}
		slices.SortStableFunc(grown, func(a, b beam) int { return cmp.Compare(b.score, a.score) })
		beams = grown[:min(3, len(grown))]
	}
	t.Logf("%d of %d tokens computed", computed, all)
	require.Equal(t, texts.computed, computed)
	require.Less(t, computed*3, all)
	require.Empty(t, root.Trajectory().Steps)
}

// Of texts that are read together each has its own count of what was known of it.
func TestReusedIsEachTextsOwn(t *testing.T) {
	m, err := Open(train(t, config(t, tiny(t, tinymodel.Options{}))).Model, OpenOptions{CacheTokens: new(4096)})
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	known := part(long(), 0, 5)
	_, tokens, reused := scored(t, m, known)
	require.Zero(t, reused)
	other := *known
	other.Problem = "Else?"
	var list []*queued
	for _, trajectory := range []*data.Trajectory{&other, known, text("New."), known} {
		_, q, err := m.text(t.Context(), trajectory, 0)
		require.NoError(t, err)
		list = append(list, q)
	}
	require.NoError(t, m.queue.do(t.Context(), list, defaultScoreTokens))
	for i, want := range []int{0, tokens / prefix.Block * prefix.Block, 0, tokens / prefix.Block * prefix.Block} {
		require.NoError(t, list[i].err)
		require.Equal(t, want, list[i].reused, i)
	}
}

// Where there can be no cache a session says so, and computes everything.
func TestSessionWithoutACache(t *testing.T) {
	own := train(t, config(t, tiny(t, tinymodel.Options{}))).Model
	testdata := filepath.Join("..", "internal", "parity", "testdata", "heads")
	for _, c := range []struct {
		dir  string
		open OpenOptions
		off  string
	}{
		{own, OpenOptions{CacheTokens: new(0)}, "switched off"}, {own, OpenOptions{LowMemory: true}, "little memory"},
		{filepath.Join(testdata, "mistral_window"), OpenOptions{Format: "math_shepherd"}, "sliding window"},
		{filepath.Join(testdata, "eurus"), OpenOptions{Format: "eurus", Reference: filepath.Join(testdata, "eurus", "reference"),
			CacheTokens: new(64)}, "two models"},
	} {
		m, err := Open(c.dir, c.open)
		require.NoError(t, err)
		s, err := m.Session("What is 1+1?")
		require.NoError(t, err)
		require.Contains(t, s.Cache().Off, c.off)
		for range 2 {
			got, err := s.Append(t.Context(), "It is 2, since 1 and 1 are 2.")
			require.NoError(t, err)
			want, err := m.Score(t.Context(), s.Trajectory())
			require.NoError(t, err)
			require.Equal(t, lines(t, want), lines(t, got))
			require.Zero(t, s.Reused())
			require.Positive(t, s.Tokens())
		}
		require.NoError(t, m.Close())
	}
	_, err := Open(own, OpenOptions{CacheTokens: new(-1)})
	require.ErrorContains(t, err, "cache_tokens: -1 is negative")
	_, err = Open(own, OpenOptions{CacheTokens: new(1 << 50)})
	require.ErrorContains(t, err, "cache_tokens: 1125899906842624 take 256 bytes each")
	off, err := Open(own, OpenOptions{CacheTokens: new(0)})
	require.NoError(t, err)
	server, err := NewServer(off, ServerOptions{})
	require.NoError(t, err)
	require.Equal(t, "switched off", server.Cache().Off)
	require.NoError(t, errors.Join(server.Close(), off.Close()))
	m, err := Open(own, OpenOptions{CacheTokens: new(100)})
	require.NoError(t, err)
	require.Equal(t, 96, m.Cache().Tokens)
	server, err = NewServer(m, ServerOptions{})
	require.NoError(t, err)
	require.Equal(t, m.Cache(), server.Cache(), "the server takes the model's cache")
	require.NoError(t, server.Close())
	require.NoError(t, m.Close())
}

// What fails leaves a session as it was; steps in another order than the text's have the scores of the whole text too.
func TestSessionErrorsAndOrder(t *testing.T) {
	first := config(t, tiny(t, tinymodel.Options{}))
	first.Text.Order = "response_first"
	for _, dir := range []string{train(t, config(t, tiny(t, tinymodel.Options{}))).Model, train(t, first).Model} {
		m, err := Open(dir, OpenOptions{Backend: "portable"})
		require.NoError(t, err)
		s, err := m.Session("What is it, and why is it so?")
		require.NoError(t, err)
		_, err = s.Append(t.Context())
		require.ErrorContains(t, err, "no steps")
		_, err = s.Append(t.Context(), "bad \xff")
		require.ErrorContains(t, err, "not valid UTF-8")
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = s.Append(gone, "One.")
		require.ErrorIs(t, err, context.Canceled)
		require.Empty(t, s.Trajectory().Steps)
		check := func(got *Score, err error) {
			require.NoError(t, err)
			want, err := m.Score(t.Context(), s.Trajectory())
			require.NoError(t, err)
			require.Equal(t, lines(t, want), lines(t, got))
		}
		response := []string{"It is what it is.", strings.Repeat("So there. ", 20)}
		check(s.AppendResponse(t.Context(), response...))
		check(s.Append(t.Context(), "I wonder about that."))
		check(s.Append(t.Context(), "Or do I?", "No."))
		require.Equal(t, m.ResponseFirst(), s.Tokens()-s.Reused() < 100, "the response stands behind what is new, and is computed again")
		require.Equal(t, &data.Trajectory{
			Problem: "What is it, and why is it so?", ResponseSteps: response,
			Steps: []string{"I wonder about that.", "Or do I?", "No."},
		}, s.Trajectory())
		_, err = m.Session("bad \xff")
		require.ErrorContains(t, err, "problem: not valid UTF-8")
		require.NoError(t, m.Close())
	}
}

// Programs tell errors apart by their types.
func TestErrorsHaveTypes(t *testing.T) {
	heads := filepath.Join(shareddata.Dir(t), "data", "goldens", "heads")
	_, err := Open(filepath.Join(heads, "token_classification"), OpenOptions{})
	var ambiguous *AmbiguousFormatError
	require.ErrorAs(t, err, &ambiguous)
	require.Equal(t, []string{"token_classification", "pure"}, ambiguous.Formats)
	require.Contains(t, err.Error(), "several formats fit: token_classification, pure; name one")

	var long *TooLongError
	for _, c := range []struct {
		dir     string
		message string
	}{
		{filepath.Join(heads, "sequence_classification"), "the model was trained for 60"},
		{filepath.Join(heads, "qwen_math_prm"), "at most 60 fit into a window"},
		{train(t, config(t, tiny(t, tinymodel.Options{}))).Model, "at most 60 fit into a window"},
	} {
		m, err := Open(c.dir, OpenOptions{MaxTokens: 60})
		require.NoError(t, err)
		_, err = m.Score(t.Context(), text(fmt.Sprint(make([]int, 100))))
		require.ErrorAs(t, err, &long, c.dir)
		require.ErrorContains(t, err, c.message)
		require.Equal(t, 60, long.Limit)
		require.Greater(t, long.Tokens, 100)
		require.NoError(t, m.Close())
	}
}
