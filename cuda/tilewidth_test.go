//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"testing"

	"github.com/goprm/goprm/internal/engine"
	"github.com/stretchr/testify/require"
)

// Tiles are as wide as gives an H200's multiprocessors least to do, whatever the shape.
func TestHopperWidth(t *testing.T) {
	for _, c := range []struct {
		form    string
		m, n, w int
	}{
		{"nt", 4096, 1536, 192}, {"nn", 4096, 1536, 192}, {"nt", 4096, 2048, 256}, {"nt", 4096, 8960, 256}, {"nt", 4096, 4608, 192},
		{"nt", 4096, 3584, 128}, {"nt", 8192, 3584, 256}, {"nt", 128, 128, 128},
		{"tn", 2048, 1536, 192}, {"tn", 18944, 3584, 256}, {"gated", 4096, 1536, 256},
	} {
		width, _ := hopperWidth(132, gemm{form: c.form, layout: layout{m: c.m, n: c.n, k: 64}})
		require.Equal(t, c.w, width, "%+v", c)
	}
}

// A row has the same bits in tiles of each width, of blocks in pairs and by themselves, and so have the gradients of a weight.
func TestEmulatedTileWidths(t *testing.T) {
	b := openHopper(t).(*backend)
	defer func() { require.NoError(t, b.Close()) }()
	b.launched = map[string]*kernel{}
	const tokens, terms, results = 200, 72, 408
	random := func(rows, width int) *engine.Tensor {
		v := make([]engine.BF16, rows*width)
		for i := range v {
			v[i] = engine.ToBF16(float32(i*7919%1009)/1009 - 0.5)
		}
		d, err := engine.CopyTo(b, engine.FromSlice(v, rows, width))
		require.NoError(t, err)
		return d
	}
	w := random(results, terms)
	dy, of := random(terms, tokens), random(terms, results) // of a gradient of as many numbers
	var want, wantDW []byte
	for _, multiprocessors := range []int{1, 2, 3, 4, 6, 8} {
		b.model.Multiprocessors = multiprocessors
		for _, rows := range []int{tokens, 100} { // of which the latter are one row of tiles
			out, got := random(rows, results), make([]byte, 2*rows*results)
			run, err := b.Compile(engine.Call{Op: "linear_add", Attr: engine.AddAttr{Scale: 0.5}, Rows: engine.Fixed,
				In: []*engine.Tensor{random(rows, results), random(rows, terms), w}, Out: out})
			require.NoError(t, err)
			require.NoError(t, run())
			require.NoError(t, b.Sync())
			require.NoError(t, b.Download(got, out))
			if want == nil {
				want = got
			}
			require.Equal(t, want[:len(got)], got, "%d rows on %d multiprocessors", rows, multiprocessors)
		}
		gradient, err := engine.CopyTo(b, engine.FromSlice(make([]float32, tokens*results), tokens, results))
		require.NoError(t, err)
		run, err := b.Compile(engine.Call{Op: "linear_dw", Rows: engine.Fixed, In: []*engine.Tensor{dy, of}, Out: gradient})
		require.NoError(t, err)
		require.NoError(t, run())
		require.NoError(t, b.Sync())
		gotDW := make([]byte, 4*tokens*results)
		require.NoError(t, b.Download(gotDW, gradient))
		if wantDW == nil {
			wantDW = gotDW
		}
		require.Equal(t, wantDW, gotDW, "the gradient, %d multiprocessors", multiprocessors)
	}
	for _, width := range []string{"128", "192", "256"} {
		for _, name := range []string{"gemm_nt_hopper_" + width, "gemm_nt_hopper_" + width + "_pair", "gemm_tn_hopper_" + width} {
			require.Contains(t, b.launched, name)
		}
	}
}
