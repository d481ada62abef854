package tokenizer

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// folder writes files beside each other; tokenizer.json has the bytes, a+b, ab+c and the added tokens <x> (258) and <y> (259).
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tokenizer.json"), []byte(plain(t)), 0o600))
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return dir
}

// The ids are those of transformers 5.23.0, which adds tokens in the order of added_tokens_decoder (or added_tokens.json), the named
// special tokens, the list of others, each with the vocabulary's id or the next one.
func TestAddedTokensElsewhere(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		text  string
		want  []int32
	}{
		"nothing beside": {nil, "<x><z>", []int32{258, '<', 'z', '>'}},
		"decoder": {map[string]string{configName: `{"added_tokens_decoder":{"260":{"content":"<z>","special":true}}}`}, "a<z><x>",
			[]int32{'a', 260, 258}},
		"decoder, in the order of ids": {map[string]string{configName: `{"added_tokens_decoder":{"261":{"content":"<w>"},` +
			`"260":{"content":"<z>"}}}`},
			"<w><z>", []int32{261, 260}},
		"decoder with flags": {map[string]string{configName: `{"added_tokens_decoder":{"260":{"content":"<z>","rstrip":true,"special":true}}}`},
			"<z>  b", []int32{260, 'b'}},
		"decoder repeats": {map[string]string{configName: `{"added_tokens_decoder":{"258":{"content":"<x>","special":true}}}`}, "<x>",
			[]int32{258}},
		"additional": {map[string]string{configName: `{"additional_special_tokens":["<x>","<z>",{"content":"<w>","lstrip":true}]}`},
			"<z> <w>", []int32{260, 261}},
		"extra":          {map[string]string{configName: `{"extra_special_tokens":["<z>"]}`}, "<z>", []int32{260}},
		"extra, by name": {map[string]string{configName: `{"extra_special_tokens":{"image":"<z>"}}`}, "<z>", []int32{260}},
		"named":          {map[string]string{configName: `{"pad_token":"<z>","eos_token":{"content":"<w>"}}`}, "<w><z>", []int32{260, 261}},
		"of vocabulary":  {map[string]string{configName: `{"additional_special_tokens":["abc"]}`}, "xabc", []int32{'x', 257}},
		"added_tokens":   {map[string]string{addedName: `{"<w>":261,"<z>":260}`}, "<w><z>", []int32{261, 260}},
		"special map":    {map[string]string{specialName: `{"additional_special_tokens":["<z>"]}`}, "<z>", []int32{260}},
		"map is not read": {map[string]string{specialName: `{"pad_token":"<z>"}`, configName: `{"added_tokens_decoder":{}}`}, "<z>",
			[]int32{'<', 'z', '>'}},
		"all three places": {map[string]string{configName: `{"additional_special_tokens":["<z>"]}`, addedName: `{"<z>":260}`}, "<z>",
			[]int32{260}},
	} {
		tok, err := Open(folder(t, c.files))
		require.NoError(t, err, name)
		for i, id := range c.want { // the bytes' ids are their places in GPT-2's alphabet
			if id < 256 {
				c.want[i] = encodeAll(t, tok, string(rune(id)))[0]
			}
		}
		require.Equal(t, c.want, encodeAll(t, tok, c.text), name)
	}
}

func TestAddedTokensThatContradict(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"id": {map[string]string{configName: `{"added_tokens_decoder":{"260":{"content":"<x>","special":true}}}`},
			`added token "<x>": id is 260 in tokenizer_config.json (added_tokens_decoder), 258 in tokenizer.json`},
		"content": {map[string]string{configName: `{"added_tokens_decoder":{"258":{"content":"<z>","special":true}}}`},
			`gives "<z>" the id 258, which is "<x>"'s`},
		"lstrip": {map[string]string{configName: `{"added_tokens_decoder":{"258":{"content":"<x>","lstrip":true,"special":true}}}`},
			`added token "<x>": lstrip is true`},
		"normalized": {map[string]string{configName: `{"added_tokens_decoder":{"258":{"content":"<x>","normalized":true,"special":true}}}`},
			`normalized is true`},
		"special": {map[string]string{configName: `{"added_tokens_decoder":{"258":{"content":"<x>","normalized":false,"special":false}}}`},
			`special is false`},
		"gap":       {map[string]string{configName: `{"added_tokens_decoder":{"262":{"content":"<z>"}}}`}, `other readers would give it 260`},
		"added, id": {map[string]string{addedName: `{"<x>":3}`}, `id is 3 in added_tokens.json`},
		"added, unread": {map[string]string{addedName: `{"<z>":260}`, configName: `{"added_tokens_decoder":{}}`},
			`added_tokens.json names the token "<z>", which neither`},
		"no id": {map[string]string{configName: `{"added_tokens_decoder":{"x":{"content":"<z>"}}}`}, `added_tokens_decoder: "x" is no id`},
		"no token": {map[string]string{configName: `{"additional_special_tokens":[3]}`},
			`additional_special_tokens: neither a text nor an object`},
		"split":    {map[string]string{configName: `{"split_special_tokens":true}`}, `tokenizer_config.json: split_special_tokens is true`},
		"not JSON": {map[string]string{addedName: `[`}, addedName},
	} {
		_, err := Open(folder(t, c.files))
		require.ErrorContains(t, err, c.want, name)
	}
}

func TestRenamed(t *testing.T) {
	dir := folder(t, map[string]string{configName: `{"additional_special_tokens":["<z>"]}`})
	tok, err := Open(dir)
	require.NoError(t, err)
	renamed, err := Renamed(tok, "<z>", "<mark>")
	require.NoError(t, err)
	require.Equal(t, []int32{260, 258}, encodeAll(t, renamed, "<mark><x>"))
	require.Equal(t, encodeAll(t, tok, "<w>")[1:2], encodeAll(t, renamed, "w"))
	require.Len(t, encodeAll(t, renamed, "<z>"), 3, "the old name is plain text")
	_, err = Renamed(tok, "abc", "<mark>")
	require.ErrorContains(t, err, `"abc" is no added token`)
}
