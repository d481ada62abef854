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
	return packTree(examples, tokens, func(*Example) []float64 { return nil })
}

// packTree is PackTree with weights, as firstFit has them.
func packTree(examples []*Example, tokens int, weights func(*Example) []float64) ([]*Batch, error) {
	if tokens == 0 {
		tokens = math.MaxInt32
	}
	var texts []treeText
	for i, e := range examples {
		if len(e.Tokens) == 0 {
			return nil, fmt.Errorf("example %q has no tokens", e.ID)
		}
		if err := e.check(); err != nil {
			return nil, err
		}
		w := weights(e)
		for _, part := range e.windows() {
			if w == nil || !allNaN(w[part.firstRead:part.lastRead]) {
				texts = append(texts, treeText{i, part, e.Tokens[part.from:part.to], w})
			}
		}
	}
	slices.SortStableFunc(texts, func(a, b treeText) int { return slices.Compare(a.tokens, b.tokens) })
	var batches []*Batch
	for lo := 0; lo < len(texts); {
		used := len(texts[lo].tokens)
		hi := lo + 1
		for ; hi < len(texts); hi++ {
			e := texts[hi].tokens
			own := len(e) - commonPrefix(texts[hi-1].tokens, e)
			if used+own > tokens {
				break
			}
			used += own
		}
		batches = append(batches, tree(examples, texts[lo:hi]))
		lo = hi
	}
	return batches, nil
}

// treeText is an example, or a window of one.
type treeText struct {
	example int
	window
	tokens  []int32
	weights []float64 // of the example's read-outs; nil: 0
}

// branch is a run of texts that share their first depth tokens, which are already laid out.
type branch struct {
	lo, hi int // in the sorted order
	depth  int
	parent int32
}

// tree lays out texts that are sorted by their tokens.
func tree(examples []*Example, texts []treeText) *Batch {
	b := &Batch{CuSeqlens: []int32{0}}
	// places[i] holds, for text i, where its tokens are: pairs of (first position, index in b.Tokens).
	places := make([][][2]int32, len(texts))
	tokens := func(i int) []int32 { return texts[i].tokens }
	pending := []branch{{0, len(texts), 0, -1}}
	for len(pending) > 0 {
		at := pending[len(pending)-1]
		pending = pending[:len(pending)-1]
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
			pending = append(pending, branch{start, hi, end, parent})
			hi = start
		}
	}
	for i, text := range texts {
		for j := text.firstRead; j < text.lastRead; j++ {
			w := 0.0
			if text.weights != nil {
				w = text.weights[j]
			}
			if math.IsNaN(w) {
				continue
			}
			r := examples[text.example].Reads[j]
			at, k := r.Pos-int32(text.from), len(places[i])-1
			for places[i][k][0] > at {
				k--
			}
			b.addRead(places[i][k][1]+at-places[i][k][0], w, int32(text.example), int32(j), r)
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
