package overlap

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestKey(t *testing.T) {
	require.Equal(t, "what is 2 3", Key("  What is $2+3$?\n"))
	require.Equal(t, "größe नमस्ते", Key("Größe—नमस्ते!"))
	require.Equal(t, "+-?", Key(" +-? "))
	require.Empty(t, Key(" "))
}

func TestGrams(t *testing.T) {
	var g Grams
	_, _, found := g.Find("anything")
	require.False(t, found)
	g.Add("One two three four, five six seven eight nine.", "long")
	g.Add("What is 2+2?", "short")
	require.Equal(t, 2, g.Texts())
	for text, want := range map[string]string{
		"Before it: ONE two three four five six seven EIGHT": "long",
		"two three four five six seven eight nine and more":  "long",
		"one two three four five six seven, then eight":      "",
		"what is 2 + 2":          "short",
		"what is 2 + 2 and more": "", // shorter than a run: only the whole counts
		"":                       "",
	} {
		where, shared, found := g.Find(text)
		require.Equal(t, want, where, text)
		require.Equal(t, want != "", found)
		require.Equal(t, found, shared != "")
	}
}

// jaccard is the share of runs in common, by sets.
func jaccard(a, b string) float64 {
	set := func(text string) map[string]bool {
		words, m := strings.Fields(text), map[string]bool{}
		for i := 0; i+3 <= len(words); i++ {
			m[strings.Join(words[i:i+3], " ")] = true
		}
		return m
	}
	x, y, both := set(a), set(b), 0
	for k := range x {
		if y[k] {
			both++
		}
	}
	return float64(both) / float64(len(x)+len(y)-both)
}

func TestSimilarityEstimatesJaccard(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	text := func() []string {
		var words []string
		for range 60 {
			words = append(words, fmt.Sprint("w", r.IntN(1000)))
		}
		return words
	}
	sum, n := 0.0, 0
	for range 60 {
		a := text()
		b := append([]string{}, a...)
		for range r.IntN(12) {
			b[r.IntN(len(b))] = "changed"
		}
		x, y := strings.Join(a, " "), strings.Join(b, " ")
		sx, sy := Sign(x), Sign(y)
		want := jaccard(x, y)
		require.InDelta(t, want, sx.Similarity(&sy), 0.18, "four standard errors")
		sum, n = sum+sx.Similarity(&sy)-want, n+1
		var index Index
		index.Add("a", sx)
		_, near := index.Near(&sy, 0.8)
		require.Equal(t, sx.Similarity(&sy) >= 0.8, near)
	}
	require.InDelta(t, 0, sum/float64(n), 0.02, "no bias")
	s, other := Sign("a b"), Sign("A, b!")
	require.Equal(t, s, other)
	empty := Sign("")
	require.Equal(t, 1.0, empty.Similarity(&empty))
}

func TestIndexReturnsTheFirst(t *testing.T) {
	var index Index
	for i := range 5 {
		index.Add(fmt.Sprint(i), Sign(fmt.Sprintf("the same text over and over again with a number at the end %d", i/2)))
	}
	s := Sign("the same text over and over again with a number at the end 1")
	name, found := index.Near(&s, 0.99)
	require.True(t, found)
	require.Equal(t, "2", name)
	s = Sign("nothing like it at all")
	_, found = index.Near(&s, 0.5)
	require.False(t, found)
}
