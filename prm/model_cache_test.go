package prm

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/prefix"
	"github.com/goprm/goprm/internal/shareddata"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// branches are the beginnings of a trajectory, each with a step that no other one has behind half of them.
func branches(of *data.Trajectory) []*data.Trajectory {
	var list []*data.Trajectory
	for n := 1; n <= len(of.Steps)+len(of.ResponseSteps); n++ {
		grown := part(of, 0, n)
		list = append(list, grown)
		if n%2 == 0 {
			other := *grown
			other.ResponseSteps = append(append([]string{}, grown.ResponseSteps...), fmt.Sprintf("Or %d, who knows?", n))
			list = append(list, &other)
		}
	}
	return list
}

// cachedFormats are model folders whose texts and read-outs are laid out in different ways.
func cachedFormats(t *testing.T) []struct{ dir, format string } {
	heads := filepath.Join(shareddata.Dir(t), "data", "goldens", "heads")
	own := train(t, config(t, tiny(t, tinymodel.Options{}))).Model
	return []struct{ dir, format string }{
		{own, ""}, {filepath.Join(heads, "qwen_math_prm"), ""}, {filepath.Join(heads, "skywork_prm"), ""},
		{filepath.Join(heads, "token_classification"), "pure"},
		{filepath.Join(heads, "math_shepherd_qwen2"), "rlhflow"}, {filepath.Join(heads, "reasonflux_1_5b"), ""},
		{filepath.Join(heads, "sequence_classification"), ""},
	}
}

// scored is a trajectory's score, how many tokens its text has, and how many of them were not computed.
func scored(t testing.TB, m *Model, trajectory *data.Trajectory) (s *Score, tokens, reused int) {
	t.Helper()
	bare, text, err := m.text(t.Context(), trajectory, 0)
	require.NoError(t, err)
	require.NoError(t, m.queue.do(context.Background(), []*queued{text}, defaultScoreTokens))
	require.NoError(t, text.err)
	return m.score(bare, text.examples, text.values, ScoreOptions{}), text.tokens, text.reused
}

// Every score has the bits that it has without a cache: of texts that grow and branch, one by one and many at a time, with room for
// all and with room for next to nothing, in windows too.
func TestPrefixCacheChangesNoScore(t *testing.T) {
	for i, c := range cachedFormats(t) {
		all := []OpenOptions{{Backend: "auto"}, {Backend: "portable"}, {Backend: "avx512bf16", DType: "bf16"}}
		if i > 0 {
			all = all[:1]
		}
		for _, options := range all {
			options.Format = c.format
			kernels := options.Backend + options.DType
			plain, err := Open(c.dir, options)
			if options.Backend == "avx512bf16" && err != nil {
				t.Logf("not run: %v", err)
				continue
			}
			require.NoError(t, err)
			list := branches(part(long(), 3, 15))
			want := make([]string, len(list))
			for i, trajectory := range list {
				s, err := plain.Score(context.Background(), trajectory)
				require.NoError(t, err, c.dir)
				want[i] = lines(t, s)
			}
			for _, room := range []int{4096, 7 * prefix.Block} {
				m, err := Open(c.dir, options)
				require.NoError(t, err)
				info, err := m.keepPrefixes(&room)
				require.NoError(t, err)
				require.Empty(t, info.Off)
				saved := 0
				for i, trajectory := range list {
					s, _, reused := scored(t, m, trajectory)
					require.Equal(t, want[i], lines(t, s), "%s, %s, room %d: text %d", c.dir, kernels, room, i)
					saved += reused
				}
				require.Positive(t, saved, c.dir)
				i := 0
				for s, err := range m.ScoreAll(context.Background(), Slice(list), ScoreOptions{Tokens: 700}) {
					require.NoError(t, err)
					require.Equal(t, want[i], lines(t, s), "%s, %s, room %d: text %d of many", c.dir, kernels, room, i)
					i++
				}
				require.LessOrEqual(t, m.prefixes.Tokens(), room)
				require.NoError(t, m.Close())
			}
			require.NoError(t, plain.Close())
		}
	}
}

// A batch that fails leaves nothing behind that a later text would take for keys.
func TestFailedBatchIsForgotten(t *testing.T) {
	dir := train(t, config(t, tiny(t, tinymodel.Options{}))).Model
	m, err := Open(dir, OpenOptions{})
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	want, err := m.Score(context.Background(), long())
	require.NoError(t, err)
	room := 4096
	_, err = m.keepPrefixes(&room)
	require.NoError(t, err)
	fine := m.network
	for range 2 { // a network that is not there panics
		m.network = nil
		_, err = m.Score(context.Background(), long())
		require.ErrorContains(t, err, "internal error: ")
		m.network = fine
	}
	require.Zero(t, m.prefixes.Tokens())
	got, err := m.Score(context.Background(), long())
	require.NoError(t, err)
	require.Equal(t, lines(t, want), lines(t, got))
}

