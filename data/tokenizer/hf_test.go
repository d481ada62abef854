//go:build hf_tokenizers

package tokenizer

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode"
	"unicode/utf8"

	daulet "github.com/daulet/tokenizers"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"
	"golang.org/x/text/unicode/rangetable"

	"github.com/goprm/goprm/internal/shareddata"
)

// settled are the characters of Unicode 9, the version of the Rust library's normalisation tables: later ones may
// normalise or split differently there and here, as between any two versions of Unicode.
var settled = rangetable.Assigned("9.0.0")

// hfKinds are the kinds of tokenizer.json that Open reads, made from the Qwen2.5 file by changing its entries.
func hfKinds(t testing.TB) map[string]string {
	data, err := os.ReadFile(filepath.Join(shareddata.Dir(t), "data", "tokenizer", "qwen2.5", "tokenizer.json"))
	require.NoError(t, err)
	text := string(data)
	kinds := map[string]string{"qwen2.5": text}
	for name, pre := range preTokenizers {
		kinds[name] = withEntry(t, text, "pre_tokenizer", pre)
	}
	kinds["no normalizer"] = withEntry(t, text, "normalizer", "null")
	kinds["ignore_merges"] = replaceOnce(t, text, `"ignore_merges":false`, `"ignore_merges":true`)
	kinds["flags"] = withEntry(t, text, "added_tokens", flaggedTokens(151643))
	return kinds
}

// inGo is the Go implementation behind what Open returned.
func inGo(tok Tokenizer) *bpe { return tok.(*hf).bpe }

func openBoth(t testing.TB, file string) (*bpe, Tokenizer) {
	tok := mustOpen(t, file)
	return inGo(tok), tok
}

// TestHF compares with the Rust library on GOPRM_HF_INPUTS generated texts (default 20,000).
func TestHF(t *testing.T) {
	count := 20_000
	if s := os.Getenv("GOPRM_HF_INPUTS"); s != "" {
		var err error
		count, err = strconv.Atoi(s)
		require.NoError(t, err)
	}
	texts := realTexts(t)
	kinds := hfKinds(t)
	for name, file := range kinds {
		t.Run(name, func(t *testing.T) {
			ours, theirs := openBoth(t, file)
			const workers = 2
			share := count/(2*workers*len(kinds)) + 1
			if name == "qwen2.5" {
				share = count/workers - (len(kinds)-1)*share + 1 // half of all, as it is what models use
			}
			var wg sync.WaitGroup
			var differ sync.Once
			for w := range workers {
				wg.Go(func() {
					g := newGenerator(uint64(w), texts, ours)
					for range share {
						text := g.text()
						if diff := compareHF(ours, theirs, text); diff != "" {
							differ.Do(func() { t.Errorf("%q: %s", text, diff) })
							return
						}
					}
				})
			}
			wg.Wait()
			t.Logf("%d texts", share*workers)
		})
	}
}

// compareHF says what differs.
func compareHF(ours *bpe, theirs Tokenizer, text string) string {
	ids, ends, err := ours.Encode(text)
	wantIDs, wantEnds, wantErr := theirs.Encode(text)
	if err != nil || wantErr != nil {
		return fmt.Sprintf("errors %v and %v", err, wantErr)
	}
	if !slices.Equal(ids, wantIDs) || !slices.Equal(ends, wantEnds) {
		return fmt.Sprintf("ids %v, ends %v, want %v and %v", ids, ends, wantIDs, wantEnds)
	}
	// The library's own offsets know whole characters, and no rule for those that normalisation changed.
	if !ours.nfc || norm.NFC.IsNormalString(text) {
		raw := theirs.(*hf).rust.EncodeWithOptions(text, false, daulet.WithReturnOffsets())
		wantEnds = wholeCharacters(raw.Offsets, len(text))
		for i, end := range ends {
			for end < len(text) && !utf8.RuneStart(text[end]) {
				end++
			}
			if end != wantEnds[i] {
				return fmt.Sprintf("ends[%d] = %d, want %d of %v", i, end, wantEnds[i], wantEnds)
			}
		}
	}
	// Any run of ids decodes to the same text, whole characters or not.
	from := len(ids) / 3
	part := ids[from : from+(len(ids)-from+1)/2]
	back, err := ours.Decode(part)
	wantBack, wantErr := theirs.Decode(part)
	if err != nil || wantErr != nil || back != wantBack {
		return fmt.Sprintf("decode(%v) = %q %v, want %q %v", part, back, err, wantBack, wantErr)
	}
	return ""
}

