package safetensors

import "math"

// ToBF16 returns the bfloat16 nearest to f, ties to the even one; a NaN stays a NaN.
func ToBF16(f float32) uint16 {
	b := math.Float32bits(f)
	if f != f {
		return uint16(b>>16) | 0x40 // quiet, so that cutting the mantissa cannot leave an infinity
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// FromBF16 returns the value of a bfloat16, exactly.
func FromBF16(b uint16) float32 { return math.Float32frombits(uint32(b) << 16) }

// ToF16 returns the IEEE half nearest to f, ties to the even one; what rounds beyond 65504 becomes an infinity, a NaN stays a NaN.
func ToF16(f float32) uint16 {
	b := math.Float32bits(f)
	sign, magnitude := uint16(b>>16)&0x8000, b&0x7fffffff
	switch {
	case magnitude > 0x7f800000: // NaN: keep what fits of its payload, quiet
		return sign | 0x7e00 | uint16(magnitude>>13)&0x3ff
	case magnitude >= 0x477ff000: // 65520, half-way between the largest half and the next power of two
		return sign | 0x7c00
	case magnitude >= 0x38800000: // 2^-14, the smallest normal half: rebias the exponent from 127 to 15, round away 13 bits
		magnitude -= 112 << 23
		return sign | uint16((magnitude+0xfff+magnitude>>13&1)>>13)
	case magnitude > 0x33000000: // above 2^-25, half of the smallest subnormal: count units of 2^-24
		mantissa, shift := magnitude&0x7fffff|0x800000, 126-magnitude>>23
		return sign | uint16((mantissa+1<<(shift-1)-1+mantissa>>shift&1)>>shift)
	default:
		return sign
	}
}

// FromF16 returns the value of an IEEE half, exactly.
func FromF16(h uint16) float32 {
	sign, exponent, mantissa := uint32(h&0x8000)<<16, uint32(h>>10&0x1f), uint32(h&0x3ff)
	switch exponent {
	case 0: // zero and subnormals: units of 2^-24
		const unit = 1.0 / (1 << 24)
		return math.Float32frombits(math.Float32bits(float32(mantissa)*unit) | sign)
	case 0x1f:
		return math.Float32frombits(sign | 0x7f800000 | mantissa<<13)
	default:
		return math.Float32frombits(sign | (exponent+112)<<23 | mantissa<<13)
	}
}