// Sixteen clients ask for growing texts at once; scores are those of one text alone, and the server says what it did not compute.
func TestServerReusesPrefixes(t *testing.T) {
	dir := train(t, config(t, tiny(t, tinymodel.Options{MaxPositions: 1024}))).Model
	room := 2048
	m, url := serving(t, dir, OpenOptions{}, ServerOptions{CacheTokens: &room, BatchTokens: 1500})
	list := branches(long())
	want := make([]string, len(list))
	for i, trajectory := range list {
		s, err := m.Score(context.Background(), trajectory)
		require.NoError(t, err)
		want[i] = lines(t, s)
	}
	ask := func(i int) {
		var line json.RawMessage
		post(t, http.DefaultClient, url+"/v1/steps", map[string]any{"id": "long", "problem": list[i].Problem, "steps": list[i].Steps,
			"response_steps": list[i].ResponseSteps}, &line)
		assert.Equal(t, want[i], string(line))
	}
	var wait sync.WaitGroup
	for c := range 16 {
		wait.Go(func() {
			for i := c % 5; i < len(list); i += 1 + c%3 {
				ask(i)
			}
		})
	}
	wait.Wait()

	// Of a text that was just scored all is known but its last block.
	problem, response := strings.Repeat("What is it? ", 20), strings.Repeat("It is so.\n\n", 20)+"Or not."
	body := map[string]any{"input": "<|im_start|>user\n" + problem + "<|im_end|>\n<|im_start|>assistant\n" + response + "<|im_end|>\n"}
	var got struct {
		Data  []struct{ Data [][]float64 }
		Usage struct {
			PromptTokens int `json:"prompt_tokens"`
			Details      *struct {
				Cached int `json:"cached_tokens"`
			} `json:"prompt_tokens_details"`
		}
	}
	post(t, http.DefaultClient, url+"/pooling", body, &got)
	require.Nil(t, got.Usage.Details)
	first := got.Data
	post(t, http.DefaultClient, url+"/pooling", body, &got)
	require.Equal(t, first, got.Data)
	require.NotNil(t, got.Usage.Details)
	require.Less(t, got.Usage.PromptTokens-got.Usage.Details.Cached, prefix.Block)
	r, err := http.Get(url + "/metrics")
	require.NoError(t, err)
	text, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	require.NoError(t, r.Body.Close())
	require.Regexp(t, `goprm_cached_tokens_total [1-9]`, string(text))
}

// What can have no cache says why.
func TestNoPrefixCache(t *testing.T) {
	dir := tiny(t, tinymodel.Options{})
	own := train(t, config(t, dir)).Model
	testdata := filepath.Join("..", "internal", "parity", "testdata", "heads")
	none, huge := 0, 1<<50
	for _, c := range []struct {
		dir  string
		open OpenOptions
		want *int
		off  string
	}{
		{own, OpenOptions{}, &none, "switched off"}, {own, OpenOptions{LowMemory: true}, nil, "little memory"},
		{filepath.Join(testdata, "mistral_window"), OpenOptions{Format: "math_shepherd"}, nil, "sliding window"},
		{filepath.Join(testdata, "eurus"), OpenOptions{Format: "eurus", Reference: filepath.Join(testdata, "eurus", "reference")}, nil,
			"two models"},
	} {
		m, err := Open(c.dir, c.open)
		require.NoError(t, err)
		s, err := NewServer(m, ServerOptions{CacheTokens: c.want})
		require.NoError(t, err)
		require.Contains(t, s.Cache().Off, c.off)
		require.Zero(t, s.Cache().Tokens)
		require.NoError(t, s.Close())
		require.NoError(t, m.Close())
	}
	m, err := Open(own, OpenOptions{Backend: "portable"})
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	_, err = NewServer(m, ServerOptions{CacheTokens: &huge})
	require.ErrorContains(t, err, "cache_tokens: 1125899906842624 take 256 bytes each")
	huge = -1
	_, err = NewServer(m, ServerOptions{CacheTokens: &huge})
	require.ErrorContains(t, err, "cache_tokens: -1 is negative")
	s, err := NewServer(m, ServerOptions{})
	require.NoError(t, err)
	require.Equal(t, CacheInfo{Tokens: 16384, Bytes: 16384 * 2 * 2 * 2 * 8 * 4}, s.Cache()) // 2 layers, 2 key/value heads of 8 numbers
	require.NoError(t, s.Close())
}

// BenchmarkGrowingPrefixes scores the beginnings of a trajectory of 2,000 tokens in 40 steps, one after the other.
func BenchmarkGrowingPrefixes(b *testing.B) {
	base := filepath.Join(b.TempDir(), "model")
	require.NoError(b, tinymodel.Write(base, tinymodel.Options{Hidden: 256, Intermediate: 1024, Layers: 8, Heads: 8, KVHeads: 2,
		MaxPositions: 4096}))
	c := config(b, base)
	c.Train, c.Optim.Epochs, c.Backend = "head", 1, "auto"
	dir := train(b, c).Model
	whole := &data.Trajectory{Problem: "What is it?"}
	for i := range 40 {
		whole.ResponseSteps = append(whole.ResponseSteps, strings.Repeat(fmt.Sprint(100+i), 16))
	}
	for name, room := range map[string]int{"without": 0, "with": 4096} {
		b.Run(name, func(b *testing.B) {
			m, err := Open(dir, OpenOptions{})
			require.NoError(b, err)
			defer func() { require.NoError(b, m.Close()) }()
			info, err := m.keepPrefixes(&room)
			require.NoError(b, err)
			last := &data.Trajectory{Problem: "Another one?", ResponseSteps: whole.ResponseSteps}
			_, err = m.Score(context.Background(), last) // the network compiles itself for the longest
			require.NoError(b, err)
			for b.Loop() {
				tokens, reused := 0, 0
				for n := range whole.ResponseSteps {
					_, all, known := scored(b, m, part(whole, 0, n+1))
					tokens, reused = tokens+all, reused+known
				}
				b.ReportMetric(float64(tokens), "tokens")
				b.ReportMetric(float64(tokens-reused), "computed")
				if info.Tokens > 0 {
					_, err := m.keepPrefixes(&room)
					require.NoError(b, err)
				}
			}
		})
	}
}
