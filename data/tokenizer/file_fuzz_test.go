package tokenizer

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzFile: however a tokenizer.json is spoiled, it is read or refused; what is read encodes, and its tokens say where they stand.
func FuzzFile(f *testing.F) {
	llama, err := os.ReadFile("testdata/llama2.json")
	require.NoError(f, err)
	f.Add(llama)
	bytesOnly, err := Bytes([]string{"a b", "ab c"}, []string{"<|im_end|>"})
	require.NoError(f, err)
	for _, cut := range preTokenizers {
		f.Add([]byte(withEntry(f, string(bytesOnly), "pre_tokenizer", cut)))
	}
	f.Add([]byte(withEntry(f, string(bytesOnly), "added_tokens", `[{"id":256,"content":"<x>","lstrip":true,"rstrip":true,"special":false}]`)))
	const text = "ab abc <x> <|im_end|>  12345\r\n é 中\u0301 😀 ▁don't\t"
	f.Fuzz(func(t *testing.T, file []byte) {
		path := filepath.Join(t.TempDir(), "tokenizer.json")
		require.NoError(t, os.WriteFile(path, file, 0o600))
		tok, err := Open(path)
		if err != nil {
			require.ErrorContains(t, err, path)
			return
		}
		ids, ends, err := tok.Encode(text)
		if err != nil {
			return // a character that has no token
		}
		require.Len(t, ends, len(ids))
		end := 0
		for i, id := range ids {
			_, known := tok.Token(id)
			require.True(t, known, "id %d", id)
			require.Less(t, int(id), tok.Size())
			require.LessOrEqual(t, end, ends[i], "ends go backwards")
			end = ends[i]
		}
		require.LessOrEqual(t, end, len(text))
	})
}
