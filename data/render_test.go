package data

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// fakeTokenizer has the 256 bytes as tokens, and words, found greedily (the longest first), from id 256 on.
type fakeTokenizer struct{ words []string }

func (f fakeTokenizer) Encode(text string) (ids []int32, ends []int, err error) {
	for at := 0; at < len(text); {
		id, n := int32(text[at]), 1
		for i, w := range f.words {
			if len(w) > n && strings.HasPrefix(text[at:], w) {
				id, n = int32(256+i), len(w)
			}
		}
		at += n
		ids, ends = append(ids, id), append(ends, at)
	}
	return ids, ends, nil
}

func (f fakeTokenizer) Decode(ids []int32) (string, error) {
	var b strings.Builder
	for _, id := range ids {
		w, ok := f.Token(id)
		if !ok {
			return "", errors.New("no such token")
		}
		b.WriteString(w)
	}
	return b.String(), nil
}

func (f fakeTokenizer) ID(token string) (int32, bool) {
	for i, w := range f.words {
		if w == token {
			return int32(256 + i), true
		}
	}
	if len(token) == 1 {
		return int32(token[0]), true
	}
	return 0, false
}

func (f fakeTokenizer) Token(id int32) (string, bool) {
	if id < 256 {
		return string([]byte{byte(id)}), true
	}
	if int(id) < 256+len(f.words) {
		return f.words[id-256], true
	}
	return "", false
}

func (f fakeTokenizer) Size() int { return 256 + len(f.words) }

var words = fakeTokenizer{[]string{"<s>", "</s>", "<m>"}}

const chatSource = "{% for m in messages %}{{ '<s>' + m.role + ':' + m.content + '</s>\n' }}{% endfor %}"

var chatModel = ModelText{ChatTemplate: chatSource, MaxPositions: 1000}

func text(change func(*TextOptions)) TextOptions {
	o := DefaultText()
	o.Separator, o.Split, o.ThinkTags, o.Join = "\n", "\n", []string{"<t>", "</t>"}, "#"
	if change != nil {
		change(&o)
	}
	return o
}

func sample() *Trajectory {
	return &Trajectory{ID: "x", Problem: "P", Thinking: "a\n\nbé", Response: "c\n",
		Labels: Labels{Steps: []*float64{Float(0.999), nil, Float(0)}, Weights: []*float64{nil, nil, Float(0.5)}, Trajectory: Float(0.25),
			TrajectoryWeight: Float(2)}}
}

func marked(t *testing.T, o TextOptions, tr *Trajectory) string {
	t.Helper()
	r, err := NewRenderer(o, words, chatModel)
	require.NoError(t, err)
	e, dropped, err := r.Render(tr)
	require.NoError(t, err)
	require.Zero(t, dropped)
	s, err := r.Marked(e)
	require.NoError(t, err)
	return s
}

