package prm

import (
	"fmt"
	"iter"
	"math"
	"math/bits"
	"slices"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/metrics"
	"github.com/goprm/goprm/internal/report"
)

const (
	goodLabel    = 0.5     // a label of this or more means a good step, as in package metrics
	mostRanked   = 1 << 20 // labelled steps up to which the pooled AUROC is computed, since it needs them all
	mostSources  = 64      // that are told apart; later ones are counted together
	shownSources = 12      // that have a histogram each
	mostScore    = 1e9     // beyond it nothing is a score
)

// scoreTally sums up a file of scores, beside the labels if there are any.
type scoreTally struct {
	r      *reporting
	name   string
	labels *labelled // nil: no labelled data

	lines, unlabelled int
	sources           []*sourceTally // with labels: by source; without: by part
	classes           [2]counts      // of bad and good steps
	wholes            [2]counts      // of trajectories with a low and a high label; without labels only the second
	all               sourceTally
	ranked            struct {
		scores, targets []float64
		over            bool
	}
	won, pairs   float64
	first        metrics.FirstErrorResult // the accuracies are counts here
	finalSquares float64
	finals       int
	positions    []position
	worst        worstSteps
}

// sourceTally is what is known of the steps of one source.
type sourceTally struct {
	name                string
	lines, steps, right int
	scores              counts
	calibration         metrics.Calibration
	labelled            int
	labels, labelScores float64 // sums over the labelled steps
	low, high           float64 // of the scores
}

// position is what is known of the labelled steps at one place.
type position struct {
	n, right, good int
	scores, labels float64
}

func newScoreTally(r *reporting, name string) *scoreTally {
	r.scored = true
	s := &scoreTally{r: r, name: name, all: sourceTally{name: "all"}, worst: worstSteps{most: r.opt.Worst}}
	if len(r.opt.Data) > 0 {
		s.labels = newLabelled(r.opt)
		r.open = append(r.open, s.labels.stop)
	}
	return s
}

func (s *scoreTally) take(line data.Line) error {
	row, err := data.NewRow(line)
	if err != nil {
		return err
	}
	score, err := storedScore(row)
	if err != nil {
		return err
	}
	for i, v := range score.Steps {
		if !(math.Abs(v) <= mostScore) {
			return fmt.Errorf("%s: %q: step %d: %v is no score", score.Where, score.ID, i, v)
		}
	}
	s.lines++
	if v := score.Trajectory; v != nil && !(math.Abs(*v) <= mostScore) {
		return fmt.Errorf("%s: %q: the trajectory's %v is no score", score.Where, score.ID, *v)
	}
	if s.labels == nil {
		s.unlabelledLine(score)
		return nil
	}
	t, err := s.labels.of(score)
	if err != nil {
		return err
	}
	if t == nil {
		s.unlabelled++
		return nil
	}
	return s.labelledLine(score, t)
}

// unlabelledLine counts the scores by part.
func (s *scoreTally) unlabelledLine(score *StoredScore) {
	s.all.lines++
	for i, v := range score.Steps {
		part := "steps"
		if score.Parts != nil {
			part = score.Parts[i]
		}
		s.source(part).add(v, math.NaN(), 0)
		s.all.add(v, math.NaN(), 0)
	}
	if score.Trajectory != nil {
		s.wholes[1].add(*score.Trajectory)
	}
}

