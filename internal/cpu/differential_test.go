//go:build linux && amd64 && !noasm

package cpu

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

// attentionCase is an attention call and what its backward pass needs besides.
type attentionCase struct {
	attr          ops.Attention
	tokens        int
	in            []*engine.Tensor
	packed, dout  *engine.Tensor
	dq            *engine.Tensor
	live          *engine.Tensor
	forward, back engine.Launch
}

// newAttentionCase lays segments out so that some share keys of an earlier one, some read a cache and some see a window.
func newAttentionCase(t testing.TB, b *backend, r *rand.Rand, attr ops.Attention, lengths []int, plain bool) *attentionCase {
	a := &attentionCase{attr: attr}
	const cached = 40
	cu, offsets := []int32{0}, []int32{0}
	var ranges []int32
	for s, n := range lengths {
		start, end := cu[s], cu[s]+int32(n)
		kind := r.IntN(4)
		if plain {
			kind = 3
		}
		switch {
		case kind == 0 && s > 0: // an earlier segment as prefix, in two ranges
			from, to := cu[s-1], cu[s]
			mid := from + (to-from)/3
			ranges = append(ranges, 0, from, mid, ops.MaskFull, 0, 0, mid, to, ops.MaskFull, 0, 0, start, end, ops.MaskCausal, 0)
		case kind == 1:
			ranges = append(ranges, 1, 3, int32(3+r.IntN(cached-3)), ops.MaskFull, 0, 0, start, end, ops.MaskCausal, 0)
		case kind == 2:
			ranges = append(ranges, 0, start, end, ops.MaskWindow, int32(1+r.IntN(n+3)))
		default:
			ranges = append(ranges, 0, start, end, ops.MaskCausal, 0)
		}
		cu, offsets = append(cu, end), append(offsets, int32(len(ranges)/ops.RangeLen))
	}
	a.tokens = int(cu[len(lengths)])
	h, g, n := attr.Heads*attr.HeadDim, attr.KVHeads*attr.HeadDim, a.tokens
	random := func(shape ...int) *engine.Tensor {
		return engine.FromSlice(normal(r, tensor.Shape(shape).TotalSize()), shape...)
	}
	a.in = []*engine.Tensor{random(n, h), random(n, g), random(n, g), engine.FromSlice(cu, len(cu)), engine.FromSlice(offsets, len(offsets)),
		engine.FromSlice(ranges, len(ranges)/ops.RangeLen, ops.RangeLen), random(cached, g), random(cached, g)}
	a.dout, a.packed, a.dq = random(n, h), random(n*h+n*attr.Heads), random(n*h+2*n*g)
	a.live = engine.FromSlice([]int32{int32(n), int32(len(lengths)), 0}, int(engine.NumDims))
	var err error
	call := engine.Call{Op: "attention", Attr: attr, Rows: engine.Tokens, In: a.in, Out: a.packed, Live: a.live}
	a.forward, err = b.Compile(call)
	require.NoError(t, err)
	call.Op, call.In, call.Out = "attention_backward", append(append([]*engine.Tensor{}, a.in...), a.packed, a.dout), a.dq
	a.back, err = b.Compile(call)
	require.NoError(t, err)
	return a
}

func backendWith(t testing.TB, kernels string, workers int) *backend {
	b, err := engine.Open("cpu", engine.Options{Kernels: kernels, Workers: workers})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	switch b := b.(type) {
	case pairsBackend:
		return b.backend
	case narrowBackend:
		return b.backend
	}
	return b.(*backend)
}

// Attention is near the portable kernels', and has the same bits in every instruction set.
func TestAttentionAgreesWithPortable(t *testing.T) {
	needAVX2(t)
	rounds := 25
	if testing.Short() {
		rounds = 5
	}
	slow := backendWith(t, "portable", 2)
	for round := range rounds {
		r := rand.New(rand.NewPCG(uint64(round), 7))
		attr := ops.Attention{KVHeads: 1 + r.IntN(3), HeadDim: 8 * (1 + r.IntN(16))}
		attr.Heads = attr.KVHeads * (1 + r.IntN(7))
		var lengths []int
		for range 1 + r.IntN(5) {
			lengths = append(lengths, 1+r.IntN(200))
		}
		on := func(b *backend) *attentionCase {
			c := newAttentionCase(t, b, rand.New(rand.NewPCG(uint64(round), 8)), attr, lengths, false)
			require.NoError(t, c.forward())
			require.NoError(t, c.back())
			return c
		}
		what := fmt.Sprintf("round %d %+v %v", round, attr, lengths)
		x, y := on(backendWith(t, "avx2", 2)), on(slow)
		requireNear(t, what+" forward", y.packed, x.packed, 2e-5)
		requireNear(t, what+" backward", y.dq, x.dq, 1e-4)
		for name := range sets() {
			z := on(backendWith(t, name, 1+round%3))
			require.Equal(t, engine.Slice[float32](x.packed), engine.Slice[float32](z.packed), "%s forward, %s", what, name)
			require.Equal(t, engine.Slice[float32](x.dq), engine.Slice[float32](z.dq), "%s backward, %s", what, name)
		}
	}
}

