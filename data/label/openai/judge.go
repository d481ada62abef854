package openai

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

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
	// Schema is how the server is asked for JSON: json_schema, json_object (llama-cpp-python), none (the prompt's words must do), or
	// auto (""): json_schema, and none for the rest of the client's life once the server's words refuse that.
	Schema string
	// Tries is how often an answer is asked for while it cannot be read, each time with the reason added to the conversation; refused
	// and cut answers are asked for again only with another seed, so where there is a temperature. 0 means 2.
	Tries int
}

// The limit of completion tokens where none is set. A judge that thinks before it answers shows it by an answer that is cut: from
// then on it has thinkingTokens more. They are not there from the start, since each call reserves its limit from the budget and from
// the server's context. The limit alters no whole answer, so it is not part of what the judge is named by.
const (
	gradeTokens    = 64
	reasonTokens   = 512
	thinkingTokens = 8192
)

func (o *JudgeOptions) defaults() {
	if o.Sees == "" {
		o.Sees = label.SeesResponse
	}
	o.Samples = max(o.Samples, 1)
	o.Schema = cmp.Or(o.Schema, string(llm.AsAuto))
	o.Tries = cmp.Or(o.Tries, 2)
	if o.MaxTokens == 0 {
		o.MaxTokens = gradeTokens
		if o.Reason {
			o.MaxTokens = reasonTokens
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
	if err := llm.SchemaAs(o.Schema).Validate(); err != nil {
		return fmt.Errorf("openai: %w", err)
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
	limit  *tokenLimit
}

var _ label.Formed = (*Judge)(nil)

// NewJudge returns a judge. It calls nobody.
func NewJudge(client *Client, o JudgeOptions) (*Judge, error) {
	asked, err := client.inner()
	if err != nil {
		return nil, err
	}
	if err := o.Validate(); err != nil {
		return nil, err
	}
	limit := &tokenLimit{fixed: o.MaxTokens > 0}
	o.defaults()
	limit.each = o.MaxTokens
	name := "judge-v1"
	if o.Sees == label.SeesFuture {
		name = "trajectory-v1"
	}
	prompt, err := orBuiltin(o.Prompt, name)
	if err != nil {
		return nil, err
	}
	return &Judge{asked, o, prompt, limit}, nil
}

// ID names the model, the prompt and the parameters, the version of the map from grades to scores, and how the schema is asked
// for where that is neither json_schema nor auto.
func (j *Judge) ID() string { return j.IDAs(asked(llm.SchemaAs(j.o.Schema))) }

// IDAs is the ID of the judge that asks for its schema so: json_object, none, or "" for json_schema.
func (j *Judge) IDAs(asked string) string {
	id := fmt.Sprintf("openai/1 %s prompt=%s sees=%s samples=%d one_by_one=%t reason=%t",
		j.o.id(), j.prompt.Version(), j.o.Sees, j.o.Samples, j.o.OneByOne, j.o.Reason)
	if asked != "" {
		id += " schema=" + asked
	}
	return id
}

// Forms says that a judge of Schema auto may end up asking without a schema.
func (j *Judge) Forms() []string {
	if j.o.Schema == string(llm.AsAuto) {
		return []string{string(llm.AsNone)}
	}
	return nil
}

// asked is a verdict's Asked: "" for json_schema, which IDs and records of earlier versions meant without saying so.
func asked(as llm.SchemaAs) string {
	if as == llm.AsAuto || as == llm.AsJSONSchema {
		return ""
	}
	return string(as)
}

func (j *Judge) Sees() label.Sees { return j.o.Sees }

// StepsPerCall is 1, or 0 where a call takes the whole trajectory.
func (j *Judge) StepsPerCall() int { return j.o.Sees.StepsPerCall() }

// Judge asks for a step's verdict, or for those of all steps at once.
func (j *Judge) Judge(ctx context.Context, c *label.Case, steps []int) ([]label.Verdict, error) {
	if err := c.CheckSteps(steps, j.StepsPerCall()); err != nil {
		return nil, fmt.Errorf("openai: %w", err)
	}
	if why := j.o.Sees.Lacks(c); why != "" {
		all := make([]label.Verdict, len(steps))
		for i := range all {
			all[i].Unchecked = why
		}
		return all, nil
	}
	if len(steps) == 0 {
		return nil, nil
	}
	shown := len(c.Thinking)
	if j.o.Sees != label.SeesFuture {
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
	steps := 0
	if j.o.Sees == label.SeesFuture {
		steps = len(all)
	}
	conversation, again := messages, false
	for try := 0; ; try++ {
		q := j.o.chat(conversation, seedOf(j.o.Seed, uint64(try)<<32|uint64(first)))
		q.N, q.Schema, q.SchemaAs, q.MaxTokens = n, schemaOf(j.o.Reason, steps), llm.SchemaAs(j.o.Schema), j.limit.of(steps)
		answer, err := j.client.Chat(ctx, q)
		if err == nil {
			var got []reading
			if got, err = j.read(answer.Texts, steps); err == nil {
				j.addTo(all, got, asked(answer.SchemaAs), again)
				return nil
			}
			if try+1 >= j.o.Tries {
				return err
			}
			conversation, again = append(messages[:len(messages):len(messages)], j.complaint(err, steps > 0)...), true
			continue
		}
		e, ok := errors.AsType[*llm.Error](err)
		switch {
		case ok && e.Kind == llm.Cut && j.limit.raise(q.MaxTokens, steps):
			try--
		case ok && (e.Kind == llm.BadAnswer || e.Kind == llm.Cut || e.Kind == llm.Refused) && j.o.Temperature > 0 && try+1 < j.o.Tries:
		default:
			return err
		}
	}
}

// read reads all answers of a call; its error is of the first one that cannot be read.
func (j *Judge) read(texts []string, steps int) ([]reading, error) {
	all := make([]reading, len(texts))
	for i, text := range texts {
		var err error
		if all[i], err = readAnswer(text, j.o.Reason, steps); err != nil {
			return nil, j.client.Clean(err)
		}
		for k := range all[i].raw {
			all[i].raw[k] = j.client.Record(all[i].raw[k])
		}
	}
	return all, nil
}

// addTo adds readings to the verdicts of the last steps: of all of them, or of one.
func (j *Judge) addTo(all []label.Verdict, got []reading, asked string, again bool) {
	for _, r := range got {
		for k, score := range r.scores {
			v := &all[len(all)-len(r.scores)+k]
			v.Score += score
			v.Raw, v.Asked = append(v.Raw, r.raw[k]), asked
			mended := r.mended
			if again {
				mended = append([]string{"asked again"}, mended...)
			}
			for _, what := range mended {
				if !slices.Contains(v.Mended, what) {
					v.Mended = append(v.Mended, what)
				}
			}
		}
	}
}

// complaint goes on with the conversation after an answer that cannot be read.
func (j *Judge) complaint(err error, list bool) []llm.Message {
	why, raw := err.Error(), ""
	if e, ok := errors.AsType[*llm.Error](err); ok {
		why, raw = e.Reason, e.Raw
	}
	ask := fmt.Sprintf("That cannot be used: %s. Answer with a JSON object of this form and with nothing else: %s", why,
		formOf(j.o.Reason, list))
	if raw == "" { // some servers refuse empty turns
		return []llm.Message{{Role: "user", Content: ask}}
	}
	return []llm.Message{{Role: "assistant", Content: raw}, {Role: "user", Content: ask}}
}

// tokenLimit is how many tokens a completion may have.
type tokenLimit struct {
	each   int  // for a step's verdict
	fixed  bool // set by the user
	raised atomic.Bool
}

func (l *tokenLimit) of(steps int) int {
	limit := l.each * max(steps, 1)
	if l.raised.Load() {
		limit += thinkingTokens
	}
	return limit
}

// raise tells whether an answer that was cut at a limit has more room when it is asked for again.
func (l *tokenLimit) raise(cutAt, steps int) bool {
	if l.fixed {
		return false
	}
	l.raised.Store(true)
	return l.of(steps) > cutAt
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
