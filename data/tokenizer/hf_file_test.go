//go:build hf_tokenizers

package tokenizer

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// variants spoils a JSON value: every key of every object but vocab left out, null, and of another type. name says what was done.
func variants(value any, name string, yield func(name string)) {
	switch value := value.(type) {
	case []any:
		for i, part := range value {
			variants(part, fmt.Sprintf("%s[%d]", name, i), yield)
		}
	case map[string]any:
		for key, old := range value {
			path := name + "." + key
			delete(value, key)
			yield(path + " missing")
			for _, other := range []any{nil, true, false, 0, "", "x", []any{}, map[string]any{}} {
				value[key] = other
				yield(fmt.Sprintf("%s = %#v", path, other))
			}
			value[key] = old
			if key != "vocab" && key != "merges" {
				variants(old, path, yield)
			}
		}
	}
}

// The library reads every file that is not refused in Go, and both give the same ids, ends and texts.
func TestHFReadsWhatGoReads(t *testing.T) {
	files := map[string]string{"plain": plain(t)}
	for kind, pre := range preTokenizers {
		files[kind] = withEntry(t, plain(t), "pre_tokenizer", pre)
	}
	for _, name := range []string{"llama2", "llama3", "always", "replace"} {
		data, err := os.ReadFile("testdata/" + name + ".json")
		require.NoError(t, err)
		files[name] = string(data)
	}
	read, refused := 0, 0
	for name, file := range files {
		var value any
		require.NoError(t, json.Unmarshal([]byte(file), &value))
		variants(value, name, func(name string) {
			data, err := json.Marshal(value)
			require.NoError(t, err)
			f, err := parse(data)
			if err != nil {
				refused++
				return
			}
			read++
			f.data = data
			tok, err := implement(f)
			require.NoError(t, err, name)
			for _, text := range []string{"", "abc <x> 12 é'S  the\n\n [X]e\u0301", " the", "<s>  12▁3"} {
				requireSame(t, inGo(tok), tok, text, name)
			}
		})
		runtime.GC() // frees the library's objects
	}
	t.Logf("%d variants read by both, %d refused", read, refused)
	require.Greater(t, read, 100)
}

func requireSame(t *testing.T, ours *bpe, theirs Tokenizer, text, name string) {
	wantIDs, wantEnds, wantErr := ours.Encode(text)
	ids, ends, err := theirs.Encode(text)
	if wantErr != nil {
		require.EqualError(t, err, wantErr.Error(), "%s: %q", name, text)
		return
	}
	require.NoError(t, err)
	require.Equal(t, wantIDs, ids, "%s: %q", name, text)
	require.Equal(t, wantEnds, ends, "%s: %q", name, text)
	want, err := ours.Decode(ids)
	require.NoError(t, err)
	got, err := theirs.Decode(ids)
	require.NoError(t, err)
	require.Equal(t, want, got, "%s: %q", name, text)
}

// What the binding cannot carry is encoded and decoded all the same.
func TestHFByteZero(t *testing.T) {
	tok := mustOpen(t, plain(t))
	for _, text := range []string{"\x00", "ab\x00c", "a\x00\x00<x>"} {
		requireSame(t, inGo(tok), tok, text, "byte 0")
	}
	require.Equal(t, []int32{256, 0, 'c'}, encodeAll(t, tok, "ab\x00c"))
}

// The library's objects are freed with the tokenizers that hold them.
func TestHFFreed(t *testing.T) {
	file := plain(t)
	var vocab []string
	for i := range 1000 {
		vocab = append(vocab, fmt.Sprintf(`{"id": %d, "content": "<%050d>"}`, 258+i, i))
	}
	file = withEntry(t, file, "added_tokens", "["+strings.Join(vocab, ", ")+"]")
	after := func(opened int) int {
		for range opened {
			mustOpen(t, file)
			runtime.GC()
		}
		return resident(t)
	}
	first := after(5)
	require.Less(t, after(80)-first, first/2, "bytes kept after 80 more tokenizers were opened and dropped")
}

// resident is the process's resident memory in bytes.
func resident(t *testing.T) int {
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("no /proc/self/statm here")
	}
	pages, err := strconv.Atoi(strings.Fields(string(data))[1])
	require.NoError(t, err)
	return pages * os.Getpagesize()
}
