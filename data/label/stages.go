// Package label makes the rewards that a process reward model is trained on (ReasonFlux-PRM, arXiv 2506.18896, section 4):
// a step reward, fused from alignment, quality and coherence, and a trajectory reward, the share of a policy's answers that
// are right when it follows the trajectory's template.
package label

import (
	"context"
	"encoding/json"
	"fmt"
)

// Case is one trajectory in steps, as the stages see it.
type Case struct {
	ID       string
	Problem  string   // x
	Thinking []string // s_1..s_T
	Response []string // a_1..a_M; empty where the thinking was never closed
	Answer   string   // the gold answer; "" if unknown
	Source   string
}

// CheckSteps refuses steps that the case does not have, and more than perCall of them; 0: any number. Judges call it first.
func (c *Case) CheckSteps(steps []int, perCall int) error {
	for _, t := range steps {
		if t < 0 || t >= len(c.Thinking) {
			return fmt.Errorf("case %q has no step %d", c.ID, t)
		}
	}
	if perCall > 0 && len(steps) > perCall {
		return fmt.Errorf("%d steps in one call, at most %d are allowed", len(steps), perCall)
	}
	return nil
}

// Encoder is Φ: cosines between its vectors say how alike two texts are. It is safe for concurrent use.
type Encoder interface {
	// ID names everything that the vectors depend on besides the text: the model, its weights' hash, its pooling.
	ID() string
	// Encode returns one vector for each text, all of one length.
	Encode(ctx context.Context, texts []string) ([][]float32, error)
}

// Sees says what a judge is shown besides the problem and the steps up to the judged one. It is stored with the label.
type Sees string

const (
	SeesResponse Sees = "prefix+response" // the whole response: the paper's J(s_t | x, s_<t, a)
	SeesAnswer   Sees = "prefix+answer"   // the final answer alone
	SeesPrefix   Sees = "prefix"          // nothing more
	SeesFuture   Sees = "sees_future"     // all steps at once, in one call a trajectory
)

var everySees = []Sees{SeesResponse, SeesAnswer, SeesPrefix, SeesFuture}

// Validate checks the value; "" is none.
func (s Sees) Validate() error { return oneOf("sees", s, everySees...) }

// Lacks says what a judge is shown that the case does not have, or "": then the judge can have no opinion of its steps.
func (s Sees) Lacks(c *Case) string {
	switch {
	case s == SeesResponse && len(c.Response) == 0:
		return "no response that the judge could see"
	case s == SeesAnswer && c.Answer == "":
		return "no answer that the judge could see"
	}
	return ""
}

// StepsPerCall is Judge.StepsPerCall of a judge that asks for one step at a time unless it is shown the future.
func (s Sees) StepsPerCall() int {
	if s == SeesFuture {
		return 0
	}
	return 1
}

// Verdict is what a judge says of one step.
type Verdict struct {
	// Score is in [0,1]; it means nothing where Unchecked is set.
	Score float64 `json:"score"`
	// Unchecked says why the judge has no opinion ("nothing to check"): an answer, and final, but never a label.
	Unchecked string `json:"unchecked,omitempty"`
	// Raw holds the answers that the score was made of, as they came, without what Mended names.
	Raw []json.RawMessage `json:"raw,omitempty"`
	// Unread says of each answer that counts as wrong because it could not be read or compared why.
	Unread []string `json:"unread,omitempty"`
	// Asked is how the verdict was asked for where that is not what the judge's ID says; see Formed.
	Asked string `json:"asked,omitempty"`
	// Mended names what was left out of the answers so that they could be read, or that they were asked for again; nil: nothing.
	Mended []string `json:"mended,omitempty"`
}

// Judge is J: it gives a step its quality. It is safe for concurrent use.
type Judge interface {
	// ID names everything that a verdict depends on besides the case: kind, model, prompt version, parameters.
	ID() string
	// Sees says what it is shown.
	Sees() Sees
	// StepsPerCall is how many steps one call of Judge takes at most; 0: a trajectory's steps all together.
	StepsPerCall() int
	// Judge returns one verdict for each of the named thinking steps (indices into c.Thinking), each score in [0,1]. After an error
	// nothing was judged: the steps stay open and are asked again by the next run. An error may say more by two methods: Short()
	// string is what it is counted by, without what differs from call to call; Fatal() bool, if true, ends all calls of the run.
	Judge(ctx context.Context, c *Case, steps []int) ([]Verdict, error)
}

// Formed is a judge that asks in another form where its server refuses the first one. Verdicts are stored under the form that they
// were asked for in.
type Formed interface {
	Judge
	// Forms are the values of Verdict.Asked besides "" that its verdicts may have.
	Forms() []string
	// IDAs is the ID of the judge that asks in this form alone; ID() for "".
	IDAs(asked string) string
}

// Templater extracts from a trajectory the reasoning template that another attempt can follow. It is safe for concurrent use.
type Templater interface {
	ID() string
	// Template makes a new attempt; attempts count from 0, and the same attempt may be answered from a cache.
	Template(ctx context.Context, c *Case, attempt int) (string, error)
}

// Prompt is what a policy goes on from.
type Prompt struct {
	Problem  string
	Template string   // to follow; "" for none
	Prefix   []string // steps already taken; nil for none
}

// Policy is π: it answers problems. It is safe for concurrent use.
type Policy interface {
	ID() string
	// Answer returns one sampled answer; the seed tells samples apart.
	Answer(ctx context.Context, p Prompt, seed uint64) (string, error)
}

// Verifier tells whether a text's final answer equals the gold answer. It is safe for concurrent use.
type Verifier interface {
	ID() string
	// Verify returns an error where it cannot decide (code problems, no gold answer): then there is no label, unless the verifier is
	// a [GoldChecker] that finds nothing wrong with the gold answer.
	Verify(gold, text string) (right bool, reason string, err error)
}
