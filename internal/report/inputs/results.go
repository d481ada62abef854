package inputs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/metrics"
	"github.com/goprm/goprm/internal/report"
)

// longestResult bounds what is read as one result.
const longestResult = 64 << 20

// resultFile is what prm bestofn --json or prm eval printed, one JSON object over any number of lines.
type resultFile struct {
	r    *reporting
	name string
	text bytes.Buffer
}

func (f *resultFile) take(line data.Line) error {
	if f.text.Len()+len(line.Text) > longestResult {
		return fmt.Errorf("%s: more than %d bytes: no result of prm bestofn or prm eval is that long", f.name, longestResult)
	}
	f.text.Write(line.Text)
	f.text.WriteByte('\n')
	return nil
}

func (f *resultFile) finish() error {
	var kind struct {
		Bench *string
		bestOfN
	}
	if err := json.Unmarshal(f.text.Bytes(), &kind); err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	switch {
	case kind.Bench != nil:
		return f.eval()
	case len(kind.Results) > 0:
		return f.bestOfN(kind.bestOfN)
	}
	return fmt.Errorf("%s: neither a result of prm bestofn --json (results) nor one of prm eval (bench)", f.name)
}

func (f *resultFile) eval() error {
	type values = map[string]map[string]metrics.Float
	var result struct {
		Bench        string
		Trajectories int
		Problems     int
		Steps        int `json:"labelled_steps"`
		Unscored     int
		From         string         `json:"threshold_from"`
		Threshold    *metrics.Float `json:"threshold"`
		Metrics      values
		Intervals    map[string]map[string]metrics.Interval
		Controls     map[string]struct{ Metrics values }
		Warnings     []string
	}
	if err := json.Unmarshal(f.text.Bytes(), &result); err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	if len(result.Metrics) == 0 {
		return fmt.Errorf("%s: metrics: missing; a result of prm eval has them", f.name)
	}
	controls := slices.Sorted(maps.Keys(result.Controls))
	table := report.Table{Columns: []string{"group", "metric", "value", "95 % interval"}}
	for _, name := range controls {
		table.Columns = append(table.Columns, strings.ReplaceAll(name, "_", " "))
	}
	for _, group := range slices.Sorted(maps.Keys(result.Metrics)) {
		for _, name := range slices.Sorted(maps.Keys(result.Metrics[group])) {
			row := []string{group, name, counted(result.Metrics[group][name]), "-"}
			if between, ok := result.Intervals[group][name]; ok && between.Low.Defined() {
				row[3] = counted(between.Low) + "–" + counted(between.High)
			}
			for _, control := range controls {
				cell := "-"
				if v, ok := result.Controls[control].Metrics[group][name]; ok {
					cell = counted(v)
				}
				row = append(row, cell)
			}
			table.Rows = append(table.Rows, row)
		}
	}
	text := fmt.Sprintf("%d trajectories of %d problems, %d labelled steps, %d without scores.", result.Trajectories, result.Problems,
		result.Steps, result.Unscored)
	if result.Threshold != nil && result.Threshold.Defined() {
		text += fmt.Sprintf(" Threshold %.4g, %s.", *result.Threshold, result.From)
	}
	for _, w := range result.Warnings {
		f.r.warnf("%s: %s", f.name, w)
	}
	f.r.sections = append(f.r.sections, report.Section{Title: "Benchmark " + result.Bench + ", " + f.name, Text: text,
		Blocks: []report.Block{table}})
	return nil
}

// counted writes whole numbers above 1 as they are, since they count something.
func counted(v metrics.Float) string {
	if whole := float64(v); whole > 1 && whole == math.Trunc(whole) {
		return fmt.Sprintf("%.0f", whole)
	}
	return shown(v)
}
