package inputs

import (
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/metrics"
	"github.com/goprm/goprm/internal/scorefile"
)

const (
	goodLabel    = 0.5     // a label of this or more means a good step
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
	judged            *metrics.Assembly
	first             metrics.FirstErrorCounts
	finals            int // trajectories with a score and a label
	positions         []position
	worst             worstSteps
	shelf             shelf
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
		opt := s.judging()
		opt.MostRanked = mostRanked
		s.judged = metrics.NewAssembly(opt, func(m metrics.Metric) bool { return m.Title != "" })
		r.open = append(r.open, s.labels.stop)
	}
	return s
}

func (s *scoreTally) judging() metrics.Options {
	return metrics.Options{Threshold: *s.r.opt.Threshold, Cut: goodLabel}
}

func (s *scoreTally) take(line data.Line) error {
	row, err := data.NewRow(line)
	if err != nil {
		return err
	}
	score, err := scorefile.Parse(row)
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
func (s *scoreTally) unlabelledLine(score *scorefile.Score) {
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
func (s *scoreTally) labelledLine(score *scorefile.Score, t *data.Trajectory) error {
	thinking, response := t.Cut(s.r.opt.Split)
	texts := slices.Concat(thinking.Steps, response.Steps)
	if len(score.Steps) > 0 && len(texts) != len(score.Steps) {
		return fmt.Errorf("%s: %q has %d scores, the trajectory at %s %d steps, cut at %q", score.Where, score.ID, len(score.Steps), t.Where,
			len(texts), s.r.opt.Split)
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
	one := metrics.Trajectory{Scores: score.Steps, Targets: make([]float64, len(score.Steps)), Final: math.NaN(), FinalTarget: math.NaN()}
	for i, v := range score.Steps {
		one.Targets[i] = math.NaN()
		if i < len(t.Labels.Steps) && t.Labels.Steps[i] != nil {
			one.Targets[i] = *t.Labels.Steps[i]
		}
		source.add(v, one.Targets[i], *s.r.opt.Threshold)
		s.all.add(v, one.Targets[i], *s.r.opt.Threshold)
		s.addStep(i, v, one.Targets[i])
	}
	for i, n := range metrics.FirstError(one.Scores, one.Targets, s.judging()) {
		s.first[i] += n
	}
	if label := t.Labels.Trajectory; label != nil && score.Trajectory != nil {
		s.finals++
		one.Final, one.FinalTarget = *score.Trajectory, *label
		s.wholes[class(*label)].add(*score.Trajectory)
	}
	s.judged.Add(&one)
	s.worst.look(one, t, texts, len(thinking.Steps))
	s.shelf.put(one, t, texts, len(thinking.Steps))
	return nil
}

// addStep counts one step in what is not told apart by source.
func (s *scoreTally) addStep(i int, score, label float64) {
	if math.IsNaN(label) {
		return
	}
	s.classes[class(label)].add(score)
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
	t.calibration.Add(score, label)
	if rightly(score, label, threshold) {
		t.right++
	}
}

// unit tells whether the scores can be probabilities.
func (t *sourceTally) unit() bool { return t.low >= 0 && t.high <= 1 }