// labelledLine compares the scores with the labels.
func (s *scoreTally) labelledLine(score *StoredScore, t *data.Trajectory) error {
	thinking, response := t.Cut(s.r.opt.Split)
	texts := slices.Concat(thinking.Steps, response.Steps)
	if len(score.Steps) > 0 && len(texts) != len(score.Steps) {
		return fmt.Errorf("%s: %q has %d scores, the trajectory at %s %d steps, cut at %q", score.Where, score.ID, len(score.Steps), t.Where, len(texts), s.r.opt.Split)
	}
	if len(t.Labels.Steps) > len(texts) {
		return fmt.Errorf("%s: %q has %d labels for %d steps, cut at %q", t.Where, t.ID, len(t.Labels.Steps), len(texts), s.r.opt.Split)
	}
	name := t.Source
	if name == "" {
		name = "(no source)"
	}
	source := s.source(name)
	source.lines++
	s.all.lines++
	one := metrics.Trajectory{Scores: score.Steps, Targets: make([]float64, len(score.Steps))}
	var scores []float64
	var good []bool
	for i, v := range score.Steps {
		one.Targets[i] = math.NaN()
		if i < len(t.Labels.Steps) && t.Labels.Steps[i] != nil {
			one.Targets[i] = *t.Labels.Steps[i]
			scores, good = append(scores, v), append(good, one.Targets[i] >= goodLabel)
		}
		source.add(v, one.Targets[i], *s.r.opt.Threshold)
		s.all.add(v, one.Targets[i], *s.r.opt.Threshold)
		s.addStep(i, v, one.Targets[i])
	}
	won, pairs := metrics.PairsWon(scores, good)
	s.won, s.pairs = s.won+won, s.pairs+pairs
	first := metrics.FirstError([]metrics.Trajectory{one}, *s.r.opt.Threshold)
	s.first.NError, s.first.NCorrect = s.first.NError+first.NError, s.first.NCorrect+first.NCorrect
	if first.NError > 0 {
		s.first.AccError += first.AccError
	}
	if first.NCorrect > 0 {
		s.first.AccCorrect += first.AccCorrect
	}
	if label := t.Labels.Trajectory; label != nil && score.Trajectory != nil {
		s.finals++
		s.finalSquares += (*score.Trajectory - *label) * (*score.Trajectory - *label)
		s.wholes[class(*label)].add(*score.Trajectory)
	}
	s.worst.look(one, t, texts, len(thinking.Steps))
	return nil
}

// addStep counts one step in what is not told apart by source.
func (s *scoreTally) addStep(i int, score, label float64) {
	if math.IsNaN(label) {
		return
	}
	s.classes[class(label)].add(score)
	if len(s.ranked.scores) < mostRanked {
		s.ranked.scores, s.ranked.targets = append(s.ranked.scores, score), append(s.ranked.targets, label)
	} else {
		s.ranked.over = true
	}
	place := placeOf(i)
	for len(s.positions) <= place {
		s.positions = append(s.positions, position{})
	}
	p := &s.positions[place]
	p.n++
	p.scores, p.labels = p.scores+score, p.labels+label
	p.good += class(label)
	if rightly(score, label, *s.r.opt.Threshold) {
		p.right++
	}
}

func class(label float64) int {
	if label >= goodLabel {
		return 1
	}
	return 0
}

// rightly tells whether a step is said to be what its label says.
func rightly(score, label, threshold float64) bool {
	return (score >= threshold) == (label >= goodLabel)
}

// The first singlePlaces steps are places of their own, later ones lie in ranges of which each is as long as all before it.
const singlePlaces = 32

func placeOf(step int) int {
	if step < singlePlaces {
		return step
	}
	return singlePlaces + bits.Len(uint(step)) - bits.Len(uint(singlePlaces))
}

// rangeOf are the first and the last step of a place, from 1.
func rangeOf(place int) (first, last int) {
	if place < singlePlaces {
		return place + 1, place + 1
	}
	return singlePlaces<<(place-singlePlaces) + 1, singlePlaces << (place - singlePlaces + 1)
}

func (s *scoreTally) source(name string) *sourceTally {
	if i := slices.IndexFunc(s.sources, func(t *sourceTally) bool { return t.name == name }); i >= 0 {
		return s.sources[i]
	}
	if len(s.sources) == mostSources {
		return s.sources[mostSources-1]
	}
	if len(s.sources) == mostSources-1 {
		name = "(further sources)"
	}
	s.sources = append(s.sources, &sourceTally{name: name})
	return s.sources[len(s.sources)-1]
}

func (t *sourceTally) add(score, label, threshold float64) {
	t.steps++
	t.scores.add(score)
	if t.steps == 1 {
		t.low, t.high = score, score
	}
	t.low, t.high = math.Min(t.low, score), math.Max(t.high, score)
	if math.IsNaN(label) {
		return
	}
	t.labelled++
	t.labels, t.labelScores = t.labels+label, t.labelScores+score
	t.calibration.Add(score, label, 1)
	if rightly(score, label, threshold) {
		t.right++
	}
}

