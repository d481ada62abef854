package nnet

import (
	"errors"
	"fmt"
	"slices"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/ops"
)

// keyRanges lists what each segment attends to: what is cached, its ancestors in full from there on, then itself causally.
func keyRanges(b MicroBatch) (offsets, ranges []int32) {
	for s := range len(b.CuSeqlens) - 1 {
		offsets = append(offsets, int32(len(ranges)/ops.RangeLen))
		var chain []int32
		for p := parent(b.Batch, int32(s)); p >= 0; p = parent(b.Batch, p) {
			chain = append(chain, p)
		}
		cached := int32(0)
		if b.Cached != nil {
			for _, r := range b.Cached[s] {
				ranges = append(ranges, ops.BufferCache, r.From, r.To, ops.MaskFull, 0)
				cached += r.To - r.From
			}
		}
		for i := len(chain) - 1; i >= 0; i-- {
			from, end := b.CuSeqlens[chain[i]], b.CuSeqlens[chain[i]+1]
			if from < end && b.Positions[from] < cached {
				from = min(end, from+cached-b.Positions[from])
			}
			ranges = append(ranges, ops.BufferBatch, from, end, ops.MaskFull, 0)
		}
		ranges = append(ranges, ops.BufferBatch, b.CuSeqlens[s], b.CuSeqlens[s+1], ops.MaskCausal, 0)
	}
	return append(offsets, int32(len(ranges)/ops.RangeLen)), ranges
}

// slidingRanges are the same ranges with a window; each is a segment's own.
func slidingRanges(ranges []int32, window int) []int32 {
	sliding := slices.Clone(ranges)
	for i := 0; i < len(sliding); i += ops.RangeLen {
		sliding[i+3], sliding[i+4] = ops.MaskWindow, int32(window)
	}
	return sliding
}

// checkPositions refuses what the configuration gives no meaning.
func (n *Network) checkPositions(b *data.Batch) error {
	c := n.spec.Config
	if c.SlidingWindow > 0 && slices.ContainsFunc(b.Parents, func(p int32) bool { return p >= 0 }) {
		return errors.New("a prefix tree for a model with a sliding window: its segments would have to see only a part of their ancestors")
	}
	if c.RopeScaling.Kind == "dynamic" {
		for _, p := range b.Positions {
			if int(p) >= c.MaxPositionEmbeddings {
				return fmt.Errorf("position %d is beyond the %d up to which dynamic RoPE scaling changes nothing", p, c.MaxPositionEmbeddings)
			}
		}
	}
	return nil
}

// parent of a segment, or −1. Parents come before their children, so chains end.
func parent(b *data.Batch, s int32) int32 {
	if b.Parents == nil || b.Parents[s] >= s {
		return -1
	}
	return b.Parents[s]
}
