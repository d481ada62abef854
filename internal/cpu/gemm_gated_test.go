//go:build linux && amd64 && !noasm

package cpu

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/goprm/goprm/internal/engine"
	"github.com/stretchr/testify/require"
)

// gatedCalls are linear_swiglu and the ops that it stands for, whose last result it has. Bits of stored say which weights are f32.
func gatedCalls(r *rand.Rand, kernels string, rows, k, n, stored int) (fused engine.Call, single []engine.Call) {
	draw := func(wide bool, shape ...int) *engine.Tensor {
		if wide {
			return engine.FromSlice(normal(r, shape[0]*shape[1]), shape...)
		}
		return roundedTensor(normal(r, shape[0]*shape[1]), shape...)
	}
	wide, dtype := kernels != "avx512bf16", engine.F32
	if !wide {
		dtype = engine.BFloat16
	}
	live := engine.FromSlice([]int32{int32(r.IntN(rows + 1)), 0, 0}, int(engine.NumDims))
	of := func(op string, in ...*engine.Tensor) engine.Call {
		return engine.Call{Op: op, Rows: engine.Tokens, Live: live, In: in, Out: engine.FromDType(dtype, rows, n)}
	}
	x, w, v := draw(wide, rows, k), draw(stored&1 > 0, n, k), draw(stored&2 > 0, n, k)
	gate, up := of("linear", x, w), of("linear", x, v)
	return of("linear_swiglu", x, w, v), []engine.Call{gate, up, of("swiglu", gate.Out, up.Out)}
}

// linear_swiglu has the bits of the single ops whatever the shape: parts of tiles, blocks of K, chunks of rows, widths for which swiglu has
// other kernels, one of the products packed before. Dead rows stay as they are.
func TestGatedProductsHaveTheSingleOpsBits(t *testing.T) {
	rounds := 40
	if testing.Short() {
		rounds = 10
	}
	for _, kernels := range []string{"avx2", "avx512", "avx512bf16"} {
		t.Run(kernels, func(t *testing.T) {
			need(t, kernels)
			for round := range rounds {
				r := rand.New(rand.NewPCG(uint64(round), 12))
				rows, k, n := 1+r.IntN(70), 1+r.IntN(150), 1+r.IntN(200)
				switch round % 5 {
				case 1:
					k = 500 + r.IntN(1100)
				case 2:
					rows = 200 + r.IntN(300)
				case 3:
					n = 8 * (1 + r.IntN(60))
				case 4:
					rows, k, n = gatedRows+1+r.IntN(500), 1+r.IntN(20), 16*(1+r.IntN(4))
				}
				b := backendWith(t, kernels, 1+round%3)
				fused, single := gatedCalls(r, kernels, rows, k, n, round)
				switch round % 10 {
				case 4: // two chunks of rows
					engine.Slice[int32](fused.Live)[0] = int32(rows)
				case 9: // one of them, where there is capacity for two smaller ones
					engine.Slice[int32](fused.Live)[0] = gatedRows
				}
				launchAll(t, b, single...)
				want := single[2].Out.Bytes()
				for range 2 {
					launchAll(t, b, fused)
					require.Equal(t, want, fused.Out.Bytes(), fmt.Sprintf("round %d: %d rows, %d, %d", round, rows, k, n))
					launchAll(t, b, single[0])
				}
			}
		})
	}
}

// Sums of no terms, no rows, no columns; and a row for which there is no room.
func TestGatedProductsOfNothing(t *testing.T) {
	for _, kernels := range []string{"avx2", "avx512", "avx512bf16"} {
		t.Run(kernels, func(t *testing.T) {
			need(t, kernels)
			b := backendWith(t, kernels, 2)
			for _, s := range [][3]int{{3, 0, 16}, {3, 0, 5}, {0, 4, 8}, {3, 4, 0}, {0, 0, 0}} {
				fused, single := gatedCalls(rand.New(rand.NewPCG(1, 1)), kernels, s[0]+1, s[1], s[2], 3)
				launchAll(t, b, append(single, fused)...)
				require.Equal(t, single[2].Out.Bytes(), fused.Out.Bytes(), "%v", s)
			}
			fused, _ := gatedCalls(rand.New(rand.NewPCG(1, 1)), kernels, 1, packedRoom, 1, 3)
			if kernels == "avx512bf16" { // which makes room
				launchAll(t, b, fused)
				return
			}
			_, err := b.Compile(fused)
			require.ErrorContains(t, err, "linear_swiglu: rows of 2097152 elements")
		})
	}
}
