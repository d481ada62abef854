package metrics

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

// FirstErrorResult is how well scores find the first wrong step, as ProcessBench counts it.
type FirstErrorResult struct {
	F1         Float `json:"f1"`          // harmonic mean of the two accuracies; 0 when both are 0, undefined without one of the groups
	AccError   Float `json:"acc_error"`   // share of erroneous trajectories whose first wrong step is named exactly
	AccCorrect Float `json:"acc_correct"` // share of correct trajectories in which no step is called wrong
	NError     int   `json:"n_error"`
	NCorrect   int   `json:"n_correct"`
}

// FirstError predicts the first step whose score is below threshold, or none, and compares with the first step whose
// target is bad. Steps without a label are left out on both sides, and so are trajectories without any label.
func FirstError(trajectories []Trajectory, threshold float64) FirstErrorResult {
	var named, passed float64
	var r FirstErrorResult
	for _, t := range trajectories {
		labelled, low, high := t.namedRightly()
		if !labelled {
			continue
		}
		right := 0.0
		if threshold > low && threshold <= high {
			right = 1
		}
		if t.erroneous() {
			r.NError++
			named += right
		} else {
			r.NCorrect++
			passed += right
		}
	}
	r.AccError, r.AccCorrect = ratio(named, float64(r.NError)), ratio(passed, float64(r.NCorrect))
	r.F1 = Harmonic(r.AccError, r.AccCorrect)
	return r
}

// ProcessBenchF1 is ProcessBench's average: the mean over its subsets of their first-error F1. It is undefined without rows of
// ProcessBench, and where the F1 of a subset is.
func ProcessBenchF1(trajectories []Trajectory, threshold float64) Float {
	subsets := map[string][]Trajectory{}
	for _, t := range trajectories {
		if t.Subset != "" {
			subsets[t.Subset] = append(subsets[t.Subset], t)
		}
	}
	var sum Float
	for _, name := range slices.Sorted(maps.Keys(subsets)) { // a fixed order of addition
		sum += FirstError(subsets[name], threshold).F1
	}
	return ratio(float64(sum), float64(len(subsets)))
}

// Harmonic is the harmonic mean of two shares, 0 where both are 0.
func Harmonic(a, b Float) Float {
	if a == 0 && b == 0 {
		return 0
	}
	return 2 * a * b / (a + b)
}

func (t Trajectory) erroneous() bool {
	return slices.ContainsFunc(t.Targets, func(target float64) bool { return target < goodFrom })
}

// namedRightly returns the thresholds (low, high] at which the prediction for t is right: above the score of the first
// wrong step and not above any labelled score before it. The interval may be empty.
func (t Trajectory) namedRightly() (labelled bool, low, high float64) {
	low, high = math.Inf(-1), math.Inf(1)
	for i, target := range t.Targets {
		if math.IsNaN(target) {
			continue
		}
		labelled = true
		if target < goodFrom {
			return true, t.Scores[i], high
		}
		high = math.Min(high, t.Scores[i])
	}
	return labelled, low, high
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
		labelled, low, high := t.namedRightly()
		if !labelled {
			continue
		}
		group := 0
		if t.erroneous() {
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
