package serve

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"

	"github.com/goprm/goprm/data"
)

// render lays trajectories out and checks their lengths.
func (c *call) render(list []*data.Trajectory) ([]Text, error) {
	out := make([]Text, len(list))
	for i, t := range list {
		if err := c.ctx.Err(); err != nil {
			return nil, err
		}
		text, _, err := c.layOut(t)
		if err != nil {
			return nil, at(i, len(list), err)
		}
		out[i] = text
	}
	return out, nil
}

// layOut lays one out, or says in a word and at length why it cannot.
func (c *call) layOut(t *data.Trajectory) (Text, string, error) {
	size := len(t.Problem) + len(t.Thinking) + len(t.Response)
	for _, steps := range [][]string{t.Steps, t.ResponseSteps} {
		for _, step := range steps {
			size += len(step)
		}
	}
	if err := c.checkSize(size); err != nil {
		return nil, tooLong, err
	}
	text, err := c.model.Render(c.ctx, t, Limits{Steps: c.opt.MaxSteps, Tokens: c.opt.MaxTokens})
	switch {
	case c.ctx.Err() != nil:
		return nil, "", c.ctx.Err()
	case isTooLarge(err):
		return nil, tooLong, err
	case err != nil:
		return nil, noText, unprocessable(err)
	}
	return text, tooLong, c.checkLength(text)
}

func isTooLarge(err error) bool {
	return err != nil && statusOf(err) == http.StatusRequestEntityTooLarge
}

// checkSize refuses texts by their bytes, before anything is done with them that could take long.
func (c *call) checkSize(bytes int) error {
	if bytes > c.opt.MaxText {
		return withStatus(http.StatusRequestEntityTooLarge, fmt.Errorf("a text of %d bytes, at most %d are taken", bytes, c.opt.MaxText))
	}
	return nil
}

// fromText takes a text apart, see the function of that name.
func (c *call) fromText(text string, prompt *string) (problem, answer string, err error) {
	if err := cmp.Or(c.ctx.Err(), c.checkSize(len(text))); err != nil {
		return "", "", err
	}
	return fromText(text, prompt)
}

