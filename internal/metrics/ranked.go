package metrics

import (
	"cmp"
	"math"
	"slices"
)

// Ranked is a list of items of two classes in the order of their scores, so that what depends on that order alone is a
// single pass for any weights: a bootstrap draws whole units, and weighs each item by how often its unit was drawn.
type Ranked struct {
	items     []rankedItem // by ascending score
	undefined bool         // a score is NaN
}

type rankedItem struct {
	score float64
	good  bool
	unit  int
}

// NewRanked takes items with a score, whether they are good, and the unit that each belongs to.
func NewRanked(scores []float64, good []bool, unit []int) Ranked {
	r := Ranked{items: make([]rankedItem, len(scores))}
	for i, s := range scores {
		r.items[i] = rankedItem{s, good[i], unit[i]}
		r.undefined = r.undefined || math.IsNaN(s)
	}
	slices.SortFunc(r.items, func(a, b rankedItem) int { return cmp.Compare(a.score, b.score) })
	return r
}

// ties visits runs of equal scores from the lowest to the highest, with the weight of their good and bad items.
func (r Ranked) ties(times []float64, visit func(good, bad float64)) {
	for i := 0; i < len(r.items); {
		good, bad := 0.0, 0.0
		score := r.items[i].score
		for ; i < len(r.items) && r.items[i].score == score; i++ {
			if w := times[r.items[i].unit]; r.items[i].good {
				good += w
			} else {
				bad += w
			}
		}
		visit(good, bad)
	}
}

// RankMetrics are what a ranking of two classes is judged by.
type RankMetrics struct {
	AUROC Float // see the function
	// The areas under the precision-recall curves as step functions: the precisions at each distinct score, weighted by the
	// recall that it adds. For the good items the highest scores are taken first; for the bad ones the lowest.
	PrecisionOfGood, PrecisionOfBad Float
}

// Metrics weighs each item by how often its unit was drawn.
func (r Ranked) Metrics(times []float64) RankMetrics {
	if r.undefined {
		return RankMetrics{undefined(), undefined(), undefined()}
	}
	allGood, allBad := 0.0, 0.0
	for _, item := range r.items {
		if w := times[item.unit]; item.good {
			allGood += w
		} else {
			allBad += w
		}
	}
	var won, areaGood, areaBad, good, bad float64 // good and bad are those below
	r.ties(times, func(g, b float64) {
		won += g * (bad + b/2)
		if g > 0 {
			areaGood += g * (allGood - good) / (allGood - good + allBad - bad)
		}
		if b > 0 {
			areaBad += b * (bad + b) / (good + g + bad + b)
		}
		good, bad = good+g, bad+b
	})
	return RankMetrics{ratio(won, allGood*allBad), ratio(areaGood, allGood), ratio(areaBad, allBad)}
}
