package tokenizer

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"

	"github.com/goprm/goprm/internal/shareddata"
)

// qwen opens the shared Qwen2.5 tokenizer.
func qwen(t testing.TB) Tokenizer {
	t.Helper()
	tok, err := Open(filepath.Join(shareddata.Dir(t), "data", "tokenizer", "qwen2.5"))
	require.NoError(t, err)
	return tok
}

// jsonl reads a JSONL file of the shared data.
func jsonl[T any](t testing.TB, path ...string) []T {
	t.Helper()
	f, err := os.Open(filepath.Join(append([]string{shareddata.Dir(t), "data"}, path...)...))
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	var rows []T
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var row T
		require.NoError(t, json.Unmarshal(lines.Bytes(), &row))
		rows = append(rows, row)
	}
	require.NoError(t, lines.Err())
	return rows
}

// checkEnds checks what Encode promises about ends, and that unchanged text is the tokens' bytes between them.
func checkEnds(t testing.TB, tok *bpe, text string, ids []int32, ends []int) {
	t.Helper()
	require.Len(t, ends, len(ids))
	unchanged := norm.NFC.IsNormalString(text)
	start := 0
	for i, end := range ends {
		require.GreaterOrEqual(t, end, start)
		if unchanged && !tok.isAdded(ids[i]) {
			require.Equal(t, tok.bytes[ids[i]], text[start:end])
		}
		start = end
	}
	require.Equal(t, len(text), start)
}

func TestVectors(t *testing.T) {
	tok := qwen(t)
	require.Equal(t, 151665, tok.Size())
	count := 0
	for _, file := range []string{"vectors_llamacpp.jsonl", "vectors_real_text.jsonl"} {
		for i, row := range jsonl[struct {
			Text string
			IDs  []int32
		}](t, "tokenizer", file) {
			ids, ends, err := tok.Encode(row.Text)
			require.NoError(t, err)
			require.Equal(t, row.IDs, ids, "%s line %d: %q", file, i+1, row.Text)
			checkEnds(t, inGo(tok), row.Text, ids, ends)
			back, err := tok.Decode(ids)
			require.NoError(t, err)
			require.Equal(t, norm.NFC.String(row.Text), back)
			count++
		}
	}
	require.Equal(t, 183, count)
}

func TestGoldenHeads(t *testing.T) {
	folders, err := filepath.Glob(filepath.Join(shareddata.Dir(t), "data", "goldens", "heads", "*"))
	require.NoError(t, err)
	require.NotEmpty(t, folders)
	texts := 0
	for _, folder := range folders {
		tok, err := Open(folder)
		require.NoError(t, err)
		data, err := os.ReadFile(filepath.Join(folder, "expected.json"))
		require.NoError(t, err)
		var want struct {
			Text     any     `json:"text"`
			InputIDs []int32 `json:"input_ids"`
		}
		require.NoError(t, json.Unmarshal(data, &want))
		text, ok := want.Text.(string)
		if !ok || want.InputIDs == nil {
			continue
		}
		texts++
		ids, ends, err := tok.Encode(text)
		require.NoError(t, err)
		require.Equal(t, want.InputIDs, ids, folder)
		checkEnds(t, inGo(tok), text, ids, ends)
	}
	require.Positive(t, texts)
}

func TestQwenTokens(t *testing.T) {
	tok := qwen(t)
	// There is no <extra_0> in this file: it is text like any other.
	ids, _, err := tok.Encode("<extra_0>")
	require.NoError(t, err)
	require.Equal(t, []int32{27, 15460, 62, 15, 29}, ids)
	id, ok, err := OneToken(tok, "<|im_end|>")
	require.NoError(t, err)
	require.True(t, ok)
	require.EqualValues(t, 151645, id)
	_, ok, err = OneToken(tok, "<extra_0>")
	require.NoError(t, err)
	require.False(t, ok)
	id, ok = tok.ID("ĠĠ")
	require.True(t, ok)
	content, ok := tok.Token(id)
	require.True(t, ok)
	require.Equal(t, "ĠĠ", content)
}

// realTexts are a few megabytes of problems, thinking and responses: English, Bangla, LaTeX.
func realTexts(t testing.TB) []string {
	var texts []string
	for _, file := range []string{"r1_bangla_mmlu_math807.jsonl", "r1distill_math153.jsonl"} {
		for _, row := range jsonl[struct{ Question, Thinking, Response string }](t, "trajectories", file) {
			texts = append(texts, row.Question, row.Thinking, row.Response)
		}
	}
	return texts
}

func BenchmarkEncode(b *testing.B) {
	tok := qwen(b)
	texts := realTexts(b)
	total := 0
	for _, text := range texts {
		total += len(text)
	}
	b.SetBytes(int64(total))
	b.ReportAllocs()
	for b.Loop() {
		for _, text := range texts {
			if _, _, err := tok.Encode(text); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	for b.Loop() {
		qwen(b)
	}
}
