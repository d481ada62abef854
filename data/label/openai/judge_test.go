package openai

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/internal/llm"
	"github.com/goprm/goprm/internal/llmtest"
	"github.com/stretchr/testify/require"
)

func serve(t *testing.T, script llmtest.Script) (*llmtest.Server, *Client) {
	t.Helper()
	s := llmtest.New(script)
	t.Cleanup(s.Close)
	client, err := NewClient(ClientOptions{URL: s.URL(), Attempts: 2, Timeout: time.Second, Backoff: time.Millisecond,
		MaxBackoff: time.Millisecond})
	require.NoError(t, err)
	return s, client
}

func says(texts ...string) llmtest.Script {
	return llmtest.Script{Answer: func(_ *llmtest.Chat, i int) string { return texts[i] }}
}

func newJudge(t *testing.T, client *Client, o JudgeOptions) *Judge {
	t.Helper()
	o.Model = "m"
	j, err := NewJudge(client, o)
	require.NoError(t, err)
	return j
}

func theCase() *label.Case {
	return &label.Case{
		ID: "c", Problem: "What is 2+3?", Thinking: []string{"Add the numbers.", "2+3=5.", "So the answer is five."},
		Response: []string{"The sum is 5.", "\\boxed{5}"}, Answer: "5 (gold)",
	}
}

// TestScore: the mean of the three grades over all samples, by 10; worked out by hand.
func TestScore(t *testing.T) {
	_, client := serve(t, says(`{"correctness":7,"coherence":8,"progress":9}`, ` {"progress":0,"coherence":1.0,"correctness":2} `))
	v, err := newJudge(t, client, JudgeOptions{}).Judge(t.Context(), theCase(), []int{1})
	require.NoError(t, err)
	require.Len(t, v, 1)
	require.InDelta(t, 24.0/30, v[0].Score, 1e-15)
	require.Equal(t, `{"correctness":7,"coherence":8,"progress":9}`, string(v[0].Raw[0]))

	j := newJudge(t, client, JudgeOptions{Samples: 2, Sampling: Sampling{Temperature: 1}})
	v, err = j.Judge(t.Context(), theCase(), []int{1})
	require.NoError(t, err)
	require.InDelta(t, (24.0/30+3.0/30)/2, v[0].Score, 1e-15)
	require.Len(t, v[0].Raw, 2)
}

func TestSamplesOneByOne(t *testing.T) {
	s, client := serve(t, llmtest.Script{Answer: func(q *llmtest.Chat, _ int) string {
		return fmt.Sprintf(`{"correctness":%d,"coherence":0,"progress":0}`, *q.Seed%11)
	}})
	j := newJudge(t, client, JudgeOptions{Samples: 5, OneByOne: true, Sampling: Sampling{Temperature: 1, Seed: 9}})
	v, err := j.Judge(t.Context(), theCase(), []int{0})
	require.NoError(t, err)
	sum, seeds := 0.0, map[int64]bool{}
	for _, call := range s.Calls() {
		sum += float64(*call.Chat.Seed%11) / 30
		seeds[*call.Chat.Seed] = true
		require.Zero(t, call.Chat.N)
	}
	require.Len(t, seeds, 5)
	require.InDelta(t, sum/5, v[0].Score, 1e-15)
	again, err := j.Judge(t.Context(), theCase(), []int{0})
	require.NoError(t, err)
	require.Equal(t, v, again)
}

