//go:build linux && amd64 && !noasm

package cpu

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/goprm/goprm/internal/engine"
)

// addPair has the processor's bits on random operands of every size, the odd ones among them.
func TestAddPairHasTheProcessorsBits(t *testing.T) {
	need(t, "avx512bf16")
	const mr, nr = 12, 32
	r := rand.New(rand.NewPCG(8, 8))
	number := func(kind int) engine.BF16 {
		switch kind % 4 {
		case 0:
			return engine.ToBF16(float32(r.NormFloat64()))
		case 1: // any bits: denormal numbers, infinities and NaN among them
			return engine.BF16(r.Uint32())
		case 2: // products near the ends of the range, and sums that cancel
			return engine.ToBF16(float32(math.Ldexp(r.Float64()+1, []int{-126, -64, -63, -62, 63, 64, 127, 0}[r.IntN(8)])))
		}
		return engine.BF16(r.IntN(2)<<15 | r.IntN(0x100)) // zeros and denormal numbers
	}
	a, b, c, sum := make([]uint32, 2*mr), make([]uint32, 2*nr), make([]float32, mr*nr), make([]float32, nr)
	for round := range 3000 {
		for i := range a {
			a[i] = uint32(number(round)) | uint32(number(round+i))<<16
		}
		for i := range b {
			b[i] = uint32(number(round/4)) | uint32(number(round/4+i))<<16
		}
		gemm12x32BF16(1, 2, &a[0], &b[0], &c[0], nr, &sum[0], 0)
		for i := range mr {
			for j := range nr {
				var want float32
				for k := range 2 {
					x, y := a[k*mr+i], b[k*nr+j]
					want = addPair(want, pair(x), pair(y))
				}
				want += 0 // the kernel adds what it is given, here nothing
				if got := c[i*nr+j]; bits(got) != bits(want) && !(got != got && want != want) {
					t.Fatalf("round %d: %#x·%#x, then %#x·%#x: %g (%#x), want %g (%#x)", round, a[i], b[j], a[mr+i], b[nr+j],
						got, bits(got), want, bits(want))
				}
			}
		}
	}
}

func bits(x float32) uint32     { return math.Float32bits(x) }
func fromBits(b uint32) float32 { return math.Float32frombits(b) }

func pair(word uint32) [2]engine.BF16 {
	return [2]engine.BF16{engine.BF16(word), engine.BF16(word >> 16)}
}
