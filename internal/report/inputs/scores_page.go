package inputs

import (
	"fmt"
	"math"
	"slices"

	"github.com/goprm/goprm/internal/metrics"
	"github.com/goprm/goprm/internal/report"
)

func (s *scoreTally) finish() error {
	if s.labels == nil {
		s.r.sections = append(s.r.sections, report.Section{Title: "Scores " + s.name, Blocks: s.plain()})
		return nil
	}
	if err := s.labels.end(); err != nil {
		return err
	}
	if s.unlabelled > 0 {
		s.r.warnf("%s: %d lines of scores belong to no trajectory of the data", s.name, s.unlabelled)
	}
	if s.labels.unscored > 0 {
		s.r.warnf("%s: %d trajectories of the data have no scores", s.name, s.labels.unscored)
	}
	if s.all.labelled == 0 && s.finals == 0 {
		s.r.warnf("%s: none of its scores has a label in the data: nothing to compare with", s.name)
		s.r.sections = append(s.r.sections, report.Section{Title: "Scores " + s.name, Blocks: s.plain()})
		s.r.sections = append(s.r.sections, s.shelf.section(s.name, s.scale())...)
		return nil
	}
	if !s.all.unit() {
		s.r.warnf("%s: scores from %.3g to %.3g are no probabilities: no calibration", s.name, s.all.low, s.all.high)
	}
	charts, tables := s.compared()
	values := s.judged.Values(nil)
	blocks := slices.Concat([]report.Block{s.facts(values)}, charts, []report.Block{s.summary(values), s.bySource()}, tables)
	s.r.sections = append(s.r.sections, report.Section{Title: "Scores " + s.name, Blocks: blocks})
	if list := s.worst.traces(); len(list) > 0 && s.all.unit() {
		s.r.sections = append(s.r.sections, report.Section{Title: "Worst disagreements, " + s.name,
			Text:   fmt.Sprintf("The %d problems with the largest distance between a step's score and its label, one trajectory each.", len(list)),
			Blocks: []report.Block{report.Traces{List: scaled(list, s.scale())}}})
	}
	s.r.sections = append(s.r.sections, s.shelf.section(s.name, s.scale())...)
	return nil
}

// scale is that of probabilities, unless the scores are none.
func (s *scoreTally) scale() report.Scale {
	scale := report.Scale{Low: 0, Threshold: *s.r.opt.Threshold, High: 1}
	if !s.all.unit() {
		scale.Low, scale.High = s.all.low, s.all.high
	}
	return scale
}

// threshold is its line in a chart over scores.
func (s *scoreTally) threshold() []report.Mark {
	at := *s.r.opt.Threshold
	return []report.Mark{{At: at, Name: fmt.Sprintf("threshold %g", at)}}
}

// facts are the headline: the metrics that most readers came for, out of the values of s.judged.
func (s *scoreTally) facts(values []metrics.Float) report.Block {
	n := float64(max(1, s.all.labelled))
	facts := report.Facts{{Name: "labelled steps", Value: fmt.Sprint(s.all.labelled), Note: fmt.Sprintf("in %d trajectories", s.all.lines)}}
	if s.all.labelled == 0 {
		return facts
	}
	named := map[string]metrics.Float{}
	for i, m := range s.judged.Metrics() {
		named[m.Name] = values[i]
	}
	if s.all.labelled <= mostRanked {
		facts = append(facts, report.Fact{Name: "step AUROC", Value: shown(named["step_auroc"]),
			Note: shown(named["within_auroc"]) + " within trajectories"})
	}
	good := float64(s.classes[1].n) / n
	facts = append(facts, report.Fact{Name: "accuracy", Value: percent(float64(s.all.right) / n),
		Note: percent(math.Max(good, 1-good)) + " by saying the same of all"},
		report.Fact{Name: "first-error F1", Value: shown(named["first_error_f1"])})
	if s.all.unit() {
		facts = append(facts, report.Fact{Name: "calibration error", Value: shown(s.all.calibration.ECE()), Note: "ECE; 0 is perfect"})
	}
	return facts
}

