package label

import (
	"errors"
	"fmt"
	"math"
)

// Cosine is the cosine of the angle between two vectors of one length, summed in float64; 0 where one of them is zero.
func Cosine(a, b []float32) float64 {
	var ab, aa, bb float64
	for i, x := range a {
		x, y := float64(x), float64(b[i])
		ab += x * y
		aa += x * x
		bb += y * y
	}
	if aa == 0 || bb == 0 {
		return 0
	}
	return math.Max(-1, math.Min(1, ab/(math.Sqrt(aa)*math.Sqrt(bb))))
}

// checkVectors makes sure that an encoder answered n texts with n usable vectors of one length.
func checkVectors(vectors [][]float32, n int) error {
	if len(vectors) != n {
		return fmt.Errorf("the encoder returned %d vectors for %d texts", len(vectors), n)
	}
	for i, v := range vectors {
		if len(v) == 0 || len(v) != len(vectors[0]) {
			return fmt.Errorf("the encoder returned vectors of %d and %d numbers", len(vectors[0]), len(v))
		}
		norm := 0.0
		for _, x := range v {
			norm += float64(x) * float64(x)
		}
		if math.IsNaN(norm) || math.IsInf(norm, 0) {
			return fmt.Errorf("the encoder's vector %d holds a number that is not finite", i)
		}
		if norm == 0 {
			return errors.New("the encoder returned a zero vector, which has no direction")
		}
	}
	return nil
}

// centre returns v − mean.
func centre(v []float32, mean []float64) []float32 {
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(float64(x) - mean[i])
	}
	return out
}
