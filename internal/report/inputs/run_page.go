package inputs

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/goprm/goprm/internal/report"
)

// blocks are the section of a run: what a reader came for, its curves, and how it was made.
func (c *runCurves) blocks() []report.Block {
	var blocks []report.Block
	if facts := c.facts(); len(facts) > 0 {
		blocks = append(blocks, facts)
	}
	blocks = append(blocks, c.charts()...)
	if t := c.lastEvaluation(); t != nil {
		blocks = append(blocks, *t)
	}
	blocks = append(blocks, c.settings.tables()...)
	if t := c.told(); t != nil {
		blocks = append(blocks, *t)
	}
	return blocks
}

// facts are the headline of a run.
func (c *runCurves) facts() report.Facts {
	var facts report.Facts
	if n := len(c.training.x); n > 0 {
		last := fmt.Sprintf("%.0f", c.training.x[n-1])
		if c.record != nil && c.record.Steps > 0 {
			last += fmt.Sprintf(" of %d", c.record.Steps)
		}
		facts = append(facts, report.Fact{Name: "optimizer steps", Value: last, Note: c.record.state()})
		loss := c.training.values("loss")
		facts = append(facts, report.Fact{Name: "training loss", Value: shown(loss[n-1]), Note: "from " + shown(loss[0])})
	}
	for _, m := range []struct{ metric, name string }{
		{"loss", "held-out loss"}, {"step_auroc", "step AUROC"}, {"within_auroc", "AUROC within trajectories"},
	} {
		if list := c.metric(m.metric); list != nil {
			note := ""
			if depth := c.metric("depth/" + m.metric); depth != nil && !math.IsNaN(depth[len(depth)-1]) {
				note = shown(depth[len(depth)-1]) + " by depth alone"
			}
			facts = append(facts, report.Fact{Name: m.name, Value: shown(list[len(list)-1]), Note: note})
		}
	}
	if spent, note := c.duration(); spent > 0 {
		facts = append(facts, report.Fact{Name: "duration", Value: spent.Round(time.Second).String(), Note: note})
	}
	return facts
}

// duration is from the start that run.json tells, which is before the first step, to the last line; a resumed run's pause counts.
func (c *runCurves) duration() (time.Duration, string) {
	began := c.began
	if c.record != nil {
		if at, err := time.Parse(time.RFC3339, c.record.Started); err == nil && (began.IsZero() || at.Before(began)) {
			began = at
		}
	}
	if began.IsZero() || !c.end.After(began) {
		return 0, ""
	}
	spent := c.end.Sub(began)
	return spent, fmt.Sprintf("%.0f tokens/s", c.tokens/spent.Seconds())
}

// told is what run.json tells.
func (c *runCurves) told() *report.Table {
	r := c.record
	if r == nil {
		return nil
	}
	rows := [][]string{
		{"state", r.state()}, {"model", r.Model.Path}, {"started", r.Started + ", version " + r.Version},
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
	return &report.Table{Title: "Run", Columns: []string{"", ""}, Rows: rows}
}

// lastEvaluation has a column for a control only if one of its metrics has a value.
func (c *runCurves) lastEvaluation() *report.Table {
	n := len(c.evals)
	if n == 0 {
		return nil
	}
	t := &report.Table{Title: fmt.Sprintf("Evaluation at step %.0f", c.evals[n-1]), Columns: []string{"metric", "value"}}
	var controls []string
	for _, control := range []string{"depth", "length"} {
		if slices.ContainsFunc(evaluated(), func(name string) bool { return c.metric(control+"/"+name) != nil }) {
			controls = append(controls, control)
			t.Columns = append(t.Columns, control+" alone")
		}
	}
	for _, name := range evaluated() {
		list := c.metric(name)
		if list == nil {
			continue
		}
		row := []string{name, shown(list[n-1])}
		for _, control := range controls {
			cell := ""
			if list := c.metric(control + "/" + name); list != nil {
				cell = shown(list[n-1])
			}
			row = append(row, cell)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
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

// charts are those that have something to show: no undefined series, no part of the loss that was not trained, and no curve of a single
// point, which is among the facts or in the table.
func (c *runCurves) charts() []report.Block {
	var blocks []report.Block
	of := ""
	if c.training.every > 1 {
		of = fmt.Sprintf(", mean of %d optimizer steps", c.training.every)
	}
	losses := trained[:3]
	if c.finals == 0 { // the loss is that of the steps
		losses = trained[:1]
	}
	for _, chart := range []struct {
		title string
		names []string
	}{{"Training loss" + of, losses}, {"Gradient norm" + of, trained[3:4]}, {"Learning rate" + of, trained[4:]}} {
		blocks = appendChart(blocks, c.training.chart(chart.title, chart.names))
	}
	for _, chart := range []struct {
		title string
		names []string
	}{
		{"Evaluation: loss", []string{"loss", "loss_step", "loss_final"}},
		{"Evaluation: AUROC of steps", []string{"step_auroc", "depth/step_auroc", "length/step_auroc"}},
		{"Evaluation: AUROC within trajectories", []string{"within_auroc", "depth/within_auroc", "length/within_auroc"}},
		{"Evaluation: first error", []string{"first_error_f1", "first_error_acc_error", "first_error_acc_correct"}},
		{"Evaluation: errors", []string{"step_mse", "step_ece", "trajectory_mse"}},
		{"Evaluation: trajectories, rank correlation", []string{"trajectory_spearman", "depth/trajectory_spearman",
			"length/trajectory_spearman"}},
	} {
		lines := report.LineChart{Title: chart.title, XLabel: "optimizer step"}
		for _, name := range chart.names {
			if y := c.metric(name); y != nil {
				lines.Series = append(lines.Series, report.Series{Name: strings.ReplaceAll(name, "/", " alone: "), X: c.evals, Y: y,
					Dots: len(y) <= 40})
			}
		}
		blocks = appendChart(blocks, lines)
	}
	return blocks
}

// appendChart leaves out series without a value, and a chart in which no series has two.
func appendChart(blocks []report.Block, chart report.LineChart) []report.Block {
	defined := func(s report.Series) (n int) {
		for _, y := range s.Y {
			if !math.IsNaN(y) {
				n++
			}
		}
		return n
	}
	chart.Series = slices.DeleteFunc(chart.Series, func(s report.Series) bool { return defined(s) == 0 })
	if !slices.ContainsFunc(chart.Series, func(s report.Series) bool { return defined(s) > 1 }) {
		return blocks
	}
	return append(blocks, chart)
}
