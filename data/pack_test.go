package data

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func step(pos int32, index int, target *float64, weight float64) ReadOut {
	r := ReadOut{Pos: pos, Kind: KindStep, Index: index, Weight: weight}
	if target != nil {
		r.Target, r.HasTarget = *target, true
	}
	return r
}

func final(pos int32, target *float64, weight float64) ReadOut {
	r := step(pos, -1, target, weight)
	r.Kind, r.Part = KindTrajectory, PartTrajectory
	return r
}

func threeExamples() []*Example {
	return []*Example{
		{ID: "a", Tokens: []int32{10, 11, 12, 13}, Reads: []ReadOut{step(1, 0, Float(0.999), 1), step(2, 1, nil, 1), step(2, 2, Float(0), 0.5),
			final(3, Float(0.25), 2)}},
		{ID: "b", Tokens: []int32{20, 21, 22}, Reads: []ReadOut{step(0, 0, nil, 1), final(2, nil, 1)}},
		{ID: "c", Tokens: []int32{30, 31}, Reads: []ReadOut{step(1, 0, Float(1), 1), final(1, nil, 1)}},
	}
}

func TestPackExact(t *testing.T) {
	got, err := Pack(threeExamples(), PackOptions{Tokens: 6, N: 4, LambdaStep: 2, LambdaFinal: 3})
	require.NoError(t, err)
	require.Equal(t, []*Batch{{
		Tokens:     []int32{10, 11, 12, 13, 30, 31},
		Positions:  []int32{0, 1, 2, 3, 0, 1},
		CuSeqlens:  []int32{0, 4, 6},
		Parents:    []int32{-1, -1},
		Reads:      []int32{1, 2, 3, 5},
		Target:     []float64{0.999, 0, 0.25, 1},
		Weight:     []float64{2.0 / (4 * 2), 2.0 / (4 * 2) * 0.5, 3.0 / 4 * 2, 2.0 / 4},
		Kind:       []Kind{KindStep, KindStep, KindTrajectory, KindStep},
		Trajectory: []int32{0, 0, 0, 2},
		Read:       []int32{0, 2, 3, 0},
	}}, got, "b has no label and is left out; N stays 4 though 3 came")
}

func TestPackAllKeepsEveryRead(t *testing.T) {
	got, err := PackAll(threeExamples(), 5)
	require.NoError(t, err)
	require.Len(t, got, 2)
	require.Equal(t, []int32{20, 21, 22, 30, 31}, got[1].Tokens, "first fit: b, then c beside it")
	require.Equal(t, []int32{0, 1, 2, 0, 1}, got[1].Positions)
	require.Equal(t, []int32{0, 2, 4, 4}, got[1].Reads)
	require.Equal(t, []int32{1, 1, 2, 2}, got[1].Trajectory)
	require.Equal(t, []float64{0, 0, 0, 0}, got[1].Weight)
	got, err = PackAll(threeExamples(), 2)
	require.NoError(t, err)
	require.Len(t, got, 3, "longer than the limit: a batch of its own")
	got, err = PackAll(threeExamples(), 0)
	require.NoError(t, err)
	require.Len(t, got, 1)
}

// TestPackBudgetChangesNothing adds up the loss weights, keyed by example and read-out, for several budgets.
func TestPackBudgetChangesNothing(t *testing.T) {
	type key struct{ trajectory, read int32 }
	var want map[key]float64
	for _, tokens := range []int{1, 4, 6, 7, 0} {
		batches, err := Pack(threeExamples(), PackOptions{Tokens: tokens, N: 3, LambdaStep: 1, LambdaFinal: 1})
		require.NoError(t, err)
		got := map[key]float64{}
		for _, b := range batches {
			for i := range b.Reads {
				k := key{b.Trajectory[i], b.Read[i]}
				require.NotContains(t, got, k)
				got[k] = b.Weight[i]
			}
		}
		if want == nil {
			want = got
		}
		require.Equal(t, want, got)
	}
	require.Len(t, want, 4)
}

