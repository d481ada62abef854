package data

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// SplitByProblem holds out a share of the problems for evaluation: all examples of a problem go to the same side.
// share is in [0, 1); the number of problems held out is rounded, at least 1 if share > 0 and never all. Which ones depends on
// the problems and the seed alone, not on the order of the examples; both sides keep that order.
func SplitByProblem(examples []*Example, share float64, seed uint64) (train, eval []*Example, err error) {
	if !(share >= 0 && share < 1) {
		return nil, nil, fmt.Errorf("share of held-out problems: %v is not in [0, 1)", share)
	}
	type ranked struct {
		rank uint64
		key  ProblemKey
	}
	var problems []ranked
	held := map[ProblemKey]bool{}
	for _, e := range examples {
		if _, seen := held[e.Problem]; !seen {
			held[e.Problem] = false
			rank := mix(mix(seed) ^ binary.LittleEndian.Uint64(e.Problem[:8]))
			problems = append(problems, ranked{rank, e.Problem})
		}
	}
	n := int(math.Round(share * float64(len(problems))))
	if share > 0 {
		if len(problems) == 1 {
			return nil, nil, fmt.Errorf("there is one problem only, none can be held out")
		}
		n = min(max(n, 1), len(problems)-1)
	}
	slices.SortFunc(problems, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), bytes.Compare(a.key[:], b.key[:]))
	})
	for _, p := range problems[:max(n, 0)] {
		held[p.key] = true
	}
	for _, e := range examples {
		if held[e.Problem] {
			eval = append(eval, e)
		} else {
			train = append(train, e)
		}
	}
	return train, eval, nil
}

// overlapIDs is how many examples Overlap names.
const overlapIDs = 5

// Overlap counts the problems that both lists hold, and names the first evaluation examples of such problems.
func Overlap(train, eval []*Example) (problems int, firstIDs []string) {
	in := make(map[ProblemKey]bool, len(train))
	for _, e := range train {
		in[e.Problem] = true
	}
	counted := map[ProblemKey]bool{}
	for _, e := range eval {
		if !in[e.Problem] {
			continue
		}
		counted[e.Problem] = true
		if len(firstIDs) < overlapIDs {
			firstIDs = append(firstIDs, e.ID)
		}
	}
	return len(counted), firstIDs
}