func TestStrictAnswers(t *testing.T) {
	const good = `{"correctness":1,"coherence":2,"progress":3}`
	_, err := readAnswer(good, false, 0)
	require.NoError(t, err)
	_, err = readAnswer(`{"reason":"r","correctness":1,"coherence":2,"progress":3}`, true, 0)
	require.NoError(t, err)
	for _, text := range []string{
		"", "null", "7", `"x"`, "[" + good + "]", good + good, good + ".", "Sure: " + good, good[:len(good)-1], good[:20],
		`{"correctness":1,"coherence":2}`, `{}`,
		`{"correctness":1,"coherence":2,"progress":3,"progress":3}`,
		`{"correctness":1,"coherence":2,"progress":3,"extra":4,"extra":4}`,
		`{"correctness":1,"coherence":2,"progress":3,"Progress":9}`,
		`{"correctness":1,"coherence":2,"Progress":3}`,
		`{"correctness":"1","coherence":2,"progress":3}`,
		`{"correctness":null,"coherence":2,"progress":3}`,
		`{"correctness":NaN,"coherence":2,"progress":3}`,
		`{"correctness":11,"coherence":2,"progress":3}`,
		`{"correctness":-1,"coherence":2,"progress":3}`,
		`{"correctness":1e999,"coherence":2,"progress":3}`,
		`{"correctness":7.5,"coherence":2,"progress":3}`,
		`{"correctness":[1],"coherence":2,"progress":3}`,
		`{"correctness":true,"coherence":2,"progress":3}`,
		`{"correctness":01,"coherence":2,"progress":3}`,
		"Sure:\n```json\n" + good + "\n```", "```json\n" + good + "\n```\nI hope it helps.", "```json\n" + good, good + "\n```",
		"``\n" + good + "\n``",
		"```json\n" + good + "\n```\n```json\n" + good + "\n```", "```\n```json\n" + good + "\n```\n```", "```python\nprint(" + good + ")\n```",
		"```",
		"<think>" + good, "<think>so</think>", "<think>" + good + "</think>", "<think>a</think><think>b</think>" + good,
		"<think>a<think>b</think>" + good,
		"<think>so</think>" + good + "</think>" + good, good + "<think>so</think>", good + "</think>" + good, "<think>so</think>Sure: " + good,
		"\ufeff\ufeff" + good, good + "\ufeff", "\ufeff",
		strings.Repeat("[", 100_000), strings.Repeat("<think>", 10_000), strings.Repeat("`", 100_001),
	} {
		_, err := readAnswer(text, false, 0)
		e, ok := errors.AsType[*llm.Error](err)
		require.True(t, ok, text)
		require.Equal(t, llm.BadAnswer, e.Kind)
		require.Equal(t, text, e.Raw)
	}
	for _, text := range []string{good, `{"reason":null,` + good[1:], `{"reason":1,` + good[1:]} {
		_, err := readAnswer(text, true, 0)
		require.Error(t, err, text)
	}
	all, err := readAnswer(`{"steps":[`+good+`,{"correctness":10,"coherence":10,"progress":10}]}`, false, 2)
	require.NoError(t, err)
	require.Equal(t, []float64{0.2, 1}, all.scores)
	require.Equal(t, good, string(all.raw[0]))
	for _, text := range []string{
		`{"steps":[` + good + `]}`, `{"steps":[` + good + `,` + good + `,` + good + `]}`, `{"steps":null}`, `{"steps":{}}`,
		`[` + good + `,` + good + `]`,
		`{"steps":[` + good + `,null]}`, `{"steps":[` + good + `,{"correctness":11,"coherence":10,"progress":10}]}`,
	} {
		_, err := readAnswer(text, false, 2)
		require.Error(t, err, text)
	}
}