// A tree has the weights and targets of separate texts, and each read-out at the end of its own text's beginning.
func TestPackedTreesHaveTheSameLabels(t *testing.T) {
	examples := threeExamples()
	shared := &Example{ID: "d", Tokens: append(slices.Clone(examples[0].Tokens), 7, 8), Reads: []ReadOut{
		step(0, 0, Float(0.25), 2), step(int32(len(examples[0].Tokens)), 1, nil, 1), step(int32(len(examples[0].Tokens)+1), 2, Float(1), 1)}}
	examples = append(examples, shared, &Example{ID: "unlabelled", Tokens: []int32{9}, Reads: []ReadOut{step(0, 0, nil, 1)}})
	type label struct {
		trajectory, read int32
		target, weight   float64
		kind             Kind
	}
	labels := func(tree bool, tokens int) map[label]int {
		batches, err := Pack(examples, PackOptions{Tokens: tokens, N: 5, LambdaStep: 1, LambdaFinal: 0.5, Tree: tree})
		require.NoError(t, err)
		all := map[label]int{}
		for _, b := range batches {
			require.NoError(t, b.Validate())
			for i, at := range b.Reads {
				all[label{b.Trajectory[i], b.Read[i], b.Target[i], b.Weight[i], b.Kind[i]}]++
				e := examples[b.Trajectory[i]]
				segment, exact := slices.BinarySearch(b.CuSeqlens, at)
				if !exact {
					segment--
				}
				text, _ := expand(b, int32(segment), at)
				require.Equal(t, e.Tokens[:e.Reads[b.Read[i]].Pos+1], text)
			}
		}
		return all
	}
	want := labels(false, 0)
	require.Len(t, want, 6)
	for _, tokens := range []int{0, 1, 6} {
		require.Equal(t, want, labels(true, tokens))
	}
	examples[1].Group = "pair"
	_, err := Pack(examples, PackOptions{N: 5, Tree: true})
	require.ErrorContains(t, err, "a prefix tree keeps no groups together")
}

func TestPackRefuses(t *testing.T) {
	ex := threeExamples()
	for _, c := range []struct {
		opt  PackOptions
		want string
	}{
		{PackOptions{N: 0}, "trajectories of an optimizer step: 0 is less than 1"},
		{PackOptions{N: 2}, "3 examples for an optimizer step of 2 trajectories"},
		{PackOptions{N: 3, Tokens: -1}, "tokens of a batch: -1 is negative"},
		{PackOptions{N: 3, LambdaStep: -1}, "lambda_step: -1 is not a finite number of at least 0"},
	} {
		_, err := Pack(ex, c.opt)
		require.EqualError(t, err, c.want)
	}
	ex[1].Reads[0].Pos = 3
	for _, pack := range []func([]*Example, int) ([]*Batch, error){PackAll, PackTree} {
		_, err := pack(ex, 0)
		require.EqualError(t, err, `example "b": step read-out 0 at position 3 of 3 tokens`)
		_, err = pack([]*Example{{ID: "e"}}, 0)
		require.EqualError(t, err, `example "e" has no tokens`)
	}
}

// expand follows the parents from the token at index back to the root.
func expand(b *Batch, segment int32, through int32) (tokens, positions []int32) {
	if p := b.Parents[segment]; p >= 0 {
		tokens, positions = expand(b, p, b.CuSeqlens[p+1]-1)
	}
	from := b.CuSeqlens[segment]
	return append(tokens, b.Tokens[from:through+1]...), append(positions, b.Positions[from:through+1]...)
}

