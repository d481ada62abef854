package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/goprm/goprm/internal/metrics"
	"github.com/goprm/goprm/internal/report"
)

// values are metrics by group and name.
func (e Evaluation) values() map[string]map[string]metrics.Float {
	out := map[string]map[string]metrics.Float{}
	for _, m := range e.Metrics {
		if out[m.Group] == nil {
			out[m.Group] = map[string]metrics.Float{}
		}
		out[m.Group][m.Name] = m.Value
	}
	return out
}

func (e Evaluation) intervals() map[string]map[string]metrics.Interval {
	out := map[string]map[string]metrics.Interval{}
	for _, m := range e.Metrics {
		if out[m.Group] == nil {
			out[m.Group] = map[string]metrics.Interval{}
		}
		out[m.Group][m.Name] = m.Interval
	}
	return out
}

type evaluationJSON struct {
	Threshold metrics.Float                          `json:"threshold"`
	Metrics   map[string]map[string]metrics.Float    `json:"metrics"`
	Intervals map[string]map[string]metrics.Interval `json:"intervals"`
}

// MarshalJSON writes metrics as {group: {name: value}}, the intervals beside them in the same form.
func (r *Result) MarshalJSON() ([]byte, error) {
	controls := map[string]evaluationJSON{}
	for n, c := range r.Controls {
		controls[n] = evaluationJSON{c.Threshold, c.values(), c.intervals()}
	}
	return json.Marshal(struct {
		Bench         string  `json:"bench"`
		Trajectories  int     `json:"trajectories"`
		Problems      int     `json:"problems"`
		Steps         int     `json:"labelled_steps"`
		Unscored      int     `json:"unscored"`
		ThresholdFrom string  `json:"threshold_from,omitempty"`
		Cut           float64 `json:"label_cut"`
		evaluationJSON
		Controls map[string]evaluationJSON `json:"controls"`
		Warnings []string                  `json:"warnings,omitempty"`
	}{r.Bench, r.Cases, r.Problems, r.Steps, r.Unscored, r.ThresholdFrom, r.Cut,
		evaluationJSON{r.Model.Threshold, r.Model.values(), r.Model.intervals()}, controls, r.Warnings})
}

// table is the result as cells, the controls beside the model.
func (r *Result) table() (columns []string, rows [][]string) {
	columns = []string{"group", "metric", "value", "95 % interval"}
	for _, n := range r.controlNames {
		columns = append(columns, strings.ReplaceAll(n, "_", " "))
	}
	for i, m := range r.Model.Metrics {
		number := number
		if m.Name == pairsMetric {
			number = func(f metrics.Float) string { return fmt.Sprintf("%.0f", f) }
		}
		row := []string{m.Group, m.Name, number(m.Value), "-"}
		if m.Low.Defined() {
			row[3] = number(m.Low) + " to " + number(m.High)
		}
		for _, n := range r.controlNames {
			cell := "-"
			if list := r.Controls[n].Metrics; i < len(list) {
				cell = number(list[i].Value)
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	return columns, rows
}

func number(f metrics.Float) string {
	if !f.Defined() {
		return "-"
	}
	return fmt.Sprintf("%.3f", f)
}

// lead says what was judged, and how.
func (r *Result) lead() string {
	text := fmt.Sprintf("%d trajectories of %d problems", r.Cases, r.Problems)
	if r.Bench != "pairs" {
		text += fmt.Sprintf(", %d labelled steps (a label of %g or more is good)", r.Steps, r.Cut)
	}
	if r.Unscored > 0 {
		text += fmt.Sprintf("; %d trajectories have no scores and count nowhere", r.Unscored)
	}
	if r.Model.Threshold.Defined() {
		text += fmt.Sprintf("; threshold %.4g, %s", r.Model.Threshold, r.ThresholdFrom)
	}
	text += ". Intervals are by bootstrap over the problems. The columns to the right need no model"
	switch {
	case !r.Model.Threshold.Defined():
		return text + "."
	case strings.HasPrefix(r.ThresholdFrom, "tuned"):
		return text + "; their thresholds are tuned on the same data as the model's."
	}
	return text + "; their thresholds are the best ones for this very data, which is in their favour."
}

// WriteTable prints the result for a terminal.
func (r *Result) WriteTable(w io.Writer) error {
	columns, rows := r.table()
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{columns}, rows...) {
		if _, err := fmt.Fprintln(t, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s: %s\n", r.Bench, r.lead())
	return err
}

// WriteMarkdown writes the result as a page of Markdown.
func (r *Result) WriteMarkdown(w io.Writer) error {
	columns, rows := r.table()
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s\n\n", r.Bench, r.lead())
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(columns)
	fmt.Fprintf(&b, "|%s\n", strings.Repeat("---|", len(columns)))
	for _, row := range rows {
		for i := range row {
			row[i] = strings.ReplaceAll(row[i], "|", "\\|")
		}
		line(row)
	}
	for _, warning := range r.Warnings {
		fmt.Fprintf(&b, "\n- %s", warning)
	}
	_, err := fmt.Fprintln(w, strings.TrimRight(b.String(), "\n"))
	return err
}

// WriteHTML writes the result as a page.
func (r *Result) WriteHTML(w io.Writer) error {
	columns, rows := r.table()
	names, label := [2]string{"good steps", "bad steps"}, "score"
	if r.Bench == "pairs" {
		names, label = [2]string{"better traces", "worse traces"}, "reward"
	}
	blocks := []report.Block{report.Table{Columns: columns, Rows: rows}}
	histogram := report.Histogram{Title: label + "s of " + names[0] + " and " + names[1], XLabel: label,
		Groups: []report.Group{{Name: names[0], Values: r.Histogram[0]}, {Name: names[1], Values: r.Histogram[1]}}}
	page := report.Page{Title: r.Bench, Lead: r.lead(), Sections: []report.Section{{Title: "Metrics", Blocks: blocks},
		{Title: "Distribution", Blocks: []report.Block{histogram}}}}
	if len(r.Warnings) > 0 {
		page.Sections = append(page.Sections, report.Section{Title: "Warnings", Text: strings.Join(r.Warnings, " · ")})
	}
	return report.Write(w, page)
}