// TestWrappedAnswers: what is around the one JSON object is taken off, and named.
func TestWrappedAnswers(t *testing.T) {
	const good, fence, thought, tag, mark, extra = `{"correctness":1,"coherence":2,"progress":3}`,
		"a code fence", "a block of thinking", "an answer tag", "a byte order mark", "a field that was not asked for"
	for text, mended := range map[string][]string{
		" \n" + good + "\r\n":                                                       nil,
		"```json\n" + good + "\n```":                                                {fence},
		"```JSON\n" + good + "\n```\n":                                              {fence},
		"```\n" + good + "```":                                                      {fence},
		"```json " + good + " ```":                                                  {fence},
		"```" + good + "```":                                                        {fence},
		"````json\n" + good + "\n````":                                              {fence},
		"<think>\n{\"correctness\":9}\n</think>\n" + good:                           {thought},
		"<thinking>so</thinking>" + good:                                            {thought},
		"[THINK]so[/THINK]" + good:                                                  {thought},
		"The step is right.\n</think>\n\n" + good:                                   {thought}, // opened within the prompt
		"\ufeff" + good:                                                             {mark},
		"\ufeff<think></think>\n```json\n" + good + "\n```":                         {mark, thought, fence},
		"<think>so</think>\ufeff" + good:                                            {thought, mark},
		"~~~json\n" + good + "\n~~~":                                                {fence},
		"<answer>\n" + good + "\n</answer>":                                         {tag},
		"<think>so</think><answer>```json\n" + good + "\n```</answer>":              {thought, tag, fence},
		`{"comment":{"a":[1]},"correctness":1,"coherence":2,"progress":3,"n":null}`: {extra},
		"```\n" + `{"correctness":1,"coherence":2,"progress":3,"note":"a </think> and a fence"}` + "\n```": {fence, extra},
	} {
		r, err := readAnswer(text, false, 0)
		require.NoError(t, err, text)
		require.Equal(t, []float64{0.2}, r.scores, text)
		require.Equal(t, mended, r.mended, text)
		require.True(t, json.Valid(r.raw[0]), text)
	}
	r, err := readAnswer("```json\n"+`{"steps":[`+good+`,{"correctness":10,"coherence":10,"progress":10,"note":1}],"n":2}`+"\n```", false, 2)
	require.NoError(t, err)
	require.Equal(t, []float64{0.2, 1}, r.scores)
	require.Equal(t, []string{fence, extra}, r.mended)
}

// TestAskedAgainWithTheReason: a bad answer is asked for once more, in a conversation that says what was wrong with it.
func TestAskedAgainWithTheReason(t *testing.T) {
	for _, second := range []string{`{"correctness":8,"coherence":8,"progress":8}`, `{"correctness":"8","coherence":8,"progress":8}`} {
		first := `{"correctness":"7","coherence":8,"progress":9}`
		s, client := serve(t, llmtest.Script{Answer: func(q *llmtest.Chat, _ int) string {
			if len(q.Messages) == 2 {
				return first
			}
			return second
		}})
		v, err := newJudge(t, client, JudgeOptions{}).Judge(t.Context(), theCase(), []int{0})
		calls := s.Calls()
		require.Len(t, calls, 2)
		require.Equal(t, calls[0].Chat.Messages, calls[1].Chat.Messages[:2])
		require.Equal(t, llmtest.Message{Role: "assistant", Content: first}, calls[1].Chat.Messages[2])
		require.Contains(t, calls[1].Chat.Messages[3].Content, "correctness is not a whole number from 0 to 10")
		if second[15] == '"' {
			require.ErrorContains(t, err, "bad answer: correctness is not a whole number from 0 to 10")
			continue
		}
		require.NoError(t, err)
		require.InDelta(t, 0.8, v[0].Score, 1e-15)
		require.Equal(t, []string{"asked again"}, v[0].Mended)
	}
	s, client := serve(t, says("no"))
	_, err := newJudge(t, client, JudgeOptions{Tries: 1}).Judge(t.Context(), theCase(), []int{0})
	require.Error(t, err)
	require.Len(t, s.Calls(), 1)
}

// TestJudgeThatThinks: an answer that is cut at the limit nobody set has more room from then on; at a limit of the user's it is open.
func TestJudgeThatThinks(t *testing.T) {
	const good = `{"correctness":1,"coherence":2,"progress":3}`
	s := llmtest.New(llmtest.Script{Answer: func(q *llmtest.Chat, _ int) string {
		return "<think>" + strings.Repeat("so ", 2000) + "</think>" + good
	}, Cut: true})
	t.Cleanup(s.Close)
	client, err := NewClient(ClientOptions{URL: s.URL()})
	require.NoError(t, err)
	j := newJudge(t, client, JudgeOptions{})
	for range 3 {
		v, err := j.Judge(t.Context(), theCase(), []int{0})
		require.NoError(t, err)
		require.InDelta(t, 0.2, v[0].Score, 1e-15)
	}
	require.Len(t, s.Calls(), 4, "one of them cut")
	_, err = newJudge(t, client, JudgeOptions{Sampling: Sampling{MaxTokens: 99}}).Judge(t.Context(), theCase(), []int{0})
	require.ErrorContains(t, err, "cut: the answer reached the limit of tokens")
	require.Equal(t, 99, s.Calls()[4].Chat.MaxTokens)
	require.Len(t, s.Calls(), 5)
}

