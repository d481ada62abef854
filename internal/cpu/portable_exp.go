package cpu

import "math"

// expAsVectors is e^x with the bits of the vector kernels' (_gen/vector/exp.go), for x that are not above 89.
func expAsVectors(x float32) float32 {
	if x < -104 {
		x = -104
	}
	n := float32(math.RoundToEven(float64(float32(x * math.Log2E))))
	x = fma32(-n, 0.693359375, x)
	x = fma32(-n, -2.12194440e-4, x)
	p := float32(1.9875691500e-4)
	for _, a := range [...]float32{1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1} {
		p = fma32(p, x, a)
	}
	p = fma32(p, float32(x*x), x) + 1
	return float32(math.Ldexp(float64(p), int(n)))
}

// fma32 is x·y + z, rounded once: float64 holds the product, and a sum that it does not hold is made odd, so that rounding it
// to float32 is no different from rounding the exact one.
func fma32(x, y, z float32) float32 {
	p, c := float64(x)*float64(y), float64(z)
	s := float64(p) + c
	part := s - p
	rest := (p - (s - part)) + (c - part)
	if bits := math.Float64bits(s); rest != 0 && bits&1 == 0 && !math.IsNaN(rest) && !math.IsInf(s, 0) {
		if rest > 0 == (s > 0) {
			bits++
		} else {
			bits--
		}
		s = math.Float64frombits(bits)
	}
	return float32(s)
}
