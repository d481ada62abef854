package bert

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/goprm/goprm/internal/safetensors"
	"github.com/stretchr/testify/require"
)

var folders = []string{"mean", "cls", "dense"}

// golden is what scripts/goldens/bert.py says of a folder.
type golden struct {
	dir, prompt string
	texts       []string
	truncated   int64
	f32, f64    [][]float64
}

func readGolden(t testing.TB, dir string) *golden {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "texts.json"))
	require.NoError(t, err)
	var texts struct {
		Prompt    string
		Texts     []string
		Truncated int64
	}
	require.NoError(t, json.Unmarshal(raw, &texts))
	file, err := safetensors.Open(filepath.Join(dir, "embeddings.safetensors"))
	require.NoError(t, err)
	rows := func(name string) (out [][]float64) {
		info, _ := file.Info(name)
		flat, err := safetensors.AppendFloat64(nil, info, file.Bytes(name))
		require.NoError(t, err)
		for r := range slices.Chunk(flat, info.Shape[1]) {
			out = append(out, r)
		}
		return out
	}
	g := &golden{dir: dir, prompt: texts.Prompt, texts: texts.Texts, truncated: texts.Truncated, f32: rows("f32"), f64: rows("f64")}
	require.NoError(t, file.Close())
	require.Len(t, g.f32, len(g.texts))
	return g
}

func open(t testing.TB, dir string, opt Options) *Encoder {
	t.Helper()
	e, err := Open(dir, opt)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return e
}

// largest is the largest difference between two tables.
func largest(t testing.TB, want, got [][]float64) (worst float64) {
	t.Helper()
	require.Len(t, got, len(want))
	for i := range want {
		require.Len(t, got[i], len(want[i]))
		for j, w := range want[i] {
			d := math.Abs(w - got[i][j])
			require.False(t, math.IsNaN(d), "text %d", i)
			worst = max(worst, d)
		}
	}
	return worst
}

// Embeddings are sentence-transformers' own, with each kind of kernel: poolings, prompts, truncation, dense layers,
// names of weights, dtypes of weights and both forms of GELU. The bounds are what float32 loses over two layers of
// values of order one, and float64.
func TestGoldens(t *testing.T) {
	for _, name := range folders {
		g := readGolden(t, filepath.Join("testdata", name))
		for _, backend := range []string{"portable", "auto"} {
			for dtype, bound := range map[string]float64{"f32": 1e-5, "f64": 1e-12} {
				t.Run(strings.Join([]string{name, backend, dtype}, "/"), func(t *testing.T) {
					e := open(t, g.dir, Options{Backend: backend, DType: dtype, Prompt: g.prompt})
					got, err := e.encode(context.Background(), g.texts)
					require.NoError(t, err)
					worst := largest(t, g.f64, got)
					t.Logf("largest difference to float64: %.2g", worst)
					require.LessOrEqual(t, worst, bound)
					if dtype == "f32" {
						require.LessOrEqual(t, largest(t, g.f32, got), bound)
					}
					require.Equal(t, len(g.f64[0]), e.Dim())
					require.Equal(t, g.truncated, e.Truncated())
				})
			}
		}
	}
}

// A text's embedding has the same bits alone, in any order and batch, and with any number of threads.
func TestBatchInvariance(t *testing.T) {
	for _, name := range folders {
		g := readGolden(t, filepath.Join("testdata", name))
		texts := g.texts
		for range 4 { // more than a batch takes
			texts = append(texts, texts...)
		}
		e := open(t, g.dir, Options{Threads: 2})
		want, err := e.Encode(context.Background(), texts)
		require.NoError(t, err)
		require.Greater(t, len(texts), batchTexts)
		alone := open(t, g.dir, Options{Threads: 1})
		for i, text := range texts {
			require.Equal(t, want[i%len(g.texts)], want[i], "text %d", i)
			if i < len(g.texts) {
				got, err := alone.Encode(context.Background(), []string{text})
				require.NoError(t, err)
				require.Equal(t, want[i], got[0], "text %d alone", i)
			}
		}
		slices.Reverse(texts)
		reversed, err := e.Encode(context.Background(), texts)
		require.NoError(t, err)
		slices.Reverse(reversed)
		require.Equal(t, want, reversed)
	}
}