// unit tells whether the scores can be probabilities.
func (t *sourceTally) unit() bool { return t.low >= 0 && t.high <= 1 }

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
		return fmt.Errorf("%s: none of its scores has a label in the data", s.name)
	}
	if !s.all.unit() {
		s.r.warnf("%s: scores from %.3g to %.3g are no probabilities: no calibration", s.name, s.all.low, s.all.high)
	}
	blocks := append([]report.Block{s.summary(), s.bySource()}, s.compared()...)
	s.r.sections = append(s.r.sections, report.Section{Title: "Scores " + s.name, Blocks: blocks})
	if list := s.worst.blocks(); len(list) > 0 && s.all.unit() {
		s.r.sections = append(s.r.sections, report.Section{Title: "Worst disagreements, " + s.name,
			Text: fmt.Sprintf("The %d labelled steps with the largest distance between score and label, with the steps around them.", len(list)), Blocks: list})
	}
	return nil
}

// plain is what can be said without labels.
func (s *scoreTally) plain() []report.Block {
	rows := [][]string{}
	for _, t := range append(s.sources, &s.all) {
		rows = append(rows, []string{t.name, fmt.Sprint(t.steps), shown(t.low), shown(t.high)})
	}
	blocks := []report.Block{
		report.Table{Title: fmt.Sprintf("%d trajectories", s.lines), Columns: []string{"part", "steps", "lowest score", "highest score"}, Rows: rows},
		s.histogram("scores of steps", "score", s.sources),
	}
	if s.wholes[1].n > 0 {
		blocks = append(blocks, histogramOf("scores of trajectories", "score", []string{"trajectories"}, []*counts{&s.wholes[1]}))
	}
	return blocks
}

// summary are the metrics over all labelled steps.
func (s *scoreTally) summary() report.Block {
	n := float64(max(1, s.all.labelled))
	first := s.firstError()
	good := float64(s.classes[1].n) / n
	rows := [][]string{
		{"labelled steps", fmt.Sprint(s.all.labelled), fmt.Sprintf("of %d scored ones in %d trajectories", s.all.steps, s.all.lines)},
		{"good ones", percent(good), "a label of 0.5 or more"},
		{"accuracy", percent(float64(s.all.right) / n), fmt.Sprintf("a step that scores %g or more is said to be good; saying the same of all is right for %s", *s.r.opt.Threshold, percent(math.Max(good, 1-good)))},
	}
	if s.ranked.over {
		rows = append(rows, []string{"step AUROC", "-", fmt.Sprintf("not computed for more than %d steps; prm eval does", mostRanked)})
	} else {
		rows = append(rows, []string{"step AUROC", shown(metrics.AUROC(s.ranked.scores, s.ranked.targets)), "good steps score above bad ones"})
	}
	rows = append(rows,
		[]string{"… within trajectories", shown(metrics.Ratio(s.won, s.pairs)), "the same among the steps of one trajectory"},
		[]string{"first-error F1", shown(first.F1), fmt.Sprintf("first wrong step named in %s of %d, nothing called wrong in %s of %d", percent(first.AccError), first.NError, percent(first.AccCorrect), first.NCorrect)})
	if s.all.unit() {
		rows = append(rows, []string{"squared error (Brier)", shown(s.all.calibration.Brier()), ""},
			[]string{"calibration error (ECE)", shown(s.all.calibration.ECE()), fmt.Sprintf("%d bins of equal width", metrics.CalibrationBins)})
	}
	if s.finals > 0 {
		rows = append(rows, []string{"squared error of trajectories", shown(metrics.Ratio(s.finalSquares, float64(s.finals))), fmt.Sprintf("%d labelled ones", s.finals)})
	}
	return report.Table{Columns: []string{"metric", "value", ""}, Rows: rows}
}

// firstError turns the counts into accuracies.
func (s *scoreTally) firstError() metrics.FirstErrorResult {
	f := s.first
	f.AccError, f.AccCorrect = metrics.Ratio(float64(f.AccError), float64(f.NError)), metrics.Ratio(float64(f.AccCorrect), float64(f.NCorrect))
	f.F1 = metrics.Harmonic(f.AccError, f.AccCorrect)
	return f
}

