package inputs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/metrics"
	"github.com/goprm/goprm/internal/report"
)

// runCurves is what a run's metrics.jsonl says.
type runCurves struct {
	r          *reporting
	name, path string
	record     *record   // nil: there is none
	settings   *settings // nil: there are none
	training   curve
	finals     float64 // trajectory labels that were trained on; NaN: not told
	tokens     float64
	began, end time.Time            // of the first and the last line; zero: not told
	evals      []float64            // optimizer steps of the evaluations
	eval       map[string][]float64 // metric → its value at each of them
	lines      int
	bad        error // of the line before, which may be the last: a run that goes on has not finished it
}

// Files of a run folder.
const (
	recordName  = "run.json"
	metricsName = "metrics.jsonl"
)

// record is what a page shows of run.json.
type record struct {
	Version string `json:"version"`
	Started string `json:"started"`
	Model   struct {
		Path string `json:"path"`
	} `json:"model"`
	Device  string `json:"device"`
	Backend string `json:"backend"`
	DType   string `json:"dtype"`
	Counts  struct {
		Trajectories            int `json:"trajectories"`
		EvalTrajectories        int `json:"eval_trajectories"`
		StepLabels              int `json:"step_labels"`
		TrajectoryLabels        int `json:"trajectory_labels"`
		Tokens                  int `json:"tokens"`
		DroppedTrajectories     int `json:"dropped_trajectories"`
		DroppedSteps            int `json:"dropped_steps"`
		DroppedStepLabels       int `json:"dropped_step_labels"`
		DroppedTrajectoryLabels int `json:"dropped_trajectory_labels"`
	} `json:"counts"`
	LambdaFinal   float64  `json:"lambda_final"`
	StepsPerEpoch int      `json:"steps_per_epoch"`
	Steps         int      `json:"steps"`
	Complete      bool     `json:"complete"`
	Warnings      []string `json:"warnings"`
}

func (r *record) state() string {
	if r != nil && r.Complete {
		return "complete"
	}
	return "not complete"
}

func readRecord(path string) (*record, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &r, nil
}

// evaluated are the metrics of an evaluation that the table of the last one shows, in its order.
func evaluated() []string {
	names := []string{"loss"}
	for _, m := range metrics.Metrics() {
		if m.Name != "" {
			names = append(names, m.Name)
		}
	}
	return names
}

// trained are the numbers of an optimizer step that are drawn.
var trained = []string{"loss", "loss_step", "loss_final", "grad_norm", "lr"}

// run reads a run folder.
func (r *reporting) run(dir string) error {
	c := &runCurves{r: r, name: dir, path: filepath.Join(dir, metricsName)}
	var err error
	if c.settings, err = readSettings(dir); err != nil {
		return err
	}
	record, err := readRecord(filepath.Join(dir, recordName))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.warnf("%s: no %s: nothing is known of the run but its metrics", dir, recordName)
	case err != nil:
		return err
	default:
		c.record = record
	}
	if _, err := os.Stat(c.path); err != nil {
		return fmt.Errorf("%s: a run without metrics: %w", dir, err)
	}
	for line, err := range data.Lines([]string{c.path}, data.ReadOptions{}) {
		if err == nil {
			err = errors.Join(r.ctx.Err(), c.take(line))
		}
		if err != nil {
			return err
		}
	}
	return c.finish()
}

func (c *runCurves) take(line data.Line) error {
	if c.bad != nil {
		return c.bad
	}
	row, err := data.NewRow(line)
	if err != nil {
		c.bad = err
		return nil
	}
	c.lines++
	var step float64
	if err := row.Need("step", &step); err != nil {
		return err
	}
	if row.Has("eval") {
		var eval map[string]any
		if err := row.Take("eval", &eval); err != nil {
			return err
		}
		c.addEval(step, eval)
		return nil
	}
	if err := c.takeTotals(row); err != nil {
		return err
	}
	values := make([]float64, len(trained))
	for i, name := range trained {
		v := math.NaN()
		if err := row.Take(name, &v); err != nil {
			return err
		}
		values[i] = v
	}
	c.training.add(step, values)
	return nil
}

// takeTotals adds what a line of a training step says of the whole run.
func (c *runCurves) takeTotals(row *data.Row) error {
	finals, tokens, when := math.NaN(), 0.0, ""
	if err := errors.Join(row.Take("n_final", &finals), row.Take("tokens", &tokens), row.Take("time", &when)); err != nil {
		return err
	}
	c.finals, c.tokens = c.finals+finals, c.tokens+tokens
	if at, err := time.Parse(time.RFC3339, when); err == nil {
		if c.began.IsZero() {
			c.began = at
		}
		c.end = at
	}
	return nil
}

// addEval flattens an evaluation: controls are called control/metric. What one evaluation lacks is a gap.
func (c *runCurves) addEval(step float64, eval map[string]any) {
	if c.eval == nil {
		c.eval = map[string][]float64{}
	}
	add := func(name string, v any) {
		number, ok := v.(float64)
		if v == nil { // it was looked for and is not defined
			number, ok = math.NaN(), true
		}
		if ok {
			for len(c.eval[name]) < len(c.evals) {
				c.eval[name] = append(c.eval[name], math.NaN())
			}
			c.eval[name] = append(c.eval[name], number)
		}
	}
	for name, v := range eval {
		add(name, v)
	}
	controls, _ := eval["controls"].(map[string]any)
	for control, list := range controls {
		values, _ := list.(map[string]any)
		for name, v := range values {
			add(control+"/"+name, v)
		}
	}
	c.evals = append(c.evals, step)
}

func (c *runCurves) finish() error {
	if c.bad != nil {
		c.r.warnf("%s: the last line is not whole and is left out", c.path)
	}
	if c.lines == 0 {
		return fmt.Errorf("%s: no metrics yet", c.path)
	}
	c.training.flush()
	c.r.runs = append(c.r.runs, c)
	c.r.sections = append(c.r.sections, report.Section{Title: "Run " + c.name, Blocks: c.blocks()})
	return nil
}