func checkTree(t *testing.T, examples []*Example, batches []*Batch) {
	t.Helper()
	seen := make([]int, len(examples))
	for _, b := range batches {
		require.Len(t, b.Parents, len(b.CuSeqlens)-1)
		for s, p := range b.Parents {
			require.Less(t, p, int32(s))
			require.Less(t, b.CuSeqlens[s], b.CuSeqlens[s+1])
		}
		for i, at := range b.Reads {
			e := examples[b.Trajectory[i]]
			r := e.Reads[b.Read[i]]
			segment, ok := slices.BinarySearch(b.CuSeqlens, at)
			if !ok {
				segment--
			}
			tokens, positions := expand(b, int32(segment), at)
			require.Equal(t, e.Tokens[:r.Pos+1], tokens)
			for j, p := range positions {
				require.Equal(t, int32(j), p)
			}
			seen[b.Trajectory[i]]++
		}
	}
	for i, e := range examples {
		require.Equal(t, len(e.Reads), seen[i], "every read-out once")
	}
}

func TestPackTreeExact(t *testing.T) {
	ex := []*Example{
		{ID: "a", Tokens: []int32{1, 2, 3, 4}, Reads: []ReadOut{step(1, 0, nil, 1), step(3, 1, Float(1), 1)}},
		{ID: "b", Tokens: []int32{1, 2}, Reads: []ReadOut{step(1, 0, nil, 1)}},
		{ID: "c", Tokens: []int32{1, 2, 3, 5, 6}, Reads: []ReadOut{step(4, 0, nil, 1)}},
		{ID: "d", Tokens: []int32{9}, Reads: []ReadOut{final(0, nil, 1)}},
	}
	got, err := PackTree(ex, 0)
	require.NoError(t, err)
	require.Equal(t, []*Batch{{
		Tokens:     []int32{1, 2, 3, 4, 5, 6, 9},
		Positions:  []int32{0, 1, 2, 3, 3, 4, 0},
		CuSeqlens:  []int32{0, 3, 4, 6, 7},
		Parents:    []int32{-1, 0, 0, -1},
		Reads:      []int32{1, 1, 3, 5, 6},
		Target:     []float64{0, 0, 1, 0, 0},
		Weight:     []float64{0, 0, 0, 0, 0},
		Kind:       []Kind{KindStep, KindStep, KindStep, KindStep, KindTrajectory},
		Trajectory: []int32{1, 0, 0, 2, 3},
		Read:       []int32{0, 0, 1, 0, 0},
	}}, got)
	checkTree(t, ex, got)
}

func TestPackTreeRandom(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		ex := make([]*Example, 1+rng.IntN(12))
		for i := range ex {
			e := &Example{}
			if i > 0 && rng.IntN(2) == 0 { // go on from a beginning of an earlier one
				from := ex[rng.IntN(i)].Tokens
				e.Tokens = append(e.Tokens, from[:rng.IntN(len(from)+1)]...)
			}
			for len(e.Tokens) == 0 || rng.IntN(4) > 0 {
				e.Tokens = append(e.Tokens, int32(rng.IntN(3)))
			}
			for p := range e.Tokens {
				if p == len(e.Tokens)-1 || rng.IntN(3) == 0 {
					e.Reads = append(e.Reads, step(int32(p), p, nil, 1))
				}
			}
			ex[i] = e
		}
		limit := rng.IntN(12)
		got, err := PackTree(ex, limit)
		require.NoError(t, err)
		checkTree(t, ex, got)
		for _, b := range got {
			if limit > 0 && len(b.Tokens) > limit {
				require.Equal(t, int32(-1), slices.Max(b.Parents), "only an example longer than the limit is in a batch beyond it")
			}
		}
		if limit == 0 { // the tree holds each distinct beginning once
			prefixes := map[string]bool{}
			for _, e := range ex {
				for n := range e.Tokens {
					prefixes[string(e.Tokens[:n+1])] = true
				}
			}
			require.Len(t, got[0].Tokens, len(prefixes))
		}
	}
}

