package tokenizer

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// shown returns the text of each token, as it stands between the ends.
func shown(t testing.TB, tok Tokenizer, text string) []string {
	t.Helper()
	_, ends, err := tok.Encode(text)
	require.NoError(t, err)
	var out []string
	start := 0
	for _, end := range ends {
		out = append(out, text[start:end])
		start = end
	}
	return out
}

// The expected cuts are those that Hugging Face's flags are documented to make.
func TestAddedTokenFlags(t *testing.T) {
	file := withEntry(t, plain(t), "added_tokens", strings.ReplaceAll(flaggedTokens(258), `"id": 1158, "content": "word"`, `"id": 97, `+
		`"content": "a"`))
	tok := mustOpen(t, file)
	for text, want := range map[string][]string{
		"1<|im_end|>1":       {"1", "<|im_end|>", "1"},
		"<|im_en":            {"<|im", "_", "e", "n"}, // the longest that is there
		"<|i":                {"<", "|", "i"},
		"1<word>1":           {"1", "<", "w", "o", "r", "d", ">", "1"}, // next to a part of a word
		"_<word>.":           {"_", "<", "w", "o", "r", "d", ">", "."},
		"<word> .":           {"<word>", " ", "."},
		".<word>.":           {".", "<word>", "."},
		"1 <left> 1":         {"1", " <left>", " ", "1"},
		"1 <right> 1":        {"1", " ", "<right> ", "1"},
		"1\n <both> \u20031": {"1", "\n <both> \u2003", "1"},
		"<right> <left>":     {"<right> ", "<left>"}, // the space is taken once
		"<left> <left>":      {"<left>", " <left>"},
		"1 <nl>\n1":          {"1", " <nl>\n", "1"},
		"zé.":                {"zé", "."},
		"ze\u0301.":          {"ze\u0301", "."}, // found in the normalised text
		" q\u0323\u0307 ":    {" ", "q\u0323\u0307", " "},
		" q\u0307\u0323 ":    {" ", "q\u0307\u0323", " "},
	} {
		require.Equal(t, want, shown(t, tok, text), "%q", text)
	}
	// An added token that the vocabulary has already keeps its id there, and merges no more.
	id, ok := tok.ID("a")
	require.True(t, ok)
	require.EqualValues(t, 97, id)
	back, err := tok.Decode(encodeAll(t, tok, "zé \n<both> é a"))
	require.NoError(t, err)
	require.Equal(t, "zé<both>é a", back) // white space that a token took is not in its content
}

func TestEnds(t *testing.T) {
	tok := mustOpen(t, plain(t))
	for text, want := range map[string][]int{
		"":                {},
		"abc":             {3},
		"é":               {1, 2},    // the bytes of a character
		"e\u0301x":        {3, 3, 4}, // é of two bytes was three
		"xe\u0301e\u0301": {1, 4, 4, 7, 7},
		"\u212bx":         {3, 3, 4},          // Å of two bytes was three
		"\u0958":          {3, 3, 3, 3, 3, 3}, // two characters of three bytes were one
		"<x>e\u0301<y>":   {3, 6, 6, 9},
	} {
		_, ends, err := tok.Encode(text)
		require.NoError(t, err)
		require.Equal(t, want, ends, "%q", text)
	}
}

func TestInvalidText(t *testing.T) {
	tok := mustOpen(t, plain(t))
	_, _, err := tok.Encode("abcé\xc3(")
	require.ErrorContains(t, err, "invalid UTF-8 at byte 5 (0xc3)")
	_, _, err = tok.Encode("a\xed\xa0\x80") // a surrogate
	require.ErrorContains(t, err, "at byte 1")
	require.Equal(t, []int32{0xef, 0xbf, 0xbd}, encodeAll(t, tok, "\ufffd"))
}

func TestDecode(t *testing.T) {
	tok := mustOpen(t, plain(t))
	for want, ids := range map[string][]int32{
		"":                   {},
		"ab<x>c":             {256, 258, 'c'},
		"é":                  {0xc3, 0xa9},
		"\ufffd":             {0xc3},
		"\ufffda":            {0xe2, 0x82, 'a'}, // the beginning of a character is one piece
		"\ufffd\ufffd":       {0xff, 0xc0},
		"\ufffd\ufffd\ufffd": {0xed, 0xa0, 0x80}, // a surrogate is none
	} {
		text, err := tok.Decode(ids)
		require.NoError(t, err)
		require.Equal(t, want, text)
	}
	for _, id := range []int32{-1, 260, 1 << 30} {
		_, err := tok.Decode([]int32{0, id})
		require.ErrorContains(t, err, "ids[1] = ")
		_, ok := tok.Token(id)
		require.False(t, ok)
	}
}

// Time must not grow with the square of a word, of white space, of marks or of added tokens.
func TestLongWords(t *testing.T) {
	n := 1 << 20
	if testing.Short() { // also under the race detector
		n = 1 << 18
	}
	tok := small(t, "")
	// In Go even under the tag: the library looks back over all white space for each token with lstrip.
	flags := inGo(mustOpen(t, withEntry(t, plain(t), "added_tokens", `[{"id": 258, "content": "\n", "lstrip": true}, {"id": 259, `+
		`"content": "aaaa!"}]`)))
	start := time.Now()
	for name, text := range map[string]string{
		"word":   strings.Repeat("abcaa", n/5),
		"spaces": strings.Repeat(" ", n),
		"lines":  strings.Repeat("\n", n),
		"marks":  "e" + strings.Repeat("\u0301\u0323", n/8),
		"jamo":   "\u1100" + strings.Repeat("\u1161", n/8),
		"added":  strings.Repeat("<|im", n/4),
		"almost": strings.Repeat("<|i", n/4),
	} {
		for _, tok := range []Tokenizer{tok, flags} {
			ids, ends, err := tok.Encode(text)
			require.NoError(t, err, name)
			require.Equal(t, len(text), ends[len(ends)-1])
			back, err := tok.Decode(ids)
			require.NoError(t, err)
			if name != "marks" && name != "jamo" { // which NFC changes
				require.True(t, back == text, name)
			}
		}
	}
	require.Less(t, time.Since(start), 30*time.Second)
}

func TestManyGoroutines(t *testing.T) {
	tok := small(t, "")
	alone := small(t, "")
	want := map[string][]int32{}
	for _, p := range pieces {
		for _, q := range pieces {
			want[p+q] = encodeAll(t, alone, p+q)
		}
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for text, ids := range want {
				got, _, err := tok.Encode(text)
				if err != nil || len(got) != len(ids) {
					t.Errorf("%q: %v, want %v", text, got, ids)
					return
				}
				for i := range ids {
					if got[i] != ids[i] {
						t.Errorf("%q: %v, want %v", text, got, ids)
						return
					}
				}
			}
		})
	}
	wg.Wait()
}
