package loss

import (
	"errors"
	"fmt"
	"math"
)

// Labels are the targets of one trajectory.
type Labels struct {
	Steps       []float64 // a target for each step; NaN: that step has no label
	StepWeights []float64 // nil, or a weight ≥ 0 for each step
	Final       float64   // the trajectory's target; NaN: none
	FinalWeight *float64  // nil: 1
}

func (l Labels) labelledSteps() int {
	n := 0
	for _, t := range l.Steps {
		if !math.IsNaN(t) {
			n++
		}
	}
	return n
}

// WeightOptions are the numbers that turn labels into weights.
type WeightOptions struct {
	// Trajectories is N, the configured size of an optimizer batch. It stays N in an epoch's last, smaller batch.
	Trajectories int
	// LambdaStep and LambdaFinal are the shares of the two objectives; finite and ≥ 0. See [BalancedLambda].
	LambdaStep, LambdaFinal float64
}

// Validate reports the first option that cannot be used.
func (o WeightOptions) Validate() error {
	if o.Trajectories < 1 {
		return fmt.Errorf("loss: a batch of %d trajectories: it must be at least 1", o.Trajectories)
	}
	if !usable(o.LambdaStep) {
		return fmt.Errorf("loss: lambda_step is %v: it must be finite and not negative", o.LambdaStep)
	}
	if !usable(o.LambdaFinal) {
		return fmt.Errorf("loss: lambda_final is %v: it must be finite and not negative", o.LambdaFinal)
	}
	return nil
}

// Of is the weight of one labelled read-out in the loss: λ_step/(N·steps) for a step of a trajectory with so many labelled
// steps, λ_final/N for the trajectory's own, times the label's weight. Everything that weighs labels takes it from here.
func (o WeightOptions) Of(part Part, steps int, label float64) float64 {
	n := float64(o.Trajectories)
	if part == Final {
		return o.LambdaFinal / n * label
	}
	return o.LambdaStep / (n * float64(steps)) * label
}

// ReadWeights are the weights of one trajectory's read-outs; 0 where there is no label.
type ReadWeights struct {
	Steps []float64
	Final float64
}

// Weights returns the weights of one optimizer batch of at most N trajectories. A labelled step of trajectory b weighs
// λ_step/(N·T_b), T_b being its number of labelled steps whatever their weights; the trajectory's own read-out weighs
// λ_final/N; each times its label weight. What has no label adds nothing and never makes its neighbours weigh more.
// Errors name the trajectory (its place in the batch) and the step.
func Weights(o WeightOptions, batch []Labels) ([]ReadWeights, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if len(batch) > o.Trajectories {
		return nil, fmt.Errorf("loss: %d trajectories in a batch of at most %d", len(batch), o.Trajectories)
	}
	weights := make([]ReadWeights, len(batch))
	for b, labels := range batch {
		w, err := o.trajectory(labels)
		if err != nil {
			return nil, fmt.Errorf("loss: trajectory %d of the batch: %w", b, err)
		}
		weights[b] = w
	}
	return weights, nil
}

func (o WeightOptions) trajectory(l Labels) (ReadWeights, error) {
	if l.StepWeights != nil && len(l.StepWeights) != len(l.Steps) {
		return ReadWeights{}, fmt.Errorf("%d step weights for %d steps", len(l.StepWeights), len(l.Steps))
	}
	w := ReadWeights{Steps: make([]float64, len(l.Steps))}
	steps := l.labelledSteps()
	for t, target := range l.Steps {
		if math.IsNaN(target) {
			continue
		}
		if math.IsInf(target, 0) {
			return ReadWeights{}, fmt.Errorf("step %d: the target is %v", t, target)
		}
		weight := 1.0
		if l.StepWeights != nil {
			if !usable(l.StepWeights[t]) {
				return ReadWeights{}, fmt.Errorf("step %d: the weight is %v: it must be finite and not negative", t, l.StepWeights[t])
			}
			weight = l.StepWeights[t]
		}
		w.Steps[t] = o.Of(Step, steps, weight)
	}
	if math.IsNaN(l.Final) {
		return w, nil
	}
	if math.IsInf(l.Final, 0) {
		return ReadWeights{}, fmt.Errorf("the trajectory's target is %v", l.Final)
	}
	weight := 1.0
	if l.FinalWeight != nil {
		if !usable(*l.FinalWeight) {
			return ReadWeights{}, fmt.Errorf("the trajectory's weight is %v: it must be finite and not negative", *l.FinalWeight)
		}
		weight = *l.FinalWeight
	}
	w.Final = o.Of(Final, steps, weight)
	return w, nil
}

// ErrNoTrajectoryLabel is returned by [BalancedLambda] when there is nothing to balance.
var ErrNoTrajectoryLabel = errors.New("loss: no trajectory has a trajectory label: lambda_final: balanced means 0 here")

// BalancedLambda is λ_final = 1/(share of the training trajectories that have a trajectory label), so that rare
// trajectory labels pull as much as the steps do. Without any the result is 0 and ErrNoTrajectoryLabel, which callers may report as a
// warning.
func BalancedLambda(trajectories, labelled int) (float64, error) {
	switch {
	case trajectories < 0 || labelled < 0 || labelled > trajectories:
		return 0, fmt.Errorf("loss: %d of %d trajectories have a trajectory label", labelled, trajectories)
	case labelled == 0:
		return 0, ErrNoTrajectoryLabel
	}
	return float64(trajectories) / float64(labelled), nil
}

func usable(x float64) bool { return x >= 0 && !math.IsInf(x, 1) }
