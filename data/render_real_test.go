package data

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/goprm/goprm/data/tokenizer"
	"github.com/goprm/goprm/internal/shareddata"
)

var openOnce = sync.OnceValues(func() (tokenizer.Tokenizer, error) { return tokenizer.Open(qwenDir) })

var qwenDir string

// qwen opens Qwen2.5's tokenizer, once for all tests, and returns the folder of tokenizer data.
func qwen(t *testing.T) (tokenizer.Tokenizer, string) {
	t.Helper()
	dir := filepath.Join(shareddata.Dir(t), "data/tokenizer")
	qwenDir = filepath.Join(dir, "qwen2.5")
	tok, err := openOnce()
	require.NoError(t, err)
	return tok, dir
}

func realTemplate(t *testing.T, dir, name string) ModelText {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "chat_templates", name))
	require.NoError(t, err)
	return ModelText{ChatTemplate: string(b), MaxPositions: 32768}
}

// TestQwenDefaults has the whole text with the read-outs, and the ids of the tokens that are read.
func TestQwenDefaults(t *testing.T) {
	tok, dir := qwen(t)
	r, err := NewRenderer(DefaultText(), tok, realTemplate(t, dir, "qwen2.5-instruct.jinja"))
	require.NoError(t, err)
	tr := &Trajectory{ID: "q", Problem: "What is 2+2?", Thinking: "Two and two.\n\nThat is 4", Response: "It is 4.",
		Labels: Labels{Steps: []*float64{Float(0.999), nil, Float(1)}, Trajectory: Float(0.7)}}
	e, dropped, err := r.Render(tr)
	require.NoError(t, err)
	require.Zero(t, dropped)
	s, err := r.Marked(e)
	require.NoError(t, err)
	require.Equal(t, "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"+
		"<|im_start|>user\nWhat is 2+2?<|im_end|>\n<|im_start|>assistant\n<think>\nTwo and two.\n\n⟦thinking 0 = 0.999⟧"+
		"That is 4\n\n⟦thinking "+
		"1⟧</think>\n\n"+
		"It is 4.\n\n⟦response 2 = 1⟧<|im_end|>⟦final = 0.7⟧\n", s)
	var read []int32
	for _, x := range e.Reads {
		read = append(read, e.Tokens[x.Pos])
	}
	require.Equal(t, []int32{382, 271, 382, 151645}, read, `".\n\n" twice, "\n\n" after a digit, <|im_end|>`)
	require.Empty(t, r.Warnings([]*Example{e}))
	id, ok := r.StepMark()
	require.False(t, ok)
	require.Zero(t, id)

	whole, _, err := tok.Encode(strings.NewReplacer("⟦thinking 0 = 0.999⟧", "", "⟦thinking 1⟧", "",
		"⟦response 2 = 1⟧", "", "⟦final = 0.7⟧",
		"").Replace(s))
	require.NoError(t, err)
	require.Equal(t, whole, e.Tokens, "joined is the tokenizer's own view of the whole text")

	_, _, err = r.Render(&Trajectory{Problem: "P", Thinking: "a\n\n\nb"})
	require.ErrorContains(t, err, `reaches across the end of thinking step 0 with its separator; set text.tokenize: pieces`)
}

