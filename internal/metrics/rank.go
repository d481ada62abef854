package metrics

import (
	"cmp"
	"math"
	"slices"
)

const goodFrom = 0.5 // the smallest target that counts as good, where nothing else is said

// midranks gives each value its rank from 1, equal values sharing the mean of their ranks. No value may be NaN.
func midranks(values []float64) []float64 {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(values[a], values[b]) })
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
func pairs(scores, targets []float64, cut float64) (won, all float64) {
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
		isGood = append(isGood, t >= cut)
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
	won, all := pairs(scores, targets, goodFrom)
	return ratio(won, all)
}

// rankFamily is how well the scores of all steps rank the good above the bad: [AUROC] and the areas of [RankMetrics].
var rankFamily = family{
	metrics: []Metric{
		{Name: "step_auroc", Eval: "step_auroc", Title: "step AUROC", Note: "good steps score above bad ones"},
		{Eval: "auprc"},
		{Eval: "auprc_error"},
	},
	start: func(o Options) gatherer { return &rankGatherer{opt: o} },
}

// rankGatherer keeps all labelled scores, up to the limit.
type rankGatherer struct {
	opt    Options
	scores []float64
	good   []bool
	unit   []int
	over   bool
	ranked *Ranked
}

func (r *rankGatherer) add(t *Trajectory) {
	r.ranked = nil
	for i, target := range t.Targets {
		switch {
		case math.IsNaN(target):
		case r.over || r.opt.MostRanked > 0 && len(r.scores) == r.opt.MostRanked:
			r.over, r.scores, r.good, r.unit = true, nil, nil, nil
		default:
			r.scores, r.good, r.unit = append(r.scores, t.Scores[i]), append(r.good, target >= r.opt.Cut), append(r.unit, t.Unit)
		}
	}
}

func (r *rankGatherer) values(times []float64) []Float {
	if r.ranked == nil {
		ranked := NewRanked(r.scores, r.good, r.unit)
		r.ranked = &ranked
	}
	m := r.ranked.Metrics(times)
	return []Float{m.AUROC, m.PrecisionOfGood, m.PrecisionOfBad}
}

// withinFamily is AUROC over the pairs that lie within one trajectory: the pairs of all trajectories are pooled, so a
// trajectory weighs by its number of (good, bad) pairs and one without both classes does not count. It cannot be won
// by telling easy problems from hard ones.
var withinFamily = family{
	metrics: []Metric{{Name: "within_auroc", Eval: "within_auroc", Title: "… within trajectories",
		Note: "the same among the steps of one trajectory"}},
	start: func(o Options) gatherer {
		return &sums{
			width: 2,
			count: func(t *Trajectory, n []float64) {
				won, all := pairs(t.Scores, t.Targets, o.Cut)
				n[0] += won
				n[1] += all
			},
			finish: func(n []float64) []Float { return []Float{ratio(n[0], n[1])} },
		}
	},
}

// WithinAUROC is within_auroc alone.
func WithinAUROC(trajectories []Trajectory) Float {
	within := withinFamily.start(Options{Cut: goodFrom})
	for _, t := range trajectories {
		t.Unit = 0
		within.add(&t)
	}
	return within.values([]float64{1})[0]
}

// withinProblemFamily is AUROC over the pairs that lie within one problem, in one trajectory or in two: where each trajectory has one
// label (PRM800K's rows) no pair lies within a trajectory. The pairs of all problems are pooled, as in [withinFamily].
var withinProblemFamily = family{
	metrics: []Metric{{Name: "within_problem_auroc", Eval: "within_problem_auroc"}},
	start:   func(o Options) gatherer { return &problemGatherer{cut: o.Cut, at: map[string]int{}} },
}

// problemGatherer joins the trajectories of a problem, which are of one unit.
type problemGatherer struct {
	cut      float64
	problems []Trajectory
	at       map[string]int
	within   *sums // of the problems, once they are complete
}

func (p *problemGatherer) add(t *Trajectory) {
	p.within = nil
	i, seen := p.at[t.Problem]
	if !seen || t.Problem == "" {
		i = len(p.problems)
		p.at[t.Problem], p.problems = i, append(p.problems, Trajectory{Unit: t.Unit})
	}
	one := &p.problems[i]
	one.Scores, one.Targets = append(one.Scores, t.Scores...), append(one.Targets, t.Targets...)
}

func (p *problemGatherer) values(times []float64) []Float {
	if p.within == nil {
		p.within = withinFamily.start(Options{Cut: p.cut}).(*sums)
		for i := range p.problems {
			p.within.add(&p.problems[i])
		}
	}
	return p.within.values(times)
}
