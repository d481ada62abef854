package ops

import "math"

// Int8Block is how many elements of a row share a scale where it is rounded to int8. A block's sum of products, 127² each at most, is
// exact in float32.
const Int8Block = 128

// Int8Blocks is how many scales a row of k elements has.
func Int8Blocks(k int) int { return (k + Int8Block - 1) / Int8Block }

// int8Tiny is the largest magnitude of a block that counts as zeros: the reciprocal of its scale would overflow.
const int8Tiny = 0x1p-100

// RoundInt8 rounds a block to int8: dst[i] is the nearest integer to x[i]/scale, ties to even, the scale being a 127th of the largest
// magnitude. A block of zeros, or of next to zeros, has scale 0; one that holds NaN or an infinity has scale NaN, and dst means nothing.
func RoundInt8(dst []int8, x []float32) (scale float32) {
	largest := uint32(0)
	for _, v := range x {
		largest = max(largest, math.Float32bits(v)&math.MaxInt32)
	}
	scale, inverse := Int8Scale(largest)
	for i, v := range x {
		dst[i] = int8(math.RoundToEven(float64(v * inverse)))
	}
	return scale
}

// Int8Scale is the scale of a block, and its reciprocal, from the bits of the largest magnitude in it.
func Int8Scale(largest uint32) (scale, inverse float32) {
	switch m := math.Float32frombits(largest); {
	case largest >= 0x7f800000:
		return float32(math.NaN()), 0
	case m < int8Tiny:
		return 0, 0
	default:
		return m / 127, 127 / m
	}
}