func (s *scoreTally) bySource() report.Block {
	t := report.Table{Title: "by source", Columns: []string{"source", "trajectories", "steps", "labelled", "mean score", "mean label", "accuracy", "ECE"}}
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
func (s *scoreTally) compared() []report.Block {
	var blocks, tables []report.Block
	if s.all.unit() && s.all.labelled > 0 {
		line := report.Series{Name: "steps", Dots: true}
		bins := report.Table{Title: "calibration", Columns: []string{"scores", "steps", "mean score", "mean label"}}
		for i, b := range s.all.calibration.Bins() {
			if b.Count > 0 {
				line.X, line.Y = append(line.X, float64(b.Score)), append(line.Y, float64(b.Target))
			}
			bins.Rows = append(bins.Rows, []string{fmt.Sprintf("%.3f to %.3f", float64(i)/metrics.CalibrationBins, float64(i+1)/metrics.CalibrationBins), fmt.Sprintf("%.0f", b.Count), shown(b.Score), shown(b.Target)})
		}
		blocks = append(blocks, report.LineChart{Title: "calibration: ECE " + shown(s.all.calibration.ECE()), XLabel: "mean score", YLabel: "mean label",
			Series: []report.Series{line, {Name: "perfect", X: []float64{0, 1}, Y: []float64{0, 1}}}})
		tables = append(tables, bins)
	}
	if s.all.labelled > 0 {
		blocks = append(blocks, histogramOf("scores of good and bad steps", "score", []string{"good", "bad"}, []*counts{&s.classes[1], &s.classes[0]}))
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
		blocks = append(blocks, histogramOf("scores of trajectories", "score", []string{"label of 0.5 or more", "less"}, []*counts{&s.wholes[1], &s.wholes[0]}))
	}
	return append(blocks, tables...)
}

// byPosition is how right the scores are at each place of a trajectory.
func (s *scoreTally) byPosition() (charts []report.Block, table report.Block) {
	accuracy, base := report.Series{Name: "accuracy", Dots: true}, report.Series{Name: "good steps"}
	scores, labels := report.Series{Name: "mean score", Dots: true}, report.Series{Name: "mean label"}
	t := report.Table{Title: "by position", Columns: []string{"step", "labelled", "accuracy", "good", "mean score", "mean label"}}
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
		t.Rows = append(t.Rows, []string{name, fmt.Sprint(p.n), percent(float64(p.right) / n), percent(float64(p.good) / n), shown(p.scores / n), shown(p.labels / n)})
	}
	return []report.Block{
		report.LineChart{Title: "accuracy by position", XLabel: "step of the trajectory", YLabel: "share of labelled steps", Series: []report.Series{accuracy, base}},
		report.LineChart{Title: "score and label by position", XLabel: "step of the trajectory", Series: []report.Series{scores, labels}},
	}, t
}

func (s *scoreTally) histogram(title, label string, sources []*sourceTally) report.Histogram {
	var names []string
	var list []*counts
	for _, t := range sources {
		names, list = append(names, t.name), append(list, &t.scores)
	}
	return histogramOf(title, label, names, list)
}

// labelled are the labelled trajectories, read beside the scores of them.
type labelled struct {
	pull     func() (*data.Trajectory, error, bool)
	stop     func()
	unscored int
	done     bool
}

func newLabelled(opt ReportOptions) *labelled {
	l := &labelled{}
	l.pull, l.stop = iter.Pull2(data.Read(opt.Data, data.ReadOptions{Stdin: opt.Stdin}))
	return l
}

// next is the next trajectory, nil at the end.
func (l *labelled) next() (*data.Trajectory, error) {
	if l.done {
		return nil, nil
	}
	t, err, ok := l.pull()
	if err != nil || !ok {
		l.done = true
	}
	return t, err
}

// of is the trajectory that the scores are of. Those before it have no scores; after the last one the rest of the scores
// is of no trajectory.
func (l *labelled) of(s *StoredScore) (*data.Trajectory, error) {
	passed := 0
	for {
		t, err := l.next()
		switch {
		case err != nil:
			return nil, err
		case t == nil && passed > 0:
			return nil, fmt.Errorf("%s: no labelled trajectory with the id %q where it is due: scores must stand in the order of the data, each once", s.Where, s.ID)
		case t == nil:
			return nil, nil
		case t.ID == s.ID:
			l.unscored += passed
			return t, nil
		}
		passed++
	}
}

// end counts the rest.
func (l *labelled) end() error {
	for {
		t, err := l.next()
		if t == nil || err != nil {
			return err
		}
		l.unscored++
	}
}