func TestTruncatedTextsAreCounted(t *testing.T) {
	e := open(t, "testdata/mean", Options{})
	_, err := e.Encode(context.Background(), []string{"the proof", strings.Repeat("so ", 22), strings.Repeat("so ", 23)})
	require.NoError(t, err)
	require.EqualValues(t, 1, e.Truncated()) // 22 tokens and two special ones are what 24 takes
}

func TestConcurrentUse(t *testing.T) {
	e := open(t, "testdata/mean", Options{Threads: 2})
	g := readGolden(t, "testdata/mean")
	want, err := e.Encode(context.Background(), g.texts)
	require.NoError(t, err)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for i := range g.texts {
				got, err := e.Encode(context.Background(), g.texts[i:])
				if err != nil || !slices.EqualFunc(got, want[i:], slices.Equal[[]float32]) {
					t.Errorf("from text %d: other embeddings, or %v", i, err)
				}
			}
		})
	}
	group.Wait()
}

func TestEncodeRefusals(t *testing.T) {
	e, err := Open("testdata/mean", Options{})
	require.NoError(t, err)
	got, err := e.Encode(context.Background(), nil)
	require.NoError(t, err)
	require.Empty(t, got)
	_, err = e.Encode(context.Background(), []string{"the", "a\xff"})
	require.ErrorContains(t, err, "text 1: invalid UTF-8 at byte 1")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = e.Encode(ctx, []string{"the"})
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, e.Close())
	require.NoError(t, e.Close())
	_, err = e.Encode(context.Background(), []string{"the"})
	require.ErrorContains(t, err, "closed")
}

func TestIDTellsEmbeddingsApart(t *testing.T) {
	seen := map[string]string{}
	for what, opt := range map[string]Options{"cls": {}, "cls passage": {PromptName: "passage"}, "cls other": {Prompt: "other: "}} {
		id := open(t, "testdata/cls", opt).ID()
		require.Empty(t, seen[id], what)
		seen[id] = what
	}
	require.Equal(t, open(t, "testdata/cls", Options{}).ID(), open(t, "testdata/cls",
		Options{PromptName: "query", Threads: 1, Backend: "portable"}).ID())
	for _, change := range []struct{ file, from, to string }{
		{"1_Pooling/config.json", `"pooling_mode_mean_tokens": true`, `"pooling_mode": "max"`},
		{"sentence_bert_config.json", `24`, `25`},
		{"config.json", `1e-12`, `1e-11`},
		{"tokenizer.json", `"##z":`, `"##Z":`},
		{"model.safetensors", "", ""},
	} {
		dir := copyFolder(t, "testdata/mean")
		path := filepath.Join(dir, change.file)
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		if change.from == "" {
			raw[len(raw)-2] ^= 1
		} else {
			was := string(raw)
			raw = []byte(strings.Replace(was, change.from, change.to, 1))
			require.NotEqual(t, was, string(raw), change.file)
		}
		require.NoError(t, os.WriteFile(path, raw, 0o644))
		id := open(t, dir, Options{}).ID()
		require.NotEqual(t, open(t, "testdata/mean", Options{}).ID(), id, change.file)
		require.Empty(t, seen[id], change.file)
		seen[id] = change.file
	}
}

func copyFolder(t testing.TB, from string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(from)))
	return dir
}

