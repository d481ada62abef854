package serve

import (
	"errors"
	"fmt"
	"math"
	"net/http"

	"github.com/goprm/goprm/data"
)

// render lays trajectories out and checks their lengths.
func (c *call) render(list []*data.Trajectory) ([]Text, error) {
	out := make([]Text, len(list))
	for i, t := range list {
		if err := c.ctx.Err(); err != nil {
			return nil, err
		}
		text, err := c.model.Render(t)
		if err != nil {
			return nil, unprocessable(at(i, len(list), err))
		}
		if err := c.checkLength(text); err != nil {
			return nil, at(i, len(list), err)
		}
		out[i] = text
	}
	return out, nil
}

func (c *call) checkLength(t Text) error {
	if t.Tokens() > c.opt.MaxTokens {
		return &statusError{http.StatusRequestEntityTooLarge, fmt.Errorf("%d tokens, at most %d are taken", t.Tokens(), c.opt.MaxTokens)}
	}
	if t.Windows() > 1 && c.opt.TooLong == TooLongError {
		return unprocessable(fmt.Errorf("the text is longer than the %d tokens that the model was trained for", c.info.MaxTokens))
	}
	return nil
}

func (c *call) score(list []*data.Trajectory) ([]Score, usage, error) {
	texts, err := c.render(list)
	if err != nil {
		return nil, usage{}, err
	}
	scores, err := c.batches.score(c.ctx, texts)
	if err != nil {
		return nil, usage{}, err
	}
	c.metrics.scored(texts, scores)
	return scores, usageOf(texts, scores), nil
}

// finite scores have a reward.
func (c *call) finite(list []*data.Trajectory) ([]Score, usage, error) {
	scores, u, err := c.score(list)
	for i, s := range scores {
		if math.IsNaN(s.Reward) {
			return nil, u, unprocessable(at(i, len(scores), errors.New("no step is of the parts that the reward averages")))
		}
	}
	return scores, u, err
}

// sample is a trajectory whose outcome may be known.
type sample struct {
	trajectory *data.Trajectory
	label      string // gold answer; "" if there is none
}

// rewarded is what a trainer is told of a sample.
type rewarded struct {
	Score
	reward  float64  // the blend with the outcome where that is known, else r̂
	unit    float64  // in [0,1]: the outcome where that is known, else r̂ brought there
	outcome *float64 // 1 or 0; nil if there is no label, or it could not be compared
}

// rewards scores and grades samples. Labels that are all empty are none; an empty one among others follows the policy of what cannot
// be graded.
func (c *call) rewards(samples []sample) ([]rewarded, error) {
	list, labelled := make([]*data.Trajectory, len(samples)), false
	for i, s := range samples {
		list[i] = s.trajectory
		labelled = labelled || s.label != ""
	}
	out := make([]rewarded, len(samples))
	for i, s := range samples {
		if !labelled {
			break
		}
		outcome, err := c.grade(s)
		if err != nil {
			return nil, at(i, len(samples), err)
		}
		out[i].outcome = outcome
	}
	scores, _, err := c.finite(list)
	if err != nil {
		return nil, err
	}
	for i, s := range scores {
		o := &out[i]
		o.Score, o.reward, o.unit = s, s.Reward, c.unit.of(s.Reward)
		if o.outcome != nil {
			process := s.Reward
			if c.opt.BlendScale == "unit" {
				process = o.unit
			}
			o.reward, o.unit = (1-*c.opt.Beta)**o.outcome+*c.opt.Beta*process, *o.outcome
		}
	}
	return out, nil
}

// grade returns the outcome, nil where the policy lets pass what cannot be told.
func (c *call) grade(s sample) (*float64, error) {
	right, err := false, errors.New("the label is empty, those of other texts are not")
	if s.label != "" {
		right, _, err = c.opt.Verifier.Verify(s.label, answerOf(s.trajectory))
	}
	c.metrics.grade(right, err)
	switch {
	case err != nil && c.opt.Ungraded == UngradedPRM:
		return nil, nil
	case err != nil:
		return nil, unprocessable(fmt.Errorf("the outcome cannot be told: %w (the server can be told to answer such texts as those without labels: ungraded %s)", err, UngradedPRM))
	case right:
		return data.Float(1), nil
	}
	return data.Float(0), nil
}

type usage struct {
	PromptTokens     int           `json:"prompt_tokens"`
	TotalTokens      int           `json:"total_tokens"`
	CompletionTokens int           `json:"completion_tokens"`
	Details          *usageDetails `json:"prompt_tokens_details"` // null where no token was cached, as vLLM's
}

type usageDetails struct {
	Cached int `json:"cached_tokens"`
}

func usageOf(texts []Text, scores []Score) usage {
	n, cached := 0, 0
	for i, t := range texts {
		n, cached = n+t.Tokens(), cached+scores[i].Cached
	}
	u := usage{PromptTokens: n, TotalTokens: n}
	if cached > 0 {
		u.Details = &usageDetails{cached}
	}
	return u
}
