package cpu

import (
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
	cache := 0
	if hasCache(c) {
		cache = c.In[6].Shape()[0]
	}
	if err := ops.CheckKeys(cu[:count+1], offsets[:count+1], ranges, tokens, cache); err != nil {
		return segments{}, err
	}
	return segments{starts: cu[:count+1], offsets: offsets[:count+1], ranges: ranges, tokens: tokens}, nil
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
