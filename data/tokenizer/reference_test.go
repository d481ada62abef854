package tokenizer

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"
)

// The slow reference: every rule as its definition says it, nothing shared with the package but the parsed tables.

// anchored are the alternatives of a pattern, in order, for the beginning of a text. The lookahead \s+(?!\S) is
// written out in firstPiece, since Go's regexp does not have it.
func anchored(pattern string) []*regexp.Regexp {
	var out []*regexp.Regexp
	for _, alternative := range splitAlternatives(pattern) {
		if alternative == `\s+(?!\S)` {
			out = append(out, nil)
			continue
		}
		// RE2's \s is ASCII; the patterns mean White_Space.
		space := `\t\n\v\f\r \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}`
		alternative = strings.ReplaceAll(alternative, `[^\s`, `[^`+space)
		alternative = strings.ReplaceAll(alternative, `\s`, `[`+space+`]`)
		out = append(out, regexp.MustCompile(`^(?:`+alternative+`)`))
	}
	return out
}

// splitAlternatives cuts a pattern at the bars outside of parentheses.
func splitAlternatives(pattern string) []string {
	var out []string
	depth, from := 0, 0
	for i := range len(pattern) {
		switch pattern[i] {
		case '(':
			depth++
		case ')':
			depth--
		case '|':
			if depth == 0 {
				out = append(out, pattern[from:i])
				from = i + 1
			}
		}
	}
	return append(out, pattern[from:])
}

var allSpace = regexp.MustCompile(`^[\t\n\v\f\r \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]+$`)

// firstPiece returns the length of the first alternative that matches at the beginning of s.
func firstPiece(alternatives []*regexp.Regexp, s string) int {
	for _, re := range alternatives {
		if re != nil {
			if m := re.FindStringIndex(s); m != nil {
				return m[1]
			}
			continue
		}
		// \s+(?!\S): the longest white space that is not followed by another character.
		for end := len(s); end > 0; end-- {
			next := end < len(s) && utf8.RuneStart(s[end]) && !allSpace.MatchString(string([]rune(s[end:])[:1]))
			if !next && allSpace.MatchString(s[:end]) {
				return end
			}
		}
	}
	return 0
}

// cutBy cuts a text by a pattern.
func cutBy(pattern string) func(string) []string {
	alternatives := anchored(pattern)
	return func(s string) (pieces []string) {
		for len(s) > 0 {
			n := firstPiece(alternatives, s)
			pieces = append(pieces, s[:n])
			s = s[n:]
		}
		return pieces
	}
}

// cutDigits cuts a text around each digit and what is between digits by GPT-2's pattern.
func cutDigits(s string) (pieces []string) {
	between := cutBy(patternGPT2)
	from := 0
	for _, m := range regexp.MustCompile(`\p{N}`).FindAllStringIndex(s, -1) {
		pieces = append(append(pieces, between(s[from:m[0]])...), s[m[0]:m[1]])
		from = m[1]
	}
	return append(pieces, between(s[from:])...)
}

// slowMerge merges, again and again, the leftmost pair of the lowest rank.
func slowMerge(tok *bpe, word string) []int32 {
	var ids []int32
	if id, ok := tok.whole[word]; ok {
		return []int32{id}
	}
	for i := range len(word) {
		ids = append(ids, tok.byteID[word[i]])
	}
	for {
		best, at := int32(-1), -1
		for i := range len(ids) - 1 {
			if rank, ok := tok.rank[pairKey(ids[i], ids[i+1])]; ok && (at < 0 || rank < best) {
				best, at = rank, i
			}
		}
		if at < 0 {
			return ids
		}
		ids = append(append(append([]int32(nil), ids[:at]...), tok.result[best]), ids[at+2:]...)
	}
}

// slowEncode is for tokenizers whose added tokens have no flags.
func slowEncode(tok *bpe, cut func(string) []string, text string) []int32 {
	plain := func(s string) (ids []int32) {
		for _, piece := range cut(standardNFC(s)) {
			ids = append(ids, slowMerge(tok, piece)...)
		}
		return ids
	}
	var ids []int32
	from := 0
	for i := 0; i < len(text); {
		best := ""
		for content := range tok.added {
			if strings.HasPrefix(text[i:], content) && len(content) > len(best) {
				best = content
			}
		}
		if best == "" {
			i++
			continue
		}
		ids = append(append(ids, plain(text[from:i])...), tok.added[best])
		i += len(best)
		from = i
	}
	return append(ids, plain(text[from:])...)
}