func TestOrder(t *testing.T) {
	require.Equal(t, Order(1, 0, 50), Order(1, 0, 50))
	require.NotEqual(t, Order(1, 0, 50), Order(1, 1, 50))
	require.NotEqual(t, Order(1, 0, 50), Order(2, 0, 50))
	require.Empty(t, Order(1, 0, 0))
	sorted := slices.Sorted(slices.Values(Order(7, 3, 1000)))
	for i, v := range sorted {
		require.Equal(t, i, v)
	}
	// Each of the 24 orders of 4 comes up 1/24 of the time: chi-squared with 23 degrees of freedom is below 49.7 in 99.9 %.
	const n = 24000
	counts := map[[4]int]float64{}
	for seed := range uint64(n) {
		counts[[4]int(Order(seed, 5, 4))]++
	}
	require.Len(t, counts, 24)
	chi := 0.0
	for _, c := range counts {
		chi += (c - n/24) * (c - n/24) / (n / 24)
	}
	require.Less(t, chi, 49.7)
}

func TestBalanced(t *testing.T) {
	require.Equal(t, 3.0, Balanced(threeExamples()))
	require.Equal(t, 0.0, Balanced(threeExamples()[1:]))
	require.Equal(t, 0.0, Balanced(nil))
}

func TestSplitByProblem(t *testing.T) {
	var ex []*Example
	for i := range 200 {
		ex = append(ex, &Example{ID: string(rune('a' + i%40)), Problem: KeyOf(string(rune('a' + i%40)))})
	}
	train, eval, err := SplitByProblem(ex, 0.05, 1)
	require.NoError(t, err)
	require.Len(t, eval, 2*5)
	require.Len(t, train, 190)
	n, ids := Overlap(train, eval)
	require.Zero(t, n)
	require.Empty(t, ids)
	back := slices.Clone(ex)
	slices.Reverse(back)
	_, again, err := SplitByProblem(back, 0.05, 1)
	require.NoError(t, err)
	slices.Reverse(again)
	require.Equal(t, eval, again, "the order of the examples does not matter")
	_, other, err := SplitByProblem(ex, 0.05, 2)
	require.NoError(t, err)
	require.NotEqual(t, eval, other)

	n, ids = Overlap(train, append(slices.Clone(eval), train[3], train[41], train[4]))
	require.Equal(t, 2, n)
	require.Equal(t, []string{train[3].ID, train[41].ID, train[4].ID}, ids)

	train, eval, err = SplitByProblem(ex[:2], 0.001, 1)
	require.NoError(t, err)
	require.Len(t, eval, 1, "at least one problem")
	require.Len(t, train, 1)
	_, eval, err = SplitByProblem(ex, 0, 1)
	require.NoError(t, err)
	require.Empty(t, eval)
	_, _, err = SplitByProblem(ex, 1, 1)
	require.EqualError(t, err, "share of held-out problems: 1 is not in [0, 1)")
	_, _, err = SplitByProblem(ex[:1], 0.5, 1)
	require.EqualError(t, err, "there is one problem only, none can be held out")
}

// Examples of a group share a batch, wherever they stand in the list and however small the budget; all others pack as before.
func TestPackKeepsGroups(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		var list []*Example
		for i := range 1 + r.IntN(12) {
			n := 1 + r.IntN(9)
			e := &Example{ID: string(rune('a' + i)), Tokens: make([]int32, n), Reads: []ReadOut{step(int32(n-1), 0, Float(0.5), 1)}}
			if g := r.IntN(5); g < 3 {
				e.Group = string(rune('p' + g))
			}
			list = append(list, e)
		}
		budget := 1 + r.IntN(25)
		batches, err := Pack(list, PackOptions{Tokens: budget, N: len(list), LambdaStep: 1})
		require.NoError(t, err)
		where, seen := map[string]int{}, 0
		for i, b := range batches {
			groups, alone := map[string]bool{}, 0
			for _, at := range b.Trajectory {
				seen++
				g := list[at].Group
				if g == "" {
					alone++
					continue
				}
				groups[g] = true
				if first, ok := where[g]; ok {
					require.Equal(t, first, i, "group %s", g)
				}
				where[g] = i
			}
			if len(b.Tokens) > budget {
				require.Equal(t, 1, len(groups)+alone, "over the budget only by what cannot be cut")
			}
		}
		require.Equal(t, len(list), seen)
	}
}
