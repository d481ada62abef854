package demo

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/atomicfile"
	"github.com/goprm/goprm/internal/metrics"
	"github.com/goprm/goprm/internal/report"
)

// rows are the result as a table: what, how much, and what it means.
func (r *Result) rows() [][]string {
	number := func(f metrics.Float) string { return fmt.Sprintf("%.3f", f) }
	percent := func(f metrics.Float) string { return fmt.Sprintf("%.1f %%", 100*f) }
	return [][]string{
		{"step AUROC", number(r.StepAUROC), "right steps score above wrong ones, on unseen problems (0.9 or more)"},
		{"… within trajectories", number(r.WithinAUROC), "the same among the steps of one trajectory (0.9 or more)"},
		{"depth alone", number(r.Controls["depth"]), "what a step's place tells without a model"},
		{"length alone", number(r.Controls["length"]), "what a step's length tells without a model"},
		{"shuffled labels", number(r.ShuffledAUROC), fmt.Sprintf("the same training on labels that mean nothing, mean of %d (0.45 to 0.55)", shuffles)},
		{"first-error F1", number(r.FirstErrorF1), "finds the first wrong step, or that there is none"},
		{"calibration error", number(r.StepECE), "distance of scores from frequencies"},
		{"trajectory", number(r.Trajectory), "rank correlation of the whole's score with the whole's reward"},
		{"best of 8", percent(r.BestOf8), "right answers when the model picks one of eight"},
		{"random", percent(r.Random), "… when chance picks"},
		{"majority", percent(r.Majority), "… when the most frequent answer is taken"},
		{"shortest", percent(r.Shortest), "… when the shortest is taken"},
		{"oracle", percent(r.Oracle), "… when any of the eight is right"},
	}
}

// Write prints the table and the verdict.
func (r *Result) Write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range r.rows() {
		if _, err := fmt.Fprintln(t, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	verdict := "passed: the model learned what the labels say"
	if !r.Passed {
		verdict = "FAILED: see the bounds above"
	}
	_, err := fmt.Fprintf(w, "\n%s; %.0f s\nreport: %s/report.html   model: %s/run/model\n", verdict, r.Seconds, r.Out, r.Out)
	return err
}

func (s *session) writePage() error {
	training, err := s.curves()
	if err != nil {
		return err
	}
	right, wrong := s.groups()
	page := report.Page{
		Title: "goprm: a reward model from scratch",
		Lead: fmt.Sprintf("A small transformer was trained on %d trajectories with step and trajectory rewards and judged on %d of other problems, in %.0f seconds.",
			len(s.train), len(s.eval), s.result.Seconds),
		Sections: []report.Section{
			{Title: "Result", Blocks: []report.Block{report.Table{Columns: []string{"", "", "meaning"}, Rows: s.result.rows()}}},
			{Title: "Training", Blocks: training},
			{Title: "Scores of right and wrong steps", Text: "Steps of unseen problems. Every wrong step has a right twin of equal place, form and length.",
				Blocks: []report.Block{report.Histogram{XLabel: "score", Low: 0, Top: 1, Groups: []report.Group{{Name: "right", Values: right}, {Name: "wrong", Values: wrong}}}}},
			{Title: "One trajectory", Text: "Each step's score, and what it was labelled.", Blocks: []report.Block{s.example()}},
		},
	}
	return atomicfile.WriteFile(s.path("report.html"), func(w io.Writer) error { return report.Write(w, page) })
}

// curves reads the run's metrics back.
func (s *session) curves() ([]report.Block, error) {
	file, err := os.Open(s.path("run", "metrics.jsonl"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	var steps, loss, evals, pooled, within []float64
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var row struct {
			Step float64
			Loss *float64
			Eval *struct {
				StepAUROC   float64 `json:"step_auroc"`
				WithinAUROC float64 `json:"within_auroc"`
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			return nil, err
		}
		if row.Loss != nil {
			steps, loss = append(steps, row.Step), append(loss, *row.Loss)
		}
		if row.Eval != nil {
			evals, pooled, within = append(evals, row.Step), append(pooled, row.Eval.StepAUROC), append(within, row.Eval.WithinAUROC)
		}
	}
	return []report.Block{
		report.LineChart{Title: "loss of the batch", XLabel: "optimiser step", Series: []report.Series{{Name: "loss", X: steps, Y: loss}}},
		report.LineChart{Title: "AUROC on unseen problems", XLabel: "optimiser step", Series: []report.Series{{Name: "all steps", X: evals, Y: pooled}, {Name: "within trajectories", X: evals, Y: within}}},
	}, nil
}

// groups are the scores of the evaluation's right and wrong steps.
func (s *session) groups() (right, wrong []float64) {
	for _, t := range s.eval {
		for i, step := range s.scores[t.ID].Steps {
			if *t.Labels.Steps[i] >= 0.5 {
				right = append(right, step.Score)
			} else {
				wrong = append(wrong, step.Score)
			}
		}
	}
	return right, wrong
}

// example is the evaluation's first long trajectory with both right and wrong steps.
func (s *session) example() report.Steps {
	var best *data.Trajectory
	for _, t := range s.eval {
		wrong := 0
		for _, l := range t.Labels.Steps {
			if *l < 0.5 {
				wrong++
			}
		}
		if wrong >= 2 && wrong < len(t.Labels.Steps)-2 && (best == nil || len(t.Labels.Steps) > len(best.Labels.Steps)) {
			best = t
		}
	}
	if best == nil {
		best = s.eval[0]
	}
	steps := report.Steps{Problem: best.Problem}
	for i, text := range append(append([]string{}, best.Steps...), best.ResponseSteps...) {
		score := s.scores[best.ID].Steps[i]
		steps.Steps = append(steps.Steps, report.Step{Part: score.Part, Text: text, Score: math.Min(1, math.Max(0, score.Score)), Label: *best.Labels.Steps[i]})
	}
	return steps
}
