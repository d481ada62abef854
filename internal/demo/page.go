package demo

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/atomicfile"
	"github.com/goprm/goprm/internal/metrics"
	"github.com/goprm/goprm/internal/report"
)

// row is one line of the table.
type row struct {
	name, value, meaning string
	wanted               string // "": this line cannot fail
	met                  bool
}

// rows are the result as a table, with the learning test: far better than what needs no model, and nothing from labels
// that mean nothing. A number that is not defined meets nothing.
func (r *Result) rows() []row {
	number := func(f metrics.Float) string { return fmt.Sprintf("%.3f", f) }
	percent := func(f metrics.Float) string { return fmt.Sprintf("%.1f %%", 100*f) }
	depth, length := r.Controls["depth"], r.Controls["length"]
	worse := min(r.StepAUROC, r.WithinAUROC)
	return []row{
		{"step AUROC", number(r.StepAUROC), "right steps score above wrong ones, on unseen problems", "0.90 or more", r.StepAUROC >= 0.9},
		{"… within trajectories", number(r.WithinAUROC), "the same among the steps of one trajectory", "0.90 or more", r.WithinAUROC >= 0.9},
		{"depth alone", number(depth), "what a step's place tells without a model", "0.10 below", worse >= depth+0.1},
		{"length alone", number(length), "what a step's length tells without a model", "0.10 below", worse >= length+0.1},
		{"shuffled labels", number(r.ShuffledAUROC), fmt.Sprintf("one pass over labels that were shuffled, mean of %d: nothing to learn",
			r.shuffles), "0.45 to 0.55", r.ShuffledAUROC >= 0.45 && r.ShuffledAUROC <= 0.55},
		{"first-error F1", number(r.FirstErrorF1), "finds the first wrong step, or that there is none; 1 is perfect", "", true},
		{"calibration error", number(r.StepECE), "mean distance of scores from rewards, by bins; 0 is perfect", "", true},
		{"trajectory", number(r.Trajectory), "rank correlation of the whole's score with its share of right steps", "", true},
		{"best of 8", percent(r.BestOf8), "right answers when the model picks one of eight", "", true},
		{"random", percent(r.Random), "… when chance picks", "", true},
		{"majority", percent(r.Majority), "… when the most frequent answer is taken", "", true},
		{"shortest", percent(r.Shortest), "… when the shortest is taken", "", true},
		{"oracle", percent(r.Oracle), "… when any of the eight is right", "", true},
	}
}

// passed tells whether every line that can fail is met.
func (r *Result) passed() bool {
	return !slices.ContainsFunc(r.rows(), func(l row) bool { return !l.met })
}

// cells are the table's texts.
func (r *Result) cells() [][]string {
	var list [][]string
	for _, l := range r.rows() {
		wanted := l.wanted
		if wanted != "" && l.met {
			wanted += ": yes"
		} else if wanted != "" {
			wanted += ": NO"
		}
		list = append(list, []string{l.name, l.value, wanted, l.meaning})
	}
	return list
}

