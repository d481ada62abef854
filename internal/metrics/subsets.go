package metrics

import (
	"cmp"
	"math"
	"slices"

	"github.com/goprm/goprm/internal/rng"
)

// Preferred ranks samples from the largest key to the smallest, equal ones from the earliest; one whose key is NaN is left out.
func Preferred(keys []float64) []int {
	var order []int
	for i, key := range keys {
		if !math.IsNaN(key) {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(keys[b], keys[a]) })
	return order
}

// FirstOf is the chance that the most preferred of n samples is right, over all subsets of n of a problem's samples, each
// as likely: exactly, since the sample at rank r (from 0) leads C(N−r−1, n−1) of the C(N, n) subsets. order lists the
// samples from the most to the least preferred; those it lacks come last and count as wrong.
func FirstOf(order []int, right []bool, n int) float64 {
	all := float64(len(right))
	leads, sum := float64(n)/all, 0.0
	for rank, i := range order {
		if right[i] {
			sum += leads
		}
		left := all - float64(rank) - 1
		if left < float64(n) {
			break
		}
		leads *= (left + 1 - float64(n)) / left
	}
	return sum
}

// AnyOf is the chance that one of n samples is right, over the same subsets.
func AnyOf(right []bool, n int) float64 {
	wrong, none := float64(len(right))-float64(count(right)), 1.0
	for i := range n {
		none *= math.Max(0, wrong-float64(i)) / float64(len(right)-i)
	}
	return 1 - none
}

func count(list []bool) int {
	n := 0
	for _, is := range list {
		if is {
			n++
		}
	}
	return n
}

// Up to MostSubsets subsets of a problem are voted on one by one; where there are more, DrawnSubsets are drawn at random.
const (
	MostSubsets  = 20000
	DrawnSubsets = 4000
)

// Ballot is how the samples of one problem vote.
type Ballot struct {
	Answers []int // of each sample, numbered from 0 so that equal answers have equal numbers; −1: it does not vote
	Right   []bool
	Weights [][]float64 // of each sample, for each way of voting; NaN: it does not vote
}

// Won is, for each way of voting, the share of the subsets of n samples whose winning answer is right, by the rules of
// [Vote]. draws is used where not all subsets are counted; exact says that all were.
func (b Ballot) Won(n int, draws rng.Stream) (won []float64, exact bool) {
	c := counting{Ballot: b, sums: make([]float64, len(b.Right)), voted: make([]bool, len(b.Right)), won: make([]float64, len(b.Weights))}
	if exact = binomial(len(b.Right), n) <= MostSubsets; exact {
		everySubset(len(b.Right), n, c.vote)
	} else {
		for d := range DrawnSubsets {
			c.vote(drawSubset(len(b.Right), n, draws, uint64(d)*uint64(n)))
		}
	}
	for way := range c.won {
		c.won[way] /= float64(c.subsets)
	}
	return c.won, exact
}

type counting struct {
	Ballot
	sums    []float64 // of each answer; 0 between votes
	voted   []bool    // whether anybody voted for it; false between votes
	won     []float64
	subsets int
}

// vote lets the samples of one subset, in their order, vote.
func (c *counting) vote(subset []int) {
	c.subsets++
	for way, weights := range c.Weights {
		for _, i := range subset {
			if a := c.Answers[i]; a >= 0 && !math.IsNaN(weights[i]) {
				c.sums[a] += weights[i]
				c.voted[a] = true
			}
		}
		best := -1
		for _, i := range subset {
			a := c.Answers[i]
			if a >= 0 && c.voted[a] && (best < 0 || c.sums[a] > c.sums[c.Answers[best]]) {
				best = i
			}
		}
		if best >= 0 && c.Right[best] {
			c.won[way]++
		}
		for _, i := range subset {
			if a := c.Answers[i]; a >= 0 {
				c.sums[a], c.voted[a] = 0, false
			}
		}
	}
}

// binomial is C(n, k), or more than MostSubsets where it is more.
func binomial(n, k int) int {
	c := 1
	for i := range min(k, n-k) {
		if c = c * (n - i) / (i + 1); c > MostSubsets {
			return c // it only grows from here
		}
	}
	return c
}

// everySubset visits the subsets of k of the numbers below n, each in ascending order.
func everySubset(n, k int, visit func([]int)) {
	subset := make([]int, k)
	for i := range subset {
		subset[i] = i
	}
	for {
		visit(subset)
		i := k - 1
		for i >= 0 && subset[i] == n-k+i {
			i--
		}
		if i < 0 {
			return
		}
		subset[i]++
		for j := i + 1; j < k; j++ {
			subset[j] = subset[j-1] + 1
		}
	}
}

// drawSubset draws k of the numbers below n, in ascending order, by Floyd's algorithm with the k values from first.
func drawSubset(n, k int, draws rng.Stream, first uint64) []int {
	chosen := make([]bool, n)
	for j := n - k; j < n; j++ {
		i := int(draws.Uint64(first+uint64(j-n+k)) % uint64(j+1))
		if chosen[i] {
			i = j
		}
		chosen[i] = true
	}
	subset := make([]int, 0, k)
	for i, is := range chosen {
		if is {
			subset = append(subset, i)
		}
	}
	return subset
}
