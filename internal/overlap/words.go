// Package overlap finds texts that say the same as others: by all their words, by runs of eight words, or by the share of
// short runs of words that two texts have in common.
package overlap

import (
	"hash/fnv"
	"strings"
	"unicode"
)

// Words are the runs of letters, digits and marks of a text, in lower case; everything else only separates them.
func Words(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
	})
}

// Key is a text by its words: equal for texts that differ in case, punctuation and white space alone. A text without words
// is taken as it stands, without white space at its ends.
func Key(text string) string {
	if words := Words(text); len(words) > 0 {
		return strings.Join(words, " ")
	}
	return strings.TrimSpace(text)
}

// GramWords is the length of the runs of words that Grams looks for.
const GramWords = 8

// Grams holds texts, such as a benchmark's problems, to find others that repeat them.
type Grams struct {
	whole map[string]string // key of a text → where it stands
	grams map[string]string
}

// Add takes up a text; where names it.
func (g *Grams) Add(text, where string) {
	if g.whole == nil {
		g.whole, g.grams = map[string]string{}, map[string]string{}
	}
	put := func(m map[string]string, key string) {
		if _, seen := m[key]; !seen {
			m[key] = where
		}
	}
	if key := Key(text); key != "" {
		put(g.whole, key)
	}
	for _, gram := range runs(Words(text), GramWords) {
		put(g.grams, gram)
	}
}

// Texts counts the different texts.
func (g *Grams) Texts() int { return len(g.whole) }

// Find tells whether a text equals one of those held by all its words, or shares a run of eight words with one: where that
// stands, and what they share.
func (g *Grams) Find(text string) (where, shared string, found bool) {
	key := Key(text)
	if where, found = g.whole[key]; found {
		return where, key, true
	}
	for _, gram := range runs(Words(text), GramWords) {
		if where, found = g.grams[gram]; found {
			return where, gram, true
		}
	}
	return "", "", false
}

// runs are the runs of n words; of fewer words there are none.
func runs(words []string, n int) []string {
	var list []string
	for i := 0; i+n <= len(words); i++ {
		list = append(list, strings.Join(words[i:i+n], " "))
	}
	return list
}

func hash(text string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text)) // a hash's Write never fails
	return h.Sum64()
}
