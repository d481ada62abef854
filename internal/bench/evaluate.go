package bench

import (
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/goprm/goprm/internal/metrics"
)

// Scores are what was scored of a set, in the order of its cases.
type Scores struct {
	Steps   [][]float64 // of each step; nil: the case was not scored
	Rewards []float64   // of each case as a whole; NaN: none. Only pairs need them
}

// NewScores has room for the scores of n cases, none of them scored.
func NewScores(n int) Scores {
	s := Scores{Steps: make([][]float64, n), Rewards: make([]float64, n)}
	for i := range s.Rewards {
		s.Rewards[i] = math.NaN()
	}
	return s
}

// Options say how scores are judged; the zero value has a threshold of 0.
type Options struct {
	Threshold     float64 // below it a step counts as wrong
	ThresholdFrom string  // where it comes from, for the report
	Cut           float64 // a target of this or more is good
	Seed          uint64
	// Tune is other data on which the controls' thresholds are tuned; nil: they are tuned on the judged data itself, in
	// their favour.
	Tune *Set
}

// Metric is one number of a result.
type Metric struct {
	Group string
	Name  string
	Value metrics.Float
	metrics.Interval
}

// Evaluation is the metrics of one way of scoring.
type Evaluation struct {
	Threshold metrics.Float
	Metrics   []Metric
}

// Result is a benchmark's outcome.
type Result struct {
	Bench         string
	Cases         int
	Problems      int
	Steps         int // with a label
	Unscored      int // cases without scores: they count nowhere
	ThresholdFrom string
	Cut           float64
	Model         Evaluation
	Controls      map[string]Evaluation
	controlNames  []string // in the order in which they are shown
	Warnings      []string
	Histogram     [2][]float64 // scores of good and of bad steps, or rewards of better and of worse traces
}

// control is what needs no model: what a step's place, or its length in characters, tells. Each is there in both directions,
// since the better one is known only afterwards. Of pairs it is the number of steps, or the length of all.
type control struct {
	name   string
	sign   float64
	length bool
}

// controls, in the order in which they are shown.
func (s *Set) controls() []control {
	more, less := "later_is_better", "earlier_is_better"
	if s.Bench == "pairs" {
		more, less = "more_steps_is_better", "fewer_steps_is_better"
	}
	return []control{{more, 1, false}, {less, -1, false}, {"longer_is_better", 1, true}, {"shorter_is_better", -1, true}}
}

// standIn are a control's scores.
func (s *Set) standIn(by control) Scores {
	out := NewScores(len(s.Cases))
	for i, c := range s.Cases {
		out.Steps[i] = make([]float64, len(c.lengths))
		for k, length := range c.lengths {
			out.Steps[i][k] = by.sign * float64(k)
			if by.length {
				out.Steps[i][k] = by.sign * float64(length)
			}
		}
		out.Rewards[i] = by.sign * float64(len(c.lengths))
		if by.length {
			out.Rewards[i] = by.sign * float64(total(c.lengths))
		}
	}
	return out
}

// only keeps the scores of cases that the other has scores of.
func (s Scores) only(other Scores) Scores {
	for i := range s.Steps {
		if other.Steps[i] == nil {
			s.Steps[i] = nil
		}
		if math.IsNaN(other.Rewards[i]) {
			s.Rewards[i] = math.NaN()
		}
	}
	return s
}

// Evaluate judges scores. A case whose number of scores is not that of its steps is an error, except in pairs.
func (s *Set) Evaluate(scores Scores, opt Options) (*Result, error) {
	if err := s.fits(scores); err != nil {
		return nil, err
	}
	r := &Result{Bench: s.Bench, Cases: len(s.Cases), Problems: len(s.problems), ThresholdFrom: opt.ThresholdFrom, Cut: opt.Cut,
		Warnings: slices.Clone(s.Warnings), Controls: map[string]Evaluation{}}
	for i, c := range s.Cases {
		if scores.Steps[i] == nil && (s.Bench != "pairs" || math.IsNaN(scores.Rewards[i])) {
			r.Unscored++
			continue
		}
		for k, target := range c.Targets {
			if s.Bench != "pairs" && target == target {
				r.Steps++
				class := 1
				if target >= opt.Cut {
					class = 0
				}
				r.Histogram[class] = append(r.Histogram[class], scores.Steps[i][k])
			}
		}
		if s.Bench == "pairs" {
			r.Histogram[i%2] = append(r.Histogram[i%2], scores.Rewards[i])
		}
	}
	if r.Unscored == r.Cases {
		return nil, fmt.Errorf("none of the %d trajectories has scores", r.Cases)
	}
	if s.Bench != "pairs" && r.Steps == 0 {
		return nil, fmt.Errorf("no step has a label")
	}
	controls := s.controls()
	outcomes := make([]Evaluation, len(controls))
	var work sync.WaitGroup
	for k, by := range controls {
		work.Go(func() {
			stand := s.standIn(by).only(scores)
			tuned, tuneScores := s, stand
			if opt.Tune != nil {
				tuned, tuneScores = opt.Tune, opt.Tune.standIn(by)
			}
			outcomes[k] = s.evaluation(stand, tuned.BestThreshold(tuneScores, opt.Cut), opt, false)
		})
	}
	r.Model = s.evaluation(scores, opt.Threshold, opt, s.Bench == "steps")
	work.Wait()
	for k, by := range controls {
		r.Controls[by.name] = outcomes[k]
		r.controlNames = append(r.controlNames, by.name)
	}
	return r, nil
}