// TestSchemaIsPartOfTheID: answers of today's default keep their names; how else a verdict was asked for is named.
func TestSchemaIsPartOfTheID(t *testing.T) {
	_, client := serve(t, llmtest.Script{})
	id := func(schema string) string { return newJudge(t, client, JudgeOptions{Schema: schema}).ID() }
	prompt, err := BuiltinPrompt("judge-v1")
	require.NoError(t, err)
	before := `openai/1 model="m" temperature=0 top_p=0 max_tokens=64 seed=0 extra=map[] prompt=` + prompt.Version() +
		" sees=prefix+response samples=1 one_by_one=false reason=false"
	for _, schema := range []string{"", "auto", "json_schema"} {
		require.Equal(t, before, id(schema))
	}
	require.Equal(t, before+" schema=none", id("none"))
	require.Equal(t, before+" schema=json_object", id("json_object"))
	auto := newJudge(t, client, JudgeOptions{})
	require.Equal(t, []string{"none"}, auto.Forms())
	require.Equal(t, id("none"), auto.IDAs("none"))
	_, err = NewJudge(client, JudgeOptions{Schema: "guided", Sampling: Sampling{Model: "m"}})
	require.ErrorContains(t, err, `schema: "guided" is none of auto, json_schema, json_object, none`)
	for schema, asked := range map[string]string{"none": "none", "json_object": "json_object", "json_schema": "", "auto": ""} {
		s, client := serve(t, says(`{"correctness":1,"coherence":2,"progress":3}`))
		v, err := newJudge(t, client, JudgeOptions{Schema: schema}).Judge(t.Context(), theCase(), []int{0})
		require.NoError(t, err)
		require.Equal(t, asked, v[0].Asked)
		require.Equal(t, schema == "none", s.Calls()[0].Chat.ResponseFormat == nil)
	}
}

// TestNothingInvented: no fault of an answer becomes a verdict, neither alone nor as one of several samples.
func TestNothingInvented(t *testing.T) {
	for _, fault := range llmtest.Faults {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			if fault == llmtest.Hang || fault == llmtest.Drip {
				return // a time-out each; the tests of the client have these
			}
			s, client := serve(t, llmtest.Script{Fault: func(int) llmtest.Fault { return fault }, RetryAfter: "0.001"})
			for _, o := range []JudgeOptions{
				{}, {Sees: label.SeesFuture}, {Reason: true}, {Samples: 3, Tries: 2, Sampling: Sampling{Temperature: 1}},
				{Samples: 2, OneByOne: true, Sampling: Sampling{Temperature: 1}},
			} {
				steps := []int{2}
				if o.Sees == label.SeesFuture {
					steps = []int{0, 1, 2}
				}
				v, err := newJudge(t, client, o).Judge(t.Context(), theCase(), steps)
				require.Nil(t, v)
				_, ok := errors.AsType[*llm.Error](err)
				require.True(t, ok, "%v", err)
			}
			for _, call := range s.Calls() {
				require.Empty(t, call.Said)
			}
		})
	}
}

func TestTriesTakeAnotherSeed(t *testing.T) {
	s, client := serve(t, llmtest.Script{Fault: func(n int) llmtest.Fault {
		return []llmtest.Fault{llmtest.Prose, llmtest.Length,
			llmtest.None}[n]
	}})
	_, err := newJudge(t, client, JudgeOptions{Tries: 3, Sampling: Sampling{Temperature: 0.5, MaxTokens: 64}}).Judge(t.Context(), theCase(),
		[]int{0})
	require.NoError(t, err)
	calls := s.Calls()
	require.Len(t, calls, 3)
	require.NotEqual(t, *calls[0].Chat.Seed, *calls[1].Chat.Seed)
	require.NotEqual(t, *calls[1].Chat.Seed, *calls[2].Chat.Seed)
}

