// Package labelreport is the page of prm label report: what was labelled, what is open and why, what was spent, and what the
// labels look like.
package labelreport

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/data/label/store"
	"github.com/goprm/goprm/internal/report"
)

// Input is what the page shows.
type Input struct {
	Dir    string // output folder of prm label
	Stages []Stage
	Spend  store.Spend
}

// Stage is what the store holds of one stage.
type Stage struct {
	Stage   string
	Stored  int
	Open    int
	Reasons map[string]int
}

const (
	shown     = 20      // trajectories that can be looked at
	shownSize = 400_000 // bytes of text of one of them
	kept      = 20000   // values kept for a histogram
)

// Write writes the page.
func Write(w io.Writer, in Input) error {
	m, err := label.ReadManifest(in.Dir)
	if err != nil {
		return fmt.Errorf("no output is whole yet: %w", err)
	}
	v := verdicts{values: map[string]*[2]thinned{}}
	var examples []report.Steps
	for row, err := range label.ReadRows(in.Dir) {
		if err != nil {
			return err
		}
		v.add(row)
		if len(examples) < shown {
			if block, ok := example(row); ok {
				examples = append(examples, block)
			}
		}
	}
	s := m.Summary
	page := report.Page{
		Title: "Labels",
		Lead: fmt.Sprintf("%d trajectories; %d of %d thinking steps are labelled, %d trajectories as a whole; %d items are open.",
			s.Trajectories, s.StepLabels, s.Steps, s.TrajectoryLabels, s.OpenItems()),
		Sections: []report.Section{{Blocks: []report.Block{facts(s, in.Spend)}}},
	}
	if len(examples) > 0 {
		page.Sections = append(page.Sections, report.Section{Title: "Trajectories",
			Text:   fmt.Sprintf("The first %d that have step labels.", len(examples)),
			Blocks: []report.Block{report.Traces{List: examples}}})
	}
	page.Sections = append(page.Sections, distributions(s), v.section(m.Trajectory.Kind))
	if open := missing(s); len(open.Blocks) > 0 {
		page.Sections = append(page.Sections, open)
	}
	page.Sections = append(page.Sections, stages(in), made(m))
	return report.Write(w, page)
}

// facts are the headline.
func facts(s label.Summary, spend store.Spend) report.Facts {
	share := func(n, of int) string { return fmt.Sprintf("%d of %d", n, of) }
	facts := report.Facts{
		{Name: "steps labelled", Value: share(s.StepLabels, s.Steps),
			Note: fmt.Sprintf("%.1f %%", 100*float64(s.StepLabels)/math.Max(1, float64(s.Steps)))},
		{Name: "trajectories labelled", Value: share(s.TrajectoryLabels, s.Trajectories)},
		{Name: "open", Value: strconv.Itoa(s.OpenItems()), Note: "items"},
		{Name: "calls", Value: strconv.FormatInt(spend.Calls+spend.LostCalls, 10)},
	}
	if d, ok := s.Values["step"]; ok && d.N > 0 {
		facts = append(facts, report.Fact{Name: "mean step label", Value: number(d.Mean()), Note: number(d.Min) + " to " + number(d.Max)})
	}
	return facts
}

func made(m label.Manifest) report.Section {
	rows := [][]string{{"step reward", fmt.Sprintf("%s of %v", m.Fusion, m.Parts)}}
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, []string{name, value})
		}
	}
	add("encoder", m.Encoder)
	if m.Encoder != "" {
		c := m.Coherence
		add("pairing", string(m.Pairing))
		add("coherence", fmt.Sprintf("%s, %d negatives of %d, τ %v, positive in the sum %v, centred %v", c.Form, c.Negatives, m.PoolSize, c.Tau,
			c.Positive, c.Centre))
	}
	add("judge", m.Judge)
	add("the judge sees", string(m.Sees))
	add("trajectory reward", string(m.Trajectory.Kind))
	add("templater", m.Templater)
	add("policy", m.Policy)
	add("verifier", m.Verifier)
	add("seed", strconv.FormatUint(m.Seed, 10))
	add("input", m.Input)
	return report.Section{Title: "How they were made", Blocks: []report.Block{report.Table{Columns: []string{"", ""}, Rows: rows}}}
}