// TestTextKeys writes out, for each key, the whole text with the read-outs where they must be.
func TestTextKeys(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*TextOptions)
		want   string
	}{
		"defaults": {nil, "<s>user:P</s>\n<s>assistant:<t>a\n⟦thinking 0 = 0.999⟧bé\n⟦thinking 1⟧</t>c\n⟦response 2 = 0 × " +
			"0.5⟧</s>⟦final = 0.25 × 2⟧\n"},
		"final last": {func(o *TextOptions) { o.Final = "last_token" },
			"<s>user:P</s>\n<s>assistant:<t>a\n⟦thinking 0 = 0.999⟧" +
				"bé\n⟦thinking 1⟧</t>c\n⟦response 2 = 0 × 0.5⟧</s>\n⟦final = 0.25 × 2⟧"},
		"turn end": {func(o *TextOptions) { o.Final = "turn_end"; o.Tokenize = "pieces" },
			"<s>user:P</s>\n<s>assistant:<t>a\n⟦thinking 0 = 0.999⟧" +
				"bé\n⟦thinking 1⟧</t>c\n⟦response 2 = 0 × 0.5⟧</s>⟦final = 0.25 × 2⟧\n"},
		"response first": {func(o *TextOptions) { o.Order = "response_first" },
			"<s>user:P</s>\n<s>assistant:c\n⟦response 2 = 0 × 0.5⟧<t>a\n⟦thinking 0 = 0.999⟧" +
				"bé\n⟦thinking 1⟧</t></s>⟦final = 0.25 × 2⟧\n"},
		"template none": {func(o *TextOptions) { o.Template = "none" },
			"P#<t>a\n⟦thinking 0 = 0.999⟧bé\n⟦thinking 1⟧</t>c\n⟦response 2 = 0 × 0.5⟧⟦final = 0.25 × 2⟧"},
		"literal": {func(o *TextOptions) { o.Template = "Q {problem}: " },
			"Q P: <t>a\n⟦thinking 0 = 0.999⟧bé\n⟦thinking 1⟧</t>c\n⟦response 2 = 0 × 0.5⟧⟦final = 0.25 × 2⟧"},
		"no tags": {func(o *TextOptions) { o.Template = "none"; o.ThinkTags = nil },
			"P#a\n⟦thinking 0 = 0.999⟧bé\n⟦thinking 1⟧c\n⟦response 2 = 0 × 0.5⟧⟦final = 0.25 × 2⟧"},
		"separator": {func(o *TextOptions) { o.Template = "none"; o.Separator = "; " },
			"P#<t>a; ⟦thinking 0 = 0.999⟧bé; ⟦thinking 1⟧</t>c; ⟦response 2 = 0 × 0.5⟧⟦final = 0.25 × 2⟧"},
		"no separator": {func(o *TextOptions) { o.Template = "none"; o.Separator = "" },
			"P#<t>a⟦thinking 0 = 0.999⟧bé⟦thinking 1⟧</t>c⟦response 2 = 0 × 0.5⟧⟦final = 0.25 × 2⟧"},
		"mark, last": {func(o *TextOptions) { o.Template = "none"; o.StepMark = "<m>" },
			"P#<t>a\n⟦thinking 0 = 0.999⟧<m>bé\n⟦thinking 1⟧<m></t>c\n⟦response 2 = 0 × 0.5⟧<m>⟦final = 0.25 × 2⟧"},
		"mark, mark": {func(o *TextOptions) { o.StepMark = "<m>"; o.Read = "mark" },
			"<s>user:P</s>\n<s>assistant:<t>a\n<m>⟦thinking 0 = 0.999⟧" +
				"bé\n<m>⟦thinking 1⟧</t>c\n<m>⟦response 2 = 0 × 0.5⟧</s>⟦final = 0.25 × 2⟧\n"},
		"final mark": {func(o *TextOptions) { o.StepMark = "<m>"; o.Final = "mark"; o.Tokenize = "pieces" },
			"<s>user:P</s>\n<s>assistant:<t>a\n⟦thinking 0 = 0.999⟧<m>bé\n" +
				"⟦thinking 1⟧<m></t>c\n⟦response 2 = 0 × 0.5⟧<m>⟦final = 0.25 × 2⟧</s>\n"},
	} {
		o := text(c.change)
		require.Equal(t, c.want, marked(t, o, sample()), name)
		o.Tokenize = "pieces"
		require.Equal(t, c.want, marked(t, o, sample()), name+", in pieces")
	}
}

func TestTextSplitAndGivenSteps(t *testing.T) {
	o := text(func(o *TextOptions) { o.Template, o.Split = "none", "," })
	require.Equal(t, "P#<t>a\n⟦thinking 0⟧ b\n⟦thinking 1⟧</t>⟦final⟧",
		marked(t, o, &Trajectory{Problem: "P", Thinking: "a,, b, "}))
	require.Equal(t, "P#c\n⟦response 0⟧⟦final⟧", marked(t, o, &Trajectory{Problem: "P", Response: "c"}), "no thinking, no tags")
	require.Equal(t, "P#<t>u,v\n⟦thinking 0 = 1⟧\n⟦thinking 1⟧</t>⟦final⟧",
		marked(t, o, &Trajectory{Problem: "P", Thinking: "a,b", Steps: []string{"u,v", ""},
			Labels: Labels{Steps: []*float64{Float(1)}}}), "given steps win, empty ones included")
}

