package safetensors

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// halfValue is the IEEE definition: sign · 2^(exponent-bias) · significand, in float64.
func halfValue(bits uint16, exponentBits int) float64 {
	mantissaBits := 15 - exponentBits
	exponent, mantissa := int(bits>>mantissaBits)&(1<<exponentBits-1), float64(bits&(1<<mantissaBits-1))
	bias := 1<<(exponentBits-1) - 1
	var value float64
	switch exponent {
	case 0:
		value = math.Ldexp(mantissa, 1-bias-mantissaBits)
	case 1<<exponentBits - 1:
		value = math.Inf(1)
		if mantissa != 0 {
			value = math.NaN()
		}
	default:
		value = math.Ldexp(mantissa+float64(int(1)<<mantissaBits), exponent-bias-mantissaBits)
	}
	if bits>>15 != 0 {
		value = -value
	}
	return value
}

var halves = []struct {
	name         string
	exponentBits int
	to           func(float32) uint16
	from         func(uint16) float32
}{{"f16", 5, ToF16, FromF16}, {"bf16", 8, ToBF16, FromBF16}}

func TestHalvesDecodeAndComeBack(t *testing.T) {
	for _, half := range halves {
		for i := range 1 << 16 {
			bits := uint16(i)
			want, got := halfValue(bits, half.exponentBits), half.from(bits)
			if math.IsNaN(want) {
				require.True(t, got != got, "%s %#04x", half.name, bits)
				back := half.to(got)
				require.True(t, math.IsNaN(halfValue(back, half.exponentBits)), "%s %#04x came back as %#04x", half.name, bits, back)
				continue
			}
			require.Equal(t, math.Float64bits(want), math.Float64bits(float64(got)), "%s %#04x", half.name, bits)
			require.Equal(t, bits, half.to(got), "%s %#04x", half.name, bits)
		}
	}
}

// TestHalvesRoundToNearestEven walks from each half to the next: below the middle rounds down, above it up, the middle to the even one.
func TestHalvesRoundToNearestEven(t *testing.T) {
	for _, half := range halves {
		largest := uint16(1<<15 - 1<<(15-half.exponentBits) - 1)
		for low := range largest + 1 {
			high := low + 1
			next := halfValue(high, half.exponentBits)
			if low == largest { // infinity begins half-way to the power of two that would follow
				next = 2*halfValue(low, half.exponentBits) - halfValue(low-1, half.exponentBits)
			}
			middle := halfValue(low, half.exponentBits)/2 + next/2
			exact := float32(middle)
			if float64(exact) != middle {
				continue // bf16 subnormals: the middle is no float32
			}
			even := low + low&1
			below, above := math.Nextafter32(exact, 0), math.Nextafter32(exact, float32(math.Inf(1)))
			for _, sign := range []uint16{0, 1 << 15} {
				s := float32(1)
				if sign != 0 {
					s = -1
				}
				require.Equal(t, even|sign, half.to(s*exact), "%s middle above %#04x", half.name, low)
				require.Equal(t, high|sign, half.to(s*above), "%s just above the middle above %#04x", half.name, low)
				require.Equal(t, low|sign, half.to(s*below), "%s just below the middle above %#04x", half.name, low)
			}
		}
	}
	require.EqualValues(t, 0x7c00, ToF16(math.MaxFloat32))
	require.EqualValues(t, 0x7f80, ToBF16(math.MaxFloat32))
	require.EqualValues(t, 0x8000, ToF16(-math.SmallestNonzeroFloat32))
}

func TestEncodeThenDecode(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	values := make([]float64, 1000)
	for i := range values {
		values[i] = random.NormFloat64() * math.Exp2(random.Float64()*40-20)
	}
	// Unit in the last place over two, relative: 2^-53, 2^-24, 2^-11, 2^-8; f16's smallest normal is within the values' range.
	for dtype, bound := range map[DType]float64{F64: 0, F32: 1.0 / (1 << 24), F16: 1.0 / (1 << 11), BF16: 1.0 / (1 << 8)} {
		data, err := AppendEncoded(nil, dtype, values)
		require.NoError(t, err)
		info := Info{Name: "x", DType: dtype, Shape: []int{len(values)}, End: int64(len(data))}
		require.EqualValues(t, len(values), info.Elements())
		wide, err := AppendFloat64(nil, info, data)
		require.NoError(t, err)
		narrow, err := AppendFloat32(nil, info, data)
		require.NoError(t, err)
		for i, value := range values {
			require.Equal(t, float32(wide[i]), narrow[i])
			if dtype == F16 && (math.Abs(value) < 1.0/(1<<14) || math.Abs(value) > 65504) {
				continue
			}
			require.LessOrEqual(t, math.Abs(wide[i]-value), bound*math.Abs(value)*(1+1e-6), "%s of %g", dtype, value)
		}
		_, err = AppendFloat32(nil, info, data[1:])
		require.ErrorContains(t, err, "bytes of data")
	}
	_, err := AppendEncoded(nil, I32, values)
	require.ErrorContains(t, err, "I32")
	_, err = AppendFloat32(nil, Info{Name: "ids", DType: I64, End: 8}, make([]byte, 8))
	require.ErrorContains(t, err, `"ids": I64 is not`)
}
