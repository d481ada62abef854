package cpu

import "math"

// Loops over contiguous memory. Each sum has one accumulator and runs upwards.

func dot[T float](x, w []T) T {
	w = w[:len(x)]
	var s T
	for i, v := range x {
		s += T(v * w[i])
	}
	return s
}

// dot4 adds x·w0 … x·w3 to sums.
func dot4[T float](x, w0, w1, w2, w3 []T, sums *[4]T) {
	w0, w1, w2, w3 = w0[:len(x)], w1[:len(x)], w2[:len(x)], w3[:len(x)]
	s0, s1, s2, s3 := sums[0], sums[1], sums[2], sums[3]
	for i, v := range x {
		s0 += T(v * w0[i])
		s1 += T(v * w1[i])
		s2 += T(v * w2[i])
		s3 += T(v * w3[i])
	}
	*sums = [4]T{s0, s1, s2, s3}
}

func dot2x4[T float](x, y, w0, w1, w2, w3 []T, sums *[2][4]T) {
	y, w0, w1, w2, w3 = y[:len(x)], w0[:len(x)], w1[:len(x)], w2[:len(x)], w3[:len(x)]
	s0, s1, s2, s3 := sums[0][0], sums[0][1], sums[0][2], sums[0][3]
	r0, r1, r2, r3 := sums[1][0], sums[1][1], sums[1][2], sums[1][3]
	for i, v := range x {
		u, a, b, c, d := y[i], w0[i], w1[i], w2[i], w3[i]
		s0 += T(v * a)
		s1 += T(v * b)
		s2 += T(v * c)
		s3 += T(v * d)
		r0 += T(u * a)
		r1 += T(u * b)
		r2 += T(u * c)
		r3 += T(u * d)
	}
	*sums = [2][4]T{{s0, s1, s2, s3}, {r0, r1, r2, r3}}
}

// axpy adds a·x to out.
func axpy[T float](out []T, a T, x []T) {
	x = x[:len(out)]
	for i := range out {
		out[i] += T(a * x[i])
	}
}

// axpy4 is four axpy, one after the other, in one pass.
func axpy4[T float](out []T, a0, a1, a2, a3 T, x0, x1, x2, x3 []T) {
	x0, x1, x2, x3 = x0[:len(out)], x1[:len(out)], x2[:len(out)], x3[:len(out)]
	for i := range out {
		s := out[i] + T(a0*x0[i])
		s += T(a1 * x1[i])
		s += T(a2 * x2[i])
		out[i] = s + T(a3*x3[i])
	}
}

func exp[T float](x T) T { return T(math.Exp(float64(x))) }

// logistic is 1/(1+e^−x), without overflow.
func logistic(x float64) float64 {
	if x < 0 {
		e := math.Exp(x)
		return e / (1 + e)
	}
	return 1 / (1 + math.Exp(-x))
}
