package tokenizer

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// plain is a small tokenizer.json that can be read, to be spoilt.
func plain(t testing.TB) string {
	t.Helper()
	data, err := Bytes([]string{"a b", "ab c"}, []string{"<x>", "<y>"})
	require.NoError(t, err)
	return string(data)
}

func openText(t testing.TB, file string) (Tokenizer, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokenizer.json")
	require.NoError(t, os.WriteFile(path, []byte(file), 0o600))
	return Open(path)
}

// sequences is a normalizer of Sequences inside each other.
func sequences(depth int) string {
	return strings.Repeat(`{"type":"Sequence","normalizers":[`, depth) + strings.Repeat("]}", depth)
}

func TestRefused(t *testing.T) {
	good := plain(t)
	_, err := openText(t, good)
	require.NoError(t, err)
	model := func(key, value string) string {
		old := map[string]string{
			"dropout": "null", "byte_fallback": "false", "continuing_subword_prefix": `""`, "end_of_word_suffix": `""`, "type": `"BPE"`,
		}[key]
		return replaceOnce(t, good, `"`+key+`": `+old, `"`+key+`": `+value)
	}
	token := func(id int, content string) string {
		return fmt.Sprintf(`[{"id": %d, "content": %q, "normalized": false}]`, id, content)
	}
	for name, c := range map[string]struct{ file, want string }{
		"empty":          {"", "ends at byte 0"},
		"truncated":      {good[:len(good)/2], "ends at byte"},
		"not JSON":       {"{]", "not JSON at byte 2"},
		"two values":     {good + good, "something follows"},
		"list":           {"[]", "cannot unmarshal array"},
		"not UTF-8":      {replaceOnce(t, good, "\"1.0\"", "\"1.\xff\""), "not UTF-8"},
		"no version":     {withEntry(t, good, "version", "null"), "version"},
		"no model":       {withEntry(t, good, "model", "null"), "model: missing"},
		"unknown key":    {withEntry(t, good, "colour", "1"), `"colour"`},
		"WordPiece":      {model("type", `"WordPiece"`), `model.type: "WordPiece"`},
		"dropout":        {model("dropout", "0.1"), "model.dropout"},
		"byte_fallback":  {model("byte_fallback", "true"), `pre_tokenizer.type: "Sequence" is not known with byte_fallback`},
		"subword prefix": {model("continuing_subword_prefix", `"##"`), "model.continuing_subword_prefix"},
		"suffix":         {model("end_of_word_suffix", `"</w>"`), "model.end_of_word_suffix"},
		"model key":      {replaceOnce(t, good, `"byte_fallback"`, `"byte_fallforward"`), `"byte_fallforward"`},
		"normalizer": {withEntry(t, good, "normalizer", `{"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]}`),
			`normalizer.normalizers[1].type: "Lowercase"`},
		"no split":     {withEntry(t, good, "pre_tokenizer", "null"), "pre_tokenizer: missing"},
		"Metaspace":    {withEntry(t, good, "pre_tokenizer", `{"type": "Metaspace"}`), `pre_tokenizer.type: "Metaspace"`},
		"no ByteLevel": {withEntry(t, good, "pre_tokenizer", `{"type": "Digits", "individual_digits": true}`), "no ByteLevel"},
		"after ByteLevel": {withEntry(t, good, "pre_tokenizer", `{"type": "Sequence", "pretokenizers": [{"type": "ByteLevel", `+
			`"add_prefix_space": false}, {"type": "Digits"}]}`), "pre_tokenizer.pretokenizers[1]: after ByteLevel"},
		"prefix space": {withEntry(t, good, "pre_tokenizer", `{"type": "ByteLevel", "add_prefix_space": true}`),
			"pre_tokenizer.add_prefix_space"},
		"another regex":  {replaceOnce(t, good, `|\\p{N}|`, `|\\p{N}{1,2}|`), `\p{N}{1,2}`},
		"behavior":       {replaceOnce(t, good, "Isolated", "Removed"), `pre_tokenizer.pretokenizers[0].behavior: "Removed"`},
		"inverted":       {replaceOnce(t, good, `"invert": false`, `"invert": true`), "invert"},
		"string split":   {replaceOnce(t, good, `"Regex"`, `"String"`), "pattern.String"},
		"no decoder":     {withEntry(t, good, "decoder", "null"), "decoder: missing"},
		"decoder":        {withEntry(t, good, "decoder", `{"type": "Fuse"}`), `decoder.type: "Fuse"`},
		"empty vocab":    {withEntry(t, good, "model", `{"type": "BPE", "vocab": {}, "merges": []}`), "vocab: missing or empty"},
		"vocab twice":    {withEntry(t, good, "model", `{"vocab": {"a": 0, "a": 1}, "merges": []}`), `"a" is there twice`},
		"same id":        {withEntry(t, good, "model", `{"vocab": {"a": 0, "b": 0}, "merges": []}`), "have the same id 0"},
		"empty token":    {withEntry(t, good, "model", `{"vocab": {"": 0}, "merges": []}`), "token of id 0 is empty"},
		"negative id":    {withEntry(t, good, "model", `{"vocab": {"a": -1}, "merges": []}`), "the id of \"a\" is -1"},
		"fractional id":  {withEntry(t, good, "model", `{"vocab": {"a": 1.5}, "merges": []}`), "the id of \"a\" is 1.5"},
		"id is text":     {withEntry(t, good, "model", `{"vocab": {"a": "1"}, "merges": []}`), "the id of \"a\" is 1"},
		"huge id":        {withEntry(t, good, "model", `{"vocab": {"a": 2147483647}, "merges": []}`), "out of proportion"},
		"larger id":      {withEntry(t, good, "model", `{"vocab": {"a": 99999999999999999999}, "merges": []}`), "not a number from 0"},
		"vocab list":     {withEntry(t, good, "model", `{"vocab": ["a"], "merges": []}`), "vocab: not an object"},
		"nested vocab":   {withEntry(t, good, "model", `{"vocab": {"a": {"b": 1}}, "merges": []}`), "the id of \"a\""},
		"unknown merge":  {replaceOnce(t, good, `"ab c"`, `"ab d"`), `merges[1]: "ab" + "d"`},
		"merge twice":    {replaceOnce(t, good, `"ab c"`, `"a b"`), `merges[1]: "a" + "b" is there twice`},
		"merge of three": {replaceOnce(t, good, `"ab c"`, `"a b c"`), "merges[1]: neither"},
		"merge of one":   {replaceOnce(t, good, `"ab c"`, `["abc"]`), "merges[1]: neither"},
		"merges mixed":   {replaceOnce(t, good, `"ab c"`, `["ab", "c"]`), `merges[1]: "a b" and ["a", "b"] are mixed`}, // as tokenizers does
		"merge number":   {replaceOnce(t, good, `"ab c"`, `7`), "merges[1]: neither"},
		"merges object":  {withEntry(t, good, "model", `{"vocab": {"a": 0}, "merges": {"a": 0}}`), "merges: not a list"},
		"added huge":     {withEntry(t, good, "added_tokens", token(2147483647, "<x>")), "added_tokens[0].id"},
		"added negative": {withEntry(t, good, "added_tokens", token(-1, "<x>")), "added_tokens[0].id"},
		"added empty":    {withEntry(t, good, "added_tokens", token(258, "")), "added_tokens[0].content"},
		"added gap":      {withEntry(t, good, "added_tokens", token(300, "<x>")), `"<x>" has id 300, but other readers would give it 258`},
		"added over":     {withEntry(t, good, "added_tokens", token(65, "<x>")), `"<x>" has id 65, but`},
		"added twice": {withEntry(t, good, "added_tokens", strings.Replace(token(258, "<x>"), "]", ", "+token(259, "<x>")[1:], 1)),
			"is there twice"},
		"added flag": {withEntry(t, good, "added_tokens", `[{"id": 258, "content": "<x>", "bold": true}]`), `"bold"`},
		"nested":     {withEntry(t, good, "normalizer", sequences(2)), "normalizer.normalizers[0].type: a Sequence inside"},
		"nested split": {withEntry(t, good, "pre_tokenizer", `{"type": "Sequence", "pretokenizers": [{"type": "Sequence", `+
			`"pretokenizers": []}]}`), "pre_tokenizer.pretokenizers[0].type: a Sequence inside"},
		"deep":            {withEntry(t, good, "normalizer", sequences(4000)), "normalizer.normalizers[0].type: a Sequence inside"},
		"twice":           {replaceOnce(t, good, `"truncation": null`, `"truncation": null, "normalizer": null`), `"normalizer" is there twice`},
		"another case":    {replaceOnce(t, good, `"normalizer"`, `"Normalizer"`), `"Normalizer" is not known`},
		"case of a flag":  {replaceOnce(t, good, `"invert"`, `"Invert"`), `"Invert"`},
		"case of a token": {withEntry(t, good, "added_tokens", `[{"ID": 258, "content": "<x>"}]`), `"ID"`},
		"case of regex":   {replaceOnce(t, good, `"Regex"`, `"regex"`), `"regex"`},
		"too deep":        {replaceOnce(t, good, `"truncation": null`, `"truncation": `+sequences(100_000)), "exceeded max depth"},
		"long name":       {withEntry(t, good, "decoder", `{"type": "`+strings.Repeat("é", 1<<20)+`"}`), `decoder.type: "éé`},
	} {
		_, err := openText(t, c.file)
		require.ErrorContains(t, err, c.want, name)
		require.ErrorContains(t, err, "tokenizer.json", name)
		require.Less(t, len(err.Error()), 2000, name)
	}
	_, err = Open(t.TempDir())
	require.ErrorIs(t, err, os.ErrNotExist)
	// Every prefix is refused, none panics.
	for n := range good {
		_, err := parse([]byte(good[:n]))
		require.Error(t, err, n)
	}
}

