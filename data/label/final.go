package label

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/goprm/goprm/data/label/store"
)

// FinalKind is how the trajectory's reward is made.
type FinalKind string

const (
	// NoFinal makes none.
	NoFinal FinalKind = "none"
	// Rule is 1 where the response's answer is right, else 0.
	Rule FinalKind = "rule"
	// PaperFinal is p = k/N: the share of the policy's answers that are right when it follows the trajectory's template.
	PaperFinal FinalKind = "paper"
	// Lift is (1 + p − p0)/2, with p0 the share that is right on the same seeds without a template.
	Lift FinalKind = "lift"
)

var finalKinds = []FinalKind{NoFinal, Rule, PaperFinal, Lift}

// Final is how the trajectory's reward is made.
type Final struct {
	Kind FinalKind `yaml:"kind" json:"kind"`
	// Samples is N; 0: 8.
	Samples int `yaml:"samples" json:"samples"`
	// Templates is how often a template is asked for, since one that holds the answer is rejected; 0: 3.
	Templates int `yaml:"templates" json:"templates"`
}

func (f Final) withDefaults() Final {
	if f.Kind == "" {
		f.Kind = NoFinal
	}
	if f.Samples == 0 {
		f.Samples = 8
	}
	if f.Templates == 0 {
		f.Templates = 3
	}
	return f
}

// Validate checks the settings. Its errors name the key.
func (f Final) Validate() error {
	f = f.withDefaults()
	if f.Samples < 1 || f.Samples > 1<<10 {
		return fmt.Errorf("trajectory.samples: %d is not between 1 and %d", f.Samples, 1<<10)
	}
	if f.Templates < 1 || f.Templates > 100 {
		return fmt.Errorf("trajectory.templates: %d is not between 1 and 100", f.Templates)
	}
	return oneOf("trajectory.kind", f.Kind, finalKinds...)
}

// sampled tells whether a policy is asked.
func (f Final) sampled() bool { return f.Kind == PaperFinal || f.Kind == Lift }

// Answer is a policy's answer and whether it is right.
type Answer struct {
	Text  string `json:"text"`
	Right bool   `json:"right"`
	// Unread is why an answer that counts as wrong could not be read or compared.
	Unread string `json:"unread,omitempty"`
}

// FinalLabel is the trajectory's reward with all that it was made of.
type FinalLabel struct {
	Kind   FinalKind `json:"kind"`
	Reward *float64  `json:"reward"`
	// Open is why there is none yet, None why there will be none.
	Open string `json:"open,omitempty"`
	None string `json:"none,omitempty"`

	Verifier  string `json:"verifier,omitempty"`
	Templater string `json:"templater,omitempty"`
	Policy    string `json:"policy,omitempty"`
	Template  string `json:"template,omitempty"`
	// Rejected counts the templates that held the answer.
	Rejected int `json:"rejected,omitempty"`
	// Right of Samples answers are right under the template, RightWithout of as many on the same seeds without it.
	Right        int `json:"right"`
	RightWithout int `json:"right_without"`
	Samples      int `json:"samples"`
	// Unread is why a response that counts as wrong could not be read or compared.
	Unread  string   `json:"unread,omitempty"`
	Answers []Answer `json:"answers,omitempty"`
	Without []Answer `json:"answers_without,omitempty"`
}

// shares are p and p0.
func (f *FinalLabel) shares() (p, without float64) {
	return float64(f.Right) / float64(f.Samples), float64(f.RightWithout) / float64(f.Samples)
}

const (
	stageTemplate = "template"
	stageAnswer   = "answer"
)

