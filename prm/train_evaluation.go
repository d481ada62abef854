package prm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"

	"github.com/goprm/goprm/internal/metrics"
	"github.com/goprm/goprm/loss"
)

// Evaluation is the outcome of one evaluation: the loss over the evaluation data (each trajectory has the same weight; λ as in
// training) and every metric. A metric that the data leave undefined (one class only, nothing labelled) is NaN, and null in JSON.
// Its JSON is the value of "eval" in a line of metrics.jsonl.
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
	StepMacroF1        float64 // mean of the F1 of good and of bad steps, a step of Threshold or more being called good
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

// evaluationField is a number of an Evaluation with its key in metrics.jsonl.
type evaluationField struct {
	name  string
	value any // *float64, or *int
	best  direction
}

// direction says which values are better, of a metric by which a checkpoint can be the best.
type direction int

const (
	noDirection direction = iota
	higherIsBetter
	lowerIsBetter
)

// fields are the numbers in the order of metrics.jsonl. A metric's key is its name in [metrics.Metrics].
func (e *Evaluation) fields() []evaluationField {
	return []evaluationField{
		{"loss", &e.Loss, lowerIsBetter},
		{"loss_step", &e.LossStep, noDirection},
		{"loss_final", &e.LossFinal, noDirection},
		{"n_step", &e.NStep, noDirection},
		{"n_final", &e.NFinal, noDirection},
		{"step_mse", &e.StepMSE, lowerIsBetter},
		{"step_auroc", &e.StepAUROC, higherIsBetter},
		{"within_auroc", &e.WithinAUROC, higherIsBetter},
		{"within_problem_auroc", &e.WithinProblemAUROC, higherIsBetter},
		{"step_ece", &e.StepECE, lowerIsBetter},
		{"first_error_f1", &e.FirstErrorF1, higherIsBetter},
		{"first_error_acc_error", &e.FirstErrorAccError, noDirection},
		{"first_error_acc_correct", &e.FirstErrorAccRight, noDirection},
		{"processbench_f1", &e.ProcessBenchF1, higherIsBetter},
		{"step_macro_f1", &e.StepMacroF1, higherIsBetter},
		{"threshold", &e.Threshold, noDirection},
		{"trajectory_mse", &e.TrajectoryMSE, lowerIsBetter},
		{"trajectory_pearson", &e.TrajectoryPearson, higherIsBetter},
		{"trajectory_spearman", &e.TrajectorySpearman, higherIsBetter},
	}
}

// newEvaluation takes the losses and the metrics of a report.
func newEvaluation(parts loss.Parts, threshold float64, r metrics.Report) *Evaluation {
	e := &Evaluation{Loss: parts.Loss, LossStep: parts.Step, LossFinal: parts.Final, NStep: r.NStep, NFinal: r.NFinal, Threshold: threshold}
	for _, f := range e.fields() {
		if v, ok := r.Values[f.name]; ok {
			*f.value.(*float64) = float64(v)
		}
	}
	e.setControls(r.Controls)
	return e
}

func (e *Evaluation) setControls(controls map[string]metrics.Control) {
	for name, c := range controls {
		if e.Controls == nil {
			e.Controls = map[string]Control{}
		}
		e.Controls[name] = Control{float64(c.StepAUROC), float64(c.WithinAUROC), float64(c.WithinProblemAUROC), float64(c.TrajectorySpearman)}
	}
}

// MarshalJSON writes the value of "eval" in metrics.jsonl.
func (e Evaluation) MarshalJSON() ([]byte, error) {
	var line bytes.Buffer
	line.WriteByte('{')
	for _, f := range e.fields() {
		text, err := f.json()
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&line, "%q:%s,", f.name, text)
	}
	var controls map[string]metrics.Control // null if there are none
	for name, c := range e.Controls {
		if controls == nil {
			controls = map[string]metrics.Control{}
		}
		controls[name] = metrics.Control{
			StepAUROC: metrics.Float(c.StepAUROC), WithinAUROC: metrics.Float(c.WithinAUROC),
			WithinProblemAUROC: metrics.Float(c.WithinProblemAUROC),
			TrajectorySpearman: metrics.Float(c.TrajectorySpearman),
		}
	}
	text, err := json.Marshal(controls)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(&line, `"controls":%s}`, text)
	return line.Bytes(), nil
}

func (f evaluationField) json() ([]byte, error) {
	if v, ok := f.value.(*float64); ok {
		return json.Marshal(metrics.Float(*v))
	}
	return json.Marshal(f.value)
}

// UnmarshalJSON reads the value of "eval" in metrics.jsonl. Step keeps its value. A metric that the line lacks, since an earlier
// version wrote it, is undefined.
func (e *Evaluation) UnmarshalJSON(text []byte) error {
	var line map[string]json.RawMessage
	if err := json.Unmarshal(text, &line); err != nil {
		return err
	}
	read := Evaluation{Step: e.Step}
	for _, f := range read.fields() {
		if err := f.read(line[f.name]); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	if text, ok := line["controls"]; ok {
		var controls map[string]metrics.Control
		if err := json.Unmarshal(text, &controls); err != nil {
			return fmt.Errorf("controls: %w", err)
		}
		read.setControls(controls)
	}
	*e = read
	return nil
}

func (f evaluationField) read(text json.RawMessage) error {
	number, isFloat := f.value.(*float64)
	switch {
	case isFloat && text == nil:
		*number = math.NaN()
		return nil
	case isFloat:
		return json.Unmarshal(text, (*metrics.Float)(number))
	case text == nil:
		return nil
	}
	return json.Unmarshal(text, f.value)
}

// scalars are the evaluation's numbers for TensorBoard.
func (e *Evaluation) scalars() map[string]float64 {
	values := map[string]float64{}
	for _, f := range e.rankable() {
		if v := f.float(); !math.IsNaN(v) {
			values["eval/"+f.name] = v
		}
	}
	return values
}