func TestRenderExactVectors(t *testing.T) {
	r, err := NewRenderer(text(func(o *TextOptions) { o.StepMark, o.Read = "<m>", "mark" }), words, chatModel)
	require.NoError(t, err)
	e, _, err := r.Render(&Trajectory{ID: "x", Problem: "P  q", Thinking: "a", ResponseSteps: []string{"b"},
		Labels: Labels{Steps: []*float64{Float(0.1)}}})
	require.NoError(t, err)
	require.Equal(t, &Example{
		ID: "x",
		Tokens: []int32{256, 'u', 's', 'e', 'r', ':', 'P', ' ', ' ', 'q', 257, '\n', 256, 'a', 's', 's', 'i', 's', 't', 'a', 'n', 't', ':',
			'<', 't', '>', 'a', '\n', 258, '<', '/', 't', '>', 'b', '\n', 258, 257, '\n'},
		Reads: []ReadOut{
			{Pos: 28, Kind: KindStep, Part: PartThinking, Index: 0, Target: 0.1, HasTarget: true, Weight: 1},
			{Pos: 35, Kind: KindStep, Part: PartResponse, Index: 1, Weight: 1},
			{Pos: 36, Kind: KindTrajectory, Part: PartTrajectory, Index: -1, Weight: 1},
		},
		Problem: KeyOf("P q"),
	}, e)
}

func TestJoinedCrossing(t *testing.T) {
	o := text(func(o *TextOptions) { o.Template = "none" })
	for name, c := range map[string]struct {
		word, want string
	}{
		"into the next step": {"\nb",
			`a token ("\nb") reaches across the end of thinking step 0 with its separator; set text.tokenize: pieces`},
		"into the closing tag": {"\n</", `a token ("\n</") reaches across the end of thinking step 1`},
	} {
		tok := fakeTokenizer{append([]string{c.word}, words.words...)}
		r, err := NewRenderer(o, tok, ModelText{})
		require.NoError(t, err)
		tr := sample()
		tr.Where = "f.jsonl:7"
		_, _, err = r.Render(tr)
		require.ErrorContains(t, err, `f.jsonl:7: trajectory "x": `+c.want, name)
		pieces := o
		pieces.Tokenize = "pieces"
		r, err = NewRenderer(pieces, tok, ModelText{})
		require.NoError(t, err)
		e, _, err := r.Render(sample())
		require.NoError(t, err)
		s, err := r.Marked(e)
		require.NoError(t, err)
		require.Equal(t, "P#<t>a\n⟦thinking 0 = 0.999⟧bé\n⟦thinking 1⟧</t>c\n⟦response 2 = 0 × 0.5⟧⟦final = 0.25 × 2⟧", s)
	}
	// Across a beginning is allowed: the tag and the first step may share a token, its end is what counts.
	r, err := NewRenderer(o, fakeTokenizer{append([]string{">a"}, words.words...)}, ModelText{})
	require.NoError(t, err)
	_, _, err = r.Render(sample())
	require.NoError(t, err)
}

