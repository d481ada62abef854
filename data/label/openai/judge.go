package openai

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/internal/llm"
)

// JudgeOptions of a judge by rubric.
type JudgeOptions struct {
	Sampling
	// Sees is what the judge is shown; "" means label.SeesResponse. With label.SeesFuture one call takes a whole trajectory.
	Sees label.Sees
	// Prompt replaces judge-v1, or trajectory-v1 for label.SeesFuture.
	Prompt *Prompt
	// Samples is the number of answers whose scores are averaged; 0 means 1. More than one need a temperature.
	Samples int
	// OneByOne asks for one answer a call, for servers that do not offer more.
	OneByOne bool
	// Reason asks for a sentence or two before the grades: better grades, at the price of more tokens.
	Reason bool
	// Tries is how often an unusable answer is asked for again, each time with another seed, where there is a temperature; 0 means 3.
	Tries int
}

func (o *JudgeOptions) defaults() {
	if o.Sees == "" {
		o.Sees = label.SeesResponse
	}
	o.Samples = max(o.Samples, 1)
	if o.Tries == 0 {
		o.Tries = 3
	}
	if o.Temperature == 0 { // the same request gives the same answer
		o.Tries = 1
	}
	if o.MaxTokens == 0 {
		o.MaxTokens = 64
		if o.Reason {
			o.MaxTokens = 512
		}
	}
}

func (o JudgeOptions) Validate() error {
	if err := o.validate(); err != nil {
		return err
	}
	if o.Sees != "" {
		if err := o.Sees.Validate(); err != nil {
			return fmt.Errorf("openai: %w", err)
		}
	}
	if o.Samples < 0 || o.Samples > 1024 || o.Tries < 0 {
		return fmt.Errorf("openai: samples (%d) must be between 0 and 1024, tries (%d) not negative", o.Samples, o.Tries)
	}
	if o.Samples > 1 && o.Temperature == 0 {
		return errors.New("openai: several samples are all the same at temperature 0")
	}
	return nil
}

// Judge grades steps by a rubric: correctness, coherence and progress.
type Judge struct {
	client *llm.Client
	o      JudgeOptions
	prompt *Prompt
}

var _ label.Judge = (*Judge)(nil)

// NewJudge returns a judge. It calls nobody.
func NewJudge(client *Client, o JudgeOptions) (*Judge, error) {
	asked, err := client.inner()
	if err != nil {
		return nil, err
	}
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o.defaults()
	name := "judge-v1"
	if o.Sees == label.SeesFuture {
		name = "trajectory-v1"
	}
	prompt, err := orBuiltin(o.Prompt, name)
	if err != nil {
		return nil, err
	}
	return &Judge{asked, o, prompt}, nil
}

// ID names the model, the prompt and the parameters, and the version of the map from grades to scores.
func (j *Judge) ID() string {
	return fmt.Sprintf("openai/1 %s prompt=%s sees=%s samples=%d one_by_one=%t reason=%t",
		j.o.id(), j.prompt.Version(), j.o.Sees, j.o.Samples, j.o.OneByOne, j.o.Reason)
}

func (j *Judge) Sees() label.Sees { return j.o.Sees }

// StepsPerCall is 1, or 0 where a call takes the whole trajectory.
func (j *Judge) StepsPerCall() int {
	if j.o.Sees == label.SeesFuture {
		return 0
	}
	return 1
}

