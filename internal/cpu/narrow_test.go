//go:build linux && amd64 && !noasm

package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"github.com/stretchr/testify/require"
)

// By hand: the second product comes first, each addition is rounded, and denormal numbers count as 0.
func TestAddPairByHand(t *testing.T) {
	b := func(x, y float32) [2]engine.BF16 { return [2]engine.BF16{engine.ToBF16(x), engine.ToBF16(y)} }
	for _, c := range []struct {
		sum  float32
		x, y [2]engine.BF16
		want float32
	}{
		// 2²⁴ − 1, then 2²⁴; the other order would round 2²⁴ + 1
		{1 << 24, b(1, -1), b(1, 1), 1 << 24},
		{1 << 24, b(1, 1), b(1, 1), 1 << 24},                                             // each half way, to even
		{0, b(0x1p-127, 0), b(0x1p127, 0), 0},                                            // an operand
		{0, b(0x1p-64, 0), b(0x1p-63, 0), 0},                                             // a result
		{0x1p-127, b(0x1p-126, 0), b(1, 0), 0x1p-126},                                    // the sum
		{0, b(0x1p-126, 0x1p-126), b(1, 1), 0x1p-125},                                    // normal ones stay
		{1, b(1.0078125, 1.015625), b(1.0078125, 1), 1 + 1.015625 + 1.0078125*1.0078125}, // all of it exact
	} {
		require.Equal(t, c.want, addPair(c.sum, c.x, c.y), "%v + %v·%v", c.sum, c.x, c.y)
	}
}

// widened is a call in f32 of the same numbers, with room for its result.
func widened(c engine.Call, out ...int) engine.Call {
	wide := c
	wide.In = nil
	for _, t := range c.In {
		if t.Dtype() == engine.BFloat16 {
			x := make([]float32, t.Size())
			widenPortably(x, elementsBF16(t))
			t = engine.FromSlice(x, t.Shape()...)
		}
		wide.In = append(wide.In, t)
	}
	wide.Out = engine.FromDType(engine.F32, out...)
	return wide
}

// Ops other than products have the bits of their f32 kernels on the widened operands, rounded once.
func TestNarrowOpsAreWideOnesRounded(t *testing.T) {
	for _, kernels := range []string{"portable", "avx512bf16"} {
		t.Run(kernels, func(t *testing.T) {
			need(t, kernels)
			b := backendWith(t, kernels, 2)
			r := rand.New(rand.NewPCG(4, 4))
			const rows, width, live = 2100, 16, 2070 // two chunks of rows and a part
			x, y, z := randomBF16(r, rows, width), randomBF16(r, rows, width), randomBF16(r, rows, width)
			w, positions, keys := engine.FromSlice(normal(r, width), width), make([]int32, rows), make([]int32, 2*rows)
			for i := range positions {
				positions[i], keys[2*i] = int32(r.IntN(5000)), int32(i)
			}
			counts := engine.FromSlice([]int32{live, 1, 1}, int(engine.NumDims))
			for _, c := range []engine.Call{
				{Op: "add", Attr: engine.AddAttr{Scale: 0.3}, In: []*engine.Tensor{x, y}},
				{Op: "scale", Attr: engine.AddAttr{Scale: 0.3}, In: []*engine.Tensor{x}},
				{Op: "swiglu", In: []*engine.Tensor{x, y}},
				{Op: "swiglu_backward", In: []*engine.Tensor{x, y, z}},
				{Op: "rmsnorm", Attr: ops.RMSNorm{Eps: 1e-6}, In: []*engine.Tensor{x, w}},
				{Op: "rmsnorm_dx", Attr: ops.RMSNorm{Eps: 1e-6}, In: []*engine.Tensor{x, w, y}},
				{Op: "rope", Attr: ops.RoPE{HeadDim: 16, Theta: 1e4}, In: []*engine.Tensor{x, engine.FromSlice(positions, rows)}},
				{Op: "dropout", Attr: ops.Dropout{P: 0.5, Salt: 3}, In: []*engine.Tensor{x, engine.FromSlice(keys, rows, 2)}},
			} {
				shape, parts := []int{rows, width}, 1
				if c.Op == "swiglu_backward" {
					shape, parts = []int{2 * rows * width}, 2
				}
				c.Rows, c.Live, c.Out = engine.Tokens, counts, engine.FromDType(engine.BFloat16, shape...)
				exact := widened(c, shape...)
				launchAll(t, b, c, exact)
				for part := range parts {
					at := part * rows * width
					requireRounded(t, fmt.Sprint(c.Op, " part ", part), exact.Out, c.Out, at, at+live*width)
				}
			}
		})
	}
}