// TestHFEveryCharacter finds the characters that the two split or normalise differently.
func TestHFEveryCharacter(t *testing.T) {
	kinds := hfKinds(t)
	for _, name := range []string{"qwen2.5", "smollm2"} { // every table of either side has a part in one of them
		t.Run(name, func(t *testing.T) {
			ours, theirs := openBoth(t, kinds[name])
			later := 0
			for r := rune(1); r < 0xe0200; r++ {
				if 0xd800 <= r && r < 0xf900 || 0x32400 <= r && r < 0xe0000 { // surrogates, private use, not assigned
					continue
				}
				c := string(r)
				text := "a" + c + "b " + c + c + " 1" + c + "2\n" + c + "!" + c + " '" + c + "  " + c
				if diff := compareHF(ours, theirs, text); diff != "" {
					if unicode.Is(settled, r) {
						t.Errorf("U+%04X: %s", r, diff)
					}
					later++
				}
			}
			t.Logf("%d characters from after Unicode 9 differ", later)
		})
	}
}

// generator makes texts of everything a tokenizer may stumble over.
type generator struct {
	*rand.Rand
	real   []string
	added  []string
	scalar []rune // settled characters
}

func newGenerator(seed uint64, real []string, tok *bpe) *generator {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 7)), real: real}
	for content := range tok.added {
		g.added = append(g.added, content)
	}
	rangetable.Visit(settled, func(r rune) {
		if r != 0 && utf8.ValidRune(r) {
			g.scalar = append(g.scalar, r)
		}
	})
	return g
}

func (g *generator) pick(from []rune) string {
	return string(from[g.IntN(len(from))])
}

var (
	spaceRunes = []rune(" \t\n\r\v\f\u0085\u00a0\u1680\u2003\u2028\u202f\u3000")
	digitRunes = []rune("0123456789٣५५৭Ⅷ²½一")
	quoteRunes = []rune("'’sStTrReEvVmMlLdDſK")
	markRunes  = []rune("aeou\u0300\u0301\u0308\u0323\u0327\u0345가각\u1100\u1161\u11a8\u09c7\u09be\u0b47\u0b56\u0344Åé\u0958\u2126")
	asciiRunes = []rune("abcXYZ019 .,;:!?-_=+*/\\{}[]()<>|&%$#@~^\"'`\n\t")
)

func (g *generator) text() string {
	var b strings.Builder
	for range 1 + g.IntN(8) {
		alphabet := g.scalar
		switch g.IntN(9) {
		case 0:
			text := g.real[g.IntN(len(g.real))]
			from := g.IntN(len(text) + 1)
			to := min(len(text), from+g.IntN(200))
			b.WriteString(strings.ReplaceAll(strings.ToValidUTF8(text[from:to], ""), "\x00", ""))
			continue
		case 1:
			b.WriteString(strings.Repeat(" ", g.IntN(2)) + g.added[g.IntN(len(g.added))] + strings.Repeat("\n", g.IntN(2)))
			continue
		case 2:
			alphabet = spaceRunes
		case 3:
			alphabet = digitRunes
		case 4:
			alphabet = quoteRunes
		case 5:
			alphabet = markRunes
		case 6, 7:
			alphabet = asciiRunes
		}
		n := 1 + g.IntN(12)
		if g.IntN(50) == 0 {
			n = 100
		}
		same := g.IntN(6) == 0
		c := g.pick(alphabet)
		for range n {
			b.WriteString(c)
			if !same {
				c = g.pick(alphabet)
			}
		}
	}
	return b.String()
}