// TestQwenStepMark is the text of Qwen2.5-Math-PRM, whose mark takes over a token.
func TestQwenStepMark(t *testing.T) {
	tok, dir := qwen(t)
	o := DefaultText()
	o.StepMark, o.Read, o.Separator, o.ThinkTags = "<extra_0>", "mark", "", nil
	for _, o.Tokenize = range []string{"joined", "pieces"} {
		r, err := NewRenderer(o, tok, realTemplate(t, dir, "qwen2.5-instruct.jinja"))
		require.NoError(t, err)
		id, ok := r.StepMark()
		require.True(t, ok)
		require.Equal(t, int32(151651), id)
		from, to, id, ok := r.Rename()
		require.True(t, ok)
		require.Equal(t, []any{"<|quad_end|>", "<extra_0>", int32(151651)}, []any{from, to, id})
		e, _, err := r.Render(&Trajectory{Problem: "P", Steps: []string{"one", "two"}})
		require.NoError(t, err)
		s, err := r.Marked(e)
		require.NoError(t, err)
		require.True(t, strings.HasSuffix(s, "<|im_start|>assistant\none<extra_0>⟦thinking 0⟧two<extra_0>⟦thinking 1⟧"+
			"<|im_end|>⟦final⟧\n"), s)
		require.Equal(t, int32(151651), e.Tokens[e.Reads[0].Pos])
		_, _, err = r.Render(&Trajectory{Problem: "P", Steps: []string{"one <extra_0>"}})
		require.ErrorContains(t, err, "thinking step 0 contains the step mark")
		plain, _, err := r.Render(&Trajectory{Problem: "P", Steps: []string{"one <|quad_end|>"}})
		require.NoError(t, err, "the name that the mark has lost is text like any other")
		require.Len(t, plain.Reads, 2)
	}
	o.StepMark = "<extra_1>"
	_, err := NewRenderer(o, tok, realTemplate(t, dir, "qwen2.5-instruct.jinja"))
	require.EqualError(t, err, `text.step_mark: "<extra_1>" is not one token of this tokenizer`)
	o.StepMark, o.Read = "<|quad_end|>", "mark"
	r, err := NewRenderer(o, tok, realTemplate(t, dir, "qwen2.5-instruct.jinja"))
	require.NoError(t, err)
	_, _, _, ok := r.Rename()
	require.False(t, ok, "by its own name it is no renaming")
}

func TestRealTemplates(t *testing.T) {
	tok, dir := qwen(t)
	tr := &Trajectory{ID: "x", Problem: "P", Thinking: "one\n\ntwo", Response: "so"}
	r, err := NewRenderer(DefaultText(), tok, realTemplate(t, dir, "deepseek-r1-distill-qwen.jinja"))
	require.NoError(t, err)
	_, _, err = r.Render(tr)
	require.EqualError(t, err, `trajectory "x": thinking step 0 ("one\n\n") is not in the text that the model's chat template renders, or `+
		`not whole; `+
		`use text.template: none or a literal with {problem}`)
	r, err = NewRenderer(DefaultText(), tok, realTemplate(t, dir, "smollm2-instruct.jinja"))
	require.NoError(t, err)
	e, _, err := r.Render(tr)
	require.NoError(t, err)
	s, err := r.Marked(e)
	require.NoError(t, err)
	require.True(t, strings.HasSuffix(s, "assistant\n<think>\none\n\n⟦thinking 0⟧two\n\n⟦thinking 1⟧</think>\n\nso\n\n⟦response "+
		"2⟧<|im_end|>⟦final⟧\n"), s)
}

// TestPRM800KText is the text of the small real target: every piece tokenised on its own, ids joined, read at the last token of the last
// step.
func TestPRM800KText(t *testing.T) {
	tok, dir := qwen(t)
	o := DefaultText()
	o.Template, o.Tokenize = "<|im_start|>user\n{problem}<|im_end|>\n<|im_start|>assistant\n", "pieces"
	r, err := NewRenderer(o, tok, ModelText{MaxPositions: 8192})
	require.NoError(t, err)
	var plain, tree int
	var examples []*Example
	for tr, err := range Read([]string{filepath.Join(dir, "../steps/prm800k/phase1_train_plus_steps.jsonl.gz")}, ReadOptions{}) {
		require.NoError(t, err)
		e, _, err := r.Render(tr)
		require.NoError(t, err)
		want, _, err := tok.Encode("<|im_start|>user\n" + tr.Problem + "<|im_end|>\n<|im_start|>assistant\n")
		require.NoError(t, err)
		for i, s := range tr.ResponseSteps {
			ids, _, err := tok.Encode(s + "\n\n")
			require.NoError(t, err)
			want = append(want, ids...)
			require.Equal(t, int32(len(want)-1), e.Reads[i].Pos)
			require.Equal(t, i == len(tr.ResponseSteps)-1 && len(tr.Labels.Steps) > 0, e.Reads[i].HasTarget)
		}
		require.Equal(t, want, e.Tokens)
		examples = append(examples, e)
		plain += len(want)
		if len(examples) == 400 {
			break
		}
	}
	batches, err := PackTree(examples, 4096)
	require.NoError(t, err)
	checkTree(t, examples, batches)
	for _, b := range batches {
		tree += len(b.Tokens)
	}
	require.Less(t, float64(tree), float64(plain)/3, "candidates of one step share their beginning")
}

