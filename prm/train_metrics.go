package prm

import (
	"encoding/json"
	"math"

	"github.com/goprm/goprm/internal/metrics"
	"github.com/goprm/goprm/internal/runlog"
	"github.com/goprm/goprm/loss"
)

// StepMetrics is what one optimizer step came to; its JSON is its line in metrics.jsonl.
type StepMetrics struct {
	Step         int // optimizer steps done, this one and those of earlier sessions included
	Tokens       int
	Trajectories int
	NStep        int // step labels
	NFinal       int // trajectory labels
	// Loss is LossStep + LossFinal, each with its λ.
	Loss, LossStep, LossFinal float64
	GradNorm                  float64 // before clipping
	NonFinite                 string  // the first tensor that was NaN or Inf, of a step that on_nonfinite passed over; then losses are NaN
	LR                        float64 // of all but the head
	TokensPerS                float64
	Time                      string // RFC 3339
}

// MarshalJSON writes the line in metrics.jsonl.
func (s StepMetrics) MarshalJSON() ([]byte, error) {
	return json.Marshal(runlog.Step{
		Step: s.Step, Tokens: s.Tokens, Trajectories: s.Trajectories, NStep: s.NStep, NFinal: s.NFinal,
		Loss: metrics.Float(s.Loss), LossStep: metrics.Float(s.LossStep), LossFinal: metrics.Float(s.LossFinal),
		GradNorm: metrics.Float(s.GradNorm), NonFinite: s.NonFinite, LR: s.LR, TokensPerS: s.TokensPerS, Time: s.Time,
	})
}

// UnmarshalJSON reads a line of metrics.jsonl.
func (s *StepMetrics) UnmarshalJSON(text []byte) error {
	var r runlog.Step
	if err := json.Unmarshal(text, &r); err != nil {
		return err
	}
	*s = StepMetrics{
		Step: r.Step, Tokens: r.Tokens, Trajectories: r.Trajectories, NStep: r.NStep, NFinal: r.NFinal,
		Loss: float64(r.Loss), LossStep: float64(r.LossStep), LossFinal: float64(r.LossFinal), GradNorm: float64(r.GradNorm),
		LR: r.LR, TokensPerS: r.TokensPerS, Time: r.Time,
	}
	return nil
}

// Evaluation is what one evaluation says: the loss over the evaluation data (each trajectory weighing the same, with the
// λ of training) and every metric. One that the data leave undefined (one class only, nothing labelled) is NaN, and null
// in JSON. Its JSON is the value of "eval" in a line of metrics.jsonl.
type Evaluation struct {
	Step int // optimizer steps done when it was taken; the line has it beside "eval"

	Loss, LossStep, LossFinal float64 // Loss is LossStep + LossFinal, each with its λ

	NStep              int     // steps with a label
	NFinal             int     // trajectories with a trajectory label
	StepMSE            float64 // mean squared error of step scores
	StepAUROC          float64 // over all steps; a target of 0.5 or more counts as good
	WithinAUROC        float64 // over pairs of steps of one trajectory
	WithinProblemAUROC float64 // over pairs of steps of one problem, for trajectories with one label each
	StepECE            float64 // expected calibration error
	FirstErrorF1       float64 // harmonic mean of the next two
	FirstErrorAccError float64 // share of the trajectories with a wrong step whose first one was found
	FirstErrorAccRight float64 // share of the trajectories without one in which none was found
	ProcessBenchF1     float64 // mean of FirstErrorF1 over the subsets of ProcessBench; NaN without rows of it
	Threshold          float64 // a step that scores below it counts as wrong
	TrajectoryMSE      float64
	TrajectoryPearson  float64
	TrajectorySpearman float64
	Controls           map[string]Control // depth: the step's index as its score; length: its characters
}

// Control is how well a quantity that no model was needed for does at the same task. Both AUROCs are taken in the
// quantity's better direction, max(a, 1−a).
type Control struct {
	StepAUROC          float64
	WithinAUROC        float64
	WithinProblemAUROC float64
	TrajectorySpearman float64 // of the sum over the steps (depth: their number)
}

