//go:build linux && amd64 && !noasm

package cpu

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// The exponential is within expULPs of the rounded one wherever that is normal, within one denormal step below, and
// exact at the infinities; NaN stays NaN.
const expULPs = 2

func TestExpOverItsWholeRange(t *testing.T) {
	needAVX2(t)
	worst := 0
	check := func(x float32, got float32) {
		want := float32(math.Exp(float64(x)))
		switch {
		case math.IsInf(float64(want), 1) || want == 0:
			require.Equal(t, want, got, "exp(%g)", x)
		default:
			d := int(int32(math.Float32bits(want)) - int32(math.Float32bits(got)))
			worst = max(worst, d, -d)
		}
	}
	in, out := make([]float32, 8), make([]float32, 8)
	flush := func() {
		vecExp(&out[0], &in[0], 1)
		for i := range in {
			check(in[i], out[i])
			if portable := expAsVectors(in[i]); in[i] <= 89 && portable != out[i] {
				require.Equal(t, out[i], portable, "portable exp(%g)", in[i])
			}
		}
	}
	n := 0
	for bits := uint64(0); bits < 1<<32; bits += 997 { // every exponent, both signs
		x := math.Float32frombits(uint32(bits))
		if x != x {
			continue
		}
		in[n%8] = x
		if n++; n%8 == 0 {
			flush()
		}
	}
	for x := float32(-105); x < 89.5; x += 1.0 / 4096 { // densely where results are finite
		in[n%8] = x
		if n++; n%8 == 0 {
			flush()
		}
	}
	require.LessOrEqual(t, worst, expULPs)
	t.Logf("largest error: %d ulp", worst)

	inf := float32(math.Inf(1))
	copy(in, []float32{-inf, inf, 0, float32(math.Copysign(0, -1)), float32(math.NaN()), -103.9, 88.72284, -87.4})
	vecExp(&out[0], &in[0], 1)
	require.Equal(t, []float32{0, inf, 1, 1}, out[:4])
	require.True(t, out[4] != out[4])
	require.Equal(t, float32(math.SmallestNonzeroFloat32), out[5])
}

// GELU is within a few units in the last place of x·Φ(x) where that is of order x, and within 1e-6 of it in proportion on
// the left down to −5, where the square in the exponent is what rounds.
func TestGELUOverItsWholeRange(t *testing.T) {
	needAVX2(t)
	in, out := make([]float32, 8), make([]float32, 8)
	for x := -14.0; x < 14; x += 1.0 / 512 {
		for i := range in {
			in[i] = float32(x + float64(i)/4096)
		}
		vecGELU(&out[0], &in[0], 1)
		for i, v := range in {
			v := float64(v)
			want := v / 2 * math.Erfc(-v/math.Sqrt2)
			relative := 3e-7
			if v < 0 {
				relative = 5e-7 + v*v*4e-8
			}
			require.InDelta(t, want, float64(out[i]), math.Abs(want)*relative+1e-37, "gelu(%g)", v)
		}
	}
}
