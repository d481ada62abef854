package nnet

import (
	"errors"
	"fmt"
	"math/bits"

	"github.com/goprm/goprm/internal/engine"
)

// RowRange is rows [From, To) of the cache of keys and values.
type RowRange struct{ From, To int32 }

// Kept says that the keys and values of a token of the batch go into a row of the cache.
type Kept struct{ Token, Row int32 }

// SetCache gives a network that scores a cache of the keys and values of so many tokens; 0: none. What it held is gone.
func (n *Network) SetCache(rows int) error {
	if rows < 0 {
		return fmt.Errorf("a cache of %d tokens", rows)
	}
	if err := n.CanCache(); err != nil && rows > 0 {
		return err
	}
	n.freeCache()
	failed := n.allocCache(rows)
	if failed != nil {
		n.freeCache()
	}
	return errors.Join(failed, n.compile(n.capacity))
}

func (n *Network) freeCache() {
	for _, t := range n.cache {
		n.backend.Free(t.Ptr)
	}
	n.cache, n.spec.Cache = nil, 0
}

func (n *Network) allocCache(rows int) error {
	n.spec.Cache = rows
	if rows == 0 {
		return nil
	}
	shape := []int{rows, n.spec.Config.NumKeyValueHeads * n.spec.Config.HeadDim}
	for range 2 * n.spec.Config.NumHiddenLayers {
		t := engine.NewTensor(nil, n.spec.DType, shape, nil)
		ptr, err := n.backend.Alloc(int(t.MemSize()))
		if err != nil {
			return fmt.Errorf("a cache of %d tokens: %w", rows, err)
		}
		t.Ptr = ptr
		n.cache = append(n.cache, t)
	}
	return nil
}

// CanCache tells why the network can have no cache.
func (n *Network) CanCache() error {
	switch {
	case n.spec.Train != TrainNothing:
		return errors.New("a cache of keys and values is for scoring, not for training")
	case n.custom != nil:
		return errors.New("the head is an expression, which reads whole batches")
	case n.spec.Config.SlidingWindow > 0:
		return errors.New("the model has a sliding window")
	}
	return nil
}

// CacheBytes is what a token takes in the cache: a key and a value of each layer.
func (n *Network) CacheBytes() int {
	c := n.spec.Config
	return 2 * c.NumHiddenLayers * c.NumKeyValueHeads * c.HeadDim * int(n.spec.DType.Size())
}

// keptPairs are the tokens and rows of a list, and then none.
func keptPairs(list []Kept, capacity int) []int32 {
	pairs := make([]int32, 0, 2*capacity)
	for _, k := range list {
		pairs = append(pairs, k.Token, k.Row)
	}
	for len(pairs) < 2*capacity {
		pairs = append(pairs, -1)
	}
	return pairs
}

// checkCache refuses rows that are not of the cache, and tokens that are not of the batch.
func (n *Network) checkCache(b MicroBatch) error {
	if b.Cached != nil && len(b.Cached) != len(b.CuSeqlens)-1 {
		return fmt.Errorf("cached beginnings of %d segments, there are %d", len(b.Cached), len(b.CuSeqlens)-1)
	}
	taken := make([]bool, n.spec.Cache)
	for s, list := range b.Cached {
		for _, r := range list {
			if r.From < 0 || r.From > r.To || int(r.To) > n.spec.Cache {
				return fmt.Errorf("segment %d: rows %d to %d of a cache of %d", s, r.From, r.To, n.spec.Cache)
			}
			for row := r.From; row < r.To; row++ {
				taken[row] = true
			}
		}
	}
	for _, k := range b.Keep {
		if k.Token < 0 || int(k.Token) >= len(b.Tokens) || k.Row < 0 || int(k.Row) >= n.spec.Cache {
			return fmt.Errorf("token %d of %d for row %d of a cache of %d", k.Token, len(b.Tokens), k.Row, n.spec.Cache)
		}
		if taken[k.Row] {
			return fmt.Errorf("token %d for row %d of the cache, which another token has or the batch reads", k.Token, k.Row)
		}
		taken[k.Row] = true
	}
	return nil
}

// roomFor rounds up, so that a graph with a cache, whose pieces are more with every text, is seldom compiled again.
func roomFor(n int) int { return max(64, 1<<bits.Len(uint(max(0, n-1)))) }
