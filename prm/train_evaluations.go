package prm

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

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
		return fmt.Errorf("save: best: eval.best: %s was undefined in every evaluation; resume with another eval.best, or with save: last", t.c.Eval.Best)
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

// filesOf lists a folder's files with their sizes.
func filesOf(dir string) (map[string]int64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	sizes := map[string]int64{}
	for _, entry := range entries {
		info, err := os.Stat(filepath.Join(dir, entry.Name()))
		if err != nil {
			return nil, err
		}
		if info.Mode().IsRegular() {
			sizes[entry.Name()] = info.Size()
		}
	}
	return sizes, nil
}
