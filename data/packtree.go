package data

import (
	"fmt"
	"math"
	"slices"
)

// PackTree lays the examples into batches for scoring, like PackAll, and stores a beginning that several of a batch's
// examples share only once: as the parent segment of what follows. Positions go on from the parent's end. To bring
// examples with common beginnings together they are taken in the order of their tokens; an example whose own tokens do
// not fit into the batch begins the next one, with its whole beginning.
func PackTree(examples []*Example, tokens int) ([]*Batch, error) {
	if tokens < 0 {
		return nil, fmt.Errorf("tokens of a batch: %d is negative", tokens)
	}
	if tokens == 0 {
		tokens = math.MaxInt32
	}
	order := make([]int, len(examples))
	for i, e := range examples {
		if len(e.Tokens) == 0 {
			return nil, fmt.Errorf("example %q has no tokens", e.ID)
		}
		if err := e.check(); err != nil {
			return nil, err
		}
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return slices.Compare(examples[a].Tokens, examples[b].Tokens) })
	var batches []*Batch
	for lo := 0; lo < len(order); {
		used := len(examples[order[lo]].Tokens)
		hi := lo + 1
		for ; hi < len(order); hi++ {
			e := examples[order[hi]].Tokens
			own := len(e) - commonPrefix(examples[order[hi-1]].Tokens, e)
			if used+own > tokens {
				break
			}
			used += own
		}
		batches = append(batches, tree(examples, order[lo:hi]))
		lo = hi
	}
	return batches, nil
}

// branch is a run of examples that share their first depth tokens, which are already laid out.
type branch struct {
	lo, hi int // in the sorted order
	depth  int
	parent int32
}

// tree lays out the examples listed in order, which sorts them by their tokens.
func tree(examples []*Example, order []int) *Batch {
	b := &Batch{CuSeqlens: []int32{0}}
	// places[i] holds, for the example order[i], where its tokens are: pairs of (first position, index in b.Tokens).
	places := make([][][2]int32, len(order))
	tokens := func(i int) []int32 { return examples[order[i]].Tokens }
	todo := []branch{{0, len(order), 0, -1}}
	for len(todo) > 0 {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		// Examples that are a beginning of the last one end inside this segment and need no branch of their own.
		last, lo := tokens(at.hi-1), at.lo
		for lo < at.hi-1 && commonPrefix(tokens(lo), last) == len(tokens(lo)) {
			lo++
		}
		end := commonPrefix(tokens(lo), last)
		parent := at.parent
		if end > at.depth {
			place := [2]int32{int32(at.depth), int32(len(b.Tokens))}
			for i := at.lo; i < at.hi; i++ {
				places[i] = append(places[i], place)
			}
			parent = b.addSegment(at.parent, int32(at.depth), last[at.depth:end])
		}
		if end == len(last) {
			continue
		}
		// What is left differs at position end: one branch for each token there, pushed so that the first is laid out first.
		for hi := at.hi; hi > lo; {
			start := hi - 1
			for start > lo && tokens(start - 1)[end] == tokens(hi - 1)[end] {
				start--
			}
			todo = append(todo, branch{start, hi, end, parent})
			hi = start
		}
	}
	for i, e := range order {
		for j, r := range examples[e].Reads {
			k := len(places[i]) - 1
			for places[i][k][0] > r.Pos {
				k--
			}
			b.addRead(places[i][k][1]+r.Pos-places[i][k][0], 0, int32(e), int32(j), r)
		}
	}
	return b
}

func commonPrefix(a, b []int32) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
