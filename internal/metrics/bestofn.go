package metrics

import "math"

// Sample is one of the N answers to a problem.
type Sample struct {
	Answer  string // in a form in which equal answers are equal strings; "": none was found, and it does not vote
	Correct bool
	Score   float64 // NaN: never picked by score
	Length  int     // characters
	Steps   int
}

// PickAccuracy is the share of problems that each way of picking one of N samples gets right.
type PickAccuracy struct {
	Problems    int   `json:"problems"`
	Best        Float `json:"best"`     // the highest score
	Weighted    Float `json:"weighted"` // the answer with the largest sum of scores
	Majority    Float `json:"majority"` // the most frequent answer
	Shortest    Float `json:"shortest"` // the fewest characters
	FewestSteps Float `json:"fewest_steps"`
	Random      Float `json:"random"` // a uniform pick, in exact expectation
	Oracle      Float `json:"oracle"` // right whenever any sample is
}

// BestOfN compares the ways of picking. Ties go to the earliest sample, so results do not depend on anything hidden.
// A problem without samples counts as wrong for every way.
func BestOfN(problems [][]Sample) PickAccuracy {
	var best, weighted, majority, shortest, fewest, random, oracle float64
	for _, samples := range problems {
		best += hit(samples, Best(samples))
		weighted += hit(samples, Vote(samples, func(s Sample) float64 { return s.Score }))
		majority += hit(samples, Vote(samples, func(Sample) float64 { return 1 }))
		shortest += hit(samples, least(samples, func(s Sample) int { return s.Length }))
		fewest += hit(samples, least(samples, func(s Sample) int { return s.Steps }))
		right := 0.0
		for i := range samples {
			right += hit(samples, i)
		}
		if right > 0 {
			random += right / float64(len(samples))
			oracle++
		}
	}
	n := float64(len(problems))
	return PickAccuracy{Problems: len(problems), Best: ratio(best, n), Weighted: ratio(weighted, n), Majority: ratio(majority, n),
		Shortest: ratio(shortest, n), FewestSteps: ratio(fewest, n), Random: ratio(random, n), Oracle: ratio(oracle, n)}
}

func hit(samples []Sample, i int) float64 {
	if i >= 0 && samples[i].Correct {
		return 1
	}
	return 0
}

// Best returns the index of the highest score, −1 when no sample has one.
func Best(samples []Sample) int {
	best := -1
	for i, s := range samples {
		if !math.IsNaN(s.Score) && (best < 0 || s.Score > samples[best].Score) {
			best = i
		}
	}
	return best
}

// Vote returns the index of the first sample that gives the winning answer: the one whose samples' weights have the
// largest sum, among equals the one given first; −1 when no sample has an answer. Samples whose weight is NaN do not vote.
func Vote(samples []Sample, weight func(Sample) float64) int {
	sums := map[string]float64{}
	for _, s := range samples {
		if w := weight(s); s.Answer != "" && !math.IsNaN(w) {
			sums[s.Answer] += w
		}
	}
	best := -1
	for i, s := range samples {
		sum, voted := sums[s.Answer]
		if voted && (best < 0 || sum > sums[samples[best].Answer]) {
			best = i
		}
	}
	return best
}

func least(samples []Sample, size func(Sample) int) int {
	best := -1
	for i, s := range samples {
		if best < 0 || size(s) < size(samples[best]) {
			best = i
		}
	}
	return best
}