func TestTooLong(t *testing.T) {
	// "P#<t>" 5, "a\n" 7, "bé\n" 11, "</t>" 15, "c\n" 17 tokens.
	render := func(long string, limit int, tr *Trajectory) (*Example, Dropped, error) {
		r, err := NewRenderer(text(func(o *TextOptions) { o.Template, o.Long, o.MaxTokens = "none", long, limit }), words, ModelText{})
		require.NoError(t, err)
		return r.Render(tr)
	}
	_, _, err := render("error", 16, sample())
	require.EqualError(t, err, `trajectory "x": 17 tokens, 1 more than text.max_tokens (16); set text.long to window, truncate or drop`)
	e, dropped, err := render("error", 17, sample())
	require.NoError(t, err)
	require.Zero(t, dropped)
	require.Len(t, e.Tokens, 17)

	e, dropped, err = render("truncate", 16, sample())
	require.NoError(t, err)
	require.Equal(t, Dropped{Truncated: 1, Steps: 1, StepLabels: 1, TrajectoryLabels: 1}, dropped)
	require.Equal(t, "P#<t>a\nb\xc3\xa9\n", decode(t, e.Tokens))
	require.Equal(t, []ReadOut{{Pos: 6, Target: 0.999, HasTarget: true, Weight: 1}, {Pos: 10, Index: 1, Weight: 1}}, e.Reads,
		"no Final read-out")
	e, dropped, err = render("truncate", 10, sample())
	require.NoError(t, err)
	require.Equal(t, Dropped{Truncated: 1, Steps: 2, StepLabels: 1, TrajectoryLabels: 1}, dropped)
	require.Len(t, e.Tokens, 7)
	unlabelled := sample()
	unlabelled.Labels = Labels{}
	_, dropped, err = render("truncate", 7, unlabelled)
	require.NoError(t, err)
	require.Equal(t, Dropped{Truncated: 1, Steps: 2}, dropped)
	for _, long := range []string{"truncate", "drop"} {
		e, dropped, err = render(long, 6, sample())
		require.NoError(t, err)
		require.Nil(t, e)
		require.Equal(t, Dropped{Trajectories: 1, Steps: 3, StepLabels: 2, TrajectoryLabels: 1}, dropped)
	}

	marks := text(func(o *TextOptions) { o.Template, o.Long, o.MaxTokens, o.StepMark = "none", "truncate", 7, "<m>" })
	r, err := NewRenderer(marks, words, ModelText{})
	require.NoError(t, err)
	e, _, err = r.Render(sample())
	require.NoError(t, err)
	require.Nil(t, e, "a step is whole with its mark")

	r, err = NewRenderer(text(nil), words, ModelText{ChatTemplate: chatSource, MaxPositions: 20})
	require.NoError(t, err)
	require.Equal(t, 20, r.MaxTokens(), "0: the model's trained length")
	_, _, err = r.Render(sample())
	require.ErrorContains(t, err, "text.max_tokens (20)")

	var sum Dropped
	sum.Add(Dropped{1, 2, 3, 4, 5})
	sum.Add(Dropped{1, 2, 3, 4, 5})
	require.Equal(t, Dropped{2, 4, 6, 8, 10}, sum)
}

func decode(t *testing.T, ids []int32) string {
	s, err := words.Decode(ids)
	require.NoError(t, err)
	return s
}

func TestSharedReadWarns(t *testing.T) {
	for final, warns := range map[string]bool{"auto": false, "last_token": false, "mark": true} {
		r, err := NewRenderer(text(func(o *TextOptions) { o.StepMark, o.Read, o.Final = "<m>", "mark", final }), words, chatModel)
		require.NoError(t, err)
		e, _, err := r.Render(sample())
		require.NoError(t, err)
		list := r.Warnings([]*Example{e})
		require.Equal(t, warns, len(list) == 1, final)
		if warns {
			require.Contains(t, list[0], "1 trajectories")
			require.Contains(t, list[0], "text.final")
			require.Contains(t, list[0], "head.final: own")
		}
	}
	r, err := NewRenderer(text(func(o *TextOptions) { o.Template = "none" }), words, chatModel)
	require.NoError(t, err)
	unlabelled := sample()
	unlabelled.Labels.Trajectory = nil
	one, _, err := r.Render(unlabelled)
	require.NoError(t, err)
	require.Empty(t, r.Warnings([]*Example{one}), "one target only")
	two, _, err := r.Render(sample())
	require.NoError(t, err)
	require.Len(t, r.Warnings([]*Example{one, two}), 1)
}

