package data

import (
	"errors"
	"fmt"
	"math"
)

// Validate reports the first thing that makes a batch unusable: lengths that disagree, segments that do not follow each other,
// read-outs outside the tokens. Batches of Pack, PackAll and PackTree are valid.
func (b *Batch) Validate() error {
	t, segments, r := len(b.Tokens), len(b.CuSeqlens)-1, len(b.Reads)
	switch {
	case t == 0:
		return errors.New("a batch without tokens")
	case len(b.Positions) != t:
		return fmt.Errorf("positions: %d for %d tokens", len(b.Positions), t)
	case segments < 1 || b.CuSeqlens[0] != 0 || int(b.CuSeqlens[segments]) != t:
		return fmt.Errorf("cu_seqlens: %v does not run from 0 to %d tokens", b.CuSeqlens, t)
	case b.Parents != nil && len(b.Parents) != segments:
		return fmt.Errorf("parents: %d for %d segments", len(b.Parents), segments)
	}
	for s := range segments {
		if b.CuSeqlens[s+1] < b.CuSeqlens[s] {
			return fmt.Errorf("cu_seqlens: segment %d ends at %d, before its begin %d", s, b.CuSeqlens[s+1], b.CuSeqlens[s])
		}
		if b.Parents != nil && (b.Parents[s] < -1 || b.Parents[s] >= int32(s)) {
			return fmt.Errorf("parents: segment %d has parent %d, want an earlier segment or -1", s, b.Parents[s])
		}
	}
	for name, n := range map[string]int{"target": len(b.Target), "weight": len(b.Weight), "kind": len(b.Kind)} {
		if n != r {
			return fmt.Errorf("%s: %d for %d read-outs", name, n, r)
		}
	}
	for i, at := range b.Reads {
		if at < 0 || int(at) >= t {
			return fmt.Errorf("reads: read-out %d is at token %d of %d", i, at, t)
		}
		if finite := b.Target[i] + b.Weight[i]; math.IsNaN(finite) || math.IsInf(finite, 0) {
			return fmt.Errorf("read-out %d: target %v, weight %v: not finite", i, b.Target[i], b.Weight[i])
		}
	}
	for i, p := range b.Positions {
		if p < 0 {
			return fmt.Errorf("positions: token %d has position %d", i, p)
		}
	}
	return nil
}
