package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// preTokenizers are the pre-tokenizers that models use, as their files write them.
var preTokenizers = map[string]string{
	"gpt2": `{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}`,
	"smollm2": `{"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true},
		{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}]}`,
	"digit runs": `{"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": false},
		{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}]}`,
	"llama3": `{"type": "Sequence", "pretokenizers": [
		{"type": "Split", "pattern": {"Regex": ` + quoted(patternLlama3) + `}, "behavior": "Isolated", "invert": false},
		{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]}`,
	"bytes only": `{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}`,
}

func quoted(s string) string {
	data, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// withEntry replaces an entry of the outermost object.
func withEntry(t testing.TB, file, key, value string) string {
	var j map[string]json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(file), &j))
	j[key] = json.RawMessage(value)
	data, err := json.Marshal(j)
	require.NoError(t, err)
	return string(data)
}

// replaceOnce replaces the only place where old stands.
func replaceOnce(t testing.TB, s, old, new string) string {
	require.Equal(t, 1, strings.Count(s, old), old)
	return strings.Replace(s, old, new, 1)
}

// flaggedTokens are added tokens with every flag, with ids from first on; "word" is in Qwen2.5's vocabulary.
func flaggedTokens(first int) string {
	var rows []string
	next := first
	for _, r := range []struct {
		content string
		flags   string
	}{
		{"<|im_end|>", ""}, {"<|im", ""}, {"<word>", "single_word"}, {"word", "single_word"},
		{"<left>", "lstrip"}, {"<right>", "rstrip"}, {"<both>", "lstrip rstrip"},
		{"<norm>", "normalized"}, {"zé", "normalized"}, {"q\u0307\u0323", "normalized single_word"}, {"<nl>", "normalized lstrip rstrip"},
	} {
		id := 1158
		if r.content != "word" {
			id = next
			next++
		}
		has := func(flag string) bool { return strings.Contains(r.flags, flag) }
		rows = append(rows, fmt.Sprintf(`{"id": %d, "content": %s, "single_word": %t, "lstrip": %t, "rstrip": %t, "normalized": %t, `+
			`"special": %t}`,
			id, quoted(r.content), has("single_word"), has("lstrip"), has("rstrip"), has("normalized"), len(rows)%2 == 0))
	}
	return "[" + strings.Join(rows, ", ") + "]"
}
