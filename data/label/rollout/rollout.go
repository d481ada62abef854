// Package rollout judges a step by what becomes of it (Math-Shepherd, arXiv 2312.08935, soft estimation): the share of a
// policy's completions from the prefix that ends with the step which reach the right answer.
package rollout

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/data/label/store"
)

// Options of the judge.
type Options struct {
	Policy   label.Policy
	Verifier label.Verifier
	// Samples is the number of completions a step; 0 means 8.
	Samples int
	Seed    uint64
}

func (o Options) Validate() error {
	if o.Policy == nil || o.Verifier == nil {
		return errors.New("rollout: the judge needs a policy and a verifier")
	}
	if o.Samples < 0 || o.Samples > 1024 {
		return fmt.Errorf("rollout: samples is %d, must be between 0 and 1024", o.Samples)
	}
	return nil
}

// Judge is a label.Judge.
type Judge struct{ o Options }

var _ label.Judge = (*Judge)(nil)

// New returns a judge. It calls nobody.
func New(o Options) (*Judge, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Samples == 0 {
		o.Samples = 8
	}
	return &Judge{o}, nil
}

func (j *Judge) ID() string {
	return fmt.Sprintf("rollout/2 samples=%d seed=%d verifier=(%s) policy=(%s)", j.o.Samples, j.o.Seed, j.o.Verifier.ID(), j.o.Policy.ID())
}

// Sees is the prefix alone: the gold answer is the verifier's, the policy is not shown it.
func (j *Judge) Sees() label.Sees { return label.SeesPrefix }

func (j *Judge) StepsPerCall() int { return 1 }

// completion is what is kept of one.
type completion struct {
	Answer string `json:"answer"`
	Right  bool   `json:"right"`
	Reason string `json:"reason,omitempty"`
}

// Judge asks for all completions of a step at once. If one fails nothing was judged.
func (j *Judge) Judge(ctx context.Context, c *label.Case, steps []int) ([]label.Verdict, error) {
	if err := c.CheckSteps(steps, 0); err != nil {
		return nil, fmt.Errorf("rollout: %w", err)
	}
	verdicts := make([]label.Verdict, len(steps))
	for i, t := range steps {
		v, err := j.step(ctx, c, t)
		if err != nil {
			return nil, err
		}
		verdicts[i] = v
	}
	return verdicts, nil
}

func (j *Judge) step(ctx context.Context, c *label.Case, t int) (label.Verdict, error) {
	if c.Answer == "" {
		return label.Verdict{Unchecked: "no gold answer"}, nil
	}
	// What cannot be graded is not paid for.
	if err := label.CheckGold(j.o.Verifier, c.Answer); err != nil {
		return undecided(err), nil
	}
	prompt := label.Prompt{Problem: c.Problem, Prefix: c.Thinking[:t+1]}
	answers, errs := make([]string, j.o.Samples), make([]error, j.o.Samples)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() {
			if answers[i], errs[i] = j.o.Policy.Answer(ctx, prompt, j.seed(c, t, i)); errs[i] != nil {
				cancel(errs[i]) // the others would be paid for in vain
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return label.Verdict{}, fmt.Errorf("rollout: %w", context.Cause(ctx))
	}
	v, right := label.Verdict{}, 0
	for _, answer := range answers {
		ok, reason, unread, err := label.Outcome(j.o.Verifier, c.Answer, answer)
		if err != nil {
			return undecided(err), nil
		}
		if ok {
			right++
		}
		if unread != "" {
			v.Unread, reason = append(v.Unread, unread), unread
		}
		raw, err := json.Marshal(completion{answer, ok, reason})
		if err != nil {
			return label.Verdict{}, err
		}
		v.Raw = append(v.Raw, raw)
	}
	v.Score = float64(right) / float64(len(answers))
	return v, nil
}

func undecided(err error) label.Verdict {
	return label.Verdict{Unchecked: "the verifier cannot decide: " + err.Error()}
}

// seed depends on the problem, the step's place and the sample, and on nothing that changes with the order of the work.
func (j *Judge) seed(c *label.Case, t, i int) uint64 {
	key := store.NewKey(fmt.Sprint(j.o.Seed), c.Problem, fmt.Sprint(t), fmt.Sprint(i))
	return binary.LittleEndian.Uint64(key[:8])
}
