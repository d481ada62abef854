package tokenizer_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/tokenizer"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

func TestStepTokensInThePolicysOwnTokens(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	require.NoError(t, tinymodel.Write(dir, tinymodel.Options{}))
	tok, err := tokenizer.Open(dir)
	require.NoError(t, err)
	text := "Zwei é.\n\nDrei 😀!"
	ids, want, err := tok.Encode(text)
	require.NoError(t, err)
	got, ends, err := tokenizer.TokenEnds(tok, ids)
	require.NoError(t, err)
	require.Equal(t, text, got)
	whole := 0
	for i, end := range want { // tokens of this tokenizer are single bytes: inside a character nothing is whole yet
		if data.Split(text[:end], "")[0].End == end && strings.ToValidUTF8(text[:end], "") == text[:end] {
			whole = end
		}
		require.Equal(t, whole, ends[i], "token %d", i)
	}
	var stepEnds []int
	for _, s := range data.Split(text, "\n\n") {
		stepEnds = append(stepEnds, s.End)
	}
	at, err := tokenizer.StepTokens(ends, stepEnds)
	require.NoError(t, err)
	require.Equal(t, []int{len("Zwei é.") - 1, len(text) - 1}, at)

	at, err = tokenizer.StepTokens([]int{3, 9, 12}, []int{3, 4, 10, 12})
	require.NoError(t, err)
	require.Equal(t, []int{0, 1, 2, 2}, at, "an end inside a token is that token's")
	_, err = tokenizer.StepTokens([]int{3}, []int{4})
	require.ErrorContains(t, err, "past the last token")
	_, err = tokenizer.StepTokens([]int{3}, []int{2, 1})
	require.ErrorContains(t, err, "step 1")

	// Broken bytes at the end and in between stay broken, and end the search for a whole character.
	broken := append([]int32{}, ids[5], ids[5], ids[5], ids[5], ids[5], ids[0])
	got, ends, err = tokenizer.TokenEnds(tok, broken)
	require.NoError(t, err)
	require.Len(t, ends, len(broken))
	require.Contains(t, got, "Z")
	require.Equal(t, len(got), ends[len(ends)-1])
	_, _, err = tokenizer.TokenEnds(tok, []int32{1 << 30})
	require.ErrorContains(t, err, "token 0")
}

// The released GRPO code takes the head's output at the last valid token, of the first text of a batch only, and cuts long
// texts off. Here every text of a batch has its own scores, read at its own steps, and one that is too long is an error.
