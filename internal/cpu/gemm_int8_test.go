//go:build linux && amd64 && !noasm

package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"github.com/stretchr/testify/require"
)

func int8Call(r *rand.Rand, tokens, k, n int) engine.Call {
	x, w := engine.FromSlice(normal(r, tokens*k), tokens, k), engine.FromDType(engine.I8, n, k)
	for i := range engine.Slice[int8](w) {
		engine.Slice[int8](w)[i] = int8(r.IntN(255) - 127)
	}
	scales := engine.FromSlice(normal(r, n*ops.Int8Blocks(k)), n, ops.Int8Blocks(k))
	return engine.Call{Op: "linear_int8", In: []*engine.Tensor{x, w, scales, engine.FromSlice(normal(r, n), n)},
		Out: engine.FromDType(engine.F32, tokens, n), Live: engine.FromSlice([]int32{-1, -1, -1}, int(engine.NumDims)), Rows: engine.Tokens}
}

// Products of int8 have the portable kernel's bits in every instance, whatever the shape and the number of workers, with sums as large
// as they get, and with rows of numbers too small or too large for a scale.
func TestProductsOfInt8HaveThePortableBits(t *testing.T) {
	needAVX2(t)
	rounds := 40
	if testing.Short() {
		rounds = 8
	}
	slow := backendWith(t, "portable", 2)
	for round := range rounds {
		r := rand.New(rand.NewPCG(uint64(round), 41))
		tokens, k, n := 1+r.IntN(70), 1+r.IntN(150), 1+r.IntN(150)
		switch round % 4 {
		case 1:
			k = 500 + r.IntN(1700) // several blocks
		case 2:
			tokens = 200 + r.IntN(300) // several blocks of rows
		case 3:
			n = 200 + r.IntN(300) // several tiles of columns
		}
		c := int8Call(r, tokens, k, n)
		x := engine.Slice[float32](c.In[0])
		for i := range k { // sums at their limits, and a row of each kind
			x[i] = 3
			for row, v := range []float32{0, 1e-40, 1e-31, 3e38, float32(math.NaN()), float32(math.Inf(-1))} {
				if row+1 < tokens && (row < 4 || i == k/2) {
					x[(row+1)*k+i] = v
				}
			}
			engine.Slice[int8](c.In[1])[i] = int8(127 - 254*(round%2))
		}
		launchAll(t, slow, c)
		want := slices.Clone(engine.Slice[float32](c.Out))
		for _, k := range instances() {
			if !k.runs() {
				continue
			}
			clear(c.Out.Bytes())
			launchAll(t, backendWith(t, k.name, 1+round%3), c)
			for i, v := range engine.Slice[float32](c.Out) {
				if exact := want[i]; bits(v) != bits(exact) && !(v != v && exact != exact) {
					t.Fatalf("round %d, %s: %d tokens, %d, %d: row %d, column %d: %g, want %g", round, k.name, tokens, c.In[1].Shape()[1], n,
						i/n, i%n, v, exact)
				}
			}
		}
	}
}

// The products are those in float64 of numbers rounded in float64, but for the additions of blocks in float32; and they are as far
// from the products of unrounded numbers as rounding to the nearest makes them: each factor is off by an error with the variance
// scale²/12, so that a product x·w has that of (sx²·w² + sw²·x²)/12.
func TestProductsOfInt8AreThoseOfFloat64(t *testing.T) {
	const tokens, k, n = 24, 900, 40
	r := rand.New(rand.NewPCG(5, 8))
	c := int8Call(r, tokens, k, n)
	x, w, blocks := engine.Slice[float32](c.In[0]), normal(r, n*k), ops.Int8Blocks(k)
	for i := range w {
		w[i] *= float32(math.Exp2(float64(i / k % 7))) // rows have magnitudes of their own
	}
	for row := range n {
		for b := range blocks {
			from, to := row*k+b*ops.Int8Block, row*k+min(k, (b+1)*ops.Int8Block)
			engine.Slice[float32](c.In[2])[row*blocks+b] = ops.RoundInt8(engine.Slice[int8](c.In[1])[from:to], w[from:to])
		}
	}
	launchAll(t, backendWith(t, "portable", 2), c)

	roundedX, scalesX := roundInt8Float64(x, k)
	roundedW, scalesW := roundInt8Float64(w, k)
	var off float64 // sum of squared errors, each beside its variance
	for i, v := range engine.Slice[float32](c.Out) {
		token, row := i/n, i%n
		want := float64(engine.Slice[float32](c.In[3])[row])
		unrounded, magnitude, variance := want, math.Abs(want), 0.0
		for j := range k {
			sx, sw := scalesX[token*blocks+j/ops.Int8Block], scalesW[row*blocks+j/ops.Int8Block]
			x, w := float64(x[token*k+j]), float64(w[row*k+j])
			product := roundedX[token*k+j] * sx * roundedW[row*k+j] * sw
			want, magnitude = want+product, magnitude+math.Abs(product)
			unrounded, variance = unrounded+x*w, variance+(sx*sx*w*w+sw*sw*x*x)/12
		}
		require.InDelta(t, want, float64(v), 1e-6*magnitude, "token %d, row %d", token, row)
		off += (float64(v) - unrounded) * (float64(v) - unrounded) / variance
	}
	require.InDelta(t, 1, off/(tokens*n), 0.15, "the error's variance beside the expected one")
}

// roundInt8Float64 rounds rows of k numbers in blocks to the nearest of −127 to 127 times a 127th of the block's largest magnitude.
func roundInt8Float64(x []float32, k int) (rounded, scales []float64) {
	for row := range slices.Chunk(x, k) {
		for block := range slices.Chunk(row, 128) {
			largest := 0.0
			for _, v := range block {
				largest = max(largest, math.Abs(float64(v)))
			}
			scales = append(scales, largest/127)
			for _, v := range block {
				rounded = append(rounded, math.Round(float64(v)/(largest/127)))
			}
		}
	}
	return rounded, scales
}

// What a token's row is, is its own affair: NaN and infinities stay in their rows and show there.
func TestInt8ShowsWhatIsNotFinite(t *testing.T) {
	for _, name := range []string{"portable", "auto"} {
		c := int8Call(rand.New(rand.NewPCG(1, 2)), 5, 700, 9)
		engine.Slice[float32](c.In[0])[2*700+600] = float32(math.Inf(1))
		launchAll(t, backendWith(t, name, 2), c)
		for i, v := range engine.Slice[float32](c.Out) {
			require.Equal(t, i/9 == 2, v != v, "%s: row %d", name, i/9)
		}
	}
}

func BenchmarkGEMMInt8(b *testing.B) {
	for _, name := range []string{"avx2", "avx512"} {
		for _, s := range [][3]int{{2048, 896, 896}, {2048, 4864, 896}, {2048, 896, 4864}, {240, 4864, 896}, {1024, 8960, 1536}} {
			for workers := 1; workers <= 2; workers++ {
				b.Run(fmt.Sprintf("M%d-N%d-K%d/workers%d/%s", s[0], s[1], s[2], workers, name), func(b *testing.B) {
					need(b, name)
					launch, err := backendWith(b, name, workers).Compile(int8Call(rand.New(rand.NewPCG(1, 1)), s[0], s[2], s[1]))
					require.NoError(b, err)
					reportRate(b, 2*float64(s[0])*float64(s[1])*float64(s[2]), launch)
				})
			}
		}
	}
}