// fits checks that scores have the shape of the set.
func (s *Set) fits(scores Scores) error {
	if len(scores.Steps) != len(s.Cases) || len(scores.Rewards) != len(s.Cases) {
		return fmt.Errorf("%d and %d scores for %d trajectories", len(scores.Steps), len(scores.Rewards), len(s.Cases))
	}
	for i, c := range s.Cases {
		switch list := scores.Steps[i]; {
		case s.Bench == "pairs" || list == nil || len(list) == len(c.lengths):
		case len(list) == 0:
			return fmt.Errorf("%q has no scores of its steps: what scores whole trajectories alone cannot find errors", c.ID)
		default:
			return fmt.Errorf("%q has %d scores for %d steps", c.ID, len(list), len(c.lengths))
		}
	}
	return nil
}

// measured are all measures of the benchmark.
func (s *Set) measured(scores Scores, opt metrics.Options, calibrated bool) measures {
	if s.Bench == "pairs" {
		return pairMeasures(s, scores.Rewards)
	}
	ranking := stepMetrics(s, scores.Steps, opt, func(m metrics.Metric) bool { return !m.Thresholded && (calibrated || !m.Calibrated) })
	return join(kinds[s.Bench].thresholded(s, scores.Steps, opt), ranking)
}

func (s *Set) evaluation(scores Scores, threshold float64, opt Options, calibrated bool) Evaluation {
	m := s.measured(scores, metrics.Options{Threshold: threshold, Cut: opt.Cut}, calibrated)
	values := m.of(s.once())
	e := Evaluation{Threshold: metrics.Float(threshold)}
	for i, interval := range metrics.Bootstrap(len(s.problems), opt.Seed, m.of) {
		e.Metrics = append(e.Metrics, Metric{m.names[i].group, m.names[i].metric, values[i], interval})
	}
	return e
}

// once weighs each problem 1.
func (s *Set) once() []float64 {
	times := make([]float64, len(s.problems))
	for i := range times {
		times[i] = 1
	}
	return times
}

// mostThresholds is how many thresholds are tried.
const mostThresholds = 200

// BestThreshold is the threshold at which the benchmark's main metric is best: of the gaps between neighbouring scores, of
// which at most 200 evenly spread ones are tried, the middle; among equals the one nearest to 0.5, then the lower. It is
// NaN where the benchmark uses none, and 0.5 where the metric is undefined everywhere.
func (s *Set) BestThreshold(scores Scores, cut float64) float64 {
	k := kinds[s.Bench]
	if k.thresholded == nil {
		return math.NaN()
	}
	var all []float64
	for _, list := range scores.Steps {
		all = append(all, list...)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	best, most := 0.5, metrics.Float(math.NaN())
	gaps := len(all) - 1
	for try := range min(gaps, mostThresholds) {
		i := try
		if gaps > mostThresholds {
			i = (2*try + 1) * gaps / (2 * mostThresholds)
		}
		threshold := all[i] + (all[i+1]-all[i])/2
		m := k.thresholded(s, scores.Steps, metrics.Options{Threshold: threshold, Cut: cut})
		value := m.of(s.once())[slices.Index(m.names, k.main)]
		if value.Defined() && (!most.Defined() || value > most || value == most && math.Abs(threshold-0.5) < math.Abs(best-0.5)) {
			best, most = threshold, value
		}
	}
	return best
}
