package labelreport

import (
	"maps"
	"slices"
	"strconv"

	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/internal/metrics"
	"github.com/goprm/goprm/internal/report"
)

// thinned keeps at most 2·kept of a stream's values, evenly spread.
type thinned struct {
	values []float64
	every  int
	seen   int
}

func (t *thinned) add(v float64) {
	t.every = max(t.every, 1)
	if t.seen%t.every == 0 {
		t.values = append(t.values, v)
	}
	t.seen++
	if len(t.values) < 2*kept {
		return
	}
	for i := range kept {
		t.values[i] = t.values[2*i]
	}
	t.values, t.every = t.values[:kept], 2*t.every
}

// verdicts collects, by part, the values of the steps of right and of wrong trajectories, and what tells the two apart.
type verdicts struct {
	values             map[string]*[2]thinned // wrong, right
	means, steps, size []float64              // one a trajectory
	right              []float64
}

func (v *verdicts) add(row *label.Row) {
	reward := row.Labels.Trajectory
	side := 0
	if reward != nil && *reward >= 0.5 {
		side = 1
	}
	put := func(name string, x *float64) {
		if x == nil {
			return
		}
		if v.values[name] == nil {
			v.values[name] = &[2]thinned{}
		}
		v.values[name][side].add(*x)
	}
	for part, values := range row.Made.Parts {
		for _, x := range values {
			put(string(part), x)
		}
	}
	sum, n := 0.0, 0.0
	for _, x := range row.Labels.Steps {
		put("step", x)
		if x != nil {
			sum, n = sum+*x, n+1
		}
	}
	if reward == nil || n == 0 {
		return
	}
	size := 0
	for _, s := range row.Steps {
		size += len(s)
	}
	v.means, v.steps, v.size = append(v.means, sum/n), append(v.steps, -float64(len(row.Steps))), append(v.size, -float64(size))
	v.right = append(v.right, float64(side))
}

// section shows whether the labels tell right trajectories from wrong ones, where both are known.
func (v *verdicts) section(kind label.FinalKind) report.Section {
	s := report.Section{Title: "By the trajectory's reward",
		Text: "Right: a trajectory reward of at least 0.5. The histograms hold an even sample of long runs."}
	if kind == label.NoFinal || len(v.right) == 0 {
		s.Text = "There are no trajectory rewards to compare with: every value is in one group."
	} else {
		s.Blocks = append(s.Blocks, report.Table{
			Title: "AUROC of telling right from wrong trajectories", Columns: []string{"by", "AUROC", "trajectories"},
			Rows: [][]string{
				{"mean of the step labels", number(float64(metrics.AUROC(v.means, v.right))), strconv.Itoa(len(v.right))},
				{"fewer steps is better", number(float64(metrics.AUROC(v.steps, v.right))), strconv.Itoa(len(v.right))},
				{"shorter is better", number(float64(metrics.AUROC(v.size, v.right))), strconv.Itoa(len(v.right))},
			},
		})
	}
	for _, name := range slices.Sorted(maps.Keys(v.values)) {
		g := v.values[name]
		h := report.Histogram{Title: name, XLabel: "value"}
		for side := 1; side >= 0; side-- { // right ones are blue
			if len(g[side].values) > 0 {
				h.Groups = append(h.Groups, report.Group{Name: [2]string{"wrong or unknown", "right"}[side], Values: g[side].values})
			}
		}
		s.Blocks = append(s.Blocks, h)
	}
	return s
}
