package cpu

import (
	"math"

	"github.com/goprm/goprm/internal/engine"
)

// smallest is the least normal float32.
const smallest = 0x1p-126

// addPair adds x·y of a pair of bf16 to a sum as VDPBF16PS does: the second product first, each addition rounded by
// itself to the nearest, ties to even; denormal numbers count as 0, in the operands, the sum and the results.
func addPair(sum float32, x, y [2]engine.BF16) float32 {
	return addProduct(addProduct(sum, x[1], y[1]), x[0], y[0])
}

// addProduct rounds once: float64 holds the product exactly, and rounds the sum of two float32-sized numbers so that
// rounding it again to float32 is no different from rounding the exact sum.
func addProduct(sum float32, x, y engine.BF16) float32 {
	p := float64(flushed(x.Float32())) * float64(flushed(y.Float32()))
	return flushed(float32(float64(flushed(sum)) + p))
}

// flushed is x, or a zero of its sign where x is denormal.
func flushed(x float32) float32 {
	if x > -smallest && x < smallest {
		return float32(math.Copysign(0, float64(x)))
	}
	return x
}