func TestAccepted(t *testing.T) {
	good := plain(t)
	want := encodeAll(t, mustOpen(t, good), "abc xab <x>é12")
	for name, file := range map[string]string{
		"pairs":      replaceOnce(t, replaceOnce(t, good, `"ab c"`, `["ab", "c"]`), `"a b"`, `["a","b"]`),
		"no type":    replaceOnce(t, good, `"type": "BPE",`, ""),
		"dropout 0":  replaceOnce(t, good, `"dropout": null`, `"dropout": 0`),
		"truncation": withEntry(t, good, "truncation", `{"max_length": 1}`),
		"padding":    withEntry(t, good, "padding", `{"strategy": {"Fixed": 100}}`),
		"post": withEntry(t, good, "post_processor",
			`{"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<x>", "type_id": 0}}]}`),
		"sequence of one":      withEntry(t, good, "normalizer", `{"type": "Sequence", "normalizers": [{"type": "NFC"}]}`),
		"unk of what is there": replaceOnce(t, good, `"unk_token": null`, `"unk_token": "<x>"`),
	} {
		require.Equal(t, want, encodeAll(t, mustOpen(t, file), "abc xab <x>é12"), name)
	}
}

func mustOpen(t testing.TB, file string) Tokenizer {
	t.Helper()
	tok, err := openText(t, file)
	require.NoError(t, err)
	return tok
}

