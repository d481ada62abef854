package metrics

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

// firstErrorFamily is how well scores find the first wrong step, as ProcessBench counts it: the first step whose score is below
// the threshold, or none, is compared with the first step whose target is bad. Steps without a label are left out on both sides,
// and so are trajectories without any label.
var firstErrorFamily = family{
	metrics: []Metric{
		{Name: "first_error_acc_error", Eval: "first_error_acc_err", Thresholded: true},
		{Name: "first_error_acc_correct", Eval: "first_error_acc_corr", Thresholded: true},
		{Name: "first_error_f1", Eval: "first_error_f1", Title: "first-error F1", Thresholded: true},
	},
	start: newFirstErrors,
}

func newFirstErrors(o Options) gatherer {
	return &sums{
		width: len(FirstErrorCounts{}),
		count: func(t *Trajectory, n []float64) {
			for i, v := range FirstError(t.Scores, t.Targets, o) {
				n[i] += v
			}
		},
		finish: func(n []float64) []Float { return FirstErrorCounts(n).Metrics() },
	}
}

// FirstErrorCounts counts erroneous trajectories whose first wrong step is named exactly, erroneous trajectories, correct trajectories
// in which no step is called wrong, and correct trajectories.
type FirstErrorCounts [4]float64

// Metrics are the two accuracies, of erroneous and of correct trajectories, and their harmonic mean F1: 0 when both are 0, undefined
// without one of the groups.
func (n FirstErrorCounts) Metrics() []Float {
	wrong, right := ratio(n[0], n[1]), ratio(n[2], n[3])
	return []Float{wrong, right, Harmonic(wrong, right)}
}

// FirstError counts one trajectory, or nothing if none of its steps has a label.
func FirstError(scores, targets []float64, o Options) FirstErrorCounts {
	labelled, erroneous, low, high := namedRightly(scores, targets, o.Cut)
	right := 0.0
	if o.Threshold > low && o.Threshold <= high {
		right = 1
	}
	switch {
	case !labelled:
		return FirstErrorCounts{}
	case erroneous:
		return FirstErrorCounts{right, 1, 0, 0}
	}
	return FirstErrorCounts{0, 0, right, 1}
}

// processBenchFamily is ProcessBench's average: the mean over its subsets of their first-error F1. It is undefined without rows of
// ProcessBench, and where the F1 of a subset is. prm eval has it as the average of the benchmark's own groups.
var processBenchFamily = family{
	metrics: []Metric{{Name: "processbench_f1", Thresholded: true}},
	start:   func(o Options) gatherer { return &subsetGatherer{opt: o, subsets: map[string]gatherer{}} },
}

type subsetGatherer struct {
	opt     Options
	subsets map[string]gatherer
}

func (s *subsetGatherer) add(t *Trajectory) {
	if t.Subset == "" {
		return
	}
	if s.subsets[t.Subset] == nil {
		s.subsets[t.Subset] = newFirstErrors(s.opt)
	}
	s.subsets[t.Subset].add(t)
}

func (s *subsetGatherer) values(times []float64) []Float {
	var sum Float
	for _, name := range slices.Sorted(maps.Keys(s.subsets)) { // a fixed order of addition
		sum += s.subsets[name].values(times)[2]
	}
	return []Float{ratio(float64(sum), float64(len(s.subsets)))}
}

// Harmonic is the harmonic mean of two shares, 0 where both are 0.
func Harmonic(a, b Float) Float {
	if a == 0 && b == 0 {
		return 0
	}
	return 2 * a * b / (a + b)
}

// namedRightly returns the thresholds (low, high] at which the prediction for a trajectory is right: above the score of the first
// wrong step and not above any labelled score before it. The interval may be empty.
func namedRightly(scores, targets []float64, cut float64) (labelled, erroneous bool, low, high float64) {
	low, high = math.Inf(-1), math.Inf(1)
	for i, target := range targets {
		if math.IsNaN(target) {
			continue
		}
		labelled = true
		if target < cut {
			return true, true, scores[i], high
		}
		high = math.Min(high, scores[i])
	}
	return labelled, false, low, high
}

// BestThreshold returns the threshold with the best first-error F1 and that F1, by an exact sweep over all thresholds.
// Of a range of equally good thresholds it takes the middle, of several such ranges the one nearest to 0.5, then the lower.
// Where F1 is undefined, or 0 everywhere, the threshold is 0.5.
func BestThreshold(trajectories []Trajectory) (threshold float64, f1 Float) {
	type edge struct {
		at      float64
		erring  bool
		entered float64 // +1: the predictions become right above at; −1: they are right up to at
	}
	var edges []edge
	var right, count [2]float64 // [0] of correct, [1] of erroneous trajectories, for thresholds below every edge
	for _, t := range trajectories {
		labelled, erroneous, low, high := namedRightly(t.Scores, t.Targets, goodFrom)
		if !labelled {
			continue
		}
		group := 0
		if erroneous {
			group = 1
		}
		count[group]++
		if !(low < high) {
			continue
		}
		if math.IsInf(low, -1) {
			right[group]++
		} else {
			edges = append(edges, edge{low, group == 1, 1})
		}
		if !math.IsInf(high, 1) {
			edges = append(edges, edge{high, group == 1, -1})
		}
	}
	if count[0] == 0 || count[1] == 0 {
		return 0.5, undefined()
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Compare(a.at, b.at) })
	threshold = 0.5
	for i := 0; i < len(edges); {
		at := edges[i].at
		for ; i < len(edges) && edges[i].at == at; i++ {
			group := 0
			if edges[i].erring {
				group = 1
			}
			right[group] += edges[i].entered
		}
		if i == len(edges) {
			break // above every edge no correct trajectory passes: F1 is 0
		}
		here := Harmonic(Float(right[1]/count[1]), Float(right[0]/count[0]))
		middle := at + (edges[i].at-at)/2
		if middle <= at {
			middle = edges[i].at
		}
		if here > f1 || (here == f1 && here > 0 && math.Abs(middle-0.5) < math.Abs(threshold-0.5)) {
			threshold, f1 = middle, here
		}
	}
	return threshold, f1
}