// What a folder asks for beyond that is refused, naming the file and the value.
func TestOpenRefusals(t *testing.T) {
	for _, c := range []struct{ folder, file, from, to, want string }{
		{"mean", "config.json", `"model_type": "bert"`, `"model_type": "mpnet"`, `model_type "mpnet"`},
		{"mean", "config.json", `"hidden_act": "gelu"`, `"hidden_act": "silu"`, `hidden_act "silu"`},
		{"mean", "config.json", `"position_embedding_type": "absolute"`, `"position_embedding_type": "relative_key"`, "relative_key"},
		{"mean", "config.json", `"num_attention_heads": 3`, `"num_attention_heads": 5`, "not divisible"},
		{"mean", "config.json", `"layer_norm_eps": 1e-12`, `"layer_norm_eps": 0`, "layer_norm_eps"},
		{"mean", "config.json", `"is_decoder": false`, `"is_decoder": true`, "is_decoder"},
		{"mean", "config.json", `"hidden_size": 24`, `"hidden_size": 27`, "27"},
		{"mean", "config.json", `"num_hidden_layers": 2`, `"num_hidden_layers": 3`, "encoder.layer.2"},
		{"mean", "config.json", `"vocab_size": 108`, `"vocab_size": 100`, "the tokenizer has 108 tokens"},
		{"mean", "config.json", `"intermediate_size": 40`, `"intermediate_size": 1000000`, "intermediate.dense"},
		{"mean", "config.json", `"max_position_embeddings": 64`, `"max_position_embeddings": 1000000000`, "position_embeddings"},
		{"mean", "modules.json", `models.Pooling`, `models.LSTM`, "models.LSTM"},
		{"mean", "modules.json", `sentence_transformers.models.Normalize`, `custom.Normalize`, "custom.Normalize"},
		{"mean", "modules.json", `"path": "1_Pooling"`, `"path": "../1_Pooling"`, "leaves the folder"},
		{"mean", "modules.json", `[`, `{`, "not a list"},
		{"mean", "1_Pooling/config.json", `"pooling_mode_cls_token": false`, `"pooling_mode_cls_token": true`, "cls+mean"},
		{"mean", "1_Pooling/config.json", `"pooling_mode_mean_sqrt_len_tokens": false`, `"pooling_mode_attention": true`,
			"pooling_mode_attention"},
		{"dense", "1_Pooling/config.json", `"max"`, `"lasttoken"`, "lasttoken"},
		{"dense", "1_Pooling/config.json", `16`, `17`, "embedding_dimension is 17"},
		{"dense", "2_Dense/config.json", `activation.Tanh`, `activation.GELU`, "activation.GELU"},
		{"dense", "2_Dense/config.json", `"in_features": 16`, `"in_features": 15`, "in_features is 15"},
		{"dense", "2_Dense/config.json", `"bias": true`, `"use_residual": true`, "use_residual"},
		{"dense", "2_Dense/config.json", `"out_features": 12`, `"out_features": 11`, "in_features is 12"},
		{"mean", "sentence_bert_config.json", `24`, `65`, "max_position_embeddings"},
		{"mean", "sentence_bert_config.json", `24`, `2`, "special tokens"},
		{"mean", "sentence_bert_config.json", `"max_seq_length"`, `"query_length"`, "query_length"},
		{"cls", "config_sentence_transformers.json", `"default_prompt_name": "query"`, `"default_prompt_name": "other"`, `"other"`},
		{"mean", "tokenizer_config.json", `"do_lower_case": true`, `"do_lower_case": false`, "do_lower_case"},
		{"mean", "tokenizer.json", `"type":"BertNormalizer"`, `"type":"Precompiled"`, "Precompiled"},
		{"mean", "model.safetensors", `embeddings.word_embeddings.weight`, `embeddings.word_embeddingz.weight`,
			"embeddings.word_embeddings.weight"},
	} {
		dir := copyFolder(t, filepath.Join("testdata", c.folder))
		path := filepath.Join(dir, c.file)
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		spoiled := strings.Replace(string(raw), c.from, c.to, 1)
		require.NotEqual(t, string(raw), spoiled, "%s %s", c.file, c.from)
		require.NoError(t, os.WriteFile(path, []byte(spoiled), 0o644))
		e, err := Open(dir, Options{})
		if err == nil {
			require.NoError(t, e.Close())
		}
		require.ErrorContains(t, err, c.want)
	}
	_, err := Open("testdata/mean", Options{DType: "f16"})
	require.ErrorContains(t, err, "f16")
	_, err = Open("testdata/mean", Options{Prompt: "a", PromptName: "b"})
	require.ErrorContains(t, err, "one of them")
	_, err = Open("testdata/mean", Options{PromptName: "query"})
	require.ErrorContains(t, err, `"query"`)
	_, err = Open("testdata/mean", Options{Backend: "avx1024"})
	require.ErrorContains(t, err, "avx1024")
	_, err = Open(t.TempDir(), Options{})
	require.ErrorContains(t, err, "not a sentence-transformers folder")

	// A weight that is not finite is an error of the text, not an embedding.
	dir := copyFolder(t, "testdata/mean")
	path := filepath.Join(dir, "model.safetensors")
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	for i := len(raw) - 4000; i < len(raw); i++ {
		raw[i] = 0xff
	}
	require.NoError(t, os.WriteFile(path, raw, 0o644))
	_, err = open(t, dir, Options{}).Encode(context.Background(), []string{"the"})
	require.ErrorContains(t, err, "text 0: its embedding is not finite")
}
