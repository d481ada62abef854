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
	Unit    int       // from 0; a bootstrap draws the trajectories of one unit together
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

// Report is everything that one evaluation while training says.
type Report struct {
	NStep, NFinal int              // steps and trajectories with a label
	Values        map[string]Float // by Metric.Name
	Controls      map[string]Control
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
	r := Report{Values: assembled(trajectories, threshold), Controls: map[string]Control{
		"depth":  control(trajectories, func(_ Trajectory, step int) (score, size float64) { return float64(step), 1 }),
		"length": control(trajectories, lengthOf),
	}}
	for _, t := range trajectories {
		r.NStep += labels(t.Targets)
		r.NFinal += labels([]float64{t.FinalTarget})
	}
	return r, nil
}

func assembled(trajectories []Trajectory, threshold float64) map[string]Float {
	a := NewAssembly(Options{Threshold: threshold, Cut: goodFrom}, func(m Metric) bool { return m.Name != "" })
	for i := range trajectories {
		a.Add(&trajectories[i])
	}
	return a.ByName()
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
	values := assembled(standIns, 0)
	return Control{
		StepAUROC:          eitherWay(values["step_auroc"]),
		WithinAUROC:        eitherWay(values["within_auroc"]),
		WithinProblemAUROC: eitherWay(values["within_problem_auroc"]),
		TrajectorySpearman: values["trajectory_spearman"],
	}
}

func eitherWay(a Float) Float { return Float(math.Max(float64(a), 1-float64(a))) }

func labels(targets []float64) int {
	n := 0
	for _, t := range targets {
		if !math.IsNaN(t) {
			n++
		}
	}
	return n
}
