//go:build !noasm

package cpu

import (
	"sync"
	"time"
)

// avx512IsFaster tells whether products are clearly faster with AVX-512 than with AVX2 on this machine. The flag does not say so:
// Zen 4 takes a 512-bit multiplication in two halves and gains nothing, Zen 5 needs half the time. Both sets give the same bits, so
// the choice changes no number. It took 0.3 ms on Zen 5, once.
var avx512IsFaster = sync.OnceValue(func() bool { return 1.3*tileTime(avx512Set) < tileTime(avx2Set) })

// tileTime is the best time of several for an element of a tile, in nanoseconds.
func tileTime(set *instructionSet) float64 {
	const tiles = 8
	a, panel, c := alignedFloats(set.mr*kBlock), alignedFloats(set.nr*kBlock), alignedFloats(set.mr*set.nr)
	best := time.Duration(1 << 62)
	for range 20 {
		began := time.Now()
		for range tiles {
			set.tile(1, kBlock, &a[0], &panel[0], &c[0], set.nr, &zeros[0], 0)
		}
		best = min(best, time.Since(began))
	}
	return float64(best) / float64(tiles*set.mr*set.nr)
}