// TestReadsFollowTheText renders random steps and decodes what is up to each read-out: it must be the text up to that step's end.
func TestReadsFollowTheText(t *testing.T) {
	tok, dir := qwen(t)
	rng := rand.New(rand.NewPCG(3, 4))
	alphabet := []string{"a", " b", "42", ".", "\n", "\n\n", " ", "二", "😀", "é", "<think>", "$x$", "  ", "\t", "'s", "Wait"}
	crossed, renderers := 0, map[string]*Renderer{} // with a mark the tokenizer's file is read anew
	for n := range 400 {
		o := DefaultText()
		o.Tokenize = []string{"joined", "pieces"}[n%2]
		o.Order = []string{"thinking_first", "response_first"}[n/2%2]
		o.Separator = []string{"\n\n", "\n", ""}[n/4%3]
		if n%5 == 0 {
			o.StepMark = "<extra_0>"
		}
		if n%10 == 0 {
			o.Read = "mark"
		}
		r := renderers[fmt.Sprint(o)]
		if r == nil {
			var err error
			r, err = NewRenderer(o, tok, realTemplate(t, dir, "qwen2.5-instruct.jinja"))
			require.NoError(t, err)
			renderers[fmt.Sprint(o)] = r
		}
		tr := &Trajectory{Problem: "P?"}
		step := func() string {
			s := "x"
			for range rng.IntN(5) {
				s += alphabet[rng.IntN(len(alphabet))]
			}
			return s
		}
		for range 1 + rng.IntN(3) {
			tr.Steps = append(tr.Steps, step())
		}
		for range rng.IntN(3) {
			tr.ResponseSteps = append(tr.ResponseSteps, step())
		}
		e, _, err := r.Render(tr)
		if err != nil {
			require.ErrorContains(t, err, "reaches across the end of")
			require.Equal(t, "joined", o.Tokenize)
			crossed++
			continue
		}
		head := "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n<|im_start|>user\nP" +
			"?<|im_end|>\n<|im_start|>assistant\n"
		at, want := head, map[int]string{}
		add := func(from int, steps []string) {
			for i, s := range steps {
				at += s + o.Separator
				want[from+i] = at
				if o.StepMark != "" {
					at += "<|quad_end|>"
				}
				if o.Read == "mark" {
					want[from+i] = at
				}
			}
		}
		if o.Order == "response_first" {
			add(len(tr.Steps), tr.ResponseSteps)
		}
		at += "<think>\n"
		add(0, tr.Steps)
		at += "</think>\n\n"
		if o.Order == "thinking_first" {
			add(len(tr.Steps), tr.ResponseSteps)
		}
		at += "<|im_end|>"
		want[-1] = at
		require.Len(t, e.Reads, len(want))
		for _, read := range e.Reads {
			got, err := tok.Decode(e.Tokens[:read.Pos+1])
			require.NoError(t, err)
			require.Equal(t, want[read.Index], got, "%d: read-out %d", n, read.Index)
		}
	}
	require.Greater(t, crossed, 5)
	require.Less(t, crossed, 150)
}
