//go:build linux && amd64 && !noasm

package cpu

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/goprm/goprm/internal/engine"
	"github.com/stretchr/testify/require"
)

func randomBF16(r *rand.Rand, shape ...int) *engine.Tensor {
	t := engine.FromDType(engine.BFloat16, shape...)
	for i := range elementsBF16(t) {
		elementsBF16(t)[i] = engine.ToBF16(float32(r.NormFloat64()))
	}
	return t
}

// productCalls are the three products of random shapes and live rows; the last operand may be a weight in f32.
func productCalls(r *rand.Rand, t, k, n int) []engine.Call {
	weight := randomBF16(r, n, k)
	if r.IntN(2) == 0 {
		weight = engine.FromSlice(normal(r, n*k), n, k)
	}
	live := engine.FromSlice([]int32{int32(r.IntN(t + 1)), 0, 0}, int(engine.NumDims))
	bias := engine.FromSlice(normal(r, n), n)
	x, dy := randomBF16(r, t, k), randomBF16(r, t, n)
	return []engine.Call{
		{Op: "linear", In: []*engine.Tensor{x, weight, bias}, Out: randomBF16(r, t, n), Live: live, Rows: engine.Tokens},
		{Op: "linear_dx", In: []*engine.Tensor{dy, weight}, Out: randomBF16(r, t, k), Live: live, Rows: engine.Tokens},
		{Op: "linear_dw", In: []*engine.Tensor{dy, x}, Out: engine.FromDType(engine.F32, n, k), Live: live, Rows: engine.Tokens},
	}
}

// The products in bf16 have the portable kernels' bits, whatever the shape and the number of workers.
func TestProductsInBF16HaveThePortableBits(t *testing.T) {
	need(t, "avx512bf16")
	rounds := 40
	if testing.Short() {
		rounds = 6
	}
	slow := backendWith(t, "portable", 2)
	for round := range rounds {
		r := rand.New(rand.NewPCG(uint64(round), 31))
		rows, k, n := 1+r.IntN(70), 1+r.IntN(150), 1+r.IntN(150)
		switch round % 4 {
		case 1:
			k = 500 + r.IntN(1100) // several blocks of pairs
		case 2:
			rows = 200 + r.IntN(300) // several blocks of rows
		case 3:
			n = 200 + r.IntN(300) // several tiles of columns
		}
		fast := backendWith(t, "avx512bf16", 1+round%3)
		for _, c := range productCalls(r, rows, k, n) {
			bytes := append([]byte{}, c.Out.Bytes()...) // dead rows stay as they were
			var got []byte
			for _, b := range []*backend{fast, slow} {
				copy(c.Out.Bytes(), bytes)
				launchAll(t, b, c)
				if got == nil {
					got = append(got, c.Out.Bytes()...)
				}
			}
			require.Equal(t, c.Out.Bytes(), got, "round %d: %s, %d tokens, %d, %d", round, c.Op, rows, k, n)
		}
	}
}

func TestConversionsOfBF16(t *testing.T) {
	need(t, "avx512bf16")
	const n = 1<<16 + 5
	wide, narrow := make([]float32, n), make([]engine.BF16, n)
	for i := range narrow {
		narrow[i] = engine.BF16(i)
	}
	widenBF16(wide, narrow)
	for i, v := range wide {
		require.Equal(t, bits(narrow[i].Float32()), bits(v))
	}
	r := rand.New(rand.NewPCG(3, 5))
	for round := range 20 {
		for i := range wide { // any bits, and numbers half way between two bf16
			wide[i] = fromBits(r.Uint32())
			if round%2 == 0 {
				wide[i] = fromBits(uint32(i)<<16 | 0x8000 + uint32(r.IntN(3)-1))
			}
		}
		roundBF16(narrow, wide)
		for i, v := range narrow {
			require.Equal(t, engine.ToBF16(wide[i]), v, "%#x", bits(wide[i]))
		}
	}
}

func BenchmarkGEMMBF16(b *testing.B) {
	need(b, "avx512bf16")
	shapes := [][3]int{{2048, 896, 896}, {2048, 128, 896}, {2048, 4864, 896}, {2048, 896, 4864}, {240, 4864, 896}, {1024, 8960, 1536}}
	for _, s := range shapes {
		for workers := 1; workers <= 2; workers++ {
			r := rand.New(rand.NewPCG(1, 1))
			c := engine.Call{Op: "linear", Rows: engine.Fixed, Out: randomBF16(r, s[0], s[1]),
				In: []*engine.Tensor{randomBF16(r, s[0], s[2]), randomBF16(r, s[1], s[2])}}
			launch, err := backendWith(b, "avx512bf16", workers).Compile(c)
			require.NoError(b, err)
			b.Run(fmt.Sprintf("M%d-N%d-K%d/workers%d", s[0], s[1], s[2], workers), func(b *testing.B) {
				reportRate(b, 2*float64(s[0])*float64(s[1])*float64(s[2]), launch)
			})
		}
	}
}

func BenchmarkMicroKernelBF16(b *testing.B) {
	need(b, "avx512bf16")
	mr, nr := avx512Set.mr, avx512Set.nr
	a, panel, c := alignedFloats(mr*kBlock), alignedFloats(nr*kBlock), alignedFloats(mr*nr)
	reportRate(b, 4*float64(mr*nr)*kBlock*1000, func() error {
		for range 1000 {
			gemm12x32BF16(1, kBlock, word(&a[0]), word(&panel[0]), &c[0], nr, &zeros[0], 0)
		}
		return nil
	})
}