func encodeAll(t testing.TB, tok Tokenizer, text string) []int32 {
	t.Helper()
	ids, _, err := tok.Encode(text)
	require.NoError(t, err)
	return ids
}

// A byte that the vocabulary lacks is an error where a text needs it, never left out.
func TestMissingByte(t *testing.T) {
	file := withEntry(t, plain(t), "model", `{"unk_token": "a", "vocab": {"a": 0, "b": 1}, "merges": []}`)
	tok := mustOpen(t, withEntry(t, file, "added_tokens", "[]"))
	require.Equal(t, []int32{0, 1, 0}, encodeAll(t, tok, "aba"))
	_, _, err := tok.Encode("abc")
	require.ErrorContains(t, err, "no token for byte 0x63")
}

// A file of one long line is read into a bounded amount of memory, and one past the limit not at all.
func TestLargeFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokenizer.json")
	grow := func(size int64) {
		f, err := os.Create(path)
		require.NoError(t, err)
		require.NoError(t, f.Truncate(size)) // a sparse file: zeros, which are no JSON
		require.NoError(t, f.Close())
	}
	grow(100 << 20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := Open(path)
	runtime.ReadMemStats(&after)
	require.ErrorContains(t, err, "more than 67108864 bytes")
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(512<<20))
	long := `{"version": "` + strings.Repeat("1", 20<<20) + `"}`
	_, err = openText(t, long)
	require.ErrorContains(t, err, "version")
	require.Less(t, len(err.Error()), 1000)
}

func TestBytesRefuses(t *testing.T) {
	for _, merges := range [][]string{{"ab c"}, {"a"}, {"a b c"}, {" a"}, {"a b", "a b"}, {"é ab"}} {
		_, err := Bytes(merges, nil)
		require.Error(t, err, "%q", merges)
	}
	for _, added := range [][]string{{""}, {"<x>", "<x>"}, {"a"}} {
		_, err := Bytes(nil, added)
		require.Error(t, err, "%q", added)
	}
	data, err := Bytes(nil, nil)
	require.NoError(t, err)
	tok := mustOpen(t, string(data))
	require.Equal(t, 256, tok.Size())
	require.Equal(t, []int32{'h', 'i', ' ', 0xc3, 0xa9}, encodeAll(t, tok, "hi é"))
}