// longestMarks is the length of the longest run of combining marks in the decomposed text.
func longestMarks(s string) int {
	longest, run := 0, 0
	for _, r := range s {
		for _, d := range norm.NFD.String(string(r)) {
			if norm.NFD.PropertiesString(string(d)).CCC() == 0 {
				run = 0
				continue
			}
			run++
			longest = max(longest, run)
		}
	}
	return longest
}

// standardNFC is UAX #15 by its definitions D115 to D117, quadratic.
func standardNFC(s string) string {
	ccc := func(r rune) uint8 { return norm.NFC.PropertiesString(string(r)).CCC() }
	var c []rune
	for _, r := range s {
		c = append(c, []rune(norm.NFD.String(string(r)))...)
	}
	for swapped := true; swapped; { // canonical order, by exchanging neighbours
		swapped = false
		for i := 1; i < len(c); i++ {
			if a, b := ccc(c[i-1]), ccc(c[i]); b > 0 && a > b {
				c[i-1], c[i] = c[i], c[i-1]
				swapped = true
			}
		}
	}
	for i := 1; i < len(c); i++ {
		last := -1 // the last starter before i
		for k := i - 1; k >= 0; k-- {
			if ccc(c[k]) == 0 {
				last = k
				break
			}
		}
		if last < 0 {
			continue
		}
		blocked := false
		for k := last + 1; k < i; k++ {
			blocked = blocked || ccc(c[k]) == 0 || ccc(c[k]) >= ccc(c[i])
		}
		joined := []rune(norm.NFC.String(string([]rune{c[last], c[i]})))
		if !blocked && len(joined) == 1 {
			c[last] = joined[0]
			c = append(c[:i], c[i+1:]...)
			i--
		}
	}
	return string(c)
}

// small opens a tokenizer of our own with rules that overlap and depend on each other.
func small(t testing.TB, pre string) *bpe {
	t.Helper()
	merges := []string{
		"a b", "b c", "ab c", "a bc", "Ġ a", "a a", "aa aa", "aa a", "Ġ Ġ", "ĠĠ ĠĠ", "Ċ Ċ", "Ã ©", "Ì ģ", "1 2", "e r",
		"Ġ t", "t h", "Ġt h",
		"h e", "Ġth e", "' s",
		"à ¦", "à §", "à§ ĩ", "i n", "in g",
	}
	data, err := Bytes(merges, []string{"<|im_end|>", "<|im", "<x>", "🙂é", "ab<"})
	require.NoError(t, err)
	file := string(data)
	if pre != "" {
		file = withEntry(t, file, "pre_tokenizer", pre)
	}
	path := filepath.Join(t.TempDir(), "tokenizer.json")
	require.NoError(t, os.WriteFile(path, []byte(file), 0o600))
	tok, err := Open(filepath.Dir(path))
	require.NoError(t, err)
	return inGo(tok)
}

// pieces that generated texts are made of.
var pieces = []string{
	"a", "b", "c", "abc", "aaaa", " ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u2003", "1", "12", "٣", "½", "Ⅷ",
	"'s", "'S", "'ſ", "'re", "'LL",
	"'", "the", " the", "thing",
	"é", "e\u0301", "\u0301", "\u0323", "\u0344", "가", "\u1100\u1161", "\u11a8", "ক", "\u09c7", "\u09be", "\u0958",
	"\u212b", "🙂", "🙂é",
	"🙂e\u0301", "<", "|", ">", "<x>", "<|im", "<|im_end|>", "ab<",
	"x.", "!!", "...\n", "\x00", "\ufffd", "日本", "\\frac{1}{2}", strings.Repeat("\u0301\u0323", 17),
	"A\u0327" + strings.Repeat("\u0301", 40),
}