// attentionIn16 is a call of attention in bf16, and one in f32 on the same numbers.
func attentionIn16(t testing.TB, b *backend, seed uint64, attr ops.Attention, lengths []int, plain bool) (narrow, exact engine.Call) {
	f := newAttentionCase(t, b, rand.New(rand.NewPCG(seed, 9)), attr, lengths, plain)
	h, tokens := attr.Heads*attr.HeadDim, f.tokens
	c := engine.Call{Op: "attention", Attr: attr, Rows: engine.Tokens, Live: f.live}
	for _, x := range f.in {
		if x.Dtype() == engine.F32 {
			x = roundedTensor(engine.Slice[float32](x), x.Shape()...)
		}
		c.In = append(c.In, x)
	}
	c.Out = engine.FromDType(engine.BFloat16, tokens*h+2*tokens*attr.Heads)
	return c, widened(c, tokens*h+tokens*attr.Heads)
}

// The backward pass reads a cache, which is widened only where segments have keys, and log-sum-exps, which are f32.
func TestNarrowAttentionBackwardIsWideRounded(t *testing.T) {
	for _, kernels := range []string{"portable", "avx512bf16"} {
		t.Run(kernels, func(t *testing.T) {
			need(t, kernels)
			b := backendWith(t, kernels, 2)
			attr := ops.Attention{Heads: 4, KVHeads: 2, HeadDim: 24}
			c, _ := attentionIn16(t, b, 2, attr, []int{30, 70, 5, 90}, false)
			launchAll(t, b, c)
			out, lse := packedBF16(c.Out, c.In[0].Size())
			packed := make([]float32, len(out)+len(lse))
			widenPortably(packed, out)
			copy(packed[len(out):], lse)
			dout := roundedTensor(normal(rand.New(rand.NewPCG(3, 9)), len(out)), c.In[0].Shape()...)
			c.Op, c.In = "attention_backward", append(append([]*engine.Tensor{}, c.In...), c.Out, dout)
			size := c.In[0].Size() + 2*c.In[1].Size()
			c.Out = engine.FromDType(engine.BFloat16, size)
			exact := widened(c, size)
			exact.In[len(exact.In)-2] = engine.FromSlice(packed, len(packed))
			launchAll(t, b, c, exact)
			requireRounded(t, "gradients", exact.Out, c.Out, 0, size)
		})
	}
}

// Attention's products in bf16 stay near those in f32: probabilities are off by 2⁻⁹ at most, and so are their sums of values about 1.
func TestAttentionInBF16IsNearF32(t *testing.T) {
	b := backendWith(t, "portable", 2)
	narrow, exact := attentionIn16(t, b, 2, ops.Attention{Heads: 4, KVHeads: 2, HeadDim: 24}, []int{30, 70, 5, 90}, false)
	launchAll(t, b, narrow, exact)
	out, lse := packedBF16(narrow.Out, narrow.In[0].Size())
	want := engine.Slice[float32](exact.Out)
	worst := 0.0
	for i, v := range out {
		worst = max(worst, math.Abs(float64(v.Float32()-want[i]))/max(1, math.Abs(float64(want[i]))))
	}
	require.Less(t, worst, 0x1p-7)
	require.InDeltaSlice(t, want[len(out):], lse, 1e-5)
}

// Every kernel has the portable one's bits, whatever the shapes, the masks and what else is in the batch.
func TestAttentionInBF16HasThePortableBits(t *testing.T) {
	need(t, "avx512bf16")
	slow := backendWith(t, "portable", 2)
	for round := range 8 {
		r := rand.New(rand.NewPCG(uint64(round), 7))
		attr := ops.Attention{KVHeads: 1 + r.IntN(2), HeadDim: 8 * (1 + r.IntN(16))}
		attr.Heads = attr.KVHeads * (1 + r.IntN(3))
		if round == 0 {
			attr.HeadDim = 13 // which the vector kernels decline
		}
		var lengths []int
		for range 1 + r.IntN(4) {
			lengths = append(lengths, 1+r.IntN(90))
		}
		want, _ := attentionIn16(t, slow, uint64(round), attr, lengths, false)
		launchAll(t, slow, want)
		got := want
		got.Out = engine.FromDType(engine.BFloat16, want.Out.Size())
		launchAll(t, backendWith(t, "avx512bf16", 1+round%3), got)
		require.Equal(t, want.Out.Bytes(), got.Out.Bytes(), "round %d %+v %v", round, attr, lengths)
	}
}

