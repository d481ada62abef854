package cpu

import (
	"fmt"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
)

// segments is what cu_seqlens, range_offsets and key_ranges of one launch say; shared by all attention kernels.
type segments struct {
	starts  []int32 // of the live segments, and the end of the last
	offsets []int32
	ranges  []int32
	tokens  int // live
}

// keyRange is one range of a segment's keys, in rows of its buffer.
type keyRange struct{ buffer, start, end, mask, window int }

// readSegments checks the three tensors of an attention call against each other and the live counts, so that nothing
// they say leads outside of a buffer.
func readSegments(c engine.Call) (segments, error) {
	cu, offsets, ranges := engine.Slice[int32](c.In[3]), engine.Slice[int32](c.In[4]), engine.Slice[int32](c.In[5])
	tokens, err := live(c, engine.Tokens, c.In[0].Shape()[0])
	if err != nil {
		return segments{}, err
	}
	count, err := live(c, engine.Segments, len(cu)-1)
	if err != nil {
		return segments{}, err
	}
	s := segments{starts: cu[:count+1], offsets: offsets[:count+1], ranges: ranges, tokens: tokens}
	if cu[0] != 0 || int(cu[count]) != tokens {
		return s, fmt.Errorf("cu_seqlens runs from %d to %d over %d tokens", cu[0], cu[count], tokens)
	}
	rows := [2]int{ops.BufferBatch: tokens}
	if hasCache(c) {
		rows[ops.BufferCache] = c.In[6].Shape()[0]
	}
	if offsets[0] < 0 || int(offsets[count]) > len(ranges)/ops.RangeLen {
		return s, fmt.Errorf("range_offsets runs from %d to %d over %d key ranges", offsets[0], offsets[count], len(ranges)/ops.RangeLen)
	}
	for i := range count {
		if cu[i] > cu[i+1] || offsets[i] > offsets[i+1] {
			return s, fmt.Errorf("segment %d: tokens %d to %d, key ranges %d to %d", i, cu[i], cu[i+1], offsets[i], offsets[i+1])
		}
		for j := offsets[i]; j < offsets[i+1]; j++ {
			r := s.keys(int(j))
			if r.buffer < 0 || r.buffer > 1 || r.start < 0 || r.start > r.end || r.end > rows[r.buffer] || r.mask < ops.MaskFull || r.mask > ops.MaskWindow || r.mask == ops.MaskWindow && r.window < 1 {
				return s, fmt.Errorf("segment %d: key range %d is %+v; the batch has %d tokens, the cache %d rows", i, j, r, rows[0], rows[1])
			}
		}
	}
	return s, nil
}

func (s *segments) count() int { return len(s.starts) - 1 }

func (s *segments) keys(j int) keyRange {
	r := s.ranges[j*ops.RangeLen:][:ops.RangeLen]
	return keyRange{int(r[0]), int(r[1]), int(r[2]), int(r[3]), int(r[4])}
}

// of is the segment that token t lies in.
func (s *segments) of(t int) int {
	lo, hi := 0, s.count()-1
	for lo < hi {
		mid := (lo + hi + 1) / 2
		if int(s.starts[mid]) <= t {
			lo = mid
		} else {
			hi = mid - 1
		}
	}
	return lo
}

// visible is the part of the range that the query at offset i of its segment sees, empty if lo ≥ hi.
func (r keyRange) visible(i int) (lo, hi int) {
	lo, hi = r.start, r.end
	if r.mask != ops.MaskFull {
		hi = min(hi, r.start+i+1)
	}
	if r.mask == ops.MaskWindow {
		lo = max(lo, r.start+i+1-r.window)
	}
	return lo, hi
}

// hasCache tells whether an attention call has cached keys and values: its inputs 6 and 7. The backward op has two more
// inputs than the forward one.
func hasCache(c engine.Call) bool {
	if c.Op == "attention" {
		return len(c.In) == 8
	}
	return len(c.In) == 10
}
