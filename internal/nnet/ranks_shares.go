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
	load := make([]int64, ranks)
	for i, owner := range dist.Deal(sizes, ranks) {
		load[owner] += sizes[i]
	}
	s.Largest = slices.Max(load)
	return s, nil
}
