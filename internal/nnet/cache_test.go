package nnet_test

import (
	"context"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/stretchr/testify/require"
)

// A batch that would write a row of the cache twice, or one that it reads, would have no certain result.
func TestCacheRefusesRowsThatMeet(t *testing.T) {
	n := newOpener(t, "portable").open(nnet.Spec{})
	require.NoError(t, n.SetCache(8))
	batch := &data.Batch{Tokens: []int32{1, 2, 3}, Positions: []int32{2, 3, 4}, CuSeqlens: []int32{0, 3}, Reads: []int32{2},
		Target: []float64{0}, Weight: []float64{1}, Kind: []data.Kind{data.KindStep}, Trajectory: []int32{0}, Read: []int32{0}}
	score := func(keep ...nnet.Kept) error {
		_, err := n.Score(context.Background(), nnet.MicroBatch{Batch: batch, Cached: [][]nnet.RowRange{{{From: 1, To: 3}}}, Keep: keep})
		return err
	}
	require.NoError(t, score(nnet.Kept{Token: 0, Row: 0}, nnet.Kept{Token: 0, Row: 3}, nnet.Kept{Token: 2, Row: 7}))
	require.ErrorContains(t, score(nnet.Kept{Token: 0, Row: 4}, nnet.Kept{Token: 1, Row: 4}), "token 1 for row 4")
	require.ErrorContains(t, score(nnet.Kept{Token: 1, Row: 2}), "token 1 for row 2 of the cache, which another token has or the batch reads")
	require.ErrorContains(t, score(nnet.Kept{Token: 3, Row: 0}), "token 3 of 3")
	require.ErrorContains(t, score(nnet.Kept{Token: 0, Row: 8}), "row 8 of a cache of 8")
}