func TestTextOptionsErrors(t *testing.T) {
	for want, change := range map[string]func(*TextOptions){
		`text.template: "modell" is neither model nor none nor a text with {problem}`: func(o *TextOptions) { o.Template = "modell" },
		`text.think_tags: 1 tags; give two, or [] for none`:                           func(o *TextOptions) { o.ThinkTags = []string{"a"} },
		`text.order: "x" is none of thinking_first, response_first`:                   func(o *TextOptions) { o.Order = "x" },
		`text.read: "" is none of last_token, mark`:                                   func(o *TextOptions) { o.Read = "" },
		`text.read: mark needs text.step_mark`:                                        func(o *TextOptions) { o.Read = "mark" },
		`text.final: mark needs text.step_mark`:                                       func(o *TextOptions) { o.Final = "mark" },
		`text.final: "end" is none of auto, turn_end, mark, last_token`:               func(o *TextOptions) { o.Final = "end" },
		`text.tokenize: "both" is none of joined, pieces`:                             func(o *TextOptions) { o.Tokenize = "both" },
		`text.long: "cut" is none of error, window, truncate, drop`:                   func(o *TextOptions) { o.Long = "cut" },
		`text.max_tokens: -1 is negative`:                                             func(o *TextOptions) { o.MaxTokens = -1 },
		`text.separator: not valid UTF-8`:                                             func(o *TextOptions) { o.Separator = "\xff" },
		`text.think_tags[1]: not valid UTF-8`: func(o *TextOptions) {
			o.ThinkTags = []string{"",
				"\xff"}
		},
		`text.step_mark: "<x>" is not one token of this tokenizer`:       func(o *TextOptions) { o.StepMark = "<x>" },
		`text.step_mark: "<extra_0>" is not one token of this tokenizer`: func(o *TextOptions) { o.StepMark = "<extra_0>" },
		`text.final: turn_end needs text.template: model, since nothing closes the turn with another template`: func(o *TextOptions) {
			o.Final, o.Template = "turn_end", "none"
		},
	} {
		_, err := NewRenderer(text(change), words, chatModel)
		require.EqualError(t, err, want)
	}
	_, err := NewRenderer(text(nil), words, ModelText{})
	require.EqualError(t, err, "text.template: the model has no chat template; use none or a literal with {problem}")
	_, err = NewRenderer(text(func(o *TextOptions) { o.Final = "turn_end" }), words,
		ModelText{ChatTemplate: "{{ messages[0].content }}: {{ messages[1].content }} User"})
	require.EqualError(t, err, "text.final: the chat template closes the assistant's turn with no special token; use last_token or mark")
}

func TestRenderErrors(t *testing.T) {
	o := text(func(o *TextOptions) { o.Template, o.StepMark = "none", "<m>" })
	for want, tr := range map[string]*Trajectory{
		`trajectory "": no steps: thinking and response are empty`:    {Problem: "P", Thinking: " \n "},
		`trajectory "": labels.steps: 2 labels for 1 steps`:           {Thinking: "a", Labels: Labels{Steps: make([]*float64, 2)}},
		`trajectory "": labels.weights: 2 weights for 1 steps`:        {Thinking: "a", Labels: Labels{Weights: make([]*float64, 2)}},
		`trajectory "": thinking: not valid UTF-8`:                    {Thinking: "\xff"},
		`trajectory "": the problem contains the step mark "<m>"`:     {Problem: "<m>", Thinking: "a"},
		`trajectory "": response step 0 contains the step mark "<m>"`: {Thinking: "a", Response: "<m>"},
	} {
		r, err := NewRenderer(o, words, ModelText{})
		require.NoError(t, err)
		_, _, err = r.Render(tr)
		require.EqualError(t, err, want)
	}
	for _, tokenize := range []string{"joined", "pieces"} {
		r, err := NewRenderer(text(func(o *TextOptions) { o.Template, o.Separator, o.Tokenize = "none", "", tokenize }), words, ModelText{})
		require.NoError(t, err)
		_, _, err = r.Render(&Trajectory{Steps: []string{"a", ""}})
		require.EqualError(t, err, `trajectory "": thinking step 1 has no tokens; give it text or set text.separator`)
	}
}

