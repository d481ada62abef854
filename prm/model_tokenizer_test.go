package prm

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/goprm/goprm/data/tokenizer"
	"github.com/goprm/goprm/internal/modelfolder"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

// mirrored is a program's own tokenizer: byte b is token 255−b.
type mirrored struct{}

func (mirrored) Encode(text string) (ids []int32, ends []int, err error) {
	for i, b := range []byte(text) {
		ids, ends = append(ids, 255-int32(b)), append(ends, i+1)
	}
	return ids, ends, nil
}

func (mirrored) Decode(ids []int32) (string, error) {
	var text []byte
	for _, id := range ids {
		if id < 0 || id > 255 {
			return "", fmt.Errorf("no token has the id %d", id)
		}
		text = append(text, byte(255-id))
	}
	return string(text), nil
}

func (mirrored) ID(token string) (int32, bool) { return 0, false }
func (mirrored) Token(id int32) (string, bool) { return fmt.Sprintf("<%d>", 255-id), true }
func (mirrored) Size() int                     { return 256 }

// broken returns what no tokenizer may.
type broken struct {
	mirrored
	spoil func(ids []int32, ends []int) ([]int32, []int)
}

func (b broken) Encode(text string) ([]int32, []int, error) {
	ids, ends, err := b.mirrored.Encode(text)
	if len(ids) > 1 {
		ids, ends = b.spoil(ids, ends)
	}
	return ids, ends, err
}

// sized has another vocabulary.
type sized struct {
	mirrored
	size int
}

func (s sized) Size() int { return s.size }

func TestOwnTokenizer(t *testing.T) {
	base := tiny(t, tinymodel.Options{})
	for mode, stores := range map[string]string{"full": modelfolder.StoresModel, "head": modelfolder.StoresHead} {
		plain, c := config(t, base), config(t, base)
		plain.Train, c.Train, c.Tokenizer = mode, mode, mirrored{}
		train(t, plain)
		interrupt(t, c, 3)
		other := again(c)
		other.Tokenizer = nil
		_, err := Train(context.Background(), other)
		require.ErrorContains(t, err, "model (its tokenizer)", "resumed with the folder's")
		c = again(c)
		r := train(t, c)
		require.NotEqual(t, rows(t, plain.Out), rows(t, c.Out), "the folder's tokenizer was used")

		_, err = Open(r.Model, OpenOptions{})
		require.ErrorContains(t, err, "a program's own tokenizer")
		_, err = Open(r.Model, OpenOptions{Tokenizer: sized{size: 255}})
		require.ErrorContains(t, err, "was trained with another")
		_, err = Export(context.Background(), ExportOptions{Model: r.Model, To: ToTokenClassification, Out: filepath.Join(t.TempDir(), "x")})
		require.ErrorContains(t, err, "a program's own tokenizer")
		_, err = os.Stat(filepath.Join(r.Model, "tokenizer.json"))
		require.ErrorIs(t, err, os.ErrNotExist, "a file that does not belong to the model was saved with it")
		m, err := Open(r.Model, OpenOptions{Tokenizer: mirrored{}})
		require.NoError(t, err)
		require.Equal(t, stores, m.card.Stores)
		score, err := m.Score(context.Background(), sums(1, 9)[0])
		require.NoError(t, err)
		require.NotEmpty(t, score.Steps)
		require.NoError(t, m.Close())

		next := config(t, r.Model)
		next.Train, next.Optim.Steps = mode, 1
		_, err = Train(context.Background(), next)
		require.ErrorContains(t, err, "a program's own tokenizer", "trained on with the folder's")
		next.Tokenizer = mirrored{}
		train(t, next)
	}
}

// straight has mirrored's vocabulary and cuts text otherwise.
type straight struct{ mirrored }

func (s straight) Encode(text string) ([]int32, []int, error) {
	ids, ends, err := s.mirrored.Encode(text)
	for i := range ids {
		ids[i] = 255 - ids[i]
	}
	return ids, ends, err
}

func TestFingerprintSeesVocabularyAndTokens(t *testing.T) {
	sums := map[string]bool{}
	like := broken{spoil: func(ids []int32, ends []int) ([]int32, []int) { return ids, ends }}
	for _, tok := range []tokenizer.Tokenizer{mirrored{}, straight{}, sized{size: 255}, like} {
		sum, err := fingerprint(tok)
		require.NoError(t, err)
		sums[sum] = true
	}
	require.Len(t, sums, 3, "the last one does what the first does")
}

// A tokenizer that does what the folder's does, a faster one say, leaves no trace.
func TestOwnTokenizerLikeTheFolders(t *testing.T) {
	base := tiny(t, tinymodel.Options{})
	plain, c := config(t, base), config(t, base)
	tok, err := tokenizer.Open(base)
	require.NoError(t, err)
	c.Tokenizer = struct{ tokenizer.Tokenizer }{tok}
	train(t, plain)
	r := train(t, c)
	require.Equal(t, rows(t, plain.Out), rows(t, c.Out))
	require.Equal(t, weights(t, plain.Out), weights(t, c.Out))
	for _, name := range []string{modelfolder.CardName, "tokenizer.json"} {
		want, err := os.ReadFile(filepath.Join(plain.Out, modelName, name))
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(r.Model, name))
		require.NoError(t, err)
		require.Equal(t, string(want), string(got))
	}
	m, err := Open(r.Model, OpenOptions{Tokenizer: c.Tokenizer})
	require.NoError(t, err)
	require.NoError(t, m.Close())
}

func TestOwnTokenizerThatIsWrong(t *testing.T) {
	base := tiny(t, tinymodel.Options{})
	spoilt := func(spoil func(ids []int32, ends []int) ([]int32, []int)) tokenizer.Tokenizer {
		return broken{spoil: spoil}
	}
	for message, tok := range map[string]tokenizer.Tokenizer{
		"its size is 0":             sized{size: 0},
		"its size is 1000000":       sized{size: 1000000},
		"token 1 has the id 256":    spoilt(func(ids []int32, ends []int) ([]int32, []int) { ids[1] = 256; return ids, ends }),
		"token 0 has the id -1":     spoilt(func(ids []int32, ends []int) ([]int32, []int) { ids[0] = -1; return ids, ends }),
		"token 1 ends at byte 0":    spoilt(func(ids []int32, ends []int) ([]int32, []int) { ends[1] = 0; return ids, ends }),
		"token 0 ends at byte 9999": spoilt(func(ids []int32, ends []int) ([]int32, []int) { ends[0] = 9999; return ids, ends }),
		"the last token ends at":    spoilt(func(ids []int32, ends []int) ([]int32, []int) { return ids[1:], ends[:len(ends)-1] }),
		"ids and ":                  spoilt(func(ids []int32, ends []int) ([]int32, []int) { return ids[1:], ends }),
	} {
		c := config(t, base)
		c.Tokenizer, c.Progress = tok, &bytes.Buffer{}
		_, err := Train(context.Background(), c)
		require.ErrorContains(t, err, message)
		require.ErrorContains(t, err, "tokenizer: ")
	}
}