func TestWhatTheJudgeSees(t *testing.T) {
	c := theCase()
	for sees, want := range map[label.Sees][2]bool{ // the response, the answer
		"": {true, false}, label.SeesResponse: {true, false}, label.SeesAnswer: {false, true}, label.SeesPrefix: {false, false},
		label.SeesFuture: {true, false},
	} {
		s, client := serve(t, llmtest.Script{})
		j := newJudge(t, client, JudgeOptions{Sees: sees})
		steps := []int{1}
		if sees == label.SeesFuture {
			steps = []int{2, 0}
			require.Zero(t, j.StepsPerCall())
		} else {
			require.Equal(t, 1, j.StepsPerCall())
			_, err := j.Judge(t.Context(), c, []int{0, 1})
			require.Error(t, err)
		}
		v, err := j.Judge(t.Context(), c, steps)
		require.NoError(t, err)
		require.Len(t, v, len(steps))
		text := s.Calls()[0].Chat.Prompt()
		require.Contains(t, text, c.Problem)
		require.Contains(t, text, "[2] "+c.Thinking[1])
		require.Equal(t, want[0], strings.Contains(text, "The sum is 5.\n\n\\boxed{5}"), sees)
		require.Equal(t, want[1], strings.Contains(text, c.Answer), sees)
		require.Equal(t, sees == label.SeesFuture, strings.Contains(text, c.Thinking[2]), sees)
		if sees == label.SeesFuture {
			said := s.Calls()[0].Said[0]
			require.Contains(t, said, string(v[0].Raw[0])+"]", "the last step's verdict is the last")
			require.Contains(t, said, "["+string(v[1].Raw[0]))
		}
		_, err = j.Judge(t.Context(), c, []int{3})
		require.ErrorContains(t, err, "no step 3")
	}
	// What should be shown and is not there is an answer of its own, at no cost.
	s, client := serve(t, llmtest.Script{})
	c.Response, c.Answer = nil, ""
	for _, sees := range []label.Sees{label.SeesResponse, label.SeesAnswer} {
		v, err := newJudge(t, client, JudgeOptions{Sees: sees}).Judge(t.Context(), c, []int{0})
		require.NoError(t, err)
		require.NotEmpty(t, v[0].Unchecked)
	}
	require.Empty(t, s.Calls())
}

// TestPrefixIsShared: a step's prompt goes on from the one before it, whose last line alone is not shared; and Plan counts what
// the server then gets.
func TestPrefixIsShared(t *testing.T) {
	c := theCase()
	for i := range 20 {
		c.Thinking = append(c.Thinking, fmt.Sprintf("Step %d repeats what was said.", i))
	}
	for _, o := range []JudgeOptions{{}, {Samples: 3, Sampling: Sampling{Temperature: 1}},
		{Samples: 3, OneByOne: true, Sampling: Sampling{Temperature: 1}}} {
		s, client := serve(t, llmtest.Script{})
		j := newJudge(t, client, o)
		for i := range c.Thinking {
			_, err := j.Judge(t.Context(), c, []int{i})
			require.NoError(t, err)
		}
		var e Estimate
		before := ""
		for k, call := range s.Calls() {
			text := ""
			for _, m := range call.Chat.Messages {
				text += m.Content + "\x00"
			}
			shared := 0
			for shared < min(len(before), len(text)) && before[shared] == text[shared] {
				shared++
			}
			if k > 0 {
				require.GreaterOrEqual(t, shared, strings.LastIndex(before, "\nGrade step ["))
			}
			e.Calls++
			e.Prompt += int64(len(text)+3) / 4
			e.Cached += int64(shared / 4)
			before = text
		}
		plan, err := j.Plan(c)
		require.NoError(t, err)
		require.InDelta(t, 20*max(o.Samples, 1)*len(c.Thinking), plan.Completion, float64(plan.Completion)/2)
		e.Completion = plan.Completion
		require.Equal(t, e, plan)
		require.Greater(t, plan.Cached, plan.Prompt*8/10)
	}
}