func TestTemplatesThatChangeText(t *testing.T) {
	for source, want := range map[string]string{
		"{% for m in messages %}{{ m.role + m.content.split('</t>')[-1] }}{% endfor %}": `thinking step 0 ("a\n") is not in the text that ` +
			`the model's chat template renders`,
		"{% for m in messages %}{{ m.content|trim }}{% endfor %}":                        `response step 0 ("c\n") is not in the text`,
		"{% for m in messages %}{{ m.content.replace('</t>', '</t>\n\n') }}{% endfor %}": `changes the text around the steps`,
		"{{ messages[1].content }}":                                      `drops or changes the problem`,
		"{{ messages[0].content }}":                                      `renders the assistant's text 0 times`,
		"{% for m in messages %}{{ m.content + m.content }}{% endfor %}": `renders the assistant's text 2 times`,
		"{% for m in messages %}{{ m.content }}{{ m.content|length }};{% endfor %}": `changes what stands around the assistant's text with ` +
			`that text`,
		"{{ raise_exception('no assistant here') }}": `raised: no assistant here`,
	} {
		r, err := NewRenderer(text(nil), words, ModelText{ChatTemplate: source})
		if err == nil {
			_, _, err = r.Render(sample())
		}
		require.ErrorContains(t, err, want, source)
	}
	// A problem that holds the very text of the steps, or the stand-in, misleads nobody.
	tr := sample()
	tr.Problem = "<t>a\nbé\n</t>c\ngoprm-assistant-text"
	require.Equal(t, "<s>user:"+tr.Problem+"</s>\n<s>assistant:<t>a\n⟦thinking 0 = 0.999⟧"+
		"bé\n⟦thinking 1⟧</t>c\n⟦response 2 = 0 × "+
		"0.5⟧</s>⟦final = 0.25 × 2⟧\n", marked(t, text(nil), tr))
}

func TestRendererFromManyGoroutines(t *testing.T) {
	r, err := NewRenderer(text(nil), words, chatModel)
	require.NoError(t, err)
	want, _, err := r.Render(sample())
	require.NoError(t, err)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for range 50 {
				tr := sample()
				if i%2 == 0 {
					tr.Problem = "Q"
				}
				e, _, err := r.Render(tr)
				if !assert.NoError(t, err) {
					return
				}
				if i%2 == 1 {
					assert.Equal(t, want, e)
				}
			}
		})
	}
	group.Wait()
}

// TestTextYAML reads the text block as the configuration spells it.
func TestTextYAML(t *testing.T) {
	got := DefaultText()
	dec := yaml.NewDecoder(strings.NewReader(`
template: none
split: "\n"
think_tags: []
order: response_first
join: "j"
separator: "s"
step_mark: "<extra_0>"
read: mark
final: turn_end
tokenize: pieces
max_tokens: 7
long: drop
`))
	dec.KnownFields(true)
	require.NoError(t, dec.Decode(&got))
	require.Equal(t, TextOptions{"none", "\n", []string{}, "response_first", "j", "s", "<extra_0>", "mark", "turn_end", "pieces", 7, "drop"},
		got)
	require.NoError(t, DefaultText().Validate())
	require.Equal(t, TextOptions{"model", "\n\n", []string{"<think>\n", "</think>\n\n"}, "thinking_first", "\n\n", "\n\n", "", "last_token",
		"auto", "joined", 0, "error"}, DefaultText())
}
