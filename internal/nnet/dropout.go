package nnet

import (
	"fmt"
	"slices"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/rng"
)

// DropoutKeys are the keys of a batch that data.Pack made, in optimizer step `step`: a token's follows from the seed, the step, its
// trajectory's place in the optimizer batch and its position there, so packing and micro-batches change no mask.
// Trajectories without a read-out in the batch get none. A prefix tree has those of PrefixDropoutKeys.
func DropoutKeys(b *data.Batch, seed uint64, step int) []uint64 {
	if slices.ContainsFunc(b.Parents, func(p int32) bool { return p >= 0 }) {
		return PrefixDropoutKeys(b, seed, step)
	}
	keys := make([]uint64, len(b.Tokens))
	segment := 0
	for i, at := range b.Reads {
		for at >= b.CuSeqlens[segment+1] {
			segment++
		}
		from, to := b.CuSeqlens[segment], b.CuSeqlens[segment+1]
		if keys[from] != 0 {
			continue
		}
		stream := rng.New(seed, fmt.Sprintf("dropout %d %d", step, b.Trajectory[i]))
		for t := from; t < to; t++ {
			keys[t] = stream.Uint64(uint64(b.Positions[t])) | 1 // 0 would be no dropout
		}
	}
	return keys
}

// PrefixDropoutKeys are the keys of a batch whose texts may share their beginnings: a token's follows from the seed, the step and the text
// up to it. So texts that begin alike drop alike there, whether the batch holds the beginning once or in each of them.
func PrefixDropoutKeys(b *data.Batch, seed uint64, step int) []uint64 {
	keys := make([]uint64, len(b.Tokens))
	ends := make([]uint64, len(b.CuSeqlens)-1) // of each segment, a hash of the text up to its end
	stream := rng.New(seed, fmt.Sprintf("dropout %d by text", step))
	for s := range ends {
		text := uint64(0)
		if p := parent(b, int32(s)); p >= 0 {
			text = ends[p]
		}
		for t := b.CuSeqlens[s]; t < b.CuSeqlens[s+1]; t++ {
			text = rng.Mix(text ^ uint64(uint32(b.Tokens[t])))
			keys[t] = stream.Uint64(text) | 1 // 0 would be no dropout
		}
		ends[s] = text
	}
	return keys
}
