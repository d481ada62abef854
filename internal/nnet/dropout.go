package nnet

import (
	"fmt"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/rng"
)

// DropoutKeys are the keys of a batch that data.Pack made, in optimizer step `step`: a token's follows from the seed, the step, its
// trajectory's place in the optimizer batch and its position there, so packing and micro-batches change no mask.
// Trajectories without a read-out in the batch get none.
func DropoutKeys(b *data.Batch, seed uint64, step int) []uint64 {
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
