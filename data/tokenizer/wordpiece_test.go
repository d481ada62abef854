package tokenizer

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const wordPieceData = "testdata/wordpiece"

func openWordPiece(t testing.TB, name string) *WordPiece {
	t.Helper()
	tok, err := OpenWordPiece(filepath.Join(wordPieceData, name), false)
	require.NoError(t, err)
	return tok
}

// Ids are those of Hugging Face's tokenizers, for each kind of file and normaliser; see testdata/wordpiece/make.py.
func TestWordPieceVectors(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(wordPieceData, "vectors.json"))
	require.NoError(t, err)
	var vectors struct {
		Texts []string
		IDs   map[string][][]int32
	}
	require.NoError(t, json.Unmarshal(raw, &vectors))
	for name, reference := range map[string]string{"uncased": "uncased", "cased": "cased", "accents": "accents", "raw": "raw",
		"vocab_uncased": "uncased", "vocab_accents": "accents"} {
		tok := openWordPiece(t, name)
		require.Len(t, vectors.IDs[reference], len(vectors.Texts))
		for i, text := range vectors.Texts {
			want := vectors.IDs[reference][i]
			ids, dropped, err := tok.Encode(text, 1<<20)
			require.NoError(t, err)
			require.Equal(t, want, ids, "%s: %q", name, text)
			require.Zero(t, dropped)

			const limit = 9 // truncation takes tokens before the last special one
			ids, dropped, err = tok.Encode(text, limit)
			require.NoError(t, err)
			if len(want) > limit {
				want = append(append([]int32{}, want[:limit-1]...), want[len(want)-1])
			}
			require.Equal(t, want, ids, "%s: %q cut", name, text)
			require.Equal(t, len(vectors.IDs[reference][i])-len(want), dropped)
		}
	}
	require.Equal(t, 64, openWordPiece(t, "vocab_uncased").MaxLength())
	require.Zero(t, openWordPiece(t, "uncased").MaxLength())
}

func TestWordPieceRefusals(t *testing.T) {
	tok := openWordPiece(t, "uncased")
	_, _, err := tok.Encode("a\xffb", 10)
	require.ErrorContains(t, err, "byte 1")
	_, _, err = tok.Encode("a", 2)
	require.ErrorContains(t, err, "limit of 2")

	file, err := os.ReadFile(filepath.Join(wordPieceData, "uncased", "tokenizer.json"))
	require.NoError(t, err)
	vocab, err := os.ReadFile(filepath.Join(wordPieceData, "vocab_uncased", "vocab.txt"))
	require.NoError(t, err)
	for _, c := range []struct{ from, to, want string }{
		{`"type":"WordPiece","unk`, `"type":"Unigram","unk`, `model.type: "Unigram"`},
		{`"BertNormalizer"`, `"Lowercase"`, `normalizer.type: "Lowercase"`},
		{`"clean_text":true`, `"clean_text":true,"shout":true`, "shout"},
		{`"BertPreTokenizer"`, `"Whitespace"`, `pre_tokenizer.type: "Whitespace"`},
		{`"type":"TemplateProcessing"`, `"type":"RobertaProcessing"`, `post_processor.type: "RobertaProcessing"`},
		{`{"Sequence":{"id":"A","type_id":0}}`, `{"Sequence":{"id":"A","type_id":1}}`, "post_processor.single[1]"},
		{`{"Sequence":{"id":"A","type_id":0}},`, ``, "the text is there 0 times"},
		{`"ids":[2]`, `"ids":[90000]`, "90000 is no token"},
		{`"max_input_chars_per_word":100`, `"max_input_chars_per_word":0`, "max_input_chars_per_word"},
		{`"max_input_chars_per_word":100`, `"max_input_chars_per_word":1000000`, "max_input_chars_per_word"},
		{`"unk_token":"[UNK]"`, `"unk_token":"[NO]"`, `"[NO]" is not in vocab`},
		{`"version":"1.0"`, `"version":"2.0"`, "version"},
	} {
		spoiled := strings.Replace(string(file), c.from, c.to, 1)
		require.NotEqual(t, string(file), spoiled, c.from)
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "tokenizer.json"), []byte(spoiled), 0o644))
		_, err := OpenWordPiece(dir, false)
		require.ErrorContains(t, err, c.want)
		require.ErrorContains(t, err, "tokenizer.json")
	}
	for _, c := range []struct{ name, content, config, want string }{
		{"tokenizer.json", string(file), `{"do_lower_case": false}`, "do_lower_case false, which contradicts true"},
		{"tokenizer.json", string(file), `{"strip_accents": false}`, "strip_accents false, which contradicts true"},
		{"tokenizer.json", string(file), `{"tokenizer_class": "MPNetTokenizer"}`, `"MPNetTokenizer"`},
		{"tokenizer.json", string(file), `{"do_basic_tokenize": false}`, "do_basic_tokenize"},
		{"tokenizer.json", string(file), `{"never_split": ["x"]}`, "never_split"},
		{"tokenizer.json", string(file), `{"cls_token": 5}`, "special token"},
		{"vocab.txt", string(vocab), `{"cls_token": {"content": "<s>"}}`, `"<s>"`},
		{"vocab.txt", string(vocab) + "the\n", `{}`, `"the" is empty or there twice`},
		{"vocab.txt", "\xff\n", `{}`, "UTF-8"},
		{"other", "", `{}`, "neither tokenizer.json nor vocab.txt"},
	} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, c.name), []byte(c.content), 0o644))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "tokenizer_config.json"), []byte(c.config), 0o644))
		_, err := OpenWordPiece(dir, false)
		require.ErrorContains(t, err, c.want)
	}
}

// smallWordPiece is short, so that the fuzzer spends its time on finding rather than on shortening.
const smallWordPiece = `{"version":"1.0","truncation":null,"padding":null,"added_tokens":[{"id":1,"content":"[CLS]",` +
	`"single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],` +
	`"normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true},` +
	`"pre_tokenizer":{"type":"BertPreTokenizer"},"post_processor":%s,` +
	`"decoder":null,"model":{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":100,` +
	`"vocab":{"[UNK]":0,"[CLS]":1,"[SEP]":2,"the":3,"un":4,"##able":5,"u":6}}}`

// However a file is spoiled, it is read or refused, and what is read encodes.
func FuzzWordPieceFile(f *testing.F) {
	for _, post := range []string{
		`{"type":"BertProcessing","sep":["[SEP]",2],"cls":["[CLS]",1]}`,
		`{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"[CLS]","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"pair":[],` +
			`"special_tokens":{"[CLS]":{"id":"[CLS]","ids":[1],"tokens":["[CLS]"]}}}`,
	} {
		file := fmt.Appendf(nil, smallWordPiece, post)
		require.NoError(f, new(WordPiece).parse(file, wordPieceConfig{}))
		f.Add(file)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		tok := &WordPiece{}
		if tok.parse(file, wordPieceConfig{}) != nil {
			return
		}
		tok.longest = 20
		ids, _, err := tok.Encode("the [CLS] Ünable 中 😀", 1<<20)
		require.NoError(t, err)
		for _, id := range ids {
			_, ok := tok.Token(id)
			require.True(t, ok)
		}
	})
}

func BenchmarkWordPiece(b *testing.B) {
	tok := openWordPiece(b, "uncased")
	text := strings.Repeat("The proof of the sum is unaffordable, therefore x = 12. ", 100)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, _, err := tok.Encode(text, 1<<20); err != nil {
			b.Fatal(err)
		}
	}
}
