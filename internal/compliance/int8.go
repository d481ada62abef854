package compliance

import (
	"fmt"
	"math"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
)

// int8Cases are products of int8 about the sizes of tiles, words and blocks. The reference rounds x to int8 by itself, in float64: where
// float32 rounds the quotient the other way, the two differ by one step of x's scale times a weight.
func int8Cases() []testCase {
	var all []testCase
	for i, s := range append([][3]int{{13, 256, 33}, {7, 257, 64}, {200, 1030, 20}, {26, 96, 130}, {5, 2049, 5}}, productSizes...) {
		tokens, k, n := s[0], s[1], s[2]
		all = append(all, testCase{fmt.Sprintf("%dx%dx%d", tokens, k, n), func(m *maker) *call {
			x, blocks := m.perRow(1, tokens, k), ops.Int8Blocks(k)
			w := value{dtype: engine.I8, shape: []int{n, k}, ints: make([]int32, n*k)}
			for i := range w.ints {
				w.ints[i] = int32(m.IntN(255)) - 127
			}
			scales := m.fixed(engine.F32, 1/math.Sqrt(float64(k))/64, n, blocks)
			c := &call{op: "linear_int8", rows: engine.Tokens, live: m.counts(tokens, 1, 1), in: []value{x, w, scales},
				out: m.result(tokens+m.spare, n), separable: tokens}
			c.want = func() []float64 {
				return outer(tokens+m.spare, tokens, n, func(t, j int) (s float64) {
					for i, v := range roundedTo8(x.floats[t*k : (t+1)*k]) {
						s += v * float64(w.ints[j*k+i]) * scales.floats[j*blocks+i/ops.Int8Block]
					}
					return s
				})
			}
			if i%2 == 0 {
				return m.biased(c)
			}
			return c
		}})
	}
	return all
}

// roundedTo8 rounds each block of 128 to 127 steps of its largest magnitude.
func roundedTo8(x []float64) []float64 {
	y := make([]float64, len(x))
	for from := 0; from < len(x); from += 128 {
		block, largest := x[from:min(len(x), from+128)], 0.0
		for _, v := range block {
			largest = max(largest, math.Abs(v))
		}
		for i, v := range block {
			y[from+i] = math.RoundToEven(v/largest*127) * largest / 127
		}
	}
	return y
}
