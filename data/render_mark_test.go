package data

import (
	"path/filepath"
	"testing"

	"github.com/goprm/goprm/data/tokenizer"
	"github.com/goprm/goprm/internal/shareddata"
	"github.com/stretchr/testify/require"
)

// Where <extra_0> takes over <|quad_end|>, texts are read as the saved tokenizer reads them: the new name is the mark and refused in
// a step, the old one plain text. A program's own tokenizer cannot be renamed, so both names are refused.
func TestRenamedMarkInText(t *testing.T) {
	tok, err := tokenizer.Open(filepath.Join(shareddata.Dir(t), "data", "tokenizer", "qwen2.5"))
	require.NoError(t, err)
	text := DefaultText()
	text.Template, text.StepMark, text.Read = "none", qwenMark, "mark"
	with := func(step string) *Trajectory {
		return &Trajectory{ID: "a", Problem: "p", ResponseSteps: []string{step}}
	}
	r, err := NewRenderer(text, tok, ModelText{})
	require.NoError(t, err)
	_, _, err = r.Render(with("a <extra_0> b"))
	require.ErrorContains(t, err, `contains the step mark "<extra_0>"`)
	e, _, err := r.Render(with("a <|quad_end|> b"))
	require.NoError(t, err)
	marks := 0
	for _, id := range e.Tokens {
		if id == qwenMarkID {
			marks++
		}
	}
	require.Equal(t, 1, marks, "the step's own")
	require.EqualValues(t, qwenMarkID, e.Tokens[e.Reads[0].Pos])

	own, err := NewRenderer(text, struct{ tokenizer.Tokenizer }{tok}, ModelText{})
	require.NoError(t, err)
	for _, mark := range []string{qwenMark, qwenOldMark} {
		_, _, err = own.Render(with("a " + mark + " b"))
		require.ErrorContains(t, err, "contains the step mark")
	}
	plain, _, err := r.Render(with("a b"))
	require.NoError(t, err)
	same, _, err := own.Render(with("a b"))
	require.NoError(t, err)
	require.Equal(t, plain.Tokens, same.Tokens)
}

// Behind an added token, Metaspace puts "▁" before the text: a token that ends where the mark does, and is not the mark.
func TestMarkBeforeMetaspace(t *testing.T) {
	for _, name := range []string{"always", "first", "never", "llama2", "nfc_metaspace"} {
		tok, err := tokenizer.Open(filepath.Join("tokenizer", "testdata", name+".json"))
		require.NoError(t, err)
		text := DefaultText()
		text.Template, text.StepMark, text.Read, text.Separator = "none", "</s>", "mark", ""
		r, err := NewRenderer(text, tok, ModelText{})
		require.NoError(t, err)
		e, _, err := r.Render(&Trajectory{ID: "a", Problem: "the shelf", ResponseSteps: []string{"q books", "qq", "the end"}})
		require.NoError(t, err, name)
		mark, _ := tok.ID("</s>")
		for i := range 3 {
			require.Equal(t, mark, e.Tokens[e.Reads[i].Pos], "%s: step %d", name, i)
		}
	}
}