func TestIDNamesWhatMatters(t *testing.T) {
	_, client := serve(t, llmtest.Script{})
	prompt, err := NewPrompt("judge-v1", `{{define "user"}}{{.Problem}}{{end}}`)
	require.NoError(t, err)
	ids := map[string]bool{}
	all := []JudgeOptions{
		{}, {Sees: label.SeesPrefix}, {Sees: label.SeesFuture}, {Prompt: prompt}, {Reason: true}, {Sampling: Sampling{Temperature: 1}},
		{Sampling: Sampling{Temperature: 1}, Samples: 2}, {Sampling: Sampling{Temperature: 1}, Samples: 2, OneByOne: true},
		{Sampling: Sampling{TopP: 0.5}},
		{Sampling: Sampling{Seed: 1}}, {Sampling: Sampling{MaxTokens: 99}}, {Sampling: Sampling{Extra: map[string]any{"a": 1}}},
	}
	for _, o := range all {
		ids[newJudge(t, client, o).ID()] = true
	}
	require.Len(t, ids, len(all))
	require.Equal(t, newJudge(t, client, JudgeOptions{}).ID(), newJudge(t, client, JudgeOptions{Sees: label.SeesResponse, Tries: 5}).ID())
	for _, o := range []JudgeOptions{
		{Samples: 2}, {Sees: "all"}, {Samples: -1}, {Tries: -1}, {Sampling: Sampling{Temperature: -1}}, {Sampling: Sampling{TopP: 2}},
		{Sampling: Sampling{MaxTokens: -1}},
	} {
		o.Model = "m"
		_, err := NewJudge(client, o)
		require.Error(t, err)
	}
	_, err = NewJudge(client, JudgeOptions{})
	require.ErrorContains(t, err, "model")
}

func TestPrompts(t *testing.T) {
	_, err := BuiltinPrompt("judge-v9")
	require.ErrorContains(t, err, "judge-v1, policy-v1, template-v1, trajectory-v1")
	p, err := BuiltinPrompt("judge-v1")
	require.NoError(t, err)
	require.Regexp(t, `^judge-v1@[0-9a-f]{12}$`, p.Version())
	path := filepath.Join(t.TempDir(), "mine.v2.tmpl")
	for text, want := range map[string]string{
		`{{define "user"}}{{.Problem}}`:              "unexpected EOF",
		`{{.Problem}}`:                               "define",
		`{{define "user"}}{{.Gold}}{{end}}`:          "Gold",
		`{{define "user"}}{{index .Steps 9}}{{end}}`: "index",
	} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		_, err := ReadPrompt(path)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "mine.v2")
	}
	require.NoError(t, os.WriteFile(path, []byte(`{{define "user"}}Q: {{.Problem}}{{end}}`), 0o644))
	p, err = ReadPrompt(path)
	require.NoError(t, err)
	s, client := serve(t, llmtest.Script{})
	_, err = newJudge(t, client, JudgeOptions{Prompt: p}).Judge(t.Context(), theCase(), []int{0})
	require.NoError(t, err)
	require.Equal(t, []llmtest.Message{{Role: "user", Content: "Q: What is 2+3?"}}, s.Calls()[0].Chat.Messages)
	require.NoError(t, os.WriteFile(path, make([]byte, maxPrompt+1), 0o644))
	_, err = ReadPrompt(path)
	require.ErrorContains(t, err, "more than")
}

func FuzzVerdict(f *testing.F) {
	f.Add(`{"correctness":7,"coherence":8,"progress":9}`, 1)
	f.Add(`{"steps":[{"correctness":7,"coherence":8,"progress":9}]}`, 1)
	f.Fuzz(func(t *testing.T, text string, steps int) {
		if r, err := readAnswer(text, false, 0); err == nil {
			require.True(t, r.scores[0] >= 0 && r.scores[0] <= 1)
		}
		if r, err := readAnswer(text, false, max(steps, 1)); err == nil {
			require.Len(t, r.scores, max(steps, 1))
		}
	})
}