// plain is what can be said without labels.
func (s *scoreTally) plain() []report.Block {
	rows := [][]string{}
	for _, t := range append(s.sources, &s.all) {
		rows = append(rows, []string{t.name, fmt.Sprint(t.steps), shown(t.low), shown(t.high)})
	}
	blocks := []report.Block{
		report.Table{Title: fmt.Sprintf("%d trajectories", s.lines), Columns: []string{"part", "steps", "lowest score", "highest score"},
			Rows: rows},
		s.histogram("scores of steps", "score", s.sources),
	}
	if s.wholes[1].n > 0 {
		blocks = append(blocks, histogramOf("scores of trajectories", "score", []string{"trajectories"}, []*counts{&s.wholes[1]}))
	}
	return blocks
}

// summary are the metrics over all labelled steps; values are those of s.judged.
func (s *scoreTally) summary(values []metrics.Float) report.Block {
	n := float64(max(1, s.all.labelled))
	good := float64(s.classes[1].n) / n
	rows := [][]string{
		{"labelled steps", fmt.Sprint(s.all.labelled), fmt.Sprintf("of %d scored ones in %d trajectories", s.all.steps, s.all.lines)},
		{"good ones", percent(good), "a label of 0.5 or more"},
		{"accuracy", percent(float64(s.all.right) / n),
			fmt.Sprintf("a step that scores %g or more is said to be good; saying the same of all is right for %s", *s.r.opt.Threshold,
				percent(math.Max(good, 1-good)))},
	}
	for i, m := range s.judged.Metrics() {
		if m.Title != "" && (!m.Calibrated || s.all.unit()) && (m.Name != "trajectory_mse" || s.finals > 0) {
			value, note := s.summaryOf(m, values[i])
			rows = append(rows, []string{m.Title, value, note})
		}
	}
	return report.Table{Columns: []string{"metric", "value", ""}, Rows: rows}
}

// summaryOf is a metric's value and what is said about it, with numbers where these say more.
func (s *scoreTally) summaryOf(m metrics.Metric, value metrics.Float) (text, note string) {
	text, note = shown(value), m.Note
	switch m.Name {
	case "step_auroc":
		if s.all.labelled > mostRanked {
			text, note = "-", fmt.Sprintf("not computed for more than %d steps; prm eval does", mostRanked)
		}
	case "first_error_f1":
		accuracies := s.first.Metrics()
		note = fmt.Sprintf("first wrong step named in %s of %.0f, nothing called wrong in %s of %.0f", percent(accuracies[0]), s.first[1],
			percent(accuracies[1]), s.first[3])
	case "trajectory_mse":
		note = fmt.Sprintf("%d labelled ones", s.finals)
	}
	return text, note
}

