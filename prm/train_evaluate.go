package prm

import (
	"fmt"
	"math"
	"slices"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/metrics"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/loss"
)

// best lists the metrics by which a checkpoint can be the best, and whether more is better.
var best = []struct {
	name string
	more bool
	of   func(*Evaluation) float64
}{
	{"within_auroc", true, func(e *Evaluation) float64 { return e.WithinAUROC }},
	{"within_problem_auroc", true, func(e *Evaluation) float64 { return e.WithinProblemAUROC }},
	{"step_auroc", true, func(e *Evaluation) float64 { return e.StepAUROC }},
	{"first_error_f1", true, func(e *Evaluation) float64 { return e.FirstErrorF1 }},
	{"processbench_f1", true, func(e *Evaluation) float64 { return e.ProcessBenchF1 }},
	{"trajectory_pearson", true, func(e *Evaluation) float64 { return e.TrajectoryPearson }},
	{"trajectory_spearman", true, func(e *Evaluation) float64 { return e.TrajectorySpearman }},
	{"loss", false, func(e *Evaluation) float64 { return e.Loss }},
	{"step_mse", false, func(e *Evaluation) float64 { return e.StepMSE }},
	{"step_ece", false, func(e *Evaluation) float64 { return e.StepECE }},
	{"trajectory_mse", false, func(e *Evaluation) float64 { return e.TrajectoryMSE }},
}

func bestNames() []string {
	var names []string
	for _, b := range best {
		names = append(names, b.name)
	}
	return names
}

// value is the metric of that name.
func (e *Evaluation) value(name string) float64 {
	for _, b := range best {
		if b.name == name {
			return b.of(e)
		}
	}
	return math.NaN()
}

// better says whether a is a better value of the metric than b; an undefined value is never better.
func better(name string, a, b float64) bool {
	if math.IsNaN(a) || math.IsNaN(b) {
		return !math.IsNaN(a) && math.IsNaN(b)
	}
	i := slices.Index(bestNames(), name)
	return i >= 0 && (best[i].more && a > b || !best[i].more && a < b)
}

// readScores are the head's outputs at every read-out of a list of examples.
type readScores struct {
	values [][]float64   // [example][read-out]
	logits [][][]float64 // of each read-out, one or two; none of a model with a prefix cache
}

func newReadScores(list []*data.Example) *readScores {
	s := &readScores{values: make([][]float64, len(list)), logits: make([][][]float64, len(list))}
	for i, e := range list {
		s.values[i], s.logits[i] = make([]float64, len(e.Reads)), make([][]float64, len(e.Reads))
	}
	return s
}

// put stores a batch's scores; first is the index of the example that the batch calls 0.
func (s *readScores) put(b *data.Batch, scores nnet.Scores, first int) {
	columns := len(scores.Logits) / max(1, len(scores.Values))
	for i, v := range scores.Values {
		e, r := first+int(b.Trajectory[i]), b.Read[i]
		s.values[e][r] = v
		s.logits[e][r] = scores.Logits[i*columns : (i+1)*columns]
	}
}

// evaluate compares scores with the labels of the examples that weigh something. An automatic threshold is the best one for these examples.
func evaluate(c *TrainConfig, d *dataset, list []*data.Example, s *readScores) (*Evaluation, error) {
	trajectories := make([]metrics.Trajectory, len(list))
	var reads []loss.Read
	for i, e := range list {
		about := d.about[e]
		t := metrics.Trajectory{Problem: string(e.Problem[:]), Subset: about.subset, Final: math.NaN(), FinalTarget: math.NaN()}
		weights := e.LossWeights(d.weights(c, len(list))) // as if all examples were one optimizer step
		for j, r := range e.Reads {
			target := math.NaN()
			if r.Weighs() {
				target = r.Target
				reads = append(reads, lossRead(r, weights[j], s.values[i][j], s.logits[i][j]))
			}
			if r.Kind == data.Final {
				t.Final, t.FinalTarget = s.values[i][j], target
				continue
			}
			t.Scores = append(t.Scores, s.values[i][j])
			t.Targets = append(t.Targets, target)
			t.Lengths = append(t.Lengths, int(about.lengths[r.Index]))
		}
		trajectories[i] = t
	}
	threshold := c.Threshold.Value
	if c.Threshold.Auto {
		threshold, _ = metrics.BestThreshold(trajectories)
	}
	report, err := metrics.Evaluate(trajectories, threshold)
	if err != nil {
		return nil, fmt.Errorf("evaluation: %w", err)
	}
	parts := loss.Joint(c.Loss.Kind, reads)
	return newEvaluation(parts, report), nil
}

func lossRead(r data.ReadOut, weight, value float64, logits []float64) loss.Read {
	read := loss.Read{Part: loss.Step, Value: value, Target: r.Target, Weight: weight}
	if r.Kind == data.Final {
		read.Part = loss.Final
	}
	copy(read.Logits[2-len(logits):], logits)
	return read
}

// scalars are the evaluation's numbers for TensorBoard.
func (e *Evaluation) scalars() map[string]float64 {
	values := map[string]float64{}
	for _, b := range best {
		if v := b.of(e); !math.IsNaN(v) {
			values["eval/"+b.name] = v
		}
	}
	return values
}