// requireNear bounds the difference by tolerance times the larger of 1 and the value.
func requireNear(t *testing.T, what string, want, got *engine.Tensor, tolerance float64) {
	t.Helper()
	w, g := engine.Slice[float32](want), engine.Slice[float32](got)
	for i := range w {
		if d := math.Abs(float64(w[i]) - float64(g[i])); w[i] != g[i] && !(d <= tolerance*max(1, math.Abs(float64(w[i])))) {
			t.Fatalf("%s: element %d is %g, want %g", what, i, g[i], w[i])
		}
	}
}

// Each op that has an AVX2 kernel gives what the portable one gives, on random shapes.
func TestRowKernelsAgreeWithPortable(t *testing.T) {
	needAVX2(t)
	fast, slow := backendWith(t, "avx2", 2), backendWith(t, "portable", 2)
	for round := range 40 {
		r := rand.New(rand.NewPCG(uint64(round), 9))
		n, k, m := 1+r.IntN(70), 8*(1+r.IntN(60)), 1+r.IntN(100)
		f := func(shape ...int) *engine.Tensor {
			return engine.FromSlice(normal(r, tensor.Shape(shape).TotalSize()), shape...)
		}
		x, y, z, w, long := f(n, k), f(n, k), f(n, k), f(k), f(m, k)
		positions := make([]int32, n)
		for i := range positions {
			positions[i] = int32(r.IntN(40000))
		}
		norm, sum := ops.RMSNorm{Eps: 1e-6}, engine.AddAttr{Scale: r.NormFloat64()}
		for _, c := range []engine.Call{
			{Op: "add", Attr: sum, In: []*engine.Tensor{x, y}, Out: f(n, k)},
			{Op: "scale", Attr: sum, In: []*engine.Tensor{x}, Out: f(n, k)},
			{Op: "swiglu", In: []*engine.Tensor{x, y}, Out: f(n, k)},
			{Op: "swiglu_backward", In: []*engine.Tensor{x, y, z}, Out: f(2 * n * k)},
			{Op: "rmsnorm", Attr: norm, In: []*engine.Tensor{x, w}, Out: f(n, k)},
			{Op: "rmsnorm_dx", Attr: norm, In: []*engine.Tensor{x, w, y}, Out: f(n, k)},
			{Op: "rmsnorm", Attr: norm, In: []*engine.Tensor{f(n, 3*k), w}, Out: f(n, 3*k)},
			{Op: "rmsnorm_dx", Attr: norm, In: []*engine.Tensor{f(n, 3*k), w, f(n, 3*k)}, Out: f(n, 3*k)},
			{Op: "layernorm", Attr: ops.LayerNorm{Eps: 1e-12}, In: []*engine.Tensor{x, w, f(k)}, Out: f(n, k)},
			{Op: "gelu", Attr: ops.GELU{}, In: []*engine.Tensor{x}, Out: f(n, k)},
			{Op: "gelu", Attr: ops.GELU{Tanh: true}, In: []*engine.Tensor{x}, Out: f(n, k)},
			{Op: "rope", Attr: ops.RoPE{HeadDim: 16, Theta: 1e6}, In: []*engine.Tensor{f(n, 16*m), engine.FromSlice(positions, n)}, Out: f(n, 16*m)},
			{Op: "linear", In: []*engine.Tensor{x, long, f(m)}, Out: f(n, m)},
			{Op: "linear_dx", In: []*engine.Tensor{f(n, m), long}, Out: f(n, k)},
			{Op: "linear_dw", In: []*engine.Tensor{f(n, m), x}, Out: f(m, k)},
		} {
			c.Rows = engine.Fixed
			got := c.Out
			launch, err := fast.tables[0][c.Op](fast, c)
			require.NoError(t, err)
			require.NotNil(t, launch, "%s declined", c.Op)
			require.NoError(t, launch())
			c.Out = engine.FromSlice(make([]float32, got.Size()), got.Shape()...)
			reference, err := slow.Compile(c)
			require.NoError(t, err)
			require.NoError(t, reference())
			requireNear(t, fmt.Sprintf("round %d %s [%d %d %d]", round, c.Op, n, k, m), c.Out, got, 5e-5)
		}
	}
}

func BenchmarkAttention(b *testing.B) {
	for i := range 2 * len(sets()) {
		workers, set := 1+i%2, slices.Sorted(maps.Keys(sets()))[i/2]
		for _, tokens := range []int{240, 2048} {
			c := newAttentionCase(b, backendWith(b, set, workers), rand.New(rand.NewPCG(1, 1)), ops.Attention{Heads: 14, KVHeads: 2, HeadDim: 64},
				[]int{tokens}, true)
			pairs := float64(tokens) * float64(tokens+1) / 2 * 14 * 64
			for _, p := range []struct {
				name   string
				launch engine.Launch
				flops  float64 // of a (query, key) pair and dimension
			}{{"forward", c.forward, 4}, {"backward", c.back, 10}} {
				b.Run(fmt.Sprintf("%s/T%d/workers%d/%s", p.name, tokens, workers, set), func(b *testing.B) {
					reportRate(b, p.flops*pairs, p.launch)
				})
			}
			if set == "avx512" && runsAVX512BF16() {
				on := backendWith(b, "avx512bf16", workers)
				narrow, _ := attentionIn16(b, on, 1, c.attr, []int{tokens}, true)
				launch, err := on.Compile(narrow)
				require.NoError(b, err)
				b.Run(fmt.Sprintf("forward/T%d/workers%d/bf16", tokens, workers), func(b *testing.B) { reportRate(b, 4*pairs, launch) })
			}
		}
	}
}
