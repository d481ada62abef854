package formats

import (
	"path/filepath"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/tokenizer"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/stretchr/testify/require"
)

// open opens one of the goldens' folders as a format, after an edit.
func open(t *testing.T, name, format string, edit func(f *Folder)) (*Format, error) {
	t.Helper()
	return openFolder(t, filepath.Join("..", "parity", "testdata", "heads", name), format, edit)
}

func openFolder(t *testing.T, dir, format string, edit func(f *Folder)) (*Format, error) {
	t.Helper()
	config, err := hfmodel.ReadConfig(dir)
	require.NoError(t, err)
	weights, err := hfmodel.OpenWeights(dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, weights.Close()) })
	tok, err := tokenizer.Open(dir)
	require.NoError(t, err)
	text, err := data.ReadModelText(dir)
	require.NoError(t, err)
	f := &Folder{Dir: dir, Config: config, Weights: weights, Tokenizer: tok, Text: text}
	if edit != nil {
		edit(f)
	}
	return Open(format, f)
}

func TestFilesThatDoNotMatch(t *testing.T) {
	for _, c := range []struct {
		folder, format string
		edit           func(f *Folder)
		want           string
	}{
		{"rlhflow", "genprm", nil, `format "genprm" is not known`},
		{"rlhflow", "skywork", nil, `tensor "v_head.summary`},
		{"rlhflow", "qwen_math_prm", nil, `tensor "score.`},
		{"rlhflow", "reasonflux_1_5b", nil, "neither reward_head.safetensors nor reward_head.pt is there"},
		{"rlhflow", "rlhflow", func(f *Folder) { f.Text.ChatTemplate = "" }, "the model has no chat template"},
		{"eurus", "eurus", func(f *Folder) { f.Config.VocabSize = 8 }, "they do not belong together"},
		{"pure_linear", "token_classification", func(f *Folder) { f.Text.Special["bos_token"] = "<s>" },
			`the tokenizer lacks its own bos_token "<s>"`},
		{"sequence_dynamic", "pure", nil, `tensor "score.bias" of the head is missing`},
	} {
		_, err := open(t, c.folder, c.format, c.edit)
		require.ErrorContains(t, err, c.want)
	}
	format, err := open(t, "rlhflow", "math_shepherd", nil)
	require.NoError(t, err)
	_, err = format.Render(&data.Trajectory{Problem: "p", Response: "a step"})
	require.ErrorContains(t, err, `the tag " ки" after it is not one token of this tokenizer`)
	_, err = format.Render(&data.Trajectory{Problem: "p"})
	require.ErrorIs(t, err, errNoSteps)
	_, err = format.Render(&data.Trajectory{Problem: "\xff", Response: "a"})
	require.ErrorContains(t, err, "not valid UTF-8")
}

// The two tokens of the answer are the two rows of the head, bad before good, as they lie in the file.
func TestPairTakesTwoRows(t *testing.T) {
	var folder *Folder
	format, err := open(t, "mistral_window", "math_shepherd", func(f *Folder) { folder = f })
	require.NoError(t, err)
	got, ok := format.Tensors("score.weight")
	require.True(t, ok)
	require.Equal(t, []int{2, 32}, got.Info.Shape)
	head, _ := folder.Weights.Lookup("lm_head.weight")
	for i, token := range []string{"▁-", "▁+"} {
		id, ok := folder.Tokenizer.ID(token)
		require.True(t, ok)
		require.Equal(t, head.Bytes[int(id)*64:int(id)*64+64], got.Data[i*64:i*64+64], token)
	}
	_, ok = format.Tensors("score.bias")
	require.False(t, ok)
	// A stored head wins over config.json's tie, as in transformers.
	format, err = open(t, "mistral_window", "math_shepherd", func(f *Folder) { f.Config.TieWordEmbeddings = true })
	require.NoError(t, err)
	tied, _ := format.Tensors("score.weight")
	require.Equal(t, got.Data, tied.Data)
}

