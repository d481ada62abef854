//go:build linux && (amd64 || arm64) && !nocuda && !gpuonly

package cuda

import (
	"fmt"
	"slices"
	"testing"

	"github.com/goprm/goprm/cuda/internal/emulator"
	"github.com/goprm/goprm/internal/engine"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

// groups are weights whose gradients come together.
var groups = map[string][]weight{
	// In the proportions of a layer, with tiles that end within a product and products of one tile; k and v share q's input.
	"layer": {{136, 264, 0}, {264, 136, 1}, {264, 136, 1}, {136, 136, 2}, {136, 136, 3}, {72, 136, 3}, {72, 136, 3}},
	// More than a launch holds; and such as no launch of several takes: an adapter's, and one whose rows are no multiples of 16 bytes.
	"more": {{72, 72, 0}, {72, 80, 1}, {16, 72, 0}, {80, 72, 2}, {72, 80, 3}, {72, 80, 4}, {75, 72, 0}, {72, 72, 5}, {72, 72, 0}, {72, 72, 0},
		{80, 72, 0}, {72, 72, 0}, {72, 72, 0}, {72, 72, 0}, {72, 72, 0}},
}

// Gradients that come together are what they are one by one, to the bit, and what whole numbers add up to; whatever the live count, and
// dead rows hold NaN.
func TestEmulatedSM90Gradients(t *testing.T) {
	b := openHopper(t)
	require.NoError(t, b.Close())
	require.NoError(t, emulator.Configure(emulator.Mode{Late: true, Seed: 3, Jobs: 2}))
	for _, count := range blockCounts(b) {
		for name, list := range groups {
			for _, live := range []int{200, 139, 64, 0} {
				t.Run(fmt.Sprintf("%s/%d/%d", name, count, live), func(t *testing.T) {
					b := openHopperWith(t, count).(*backend)
					defer func() { require.NoError(t, b.Close()) }()
					gradientsAgree(t, b, list, 200, live)
				})
			}
		}
	}
}

// The other family makes them one by one.
func TestEmulatedSM80Gradients(t *testing.T) {
	b := openEmulated(t).(*backend)
	defer func() { require.NoError(t, b.Close()) }()
	require.NoError(t, emulator.Configure(emulator.Mode{Jobs: 2}))
	gradientsAgree(t, b, groups["layer"], 200, 139)
}

func gradientsAgree(t *testing.T, b *backend, list []weight, tokens, live int) {
	s := &wholeGradients{trial: &trial{b: b}, tokens: tokens, live: live, values: map[*engine.Tensor][]float32{}}
	s.trial.live = s.integers(int32(live), 1, 1)
	out := func(n, k int) *engine.Tensor {
		return s.placed(engine.FromSlice(slices.Repeat([]float32{-1000}, n*k), n, k))
	}
	together := gradientCalls(list, s.matrix, out)
	var alone []engine.Call
	for i, c := range together {
		together[i].Rows, together[i].Live = engine.Tokens, s.trial.live
		c = together[i]
		c.Out = out(c.Out.Shape()[0], c.Out.Shape()[1])
		alone = append(alone, c)
	}
	launch, err := b.CompileGroup(together)
	require.NoError(t, err)
	require.NoError(t, launch())
	for i, c := range alone {
		one, err := b.Compile(c)
		require.NoError(t, err)
		require.NoError(t, one())
		require.NoError(t, b.Sync())
		got, err := s.numbers(together[i].Out)
		require.NoError(t, err)
		single, err := s.numbers(c.Out)
		require.NoError(t, err)
		require.Equal(t, single, got, "product %d: by itself and with others", i)
		s.exact(t, i, c, got)
	}
	require.NoError(t, s.failed)
}

// wholeGradients are of whole numbers.
type wholeGradients struct {
	*trial
	tokens, live int
	values       map[*engine.Tensor][]float32
}

func (s *wholeGradients) matrix(width int) *engine.Tensor {
	v, raw := make([]float32, s.tokens*width), make([]engine.BF16, s.tokens*width)
	for i := range v {
		v[i] = float32((i*7919+len(s.values)*31)%1009%7 - 3)
		raw[i] = engine.ToBF16(v[i])
		if i >= s.live*width {
			raw[i] = 0x7fc0
		}
	}
	x := s.placed(engine.FromSlice(raw, s.tokens, width))
	s.values[x] = v
	return x
}

func (s *wholeGradients) exact(t *testing.T, product int, c engine.Call, got []float64) {
	dy, x, n, k := s.values[c.In[0]], s.values[c.In[1]], c.Out.Shape()[0], c.Out.Shape()[1]
	want := make([]float32, n*k)
	for row := range s.live {
		for i, g := range dy[row*n : (row+1)*n] {
			for j, v := range x[row*k : (row+1)*k] {
				want[i*k+j] += g * v
			}
		}
	}
	for i, v := range want {
		require.InDelta(t, v, got[i], 0, "a tile is wrong: product %d, row %d, column %d", product, i/k, i%k)
	}
}

// What is no group of the GPU's is refused.
func TestEmulatedGroupRefuses(t *testing.T) {
	b := openHopper(t).(*backend)
	defer func() { require.NoError(t, b.Close()) }()
	call := func(dtype tensor.Dtype, rows engine.Dim, tokens int) engine.Call {
		of := func(dtype tensor.Dtype, rows int) *engine.Tensor {
			return engine.NewTensor(nil, dtype, []int{rows, 72}, nil)
		}
		return engine.Call{Op: "linear_dw", Rows: rows, Live: engine.FromSlice([]int32{-1, -1, -1}, 3),
			In: []*engine.Tensor{of(dtype, tokens), of(dtype, tokens)}, Out: of(engine.F32, 72)}
	}
	bf16 := call(engine.BFloat16, engine.Fixed, 8)
	for name, calls := range map[string][]engine.Call{"f32": {call(engine.F32, engine.Fixed, 8)},
		"rows": {bf16, call(engine.BFloat16, engine.Tokens, 8)}, "tokens": {bf16, call(engine.BFloat16, engine.Fixed, 16)}} {
		_, err := b.CompileGroup(calls)
		require.ErrorContains(t, err, "no launch of these several", name)
	}
	_, err := b.CompileGroup([]engine.Call{bf16, {Op: "linear_dw"}})
	require.ErrorContains(t, err, "a tensor is missing")
}