// Write prints the table and the verdict.
func (r *Result) Write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, line := range r.cells() {
		if _, err := fmt.Fprintln(t, strings.Join(line, "\t")); err != nil {
			return err
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	verdict := "passed: the model learned what the labels say"
	if !r.Passed {
		verdict = "FAILED: see the lines that say NO"
	}
	_, err := fmt.Fprintf(w, "\n%s; %.0f s\nreport: %s   model: %s\n", verdict, r.Seconds, filepath.Join(r.Out, "report.html"),
		filepath.Join(r.Out, "run", "model"))
	return err
}

func (s *session) writePage() error {
	training, err := s.curves()
	if err != nil {
		return err
	}
	steps, wholes := s.groups()
	page := report.Page{
		Title: "goprm: a reward model from scratch",
		Lead: fmt.Sprintf("A small transformer was trained on %d trajectories with step and trajectory rewards and judged on %d of other "+
			"problems, in %.0f seconds.", len(s.train), len(s.eval), s.result.Seconds),
		Sections: []report.Section{
			{Title: "Result", Blocks: []report.Block{s.result.facts(),
				report.Table{Columns: []string{"measure", "value", "wanted", "meaning"}, Rows: s.result.cells()}}},
			{Title: "Training", Blocks: training},
			{Title: "Scores of right and wrong steps",
				Text: "Every wrong step has right twins of equal place, form and length. A right step that leads nowhere is labelled 0.7.",
				Blocks: []report.Block{
					report.Histogram{Title: "steps of unseen problems", XLabel: "score", Low: 0, Top: 1, Groups: steps,
						Marks: []report.Mark{{At: 0.5, Name: "threshold 0.5"}}},
					report.Histogram{Title: "answers among eight to pick from", XLabel: "reward: mean score of the steps + score of the whole",
						Groups: wholes},
				}},
			{Title: "Trajectories", Text: "Each step's score, and what it was labelled: one of an unseen problem, then eight answers to another.",
				Blocks: []report.Block{report.Traces{List: append([]report.Steps{s.example()}, s.eight()...)}}},
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
	const averaged = 25
	sum, summed := 0.0, 0
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var line struct {
			Step float64
			Loss *float64
			Eval *struct {
				StepAUROC   float64 `json:"step_auroc"`
				WithinAUROC float64 `json:"within_auroc"`
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return nil, err
		}
		if line.Loss != nil {
			sum += *line.Loss
			if summed++; summed == averaged {
				steps, loss = append(steps, line.Step), append(loss, sum/averaged)
				sum, summed = 0, 0
			}
		}
		if line.Eval != nil {
			evals, pooled, within = append(evals, line.Step), append(pooled, line.Eval.StepAUROC), append(within, line.Eval.WithinAUROC)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", file.Name(), err)
	}
	return []report.Block{
		report.LineChart{Title: "loss, mean of 25 batches", XLabel: "optimizer step", Series: []report.Series{{Name: "loss", X: steps, Y: loss}}},
		report.LineChart{Title: "AUROC on unseen problems", XLabel: "optimizer step",
			Series: []report.Series{{Name: "all steps", X: evals, Y: pooled}, {Name: "within trajectories", X: evals, Y: within}}},
	}, nil
}

// groups are the scores of the evaluation's right and wrong steps, and the rewards of the right and wrong answers.
func (s *session) groups() (steps, wholes []report.Group) {
	steps = []report.Group{{Name: "right"}, {Name: "wrong"}}
	for _, t := range s.eval {
		for i, step := range s.scores[t.ID].Steps {
			g := &steps[0]
			if *t.Labels.Steps[i] < 0.5 {
				g = &steps[1]
			}
			g.Values = append(g.Values, step.Score)
		}
	}
	wholes = []report.Group{{Name: "right answer"}, {Name: "wrong answer"}}
	for _, list := range s.answers {
		for _, t := range list {
			g := &wholes[0]
			if !solved(t) {
				g = &wholes[1]
			}
			g.Values = append(g.Values, s.scores[t.ID].Reward)
		}
	}
	return steps, wholes
}

// example is the evaluation's trajectory with the most kinds of steps among those of which few but not none are wrong.
func (s *session) example() report.Steps {
	best, most := s.eval[0], 0
	for _, t := range s.eval {
		kinds := map[string]bool{}
		for _, step := range t.Steps {
			kinds[strings.Fields(step)[0]] = true
		}
		wrong := len(t.Labels.Steps) - rightSteps(t)
		if richness := 100*len(kinds) + len(t.Steps); wrong >= 2 && wrong <= 3 && richness > most {
			best, most = t, richness
		}
	}
	return s.shown(best)
}

// eight are the answers to the first problem that has right and wrong ones.
func (s *session) eight() []report.Steps {
	for _, list := range s.answers {
		right := 0
		for _, t := range list {
			if solved(t) {
				right++
			}
		}
		if right == 0 || right == len(list) {
			continue
		}
		var out []report.Steps
		for i, t := range list {
			one := s.shown(t)
			verdict := "wrong"
			if solved(t) {
				verdict = "right"
			}
			one.Title = fmt.Sprintf("answer %d of %d: %s, reward %.3f", i+1, len(list), verdict, s.scores[t.ID].Reward)
			out = append(out, one)
		}
		return out
	}
	return nil
}

// shown is a trajectory beside its scores.
func (s *session) shown(t *data.Trajectory) report.Steps {
	steps := report.Steps{Title: t.ID, Problem: t.Problem}
	for i, text := range slices.Concat(t.Steps, t.ResponseSteps) {
		score := s.scores[t.ID].Steps[i]
		label := math.NaN()
		if i < len(t.Labels.Steps) && t.Labels.Steps[i] != nil {
			label = *t.Labels.Steps[i]
		}
		steps.Steps = append(steps.Steps, report.Step{Part: score.Part, Text: text, Score: math.Min(1, math.Max(0, score.Score)), Label: label})
	}
	return steps
}

// facts are the headline.
func (r *Result) facts() report.Facts {
	verdict := "passed"
	if !r.Passed {
		verdict = "FAILED"
	}
	return report.Facts{
		{Name: "learning test", Value: verdict, Note: fmt.Sprintf("%.0f seconds", r.Seconds)},
		{Name: "step AUROC", Value: fmt.Sprintf("%.3f", r.StepAUROC), Note: fmt.Sprintf("%.3f by depth alone", r.Controls["depth"])},
		{Name: "best of 8", Value: fmt.Sprintf("%.1f %%", 100*r.BestOf8), Note: fmt.Sprintf("%.1f %% by majority", 100*r.Majority)},
		{Name: "within trajectories", Value: fmt.Sprintf("%.3f", r.WithinAUROC), Note: "AUROC"},
	}
}