func (s *scoreTally) bySource() report.Block {
	t := report.Table{Title: "by source", Columns: []string{"source", "trajectories", "steps", "labelled", "mean score", "mean label",
		"accuracy", "ECE"}}
	for _, one := range append(slices.Clone(s.sources), &s.all) {
		n := float64(one.labelled)
		row := []string{one.name, fmt.Sprint(one.lines), fmt.Sprint(one.steps), fmt.Sprint(one.labelled),
			shown(metrics.Ratio(one.labelScores, n)), shown(metrics.Ratio(one.labels, n)), percent(metrics.Ratio(float64(one.right), n)), "-"}
		if one.unit() {
			row[7] = shown(one.calibration.ECE())
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// compared are the figures of scores beside labels.
func (s *scoreTally) compared() (blocks, tables []report.Block) {
	if s.all.unit() && s.all.labelled > 0 {
		line := report.Series{Name: "steps", Dots: true}
		bins := report.Table{Title: "calibration", Folded: true, Columns: []string{"scores", "steps", "mean score", "mean label"}}
		for i, b := range s.all.calibration.Bins() {
			if b.Count == 0 {
				continue
			}
			line.X, line.Y = append(line.X, float64(b.Score)), append(line.Y, float64(b.Target))
			bins.Rows = append(bins.Rows, []string{fmt.Sprintf("%.3f to %.3f", float64(i)/metrics.CalibrationBins,
				float64(i+1)/metrics.CalibrationBins), fmt.Sprintf("%.0f", b.Count), shown(b.Score), shown(b.Target)})
		}
		blocks = append(blocks, report.LineChart{Title: "calibration: ECE " + shown(s.all.calibration.ECE()), XLabel: "mean score",
			YLabel: "mean label",
			Series: []report.Series{line, {Name: "perfect", X: []float64{0, 1}, Y: []float64{0, 1}}}})
		tables = append(tables, bins)
	}
	if s.all.labelled > 0 {
		both := histogramOf("scores of good and bad steps", "score", []string{"good", "bad"}, []*counts{&s.classes[1], &s.classes[0]})
		both.Marks = s.threshold()
		blocks = append(blocks, both)
		charts, table := s.byPosition()
		blocks, tables = append(blocks, charts...), append(tables, table)
	}
	shownOnes := slices.Clone(s.sources)
	slices.SortStableFunc(shownOnes, func(a, b *sourceTally) int { return b.steps - a.steps })
	title := "scores by source"
	if len(shownOnes) > shownSources {
		title += fmt.Sprintf(", the %d largest", shownSources)
		shownOnes = shownOnes[:shownSources]
	}
	for list := range slices.Chunk(shownOnes, 3) {
		blocks = append(blocks, s.histogram(title, "score", list))
	}
	if s.finals > 0 {
		blocks = append(blocks, histogramOf("scores of trajectories", "score", []string{"label of 0.5 or more", "less"},
			[]*counts{&s.wholes[1], &s.wholes[0]}))
	}
	return blocks, tables
}

// byPosition is how right the scores are at each place of a trajectory.
func (s *scoreTally) byPosition() (charts []report.Block, table report.Block) {
	accuracy, base := report.Series{Name: "accuracy", Dots: true}, report.Series{Name: "good steps"}
	scores, labels := report.Series{Name: "mean score", Dots: true}, report.Series{Name: "mean label"}
	t := report.Table{Title: "by position", Folded: true,
		Columns: []string{"step", "labelled", "accuracy", "good", "mean score", "mean label"}}
	for place, p := range s.positions {
		if p.n == 0 {
			continue
		}
		first, last := rangeOf(place)
		n, at, name := float64(p.n), float64(first+last)/2, fmt.Sprint(first)
		if first < last {
			name = fmt.Sprintf("%d to %d", first, last)
		}
		for _, point := range []struct {
			series *report.Series
			y      float64
		}{{&accuracy, float64(p.right) / n}, {&base, float64(p.good) / n}, {&scores, p.scores / n}, {&labels, p.labels / n}} {
			point.series.X, point.series.Y = append(point.series.X, at), append(point.series.Y, point.y)
		}
		t.Rows = append(t.Rows, []string{name, fmt.Sprint(p.n), percent(float64(p.right) / n), percent(float64(p.good) / n), shown(p.scores / n),
			shown(p.labels / n)})
	}
	long := len(s.positions) > singlePlaces
	return []report.Block{
		report.LineChart{Title: "accuracy by position", XLabel: "step of the trajectory", YLabel: "share of labelled steps", Log2: long,
			Series: []report.Series{accuracy, base}},
		report.LineChart{Title: "score and label by position", XLabel: "step of the trajectory", Log2: long,
			Series: []report.Series{scores, labels}},
	}, t
}

func (s *scoreTally) histogram(title, label string, sources []*sourceTally) report.Histogram {
	var names []string
	var list []*counts
	for _, t := range sources {
		names, list = append(names, t.name), append(list, &t.scores)
	}
	h := histogramOf(title, label, names, list)
	h.Marks = s.threshold()
	return h
}