// Attention of f32 tensors in pairs of bf16 is that of the rounded ones, with a result that is not rounded, and every kernel has those
// bits.
func TestAttentionInPairsHasThePortableBits(t *testing.T) {
	fast := "portable"
	if k, err := choose("avx512bf16", ""); err == nil {
		fast = k.name
	}
	slow := backendWith(t, "portable", 2)
	for round := range 8 {
		r := rand.New(rand.NewPCG(uint64(round), 8))
		attr := ops.Attention{KVHeads: 1 + r.IntN(2), HeadDim: 8 * (1 + r.IntN(16)), Pairs: true}
		attr.Heads = attr.KVHeads * (1 + r.IntN(3))
		if round == 0 {
			attr.HeadDim = 13 // which the vector kernels decline
		}
		var lengths []int
		for range 1 + r.IntN(4) {
			lengths = append(lengths, 1+r.IntN(90))
		}
		c, _ := attentionIn16(t, slow, uint64(round), attr, lengths, false)
		wide := widened(c, c.In[0].Size()+c.In[0].Shape()[0]*attr.Heads)
		for _, x := range wide.In { // what rounding takes away
			if x.Dtype() == engine.F32 {
				for i, v := range engine.Slice[float32](x) {
					engine.Slice[float32](x)[i] = v * (1 + 0x1p-10*float32(r.IntN(3)))
				}
			}
		}
		for i, x := range c.In {
			if x.Dtype() == engine.BFloat16 {
				roundPortably(elementsBF16(x), engine.Slice[float32](wide.In[i]))
			}
		}
		launchAll(t, slow, c, wide)
		out, lse := packedBF16(c.Out, c.In[0].Size())
		got := engine.Slice[float32](wide.Out)
		for i, v := range out {
			require.Equal(t, v, engine.ToBF16(got[i]), "round %d, element %d", round, i)
		}
		require.Equal(t, lse, got[len(out):])
		again := wide
		again.Out = engine.FromDType(engine.F32, wide.Out.Size())
		b := backendWith(t, fast, 1+round%3)
		launchAll(t, b, again)
		require.Equal(t, wide.Out.Bytes(), again.Out.Bytes(), "round %d %+v %v", round, attr, lengths)
		launchAll(t, b, again) // memory that is there already
		require.Equal(t, wide.Out.Bytes(), again.Out.Bytes())
	}
}

func launchAll(t *testing.T, b *backend, calls ...engine.Call) {
	t.Helper()
	for _, c := range calls {
		launch, err := b.Compile(c)
		require.NoError(t, err)
		require.NoError(t, launch())
	}
}

func requireRounded(t *testing.T, what string, wide, narrow *engine.Tensor, from, to int) {
	t.Helper()
	for i, v := range engine.Slice[float32](wide)[from:to] {
		require.Equal(t, engine.ToBF16(v), elementsBF16(narrow)[from+i], "%s: element %d", what, from+i)
	}
}

// AVX-512's SwiGLU has AVX2's bits, at the ends of the range too.
func TestSwiGLUHasOneResult(t *testing.T) {
	need(t, "avx512")
	r := rand.New(rand.NewPCG(6, 6))
	gate, up, x, y := make([]float32, 1<<14), make([]float32, 1<<14), make([]float32, 1<<14), make([]float32, 1<<14)
	for i := range gate {
		gate[i], up[i] = math.Float32frombits(r.Uint32()), float32(r.NormFloat64())
		if i%2 == 0 {
			gate[i] = float32(100 * r.NormFloat64())
		}
	}
	vecSwiGLU(&x[0], &gate[0], &up[0], len(x)/8)
	vecSwiGLU16(&y[0], &gate[0], &up[0], len(x)/16)
	for i := range x {
		if x[i] == x[i] || y[i] == y[i] {
			require.Equal(t, math.Float32bits(x[i]), math.Float32bits(y[i]), "gate %g, up %g", gate[i], up[i])
		}
	}
}
