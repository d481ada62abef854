package prm

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/checkpoint"
)

// evaluations are the evaluations in a run's metrics.jsonl, in order. A checkpoint is written before the evaluation of its own step, so
// its Best and Threshold may be one evaluation behind.
type evaluations []Evaluation

// readEvaluations reads the evaluations up to a step.
func readEvaluations(out string, upTo int) (evaluations, error) {
	path := filepath.Join(out, metricsName)
	if info, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil, nil
	}
	var list evaluations
	for line, err := range data.Lines([]string{path}, data.ReadOptions{}) {
		if err != nil {
			return nil, err
		}
		row, err := data.NewRow(line)
		if err != nil {
			return nil, err
		}
		var e Evaluation
		if err := row.Need("step", &e.Step); err != nil {
			return nil, err
		}
		if e.Step > upTo || !row.Has("eval") {
			continue
		}
		if err := row.Need("eval", &e); err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}

// applyTo updates a checkpoint's Best and Threshold, and returns the step of the last evaluation, 0 if there is none.
func (list evaluations) applyTo(meta *checkpointMeta, c *TrainConfig) int {
	last := 0
	for _, e := range list {
		meta.Best = e.orBetter(meta.Best, c.Eval.Best)
		meta.Threshold, last = e.Threshold, e.Step
	}
	return last
}

// at is the evaluation of a step, nil if there is none.
func (list evaluations) at(step int) *Evaluation {
	for i := range list {
		if list[i].Step == step {
			return &list[i]
		}
	}
	return nil
}

// orBetter is this evaluation if it is better than the former best by the metric, else the former.
func (e *Evaluation) orBetter(former *Best, metric string) *Best {
	value, before := e.value(metric), math.NaN()
	if former != nil {
		before = former.Value
	}
	if !better(metric, value, before) {
		return former
	}
	return &Best{Step: e.Step, Metric: metric, Value: value}
}

// chooseWeights puts the best checkpoint's weights in place of the last step's where save: best asks for them.
func (t *trainer) chooseWeights() error {
	if t.c.Save != "best" {
		return nil
	}
	best := t.meta.Best
	if best == nil {
		return fmt.Errorf("save: best: eval.best: %s was undefined in every evaluation; resume with another eval.best, or with save: last",
			t.c.Eval.Best)
	}
	if best.Step == t.meta.Step {
		return nil
	}
	from, err := checkpoint.Read(checkpoint.Dir(filepath.Join(t.c.Out, checkpointsName), best.Step))
	if err != nil {
		return fmt.Errorf("save: best: %w; resume with save: last to write the last step's weights", err)
	}
	last := t.meta
	if err := t.restore(from); err != nil {
		return err
	}
	seen, err := readEvaluations(t.c.Out, last.Step)
	if err != nil {
		return err
	}
	if e := seen.at(best.Step); e != nil {
		last.Threshold = e.Threshold
	}
	t.meta = last // its step stays that of the last checkpoint
	t.log.noticef("the model is that of step %d, the best by %s", best.Step, best.Metric)
	return nil
}

// checkBest refuses save: best where eval.best cannot be computed from the evaluation data, whatever the scores are, and warns of it
// otherwise.
func (d *dataset) checkBest(c *TrainConfig) error {
	if len(d.eval) == 0 {
		if c.Save == "best" {
			return errors.New("save: best: there is no evaluation data; give data.eval or data.eval_share")
		}
		return nil
	}
	trial := newReadScores(d.eval)
	next := 0.0
	for i := range d.eval {
		for k := range trial.values[i] {
			next++
			trial.values[i][k], trial.logits[i][k] = 1-1/(1+next), []float64{0} // all different
		}
	}
	e, err := evaluate(c, d, d.eval, trial)
	if err != nil || !math.IsNaN(e.value(c.Eval.Best)) {
		return err
	}
	what := fmt.Sprintf("eval.best: %s is undefined on the evaluation data%s", c.Eval.Best, e.definedInstead())
	if c.Save == "best" {
		return errors.New("save: best: " + what)
	}
	d.warnings = append(d.warnings, what+"; no checkpoint will be the best")
	return nil
}

// rankable are the metrics by which a checkpoint can be the best.
func (e *Evaluation) rankable() []evaluationField {
	return slices.DeleteFunc(e.fields(), func(f evaluationField) bool { return f.best == noDirection })
}

func (f evaluationField) float() float64 { return *f.value.(*float64) }

// bestNames lists the values of eval.best.
func bestNames() []string {
	var names []string
	for _, f := range new(Evaluation).rankable() {
		names = append(names, f.name)
	}
	return names
}

// value is the metric of that name.
func (e *Evaluation) value(name string) float64 {
	for _, f := range e.rankable() {
		if f.name == name {
			return f.float()
		}
	}
	return math.NaN()
}

// better says whether a is a better value of the metric than b; an undefined value is never better.
func better(name string, a, b float64) bool {
	if math.IsNaN(a) || math.IsNaN(b) {
		return !math.IsNaN(a) && math.IsNaN(b)
	}
	for _, f := range new(Evaluation).rankable() {
		if f.name == name {
			return f.best == higherIsBetter && a > b || f.best == lowerIsBetter && a < b
		}
	}
	return false
}

// definedInstead names a metric that is defined, first of all one that cannot be won by telling easy problems from hard ones.
func (e *Evaluation) definedInstead() string {
	for _, name := range append([]string{"within_auroc", "within_problem_auroc"}, bestNames()...) {
		if !math.IsNaN(e.value(name)) {
			return ", where " + name + " is defined"
		}
	}
	return ""
}
