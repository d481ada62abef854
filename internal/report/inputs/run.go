package inputs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/metrics"
	"github.com/goprm/goprm/internal/report"
)

// runCurves is what a run's metrics.jsonl says.
type runCurves struct {
	r          *reporting
	name, path string
	record     *record // nil: there is none
	training   curve
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

// addEval flattens an evaluation: controls are called control/metric. What one evaluation lacks is a gap.
func (c *runCurves) addEval(step float64, eval map[string]any) {
	if c.eval == nil {
		c.eval = map[string][]float64{}
	}
	add := func(name string, v any) {
		if number, ok := v.(float64); ok {
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
	c.r.sections = append(c.r.sections, report.Section{Title: "Run " + c.name, Blocks: append(c.summary(), c.charts()...)})
	return nil
}

// summary is what the run was, and what its last evaluation says.
func (c *runCurves) summary() []report.Block {
	var blocks []report.Block
	if r := c.record; r != nil {
		state := "not complete"
		if r.Complete {
			state = "complete"
		}
		rows := [][]string{
			{"state", state}, {"model", r.Model.Path}, {"begun", r.Started + ", version " + r.Version},
			{"computed", strings.Join([]string{r.DType, r.Backend, r.Device}, ", ")},
			{"optimizer steps", fmt.Sprintf("%d, %d an epoch", r.Steps, r.StepsPerEpoch)},
			{"data", fmt.Sprintf("%d trajectories, %d step labels, %d trajectory labels, %d tokens; %d trajectories held out", r.Counts.Trajectories,
				r.Counts.StepLabels, r.Counts.TrajectoryLabels, r.Counts.Tokens, r.Counts.EvalTrajectories)},
			{"weight of the trajectory's loss", fmt.Sprintf("%.4g", r.LambdaFinal)},
			{"dropped", fmt.Sprintf("%d trajectories, %d steps, %d step labels, %d trajectory labels", r.Counts.DroppedTrajectories,
				r.Counts.DroppedSteps, r.Counts.DroppedStepLabels, r.Counts.DroppedTrajectoryLabels)},
		}
		if len(r.Warnings) > 0 {
			rows = append(rows, []string{"warnings", strings.Join(r.Warnings, "; ")})
		}
		blocks = append(blocks, report.Table{Columns: []string{"run", ""}, Rows: rows})
	}
	if n := len(c.evals); n > 0 {
		t := report.Table{Title: fmt.Sprintf("evaluation at step %.0f", c.evals[n-1]),
			Columns: []string{"metric", "value", "depth alone", "length alone"}}
		for _, name := range evaluated() {
			if list := c.metric(name); list != nil {
				row := []string{name, shown(list[n-1])}
				for _, control := range []string{"depth/", "length/"} {
					cell := ""
					if list := c.metric(control + name); list != nil {
						cell = shown(list[n-1])
					}
					row = append(row, cell)
				}
				t.Rows = append(t.Rows, row)
			}
		}
		blocks = append(blocks, t)
	}
	return blocks
}

// metric has a value, maybe undefined, for each evaluation; nil: no evaluation has it.
func (c *runCurves) metric(name string) []float64 {
	list := c.eval[name]
	if list == nil {
		return nil
	}
	for len(list) < len(c.evals) {
		list = append(list, math.NaN())
	}
	return list
}

func (c *runCurves) charts() []report.Block {
	var blocks []report.Block
	if len(c.training.x) > 0 {
		of := fmt.Sprintf(", mean of %d optimizer steps", c.training.every)
		if c.training.every == 1 {
			of = ""
		}
		for _, chart := range []struct {
			title string
			names []string
		}{{"training loss" + of, trained[:3]}, {"gradient norm" + of, trained[3:4]}, {"learning rate" + of, trained[4:]}} {
			blocks = append(blocks, c.training.chart(chart.title, chart.names))
		}
	}
	for _, chart := range []struct {
		title string
		names []string
	}{
		{"evaluation: loss", []string{"loss", "loss_step", "loss_final"}},
		{"evaluation: AUROC of steps", []string{"step_auroc", "depth/step_auroc", "length/step_auroc"}},
		{"evaluation: AUROC within trajectories", []string{"within_auroc", "depth/within_auroc", "length/within_auroc"}},
		{"evaluation: first error", []string{"first_error_f1", "first_error_acc_error", "first_error_acc_correct"}},
		{"evaluation: errors", []string{"step_mse", "step_ece", "trajectory_mse"}},
		{"evaluation: trajectories, rank correlation", []string{"trajectory_spearman", "depth/trajectory_spearman",
			"length/trajectory_spearman"}},
	} {
		lines := report.LineChart{Title: chart.title, XLabel: "optimizer step"}
		for _, name := range chart.names {
			if y := c.metric(name); y != nil {
				lines.Series = append(lines.Series, report.Series{Name: strings.ReplaceAll(name, "/", " alone: "), X: c.evals, Y: y,
					Dots: len(y) <= 40})
			}
		}
		if len(lines.Series) > 0 {
			blocks = append(blocks, lines)
		}
	}
	return blocks
}

// compareRuns draws the runs over each other where there are several.
func (r *reporting) compareRuns() {
	if len(r.runs) < 2 {
		return
	}
	var blocks []report.Block
	for _, chart := range []struct {
		title string
		of    func(c *runCurves) (x, y []float64)
	}{
		{"training loss", func(c *runCurves) (x, y []float64) { return c.training.x, c.training.values("loss") }},
		{"evaluation: loss", func(c *runCurves) (x, y []float64) { return c.evals, c.metric("loss") }},
		{"evaluation: AUROC of steps", func(c *runCurves) (x, y []float64) { return c.evals, c.metric("step_auroc") }},
		{"evaluation: AUROC within trajectories", func(c *runCurves) (x, y []float64) { return c.evals, c.metric("within_auroc") }},
	} {
		for runs := range slices.Chunk(r.runs, 6) { // as many as there are colours
			lines := report.LineChart{Title: chart.title, XLabel: "optimizer step"}
			for _, c := range runs {
				x, y := chart.of(c)
				lines.Series = append(lines.Series, report.Series{Name: c.name, X: x, Y: y})
			}
			blocks = append(blocks, lines)
		}
	}
	r.sections = slices.Insert(r.sections, 0, report.Section{Title: "Runs", Blocks: blocks})
}
