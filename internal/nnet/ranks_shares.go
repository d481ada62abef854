package nnet

import (
	"slices"
	"strings"

	"github.com/goprm/goprm/internal/dist"
)

// Shares says how the parameters of a network are shared out.
type Shares struct {
	Multiplied int64 // numbers of matrices that every token is multiplied with
	Trained    int64 // numbers that are trained
	Largest    int64 // of them those that the rank with most owns
	// Reduced are the numbers that the fullest rank of each exchange gets from each other rank, of all exchanges of a reduction, and Early
	// those of exchanges that are due before the backward pass is over. Gradients count as done in the reverse order of the model.
	Reduced, Early int64
}

// SharesOf counts for so many ranks.
func SharesOf(spec Spec, ranks int) (Shares, error) {
	m, err := newGraph(spec, Capacity{Tokens: 1, Segments: 1, Ranges: 1, Reads: 1}, func(string) bool { return true }, nil)
	if err != nil {
		return Shares{}, err
	}
	var s Shares
	var sizes []int64
	for _, p := range m.Params {
		numbers := int64(p.Node.Shape().TotalSize())
		if len(p.Shape) == 2 && !p.Head && !strings.HasSuffix(p.Name, "embed_tokens.weight") {
			s.Multiplied += numbers
		}
		if p.Trained {
			sizes, s.Trained = append(sizes, numbers), s.Trained+numbers
		}
	}
	load, owners := make([]int64, ranks), dist.Deal(sizes, ranks)
	reversed := make([]int, len(sizes))
	for i, owner := range owners {
		load[owner] += sizes[i]
		reversed[len(sizes)-1-i] = int(sizes[i])
	}
	s.Largest = slices.Max(load)
	slices.Reverse(owners)
	totals := make([]int, ranks)
	for rank, n := range load {
		totals[rank] = int(n)
	}
	sliced, piece := sharesOut(totals)
	rounds := roundsOf(owners, reversed, ranks, piece)
	if sliced {
		rounds = slicedRounds(reversed, ranks, piece)
	}
	for _, r := range rounds {
		fullest := int64(slices.Max(r.counts))
		if sliced { // and then one rank may own all of it
			fullest += fullest * int64(ranks) / int64(ranks-1)
		}
		if s.Reduced += fullest; r.upto < len(owners) {
			s.Early += fullest
		}
	}
	return s, nil
}
