package label

import (
	"fmt"
	"math"
)

// Pairing is how a thinking step t gets the response step m that its alignment compares it with. Real traces have far more
// thinking steps than response steps; a pairing never changes the steps.
type Pairing string

const (
	// IndexMerge is the authors' answer: step t goes with response step t, and an extra thinking step with the response step of
	// the step before it. Which steps are extra they leave open; here those that make the sum of the cosines largest.
	IndexMerge Pairing = "index-merge"
	// Proportional takes the response step at the same share of the way; it needs no encoder.
	Proportional Pairing = "proportional"
	// Monotone makes the sum of the cosines largest among the pairings whose m never decreases.
	Monotone Pairing = "monotone"
	// Max takes the most similar response step.
	Max Pairing = "max"
)

// pairings are all of them.
var pairings = []Pairing{IndexMerge, Proportional, Monotone, Max}

// maxPairCells bounds thinking × response steps of one trajectory: the dynamic programme keeps a byte for each.
const maxPairCells = 1 << 26

// Pair returns the response step of each of the thinking steps. cos(t, m) is asked for at most once for each pair; ties go
// to the smaller m. Without response steps there is nothing to pair with: an error.
func (p Pairing) Pair(thinking, response int, cos func(t, m int) float64) ([]int, error) {
	switch {
	case thinking < 1 || response < 1:
		return nil, fmt.Errorf("%d thinking and %d response steps cannot be paired", thinking, response)
	case thinking > maxPairCells/response:
		return nil, fmt.Errorf("%d × %d steps are too many to pair: at most %d", thinking, response, maxPairCells)
	}
	switch p {
	case Proportional:
		to := make([]int, thinking)
		for t := range to {
			to[t] = (2*t + 1) * response / (2 * thinking)
		}
		return to, nil
	case Max:
		to := make([]int, thinking)
		for t := range to {
			best := math.Inf(-1)
			for m := range response {
				if c := cos(t, m); c > best {
					best, to[t] = c, m
				}
			}
		}
		return to, nil
	case IndexMerge:
		if thinking <= response {
			to := make([]int, thinking)
			for t := range to {
				to[t] = t
			}
			return to, nil
		}
		return mergeExtra(thinking, response, cos), nil
	case Monotone:
		return monotone(thinking, response, cos), nil
	}
	return nil, fmt.Errorf("pairing %q is none of %v", p, pairings)
}

// mergeExtra pairs more thinking than response steps: the first with the first, the last with the last, and each step with
// the response step of the step before it or the next one.
func mergeExtra(thinking, response int, cos func(t, m int) float64) []int {
	sum := make([]float64, response) // best total of the steps so far, the last one paired with m
	for m := range sum {
		sum[m] = math.Inf(-1)
	}
	moved := make([]bool, thinking*response) // whether the step before was paired with m−1
	for t := range thinking {
		// Every response step gets a thinking step: m ≤ t, and thinking−t ≥ response−m.
		low, high := max(0, response-thinking+t), min(t, response-1)
		for m := high; m >= low; m-- {
			stay, move := sum[m], math.Inf(-1)
			if m > 0 {
				move = sum[m-1]
			}
			if t == 0 {
				stay = 0
			}
			// A tie keeps the smaller m for longer: the step before it was at m−1.
			if move >= stay {
				stay, moved[t*response+m] = move, true
			}
			sum[m] = stay + cos(t, m)
		}
	}
	to := make([]int, thinking)
	m := response - 1
	for t := thinking - 1; t >= 0; t-- {
		to[t] = m
		if moved[t*response+m] {
			m--
		}
	}
	return to
}

// monotone is free to leave response steps out.
func monotone(thinking, response int, cos func(t, m int) float64) []int {
	sum := make([]float64, response)        // best total of the steps so far, the last one paired with at most m
	here := make([]bool, thinking*response) // whether that last one is paired with m itself
	for t := range thinking {
		for m := range response {
			sum[m] += cos(t, m)
			here[t*response+m] = m == 0 || sum[m] > sum[m-1]
			if !here[t*response+m] {
				sum[m] = sum[m-1]
			}
		}
	}
	to := make([]int, thinking)
	m := response - 1
	for t := thinking - 1; t >= 0; t-- {
		for !here[t*response+m] {
			m--
		}
		to[t] = m
	}
	return to
}
