package nnet

import (
	"errors"
	"fmt"
	"math/bits"
	"unsafe"

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
	for _, t := range n.cache {
		n.backend.Free(t.Ptr)
	}
	n.cache, n.spec.Cache = nil, rows
	if rows > 0 {
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
	}
	return n.compile(n.capacity)
}

// CanCache tells why the network can have no cache.
func (n *Network) CanCache() error {
	_, shares := n.backend.(engine.SharesHostMemory)
	switch {
	case n.spec.Train != TrainNothing:
		return errors.New("a cache of keys and values is for scoring, not for training")
	case n.custom != nil:
		return errors.New("the head is an expression, which reads whole batches")
	case n.spec.Config.SlidingWindow > 0:
		return errors.New("the model has a sliding window")
	case !shares:
		return fmt.Errorf("%s keeps no keys and values", n.backend.Name())
	}
	return nil
}

// CacheBytes is what a token takes in the cache: a key and a value of each layer.
func (n *Network) CacheBytes() int {
	c := n.spec.Config
	return 2 * c.NumHiddenLayers * c.NumKeyValueHeads * c.HeadDim * int(n.spec.DType.Size())
}

// keep copies rows of a run's keys and values into the cache. The machine shares the host's memory, see SetCache.
func (n *Network) keep(m *engine.Machine, list []Kept) error {
	if len(list) == 0 { // only a machine for scores has keys and values among its outputs
		return nil
	}
	for i, to := range n.cache {
		from := m.Output(n.graph.KeysValues[i])
		for at := 0; at < len(list); {
			end := at + 1 // of a run of neighbours
			for end < len(list) && list[end].Token == list[end-1].Token+1 && list[end].Row == list[end-1].Row+1 {
				end++
			}
			if err := n.backend.Upload(rowsOf(to, list[at].Row, end-at), rowsOf(from, list[at].Token, end-at).Bytes()); err != nil {
				return err
			}
			at = end
		}
	}
	return nil
}

// rowsOf are rows of a matrix.
func rowsOf(t *engine.Tensor, first int32, count int) *engine.Tensor {
	width := t.Shape()[1]
	return engine.NewTensor(unsafe.Add(t.Ptr, int(first)*width*int(t.Dtype().Size())), t.Dtype(), []int{count, width}, t)
}

// checkCache refuses rows that are not of the cache, and tokens that are not of the batch.
func (n *Network) checkCache(b MicroBatch) error {
	if b.Cached != nil && len(b.Cached) != len(b.CuSeqlens)-1 {
		return fmt.Errorf("cached beginnings of %d segments, there are %d", len(b.Cached), len(b.CuSeqlens)-1)
	}
	for s, list := range b.Cached {
		for _, r := range list {
			if r.From < 0 || r.From > r.To || int(r.To) > n.spec.Cache {
				return fmt.Errorf("segment %d: rows %d to %d of a cache of %d", s, r.From, r.To, n.spec.Cache)
			}
		}
	}
	for _, k := range b.Keep {
		if k.Token < 0 || int(k.Token) >= len(b.Tokens) || k.Row < 0 || int(k.Row) >= n.spec.Cache {
			return fmt.Errorf("token %d of %d for row %d of a cache of %d", k.Token, len(b.Tokens), k.Row, n.spec.Cache)
		}
	}
	return nil
}

// roomForRanges rounds up, so that a graph with a cache, whose pieces are more with every text, is seldom compiled again.
func roomForRanges(n int) int { return max(64, 1<<bits.Len(uint(n-1))) }