func TestNumbered(t *testing.T) {
	f := &Format{cut: cutAt("\n\n")}
	steps := f.steps(&data.Trajectory{Steps: []string{"a"}, ResponseSteps: []string{"b", "Step 3: c"}})
	require.Equal(t, []string{"Step 2: b", "Step 3: Step 3: c"}, numbered(steps[1:]))
	steps = f.steps(&data.Trajectory{Steps: []string{"Step 1: a"}, ResponseSteps: []string{"b"}})
	require.Equal(t, []string{"b"}, numbered(steps[1:]))
	require.Empty(t, numbered(nil))
}

func TestCuts(t *testing.T) {
	thinking, response := cutLines(&data.Trajectory{Thinking: "é\n\nb\n", ResponseSteps: []string{"x\ny", ""}})
	require.Equal(t, []string{"é", "", "b", ""}, thinking.Steps)
	require.Equal(t, []data.Span{{Start: 0, End: 2, CharStart: 0, CharEnd: 1}, {Start: 3, End: 3, CharStart: 2, CharEnd: 2},
		{Start: 4, End: 5, CharStart: 3, CharEnd: 4}, {Start: 6, End: 6, CharStart: 5, CharEnd: 5}}, thinking.Spans)
	require.Equal(t, []string{"x\ny", ""}, response.Steps)
	_, response = cutLines(&data.Trajectory{})
	require.Empty(t, response.Steps)

	for _, c := range []struct {
		t    data.Trajectory
		text string
	}{
		{data.Trajectory{Thinking: " a\n\n\n\nb ", Response: "c"}, " a\n\n\n\nb \n\nc"},
		{data.Trajectory{Steps: []string{"a", "b"}, ResponseSteps: []string{"c"}}, "a\n\nb\n\nc"},
		{data.Trajectory{Response: "a\n\nb\n\n"}, "a\n\nb\n\n"},
	} {
		thinking, response := c.t.Cut("\n\n")
		text, ends := content(thinking, response)
		require.Equal(t, c.text, text)
		begins := starts(thinking, response)
		require.Len(t, begins, len(ends))
		for i, s := range append(append([]string{}, thinking.Steps...), response.Steps...) {
			require.Equal(t, s, text[begins[i]:ends[i]])
		}
	}
}

// An unsplit text with tags, as Math-Shepherd's own data have it, is not tagged twice.
func TestTagsThatAreThere(t *testing.T) {
	format, err := open(t, "mistral_window", "math_shepherd", nil)
	require.NoError(t, err)
	bare, err := format.Render(&data.Trajectory{Problem: "p", ResponseSteps: []string{"one", "two"}})
	require.NoError(t, err)
	tagged, err := format.Render(&data.Trajectory{Problem: "p", ResponseSteps: []string{"Step 1: one ки", "Step 2: two ки"}})
	require.NoError(t, err)
	require.Equal(t, bare, tagged)
	require.Len(t, bare[0].Reads, 2)
}

func TestVersaTags(t *testing.T) {
	format, err := open(t, "versaprm", "versaprm", nil)
	require.NoError(t, err)
	bare, err := format.Render(&data.Trajectory{Problem: "p", Steps: []string{"one"}, ResponseSteps: []string{"two"}})
	require.NoError(t, err)
	spaced, err := format.Render(&data.Trajectory{Problem: "p", Steps: []string{"one \n"}, ResponseSteps: []string{"\n two \n\n\n\n"}})
	require.NoError(t, err)
	require.Equal(t, bare, spaced)
	require.Len(t, bare[0].Reads, 2)
	_, err = format.Render(&data.Trajectory{Problem: "p", Steps: []string{"one \n\n\n\nthree", "two"}})
	require.ErrorContains(t, err, "step 0 contains the step mark")
	_, err = format.Render(&data.Trajectory{Problem: "p \n\n\n\nq", Steps: []string{"one"}})
	require.ErrorContains(t, err, "the problem contains the step mark")
}