func (c *call) checkLength(t Text) error {
	if t.Tokens() > c.opt.MaxTokens {
		return withStatus(http.StatusRequestEntityTooLarge, fmt.Errorf("%d tokens, at most %d are taken", t.Tokens(), c.opt.MaxTokens))
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
	scores, err := c.scoreTexts(texts)
	if err != nil {
		return nil, usage{}, err
	}
	return scores, usageOf(texts, scores), nil
}

// scoreTexts has texts scored, with the company that the call allows.
func (c *call) scoreTexts(texts []Text) ([]Score, error) {
	if c.uncached {
		alone := make([]Text, len(texts))
		for i, t := range texts {
			alone[i] = Uncached{Text: t}
		}
		texts = alone
	}
	c.turn.end()
	scores, err := c.batches.score(c.ctx, texts)
	if err != nil {
		return nil, err
	}
	c.metrics.scored(texts, scores)
	return scores, c.turn.take(c.ctx)
}

var errNoParts = unprocessable(errors.New("no step is of the parts that the reward averages"))

// finite scores have a reward.
func (c *call) finite(list []*data.Trajectory) ([]Score, usage, error) {
	scores, u, err := c.score(list)
	for i, s := range scores {
		if math.IsNaN(s.Reward) {
			return nil, u, at(i, len(scores), errNoParts)
		}
	}
	return scores, u, err
}

// sample is a trajectory whose outcome may be known.
type sample struct {
	trajectory *data.Trajectory
	err        error  // why there is no trajectory
	label      string // gold answer; "" if there is none
}

// sampleOf is a text that was taken apart, or the reason why it was not.
func (c *call) sampleOf(problem, answer string, err error) sample {
	switch {
	case isTooLarge(err):
		return sample{err: err}
	case err != nil:
		return sample{err: unprocessable(err)}
	}
	return sample{trajectory: c.trajectory(problem, answer)}
}

// rewarded is what a trainer is told of a sample.
type rewarded struct {
	Score
	reward   *float64 // the blend with the outcome where that is known, else r̂; what the policy says where there is neither
	unit     *float64 // in [0,1]: the outcome where that is known, else r̂ brought there
	outcome  *float64 // 1 or 0; nil if there is no label, or it could not be compared
	unscored bool
}

// rewards scores and grades samples. Labels that are all empty are none; an empty one among others follows the policy of what cannot
// be graded. A sample without a reward is an error or has the value of its policy.
func (c *call) rewards(samples []sample) ([]rewarded, error) {
	labelled := slices.ContainsFunc(samples, func(s sample) bool { return s.label != "" })
	out, texts, of := make([]rewarded, len(samples)), []Text{}, []int{}
	fail := func(i int, reason string, err error) error {
		c.metrics.unscored.WithLabelValues(reason).Inc()
		if c.unscored.answer {
			out[i] = rewarded{reward: c.unscored.reward, unit: c.unscored.unit, unscored: true}
			return nil
		}
		return at(i, len(samples), err)
	}
	for i, s := range samples {
		var text Text
		reason, err := noText, s.err
		if isTooLarge(err) {
			reason = tooLong
		}
		if err == nil {
			text, reason, err = c.layOut(s.trajectory)
		}
		if c.ctx.Err() != nil {
			return nil, c.ctx.Err()
		}
		if err == nil && labelled {
			reason = noOutcome
			out[i].outcome, err = c.grade(s)
		}
		if err == nil {
			texts, of = append(texts, text), append(of, i)
		} else if err = fail(i, reason, err); err != nil {
			return nil, err
		}
	}
	scores, err := c.scoreTexts(texts)
	if err != nil {
		return nil, err
	}
	for k, s := range scores {
		o := &out[of[k]]
		if math.IsNaN(s.Reward) {
			if err := fail(of[k], noParts, errNoParts); err != nil {
				return nil, err
			}
			continue
		}
		o.Score, o.reward, o.unit = s, &s.Reward, data.Float(c.unit.of(s.Reward))
		if o.outcome != nil {
			o.reward, o.unit = data.Float(c.blend.outcome**o.outcome+c.blend.process*s.Reward), o.outcome
		}
	}
	return out, nil
}

// What keeps an answer from being compared.
const (
	badAnswer = "answer"  // the policy wrote it: it is wrong
	badGold   = "gold"    // the gold answer cannot be read, or the verifier does not tell which of the two
	noGold    = "missing" // the label is empty, those of other texts are not
)

// goldChecker is a verifier that tells whether a gold answer can be compared with anything. Of one that cannot tell, every error is the
// gold answer's.
type goldChecker interface {
	CheckGold(gold string) error
}

// grade returns the outcome, nil where the policy lets pass what cannot be told. An answer that cannot be read is wrong: its policy
// could learn to write such ones if it were left out or spared. So does TRL's accuracy reward.
func (c *call) grade(s sample) (*float64, error) {
	right, cause, err := false, noGold, errors.New("the label is empty, those of other texts are not")
	if s.label != "" {
		cause = ""
		if right, _, err = c.opt.Verifier.Verify(s.label, answerOf(s.trajectory)); err != nil {
			cause = badGold
			if checker, ok := c.opt.Verifier.(goldChecker); ok && checker.CheckGold(s.label) == nil {
				cause = badAnswer
			}
		}
	}
	c.metrics.grade(right, cause)
	switch {
	case cause == badAnswer:
		return data.Float(0), nil
	case err != nil && c.opt.Ungraded == UngradedPRM:
		return nil, nil
	case err != nil:
		return nil, unprocessable(fmt.Errorf("the outcome cannot be told: %w (the server can be told to answer such texts as those without "+
			"labels: ungraded %s)", err, UngradedPRM))
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
