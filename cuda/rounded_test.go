//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"testing"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

// A product by a weight that has a bf16 copy has the bits of one that rounds its weight itself: after the copy was made, an upload, and an
// update of either rule.
func TestEmulatedRoundedCopies(t *testing.T) {
	b := openEmulated(t)
	defer func() { require.NoError(t, b.Close()) }()
	const rows, n, k = 5, 24, 40
	of := func(dtype tensor.Dtype, factor float64, shape ...int) *engine.Tensor {
		host := engine.FromDType(dtype, shape...)
		for i := range host.Size() {
			v := factor * float64(i*37%101-50) / 50
			switch dtype {
			case engine.BFloat16:
				engine.Slice[engine.BF16](host)[i] = engine.ToBF16(float32(v))
			case engine.F32:
				engine.Slice[float32](host)[i] = float32(v)
			case engine.F64:
				engine.Slice[float64](host)[i] = v
			}
		}
		d, err := engine.CopyTo(b, host)
		require.NoError(t, err)
		return d
	}
	launch := func(op string, out *engine.Tensor, in ...*engine.Tensor) {
		run, err := b.Compile(engine.Call{Op: op, Rows: engine.Fixed, In: in, Out: out})
		require.NoError(t, err)
		require.NoError(t, run())
	}
	bits := func(x *engine.Tensor) []byte {
		raw := make([]byte, x.MemSize())
		require.NoError(t, b.Sync())
		require.NoError(t, b.Download(raw, x))
		return raw
	}
	x, kept, plain := of(engine.BFloat16, 1, rows, k), of(engine.F32, 1, n, k), of(engine.F32, 1, n, k)
	require.NoError(t, b.(engine.RoundsWeights).KeepRounded(kept))
	last := make([]byte, 2*rows*n)
	same := func(after string) {
		require.Equal(t, bits(plain), bits(kept), after)
		y, z := of(engine.BFloat16, 0, rows, n), of(engine.BFloat16, 0, rows, n)
		launch("linear", y, x, kept)
		launch("linear", z, x, plain)
		require.Equal(t, bits(z), bits(y), after)
		require.NotEqual(t, last, bits(y), after)
		last = bits(y)
	}
	same("the copy was made")
	next := engine.FromDType(engine.F32, n, k)
	for i := range engine.Slice[float32](next) {
		engine.Slice[float32](next)[i] = float32(i%7) / 3
	}
	for _, w := range []*engine.Tensor{kept, plain} {
		require.NoError(t, b.Upload(w, next.Bytes()))
	}
	same("an upload")
	grad, clipped := of(engine.F32, 1, n, k), of(engine.F64, 0, ops.ClipLen)
	require.NoError(t, b.Upload(clipped, engine.FromSlice([]float64{1, 1}, ops.ClipLen).Bytes()))
	adam, sgd := make([]float64, ops.HyperLen), make([]float64, ops.SGDLen)
	adam[ops.HyperLR], adam[ops.HyperBeta1], adam[ops.HyperBeta2], adam[ops.HyperEps] = 0.1, 0.9, 0.99, 1e-8
	adam[ops.HyperCorrection1], adam[ops.HyperCorrection2] = 0.1, 0.01
	sgd[ops.SGDLR] = 0.1
	for _, u := range []struct {
		op     string
		hyper  []float64
		states int
	}{{"adamw", adam, 2}, {"sgd", sgd, 1}} {
		hyper, err := engine.CopyTo(b, engine.FromSlice(u.hyper, len(u.hyper)))
		require.NoError(t, err)
		for _, w := range []*engine.Tensor{kept, plain} {
			in := []*engine.Tensor{w, grad}
			for range u.states {
				in = append(in, of(engine.F32, 0, n, k))
			}
			launch(u.op, w, append(in, hyper, clipped)...)
		}
		same(u.op)
	}
	held := b.(*backend).held()
	b.Free(kept.Ptr)
	require.Equal(t, held-6*n*k, b.(*backend).held(), "the copy goes with its weight")
}