// evaluationLine is an Evaluation in metrics.jsonl.
type evaluationLine struct {
	Loss      metrics.Float `json:"loss"`
	LossStep  metrics.Float `json:"loss_step"`
	LossFinal metrics.Float `json:"loss_final"`
	metrics.Report
}

func newEvaluation(parts loss.Parts, r metrics.Report) *Evaluation {
	e := &Evaluation{
		Loss: parts.Loss, LossStep: parts.Step, LossFinal: parts.Final, NStep: r.NStep, NFinal: r.NFinal,
		StepMSE: float64(r.StepMSE), StepAUROC: float64(r.StepAUROC), WithinAUROC: float64(r.WithinAUROC),
		WithinProblemAUROC: float64(r.WithinProblemAUROC), ProcessBenchF1: float64(r.ProcessBenchF1), StepECE: float64(r.StepECE),
		FirstErrorF1: float64(r.FirstErrorF1), FirstErrorAccError: float64(r.FirstErrorAccError),
		FirstErrorAccRight: float64(r.FirstErrorAccRight), Threshold: float64(r.Threshold), TrajectoryMSE: float64(r.TrajectoryMSE),
		TrajectoryPearson:  float64(r.TrajectoryPearson),
		TrajectorySpearman: float64(r.TrajectorySpearman),
	}
	for name, c := range r.Controls {
		if e.Controls == nil {
			e.Controls = map[string]Control{}
		}
		e.Controls[name] = Control{float64(c.StepAUROC), float64(c.WithinAUROC), float64(c.WithinProblemAUROC), float64(c.TrajectorySpearman)}
	}
	return e
}

// MarshalJSON writes the value of "eval" in metrics.jsonl.
func (e Evaluation) MarshalJSON() ([]byte, error) {
	line := evaluationLine{metrics.Float(e.Loss), metrics.Float(e.LossStep), metrics.Float(e.LossFinal), metrics.Report{
		NStep: e.NStep, NFinal: e.NFinal,
		StepMSE: metrics.Float(e.StepMSE), StepAUROC: metrics.Float(e.StepAUROC), WithinAUROC: metrics.Float(e.WithinAUROC),
		WithinProblemAUROC: metrics.Float(e.WithinProblemAUROC), ProcessBenchF1: metrics.Float(e.ProcessBenchF1),
		StepECE: metrics.Float(e.StepECE), FirstErrorF1: metrics.Float(e.FirstErrorF1), FirstErrorAccError: metrics.Float(e.FirstErrorAccError),
		FirstErrorAccRight: metrics.Float(e.FirstErrorAccRight), Threshold: metrics.Float(e.Threshold),
		TrajectoryMSE:     metrics.Float(e.TrajectoryMSE),
		TrajectoryPearson: metrics.Float(e.TrajectoryPearson), TrajectorySpearman: metrics.Float(e.TrajectorySpearman),
	}}
	for name, c := range e.Controls {
		if line.Controls == nil {
			line.Controls = map[string]metrics.Control{}
		}
		line.Controls[name] = metrics.Control{
			StepAUROC: metrics.Float(c.StepAUROC), WithinAUROC: metrics.Float(c.WithinAUROC),
			WithinProblemAUROC: metrics.Float(c.WithinProblemAUROC),
			TrajectorySpearman: metrics.Float(c.TrajectorySpearman),
		}
	}
	return json.Marshal(line)
}

// UnmarshalJSON reads the value of "eval" in metrics.jsonl. Step keeps its value.
func (e *Evaluation) UnmarshalJSON(text []byte) error {
	undefined := metrics.Float(math.NaN()) // what a line of an earlier version lacks
	line := evaluationLine{Report: metrics.Report{WithinProblemAUROC: undefined, ProcessBenchF1: undefined}}
	if err := json.Unmarshal(text, &line); err != nil {
		return err
	}
	parts := loss.Parts{Loss: float64(line.Loss), Step: float64(line.LossStep), Final: float64(line.LossFinal)}
	step := e.Step
	*e = *newEvaluation(parts, line.Report)
	e.Step = step
	return nil
}
