package inputs

import (
	"slices"
	"strings"

	"github.com/goprm/goprm/internal/report"
)

// compareRuns draws the runs over each other where there are several.
func (r *reporting) compareRuns() {
	if len(r.runs) < 2 {
		return
	}
	names := shortNames(r.runs)
	blocks := []report.Block{overview(r.runs, names)}
	for _, chart := range []struct {
		title string
		of    func(c *runCurves) (x, y []float64)
	}{
		{"Training loss", func(c *runCurves) (x, y []float64) { return c.training.x, c.training.values("loss") }},
		{"Evaluation: loss", func(c *runCurves) (x, y []float64) { return c.evals, c.metric("loss") }},
		{"Evaluation: AUROC of steps", func(c *runCurves) (x, y []float64) { return c.evals, c.metric("step_auroc") }},
		{"Evaluation: AUROC within trajectories", func(c *runCurves) (x, y []float64) { return c.evals, c.metric("within_auroc") }},
	} {
		for runs := range slices.Chunk(r.runs, report.Colours) {
			lines := report.LineChart{Title: chart.title, XLabel: "optimizer step"}
			for _, c := range runs {
				x, y := chart.of(c)
				lines.Series = append(lines.Series, report.Series{Name: names[c], X: x, Y: y})
			}
			blocks = appendChart(blocks, lines)
		}
	}
	blocks = append(blocks, differing(r.runs, names)...)
	r.sections = slices.Insert(r.sections, 0, report.Section{Title: "Runs", Blocks: blocks})
}

// overview has a row a run.
func overview(runs []*runCurves, names map[*runCurves]string) report.Block {
	t := report.Table{Columns: []string{"run", "optimizer steps", "training loss", "held-out loss", "step AUROC", "within", "duration"}}
	for _, c := range runs {
		values := map[string]string{}
		for _, f := range c.facts() {
			values[f.Name] = f.Value
		}
		row := []string{names[c]}
		for _, name := range []string{"optimizer steps", "training loss", "held-out loss", "step AUROC", "AUROC within trajectories",
			"duration"} {
			v := values[name]
			if v == "" {
				v = "–"
			}
			row = append(row, v)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// shortNames are the runs' paths without the folders that all of them share.
func shortNames(runs []*runCurves) map[*runCurves]string {
	shared := runs[0].name
	for _, c := range runs {
		for !strings.HasPrefix(c.name, shared) {
			shared = shared[:len(shared)-1]
		}
	}
	shared = shared[:strings.LastIndexAny(shared, `/\`)+1]
	names := map[*runCurves]string{}
	for _, c := range runs {
		names[c] = c.name[len(shared):]
		if names[c] == "" {
			names[c] = c.name
		}
	}
	return names
}