// final makes the trajectory's reward, or says why there is none.
func (r *run) final(ctx context.Context, c *Case) (*FinalLabel, error) {
	f := &FinalLabel{Kind: r.Final.Kind, Verifier: r.Verifier.ID()}
	if c.Answer == "" {
		f.None = "no gold answer"
		return f, nil
	}
	response := join(c.Response, r.Split)
	if r.Final.Kind == Rule {
		if response == "" {
			f.None = noResponse
			return f, nil
		}
		f.Samples = 1
		right, _, unread, err := Outcome(r.Verifier, c.Answer, response)
		if err != nil {
			f.None = "the verifier cannot decide: " + err.Error()
			return f, nil
		}
		f.Unread = unread
		f.set(btof(right))
		return f, nil
	}
	// What cannot be graded is not paid for.
	if err := CheckGold(r.Verifier, c.Answer); err != nil {
		f.None = "the verifier cannot decide: " + err.Error()
		return f, nil
	}
	f.Templater, f.Policy, f.Samples = r.Templater.ID(), r.Policy.ID(), r.Final.Samples
	found, err := r.template(ctx, c, response, f)
	if err != nil || !found {
		return f, err
	}
	f.Answers, f.Without = make([]Answer, f.Samples), make([]Answer, f.Samples)
	open := make([]string, 2*f.Samples)
	err = together(2*f.Samples, 1, func(i, _ int) (err error) {
		into, template := &f.Answers[i/2], f.Template
		if i%2 == 1 {
			into, template = &f.Without[i/2], ""
		}
		*into, open[i], err = r.answer(ctx, c, template, i/2)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, why := range open {
		if why != "" {
			f.Open, f.Answers, f.Without = why, nil, nil
			return f, nil
		}
	}
	for i := range f.Samples {
		f.Right += int(btof(f.Answers[i].Right))
		f.RightWithout += int(btof(f.Without[i].Right))
	}
	p, without := f.shares()
	if f.Kind == Lift {
		p = (1 + p - without) / 2
	}
	f.set(p)
	return f, nil
}

func (f *FinalLabel) set(reward float64) { f.Reward = &reward }

// template finds the first template that does not hold the answer.
func (r *run) template(ctx context.Context, c *Case, response string, f *FinalLabel) (bool, error) {
	for attempt := range r.Final.Templates {
		key := caseKey(stageTemplate+"/1", c, r.Templater.ID(), fmt.Sprint(attempt))
		text, open, err := r.text(ctx, stageTemplate, key, func() (string, error) { return r.Templater.Template(ctx, c, attempt) })
		if err != nil {
			return false, err
		}
		if open != "" {
			f.Open = open
			return false, nil
		}
		if leaks(r.Verifier, text, c.Answer, response) {
			f.Rejected++
			continue
		}
		f.Template = text
		return true, nil
	}
	f.None = fmt.Sprintf("each of %d templates holds the answer", r.Final.Templates)
	return false, nil
}

// answer asks the policy once. The seed follows from the run's seed, the problem and the number of the sample alone, so that
// the answers with and without a template share it.
func (r *run) answer(ctx context.Context, c *Case, template string, sample int) (a Answer, open string, err error) {
	k := store.NewKey("seed", fmt.Sprint(r.Seed), c.Problem, fmt.Sprint(sample))
	seed := uint64(0)
	for _, b := range k[:4] { // 31 bits: every server takes them
		seed = seed<<8 | uint64(b)
	}
	seed >>= 1
	key := store.NewKey(stageAnswer+"/1", r.Policy.ID(), c.Problem, template, fmt.Sprint(seed))
	a.Text, open, err = r.text(ctx, stageAnswer, key, func() (string, error) {
		return r.Policy.Answer(ctx, Prompt{Problem: c.Problem, Template: template}, seed)
	})
	if err != nil || open != "" {
		return a, open, err
	}
	if a.Right, _, a.Unread, err = Outcome(r.Verifier, c.Answer, a.Text); err != nil {
		return a, "the verifier cannot decide on an answer: " + err.Error(), nil
	}
	return a, "", nil
}

// text returns a stored text or asks for it.
func (r *run) text(ctx context.Context, stage string, key store.Key, ask func() (string, error)) (text, open string, err error) {
	value, found, err := r.get(stage, key)
	if err != nil {
		return "", "", err
	}
	if found {
		r.count(r.stored, stage, 1)
	} else {
		err = r.call(ctx, r.calls, func() (err error) {
			r.count(r.asked, stage, 1)
			text, err = ask()
			return err
		}, func(why string) (err error) {
			if open = why; open != "" {
				return r.putOpen(stage, key, open)
			}
			if value, err = json.Marshal(text); err != nil {
				return err
			}
			value, err = r.remember(stage, key, value)
			return err
		})
		if err != nil || open != "" {
			return "", open, err
		}
	}
	if err := json.Unmarshal(value, &text); err != nil {
		return "", "", fmt.Errorf("stored %s: %w", stage, err)
	}
	return text, "", nil
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

func btof(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