// Judge asks for a step's verdict, or for those of all steps at once.
func (j *Judge) Judge(ctx context.Context, c *label.Case, steps []int) ([]label.Verdict, error) {
	for _, t := range steps {
		if t < 0 || t >= len(c.Thinking) {
			return nil, fmt.Errorf("openai: case %q has no step %d", c.ID, t)
		}
	}
	if why := j.o.Sees.Lacks(c); why != "" {
		all := make([]label.Verdict, len(steps))
		for i := range all {
			all[i].Unchecked = why
		}
		return all, nil
	}
	future := j.o.Sees == label.SeesFuture
	switch {
	case len(steps) == 0:
		return nil, nil
	case !future && len(steps) > 1:
		return nil, fmt.Errorf("openai: one call takes one step, not %d", len(steps))
	}
	shown := len(c.Thinking)
	if !future {
		shown = steps[0] + 1
	}
	messages, err := j.prompt.messages(j.view(c, shown))
	if err != nil {
		return nil, err
	}
	all := make([]label.Verdict, shown) // by step; the last one alone where a call takes one
	for asked := 0; asked < j.o.Samples; {
		n := j.o.Samples
		if j.o.OneByOne {
			n = 1
		}
		if err := j.ask(ctx, messages, asked, n, all); err != nil {
			return nil, err
		}
		asked += n
	}
	verdicts := make([]label.Verdict, len(steps))
	for i, t := range steps {
		verdicts[i] = all[t]
		verdicts[i].Score = all[t].Score / float64(j.o.Samples)
	}
	return verdicts, nil
}

func (j *Judge) view(c *label.Case, shown int) *View {
	v := &View{Problem: c.Problem, Steps: c.Thinking[:shown], Form: formOf(j.o.Reason, j.o.Sees == label.SeesFuture)}
	switch j.o.Sees {
	case label.SeesResponse, label.SeesFuture:
		v.Response = strings.Join(c.Response, "\n\n")
	case label.SeesAnswer:
		v.Answer = c.Answer
	}
	return v
}

// ask adds n whole answers to the sums, or none.
func (j *Judge) ask(ctx context.Context, messages []llm.Message, first, n int, all []label.Verdict) error {
	future, steps := j.o.Sees == label.SeesFuture, 0
	if future {
		steps = len(all)
	}
	for try := 0; ; try++ {
		q := j.o.chat(messages, seedOf(j.o.Seed, uint64(try)<<32|uint64(first)))
		q.N, q.Schema, q.MaxTokens = n, schemaOf(j.o.Reason, steps), j.o.MaxTokens*max(steps, 1)
		texts, _, err := j.client.Chat(ctx, q)
		var scores [][]float64
		var raw [][]json.RawMessage
		for i := 0; err == nil && i < len(texts); i++ {
			var s []float64
			var r []json.RawMessage
			if future {
				s, r, err = readVerdicts(texts[i], j.o.Reason, steps)
			} else {
				s, r = make([]float64, 1), []json.RawMessage{json.RawMessage(texts[i])}
				s[0], err = readVerdict(texts[i], j.o.Reason)
			}
			scores, raw = append(scores, s), append(raw, r)
		}
		if err != nil {
			e, ok := errors.AsType[*llm.Error](err)
			again := ok && (e.Kind == llm.BadAnswer || e.Kind == llm.Cut || e.Kind == llm.Refused)
			if again && try+1 < j.o.Tries {
				continue
			}
			return err
		}
		for i := range scores {
			for k := range scores[i] {
				v := &all[len(all)-len(scores[i])+k]
				v.Score += scores[i][k]
				v.Raw = append(v.Raw, raw[i][k])
			}
		}
		return nil
	}
}

// Plan estimates what judging all steps of a case would ask for, in the order of the steps.
func (j *Judge) Plan(c *label.Case) (Estimate, error) {
	var e Estimate
	if j.o.Sees.Lacks(c) != "" {
		return e, nil
	}
	answer := int64(len(formOf(j.o.Reason, false))) / 2 // names, quotes and digits: two bytes a token
	if j.o.Reason {
		answer += int64(j.o.MaxTokens) / 4
	}
	from, calls, n := 1, 1, j.o.Samples
	if j.o.Sees == label.SeesFuture {
		from, answer = len(c.Thinking), answer*int64(len(c.Thinking))
	}
	if j.o.OneByOne {
		calls, n = j.o.Samples, 1
	}
	before := ""
	for shown := max(from, 1); shown <= len(c.Thinking); shown++ {
		messages, err := j.prompt.messages(j.view(c, shown))
		if err != nil {
			return e, err
		}
		text := flat(messages)
		for range calls {
			e.add(len(text), commonPrefix(before, text), n, answer)
			before = text
		}
	}
	return e, nil
}
