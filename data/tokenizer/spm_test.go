package tokenizer

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Ids and texts are those of Hugging Face's tokenizers (scripts/tokenizers/make.py).
func TestSmallTokenizers(t *testing.T) {
	files, err := filepath.Glob("testdata/*.jsonl")
	require.NoError(t, err)
	require.Len(t, files, 9)
	for _, path := range files {
		tokenizer := strings.TrimSuffix(path, "l")
		tok, err := Open(tokenizer)
		require.NoError(t, err, path)
		f, err := os.Open(path)
		require.NoError(t, err)
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		count := 0
		for lines.Scan() {
			var row struct {
				Text, Decoded string
				IDs, Before   []int32
			}
			require.NoError(t, json.Unmarshal(lines.Bytes(), &row))
			ids, ends, err := tok.Encode(row.Text)
			require.NoError(t, err)
			require.Equal(t, row.IDs, append([]int32{}, ids...), "%s: %q", path, row.Text)
			checkMarkedEnds(t, inGo(tok), row.Text, ids, ends)
			text, err := tok.Decode(ids)
			require.NoError(t, err)
			require.Equal(t, row.Decoded, text, "%s: %q", path, row.Text)
			if row.Before != nil {
				before, after, err := Surround(tokenizer)
				require.NoError(t, err)
				require.Equal(t, row.Before, before)
				require.Empty(t, after)
			}
			count++
		}
		require.NoError(t, lines.Err())
		require.Greater(t, count, 150)
		require.NoError(t, f.Close())
	}
}

// checkMarkedEnds checks that the tokens, with their marks as spaces, are the text between their ends.
func checkMarkedEnds(t *testing.T, tok *bpe, text string, ids []int32, ends []int) {
	require.Len(t, ends, len(ids))
	start := 0
	for i, end := range ends {
		require.GreaterOrEqual(t, end, start)
		spaced := func(s string) string { return strings.ReplaceAll(s, blankMark, " ") }
		stands, between := spaced(tok.bytes[ids[i]]), spaced(text[start:end])
		if !tok.nfc && !tok.isAdded(ids[i]) && stands != between { // one mark is none of the text
			require.Equal(t, strings.TrimPrefix(stands, " "), between, "%q", text)
		}
		start = end
	}
	if len(ids) > 0 {
		require.Equal(t, len(text), start)
	}
}

// Offsets are in the text as it was given, past both NFC and the marks.
func TestComposedEnds(t *testing.T) {
	for _, name := range []string{"nfc", "nfc_never", "nfc_metaspace"} {
		tok, err := Open("testdata/" + name + ".json")
		require.NoError(t, err)
		_, ends, err := tok.Encode("a e\u0301 the q\u0307\u0323") // é is composed, and spelled in two bytes; the marks of q change places
		require.NoError(t, err)
		require.Equal(t, []int{1, 2, 5, 5, 9}, ends[:5], name)
		require.NotContains(t, ends[5:], 13, name) // between the two marks
	}
}

func TestSPMRefused(t *testing.T) {
	text, err := os.ReadFile("testdata/llama2.json")
	require.NoError(t, err)
	good := string(text)
	for name, c := range map[string]struct{ file, want string }{
		"other decoder": {withEntry(t, good, "decoder", `{"type":"Fuse"}`), `decoder: "Fuse" is not known`},
		"other strip":   {replaceOnce(t, good, `"start":1`, `"start":2`), "Strip with these settings"},
		"no marks": {withEntry(t, good, "normalizer", `{"type":"Sequence","normalizers":[{"type":"NFC"}]}`),
			"neither it nor pre_tokenizer marks spaces"},
		"lowercase": {withEntry(t, good, "normalizer", `{"type":"Lowercase"}`), `normalizer.type: "Lowercase" in this place`},
		"NFC later": {withEntry(t, good, "normalizer", `{"type":"Sequence","normalizers":[{"type":"Replace","pattern":{"String":" "},`+
			`"content":"▁"},{"type":"NFC"}]}`), `normalizers[1].type: "NFC" in this place`},
		"NFKC":    {withEntry(t, good, "normalizer", `{"type":"NFKC"}`), `normalizer.type: "NFKC" in this place`},
		"no list": {withEntry(t, good, "normalizer", `{"type":"Prepend","prepend":"▁"}`), "normalizer: no Replace of spaces"},
		"byte-level": {withEntry(t, withEntry(t, good, "normalizer", "null"), "pre_tokenizer",
			`{"type":"ByteLevel","add_prefix_space":false}`), `pre_tokenizer.type: "ByteLevel" is not known with byte_fallback`},
		"prepended later": {withEntry(t, good, "normalizer", `{"type":"Sequence","normalizers":[{"type":"Replace","pattern":{"String":" "},`+
			`"content":"▁"},{"type":"Prepend","prepend":"▁"}]}`), `normalizers[1].type: "Prepend" in this place`},
		"both":           {withEntry(t, good, "pre_tokenizer", `{"type":"Metaspace","replacement":"▁"}`), "besides a normalizer"},
		"a missing byte": {replaceOnce(t, good, `"<0x7F>":`, `"<0x7f>":`), "no token <0x7F>"},
		"other scheme": {withEntry(t, withEntry(t, good, "normalizer", "null"), "pre_tokenizer",
			`{"type":"Metaspace","replacement":"▁","prepend_scheme":"last"}`), `prepend_scheme: "last"`},
		"scheme and flag": {withEntry(t, withEntry(t, good, "normalizer", "null"), "pre_tokenizer",
			`{"type":"Metaspace","replacement":"▁","prepend_scheme":"first","add_prefix_space":false}`), `add_prefix_space: false contradicts`},
		"sequence key": {withEntry(t, good, "normalizer", `{"type":"Sequence","normalizers":[],"mode":1}`),
			`normalizer: key "mode" is not known`},
		"nested": {withEntry(t, good, "normalizer", `{"type":"Sequence","normalizers":[{"type":"Sequence","normalizers":[]}]}`),
			"normalizers[0]"},
	} {
		_, err := openText(t, c.file)
		require.ErrorContains(t, err, c.want, name)
	}
}

func TestSurround(t *testing.T) {
	text, err := os.ReadFile("testdata/llama2.json")
	require.NoError(t, err)
	for processor, want := range map[string]struct {
		before, after []int32
		fault         string
	}{
		`null`: {}, `{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":false,"use_regex":true}`: {},
		`{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}},` +
			`{"SpecialToken":{"id":"</s>","type_id":0}}],"pair":[],"special_tokens":{"<s>":{"id":"<s>","ids":[1],"tokens":["<s>"]},` +
			`"</s>":{"id":"</s>","ids":[2,0],"tokens":[]}}}`: {before: []int32{1}, after: []int32{2, 0}},
		`{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}}],"special_tokens":{}}`: {fault: `p` +
			`ost_processor.single[0]: "<s>" is none of special_tokens`},
		`{"type":"RobertaProcessing"}`:                                           {fault: `post_processor.type: "RobertaProcessing"`},
		`{"type":"Sequence","processors":[{"type":"Sequence","processors":[]}]}`: {fault: "post_processor.processors[0]"},
	} {
		path := filepath.Join(t.TempDir(), "tokenizer.json")
		require.NoError(t, os.WriteFile(path, []byte(withEntry(t, string(text), "post_processor", processor)), 0o644))
		before, after, err := Surround(filepath.Dir(path))
		if want.fault != "" {
			require.ErrorContains(t, err, want.fault)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, want.before, before)
		require.Equal(t, want.after, after)
	}
}
