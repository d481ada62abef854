package metrics

import (
	"fmt"
	"math"
)

// Trajectory is one trajectory's scores beside its targets.
type Trajectory struct {
	Scores  []float64 // a score for each step
	Targets []float64 // a target for each step; NaN: no label
	Lengths []int     // each step's length in characters, for the model-free control; nil: not known
	Problem string    // which problem it answers; "": one of its own
	Subset  string    // of ProcessBench; "": it is no row of it
	// Final and FinalTarget are the trajectory's own score and target; NaN where there is none.
	Final, FinalTarget float64
}

// Control is how well a quantity that no model was needed for does at the same task. Both AUROCs are taken in the
// quantity's better direction, max(a, 1−a), since a user could turn it round for nothing.
type Control struct {
	StepAUROC          Float `json:"step_auroc"`
	WithinAUROC        Float `json:"within_auroc"`
	WithinProblemAUROC Float `json:"within_problem_auroc"`
	TrajectorySpearman Float `json:"trajectory_spearman"` // of the sum over the steps (depth: their number)
}

// Report is everything that one evaluation says.
type Report struct {
	NStep              int                `json:"n_step"`  // steps with a label
	NFinal             int                `json:"n_final"` // trajectories with a trajectory label
	StepMSE            Float              `json:"step_mse"`
	StepAUROC          Float              `json:"step_auroc"`
	WithinAUROC        Float              `json:"within_auroc"`
	WithinProblemAUROC Float              `json:"within_problem_auroc"`
	StepECE            Float              `json:"step_ece"`
	FirstErrorF1       Float              `json:"first_error_f1"`
	FirstErrorAccError Float              `json:"first_error_acc_error"`
	FirstErrorAccRight Float              `json:"first_error_acc_correct"`
	ProcessBenchF1     Float              `json:"processbench_f1"` // mean of the first-error F1 of ProcessBench's subsets
	Threshold          Float              `json:"threshold"`       // what the first-error numbers were taken at
	TrajectoryMSE      Float              `json:"trajectory_mse"`
	TrajectoryPearson  Float              `json:"trajectory_pearson"`
	TrajectorySpearman Float              `json:"trajectory_spearman"`
	Controls           map[string]Control `json:"controls"` // depth: the step's index; length: its characters
}

// Evaluate computes every metric of the given trajectories, and the same of the model-free controls.
func Evaluate(trajectories []Trajectory, threshold float64) (Report, error) {
	for i, t := range trajectories {
		if len(t.Scores) != len(t.Targets) {
			return Report{}, fmt.Errorf("metrics: trajectory %d has %d scores for %d targets", i, len(t.Scores), len(t.Targets))
		}
		if t.Lengths != nil && len(t.Lengths) != len(t.Targets) {
			return Report{}, fmt.Errorf("metrics: trajectory %d has %d lengths for %d targets", i, len(t.Lengths), len(t.Targets))
		}
	}
	scores, targets, final, finalTargets := pool(trajectories)
	first := FirstError(trajectories, threshold)
	return Report{
		NStep:              labels(targets),
		NFinal:             labels(finalTargets),
		StepMSE:            MSE(scores, targets),
		StepAUROC:          AUROC(scores, targets),
		WithinAUROC:        WithinAUROC(trajectories),
		WithinProblemAUROC: WithinProblemAUROC(trajectories),
		StepECE:            ECE(scores, targets),
		FirstErrorF1:       first.F1,
		FirstErrorAccError: first.AccError,
		FirstErrorAccRight: first.AccCorrect,
		ProcessBenchF1:     ProcessBenchF1(trajectories, threshold),
		Threshold:          Float(threshold),
		TrajectoryMSE:      MSE(final, finalTargets),
		TrajectoryPearson:  Pearson(final, finalTargets),
		TrajectorySpearman: Spearman(final, finalTargets),
		Controls: map[string]Control{
			"depth":  control(trajectories, func(_ Trajectory, step int) (score, size float64) { return float64(step), 1 }),
			"length": control(trajectories, lengthOf),
		},
	}, nil
}

func lengthOf(t Trajectory, step int) (score, size float64) {
	if t.Lengths == nil {
		return math.NaN(), math.NaN()
	}
	n := float64(t.Lengths[step])
	return n, n
}

// control runs the metrics on a stand-in model: the quantity of a step as its score, the sizes' sum as the trajectory's.
func control(trajectories []Trajectory, quantity func(t Trajectory, step int) (score, size float64)) Control {
	standIns := make([]Trajectory, len(trajectories))
	for i, t := range trajectories {
		s := Trajectory{Scores: make([]float64, len(t.Targets)), Targets: t.Targets, Problem: t.Problem, FinalTarget: t.FinalTarget}
		for step := range s.Scores {
			score, size := quantity(t, step)
			s.Scores[step] = score
			s.Final += size
		}
		standIns[i] = s
	}
	scores, targets, final, finalTargets := pool(standIns)
	return Control{
		StepAUROC:          eitherWay(AUROC(scores, targets)),
		WithinAUROC:        eitherWay(WithinAUROC(standIns)),
		WithinProblemAUROC: eitherWay(WithinProblemAUROC(standIns)),
		TrajectorySpearman: Spearman(final, finalTargets),
	}
}

func eitherWay(a Float) Float { return Float(math.Max(float64(a), 1-float64(a))) }

func pool(trajectories []Trajectory) (scores, targets, final, finalTargets []float64) {
	for _, t := range trajectories {
		scores = append(scores, t.Scores...)
		targets = append(targets, t.Targets...)
		final = append(final, t.Final)
		finalTargets = append(finalTargets, t.FinalTarget)
	}
	return scores, targets, final, finalTargets
}

func labels(targets []float64) int {
	n := 0
	for _, t := range targets {
		if !math.IsNaN(t) {
			n++
		}
	}
	return n
}
