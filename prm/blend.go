package prm

import (
	"errors"
	"fmt"
	"math"

	"github.com/goprm/goprm/internal/blend"
)

// BlendOptions mix an outcome reward with a process reward for reinforcement learning; the zero value is the paper's
// formula with the authors' weight.
type BlendOptions struct {
	Beta *float64 // weight of the process reward, in [0, 1]; nil: 0.75
	// Scale is paper: r̂ as it is, up to 1 + alpha; or unit: r̂ / (1 + alpha), so that it has the range of the outcome. "": paper.
	Scale string
	// Alpha is the weight of the trajectory's score in r̂: 0 where r̂ is the mean of the steps alone. It matters for unit only. Where r̂ is
	// the trajectory's score alone, the most that it can be is the weight, not 1 + alpha: give one less.
	Alpha float64
}

// Validate reports the first option that cannot be used.
func (o BlendOptions) Validate() error {
	if !(o.Alpha > -1) || math.IsInf(o.Alpha, 0) {
		return fmt.Errorf("alpha: %v is not a finite number above -1", o.Alpha)
	}
	_, _, err := o.weights()
	return err
}

// weights are what the outcome and r̂ are multiplied by.
func (o BlendOptions) weights() (outcome, process float64, err error) {
	return blend.Weights(o.Beta, o.Scale, 1+o.Alpha)
}

// Blend is (1−β)·outcome + β·reward, the reward of one sample for GRPO; reward is r̂, as Score.Reward gives it. What could
// not be graded or scored has no blend: NaN is an error, never a 0.
func Blend(outcome, reward float64, opt BlendOptions) (float64, error) {
	if err := opt.Validate(); err != nil {
		return 0, err
	}
	if err := finiteRewards(outcome, reward); err != nil {
		return 0, err
	}
	o, p, err := opt.weights()
	return o*outcome + p*reward, err
}

func finiteRewards(list ...float64) error {
	for i, v := range list {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("reward %d is %v, not a finite number", i, v)
		}
	}
	return nil
}

// DenseReward is what BlendDense places.
type DenseReward struct {
	Outcome    float64
	Steps      []float64 // scores of the steps that count
	Trajectory *float64  // score of the whole; nil: none
	LastTokens []int     // index of each step's last token among the response's tokens; see tokenizer.StepTokens
	Tokens     int       // of the response
}

// BlendDense lays the blend over the tokens of a response: each step's share of its mean on the step's last token, outcome
// and trajectory on the response's last token. The sum over the tokens is Blend of the same. r̂ is the mean of the steps plus
// opt.Alpha times the trajectory. Two steps that end in one token add up.
func BlendDense(r DenseReward, opt BlendOptions) ([]float64, error) {
	if err := opt.Validate(); err != nil {
		return nil, err
	}
	whole := 0.0
	if r.Trajectory != nil {
		whole = opt.Alpha * *r.Trajectory
	}
	if err := errors.Join(finiteRewards(r.Outcome, whole), finiteRewards(r.Steps...)); err != nil {
		return nil, err
	}
	switch {
	case r.Tokens < 1:
		return nil, errors.New("a response without tokens has nowhere to put a reward")
	case len(r.LastTokens) != len(r.Steps):
		return nil, fmt.Errorf("%d places for %d steps", len(r.LastTokens), len(r.Steps))
	}
	outcome, process, err := opt.weights()
	tokens := make([]float64, r.Tokens)
	for i, at := range r.LastTokens {
		if at < 0 || at >= r.Tokens || i > 0 && at < r.LastTokens[i-1] {
			return nil, fmt.Errorf("step %d: token %d is not among the %d, or lies before the step before", i, at, r.Tokens)
		}
		tokens[at] += process * r.Steps[i] / float64(len(r.Steps))
	}
	tokens[r.Tokens-1] += outcome*r.Outcome + process*whole
	return tokens, err
}

// AdvantageOptions say how rewards are compared within their group; the zero value divides by the standard deviation.
type AdvantageOptions struct {
	NoStd   bool    // subtract the mean only (Dr. GRPO)
	Epsilon float64 // added to the standard deviation; 0: 1e-6
}

// GroupAdvantages are GRPO's advantages: each reward minus the mean of its group, divided by the group's standard deviation
// (of a sample: n−1) plus epsilon. groups names the group of each reward, such as its prompt. In a group of one, or of equal
// rewards, there is nothing to learn: 0.
func GroupAdvantages[G comparable](rewards []float64, groups []G, opt AdvantageOptions) ([]float64, error) {
	if len(rewards) != len(groups) {
		return nil, fmt.Errorf("%d rewards for %d groups", len(rewards), len(groups))
	}
	if err := finiteRewards(rewards...); err != nil {
		return nil, err
	}
	if math.IsNaN(opt.Epsilon) || opt.Epsilon < 0 {
		return nil, fmt.Errorf("epsilon: %v is not at least 0", opt.Epsilon)
	}
	if opt.Epsilon == 0 {
		opt.Epsilon = 1e-6
	}
	members := map[G][]int{}
	for i, g := range groups {
		members[g] = append(members[g], i)
	}
	advantages := make([]float64, len(rewards))
	for _, list := range members {
		sum, equal := 0.0, true
		for _, i := range list {
			sum += rewards[i]
			equal = equal && rewards[i] == rewards[list[0]]
		}
		if equal { // also where the mean would be off by rounding
			continue
		}
		m, squares := sum/float64(len(list)), 0.0
		for _, i := range list {
			squares += (rewards[i] - m) * (rewards[i] - m)
		}
		scale := 1.0
		if !opt.NoStd {
			scale = math.Sqrt(squares/float64(len(list)-1)) + opt.Epsilon
		}
		for _, i := range list {
			advantages[i] = (rewards[i] - m) / scale
		}
	}
	return advantages, nil
}