func stages(in Input) report.Section {
	t := report.Table{Title: "Answers in the store", Columns: []string{"stage", "stored", "open"}}
	reasons := report.Table{Title: "Why items are open", Columns: []string{"stage", "items", "reason"}}
	for _, s := range in.Stages {
		t.Rows = append(t.Rows, []string{s.Stage, strconv.Itoa(s.Stored), strconv.Itoa(s.Open)})
		for _, why := range slices.Sorted(maps.Keys(s.Reasons)) {
			reasons.Rows = append(reasons.Rows, []string{s.Stage, strconv.Itoa(s.Reasons[why]), why})
		}
	}
	spend := report.Table{Title: "Spend", Columns: []string{"", "calls", "tokens", "money"}}
	for _, row := range []struct {
		name   string
		calls  int64
		amount store.Amount
	}{
		{"answered", in.Spend.Calls, in.Spend.Settled}, {"outcome unknown, counted as spent", in.Spend.LostCalls, in.Spend.Lost},
	} {
		spend.Rows = append(spend.Rows, []string{row.name, strconv.FormatInt(row.calls, 10), strconv.FormatInt(row.amount.Tokens, 10),
			fmt.Sprintf("%.4f", float64(row.amount.Nanos)/1e9)})
	}
	blocks := []report.Block{t, spend}
	if len(reasons.Rows) > 0 {
		blocks = append(blocks, reasons)
	}
	return report.Section{Title: "Calls", Blocks: blocks}
}

func missing(s label.Summary) report.Section {
	t := report.Table{Columns: []string{"part", "items", "", "reason"}}
	for _, kind := range []struct {
		name  string
		parts map[string]map[string]int
	}{{"still to be asked", s.Open}, {"not to be had", s.None}} {
		for _, part := range slices.Sorted(maps.Keys(kind.parts)) {
			for _, why := range slices.Sorted(maps.Keys(kind.parts[part])) {
				t.Rows = append(t.Rows, []string{part, strconv.Itoa(kind.parts[part][why]), kind.name, why})
			}
		}
	}
	if len(t.Rows) == 0 {
		return report.Section{}
	}
	return report.Section{Title: "What has no label", Text: "Neither kind is ever a label.", Blocks: []report.Block{t}}
}

func distributions(s label.Summary) report.Section {
	t := report.Table{Columns: []string{"", "values", "coverage", "mean", "deviation", "least", "greatest"}}
	for _, name := range slices.Sorted(maps.Keys(s.Values)) {
		d, of := s.Values[name], s.Steps
		if name == "trajectory" {
			of = s.Trajectories
		}
		t.Rows = append(t.Rows, []string{name, strconv.Itoa(d.N), fmt.Sprintf("%.1f %%", 100*float64(d.N)/float64(of)), number(d.Mean()),
			number(d.Deviation()), number(d.Min), number(d.Max)})
	}
	return report.Section{Title: "Distributions", Blocks: []report.Block{t}}
}

func number(x float64) string {
	if math.IsNaN(x) {
		return "–"
	}
	return strconv.FormatFloat(x, 'f', 3, 64)
}

// example shows a trajectory that has labels and is not too long.
func example(row *label.Row) (report.Steps, bool) {
	block := report.Steps{Title: row.ID, Problem: row.Problem}
	size, labelled := len(row.Problem), false
	for i, text := range row.Steps {
		size += len(text)
		step := report.Step{Part: "thinking", Text: text, Score: math.NaN(), Label: math.NaN()}
		if i < len(row.Labels.Steps) && row.Labels.Steps[i] != nil {
			step.Label, labelled = *row.Labels.Steps[i], true
		}
		block.Steps = append(block.Steps, step)
	}
	return block, labelled && size <= shownSize
}
