package metrics

import (
	"math"
	"slices"
)

const goodFrom = 0.5 // the smallest target that counts as good

// midranks gives each value its rank from 1, equal values sharing the mean of their ranks. No value may be NaN.
func midranks(values []float64) []float64 {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case values[a] < values[b]:
			return -1
		case values[a] > values[b]:
			return 1
		}
		return 0
	})
	ranks := make([]float64, len(values))
	for i := 0; i < len(order); {
		j := i + 1
		for j < len(order) && values[order[j]] == values[order[i]] {
			j++
		}
		for _, k := range order[i:j] {
			ranks[k] = float64(i+1+j) / 2
		}
		i = j
	}
	return ranks
}

// pairs counts the (good, bad) pairs among labelled scores and how many the scores order rightly, a tie counting half.
func pairs(scores, targets []float64) (won, all float64) {
	var labelled []float64
	var isGood []bool
	for i, t := range targets {
		if math.IsNaN(t) {
			continue
		}
		if math.IsNaN(scores[i]) {
			return math.NaN(), 1
		}
		labelled = append(labelled, scores[i])
		isGood = append(isGood, t >= goodFrom)
	}
	var good, rankSum float64
	for i, rank := range midranks(labelled) {
		if isGood[i] {
			good++
			rankSum += rank
		}
	}
	bad := float64(len(labelled)) - good
	return rankSum - good*(good+1)/2, good * bad
}

// AUROC is the chance that a good item scores higher than a bad one, ties counting half (the Mann-Whitney statistic
// by midranks). Items with a NaN target are left out; a NaN score makes the result undefined, as does a missing class.
func AUROC(scores, targets []float64) Float {
	won, all := pairs(scores, targets)
	return ratio(won, all)
}

// WithinAUROC is AUROC over the pairs that lie within one trajectory: the pairs of all trajectories are pooled, so a
// trajectory weighs by its number of (good, bad) pairs and one without both classes does not count. It cannot be won
// by telling easy problems from hard ones.
func WithinAUROC(trajectories []Trajectory) Float {
	var won, all float64
	for _, t := range trajectories {
		w, a := pairs(t.Scores, t.Targets)
		won += w
		all += a
	}
	return ratio(won, all)
}

// WithinProblemAUROC is AUROC over the pairs that lie within one problem, in one trajectory or in two: where each trajectory has one
// label (PRM800K's rows) no pair lies within a trajectory. The pairs of all problems are pooled, as in [WithinAUROC].
func WithinProblemAUROC(trajectories []Trajectory) Float {
	var problems []Trajectory
	at := map[string]int{}
	for _, t := range trajectories {
		i, seen := at[t.Problem]
		if !seen || t.Problem == "" {
			i = len(problems)
			at[t.Problem], problems = i, append(problems, Trajectory{})
		}
		problems[i].Scores, problems[i].Targets = append(problems[i].Scores, t.Scores...), append(problems[i].Targets, t.Targets...)
	}
	return WithinAUROC(problems)
}

// Pearson is the linear correlation of x and y over the items where both are numbers; undefined when either is constant.
func Pearson(x, y []float64) Float {
	x, y = complete(x, y)
	n := float64(len(x))
	var meanX, meanY float64
	for i := range x {
		meanX += x[i] / n
		meanY += y[i] / n
	}
	var xx, yy, xy float64
	for i := range x {
		dx, dy := x[i]-meanX, y[i]-meanY
		xx += dx * dx
		yy += dy * dy
		xy += dx * dy
	}
	// A constant column leaves rounding noise behind, not always an exact 0: its own spread says it surely.
	if len(x) < 2 || slices.Min(x) == slices.Max(x) || slices.Min(y) == slices.Max(y) {
		return undefined()
	}
	return Float(math.Max(-1, math.Min(1, xy/(math.Sqrt(xx)*math.Sqrt(yy)))))
}

// Spearman is the Pearson correlation of the midranks.
func Spearman(x, y []float64) Float {
	x, y = complete(x, y)
	return Pearson(midranks(x), midranks(y))
}

// MSE is the mean squared difference over the items where both are numbers.
func MSE(scores, targets []float64) Float {
	scores, targets = complete(scores, targets)
	var sum float64
	for i := range scores {
		d := scores[i] - targets[i]
		sum += d * d
	}
	return ratio(sum, float64(len(scores)))
}

func complete(x, y []float64) (cx, cy []float64) {
	for i := range x {
		if !math.IsNaN(x[i]) && !math.IsNaN(y[i]) {
			cx = append(cx, x[i])
			cy = append(cy, y[i])
		}
	}
	return cx, cy
}

// CalibrationBins is the number of equally wide bins of ECE over [0,1].
const CalibrationBins = 15

// ECE is the expected calibration error: scores fall into 15 equally wide bins over [0,1] (a score outside goes to the
// nearest bin), and the differences between mean score and mean target of each bin are averaged by its share of the
// items. Soft targets enter as they are. Items with a NaN on either side are left out.
func ECE(scores, targets []float64) Float {
	scores, targets = complete(scores, targets)
	var gap [CalibrationBins]float64
	for i, s := range scores {
		bin := int(math.Max(0, math.Min(CalibrationBins-1, math.Floor(s*CalibrationBins))))
		gap[bin] += s - targets[i]
	}
	var sum float64
	for _, g := range gap {
		sum += math.Abs(g)
	}
	return ratio(sum, float64(len(scores)))
}