func checkAgainstReference(t testing.TB, tok *bpe, cut func(string) []string, text string) {
	ids, ends, err := tok.Encode(text)
	if !utf8.ValidString(text) {
		require.ErrorContains(t, err, "invalid UTF-8 at byte ")
		return
	}
	require.NoError(t, err)
	require.Equal(t, slowEncode(tok, cut, text), append([]int32(nil), ids...), "%q", text)
	require.Len(t, ends, len(ids))
	require.Equal(t, cut(text), cutFast(tok.stages, text), "%q", text)
	start := 0
	for i, end := range ends {
		require.GreaterOrEqual(t, end, start, "%q %v", text, ends)
		start = end
		// Where a token ends at a character, the tokens so far are the text so far.
		if i+1 < len(ends) && ends[i+1] > end && utf8.RuneStart(text[end]) {
			back, err := tok.Decode(ids[:i+1])
			require.NoError(t, err)
			require.Equal(t, standardNFC(text[:end]), standardNFC(back), "%q token %d", text, i)
		}
	}
	require.Equal(t, len(text), start)
	back, err := tok.Decode(ids)
	require.NoError(t, err)
	require.Equal(t, standardNFC(text), standardNFC(back))
}

// cutFast is what the scanners make of a text.
func cutFast(stages []splitter, text string) (pieces []string) {
	if len(stages) == 0 {
		return []string{text}
	}
	for len(text) > 0 {
		n := stages[0](text)
		pieces = append(pieces, cutFast(stages[1:], text[:n])...)
		text = text[n:]
	}
	return pieces
}

// TestMergeAgainstReference merges words of two letters by rules that come in no good order.
func TestMergeAgainstReference(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		tokens, merges := []string{"a", "b"}, []string(nil)
		seen := map[string]bool{}
		for range 12 {
			left, right := tokens[r.IntN(len(tokens))], tokens[r.IntN(len(tokens))]
			if m := left + " " + right; !seen[m] {
				seen[m] = true
				merges = append(merges, m)
				tokens = append(tokens, left+right)
			}
		}
		data, err := Bytes(merges, nil)
		require.NoError(t, err)
		tok := inGo(mustOpen(t, string(data)))
		for i := range tok.result { // ranks in any order: a merge may come before those it needs
			j := r.IntN(i + 1)
			for key, rank := range tok.rank {
				switch int(rank) {
				case i:
					tok.rank[key] = int32(j)
				case j:
					tok.rank[key] = int32(i)
				}
			}
			tok.result[i], tok.result[j] = tok.result[j], tok.result[i]
		}
		for range 100 {
			word := make([]byte, 1+r.IntN(20))
			for i := range word {
				word[i] = "ab"[r.IntN(2)]
			}
			require.Equal(t, slowMerge(tok, string(word)), append([]int32(nil), encodeAll(t, tok, string(word))...), "%q %q", merges, word)
		}
	}
}

// references are tokenizers of every kind, each with the slow way to cut a text.
func references(t testing.TB) map[*bpe]func(string) []string {
	return map[*bpe]func(string) []string{
		small(t, ""):                       cutBy(patternQwen2),
		small(t, preTokenizers["llama3"]):  cutBy(patternLlama3),
		small(t, preTokenizers["gpt2"]):    cutBy(patternGPT2),
		small(t, preTokenizers["smollm2"]): cutDigits,
	}
}

func FuzzEncode(f *testing.F) {
	for _, p := range pieces {
		f.Add(p)
		f.Add("a" + p + p + " b")
	}
	f.Add("ab\xffc")
	kinds := references(f)
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1000 {
			return // the reference is cubic
		}
		for tok, cut := range kinds {
			checkAgainstReference(t, tok, cut, text)
		}
	})
}

func TestEncodeAgainstReference(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	kinds := references(t)
	for range 500 {
		var b strings.Builder
		for range r.IntN(10) {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
		for tok, cut := range kinds {
			checkAgainstReference(t, tok, cut, b.String())
		}
	}
}

func FuzzNFC(f *testing.F) {
	for _, p := range pieces {
		f.Add(p + "e" + p + p)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) || len(s) > 2000 {
			return
		}
		out, rewrites := nfc(s)
		require.Equal(t, standardNFC(s), out)
		if longestMarks(s) <= 30 {
			require.Equal(t, norm.NFC.String(s), out)
		}
		n, o := 0, 0
		for _, w := range rewrites {
			require.Equal(t, s[o:w.origStart], out[n:w.normStart])
			require.Equal(t, standardNFC(s[w.origStart:w.origEnd]), out[w.normStart:w.normEnd])
			n, o = w.normEnd, w.origEnd
		}
		require.Equal(t, s[o:], out[n:])
	})
}
