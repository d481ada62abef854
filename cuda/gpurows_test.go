//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"testing"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
)

// BenchmarkGPURows reports GB/s of what memory bounds, at the shape of a 7B model and 4,096 tokens, counted as what must be
// read and written at least, and their share of the memory's rate.
func BenchmarkGPURows(b *testing.B) {
	s := newBench(b)
	tokens, hidden, wide := 4096, 3584, 18944
	if standIn {
		tokens, hidden, wide = 16, 128, 64
	}
	x, y, norm, g, u := s.bf16(tokens, hidden), s.bf16(tokens, hidden), s.tensor(engine.F32, hidden), s.bf16(tokens, wide),
		s.bf16(tokens, wide)
	both, position := s.bf16(2*tokens*wide), s.tensor(engine.I32, tokens)
	w, hyper, hyperSGD, clip := [4]*engine.Tensor{}, s.tensor(engine.F64, ops.HyperLen), s.tensor(engine.F64, ops.SGDLen),
		s.tensor(engine.F64, ops.ClipLen)
	for i := range w {
		w[i] = s.tensor(engine.F32, hidden, wide)
	}
	rms := ops.RMSNorm{Eps: 1e-6}
	for _, c := range []struct {
		engine.Call
		bytes int
	}{
		{engine.Call{Op: "rmsnorm", Attr: rms, In: []*engine.Tensor{x, norm}, Out: y}, 2 * 2 * tokens * hidden},
		{engine.Call{Op: "rmsnorm_dx", Attr: rms, In: []*engine.Tensor{x, norm, y}, Out: y}, 3 * 2 * tokens * hidden},
		{engine.Call{Op: "rmsnorm_dw", Attr: rms, In: []*engine.Tensor{x, y}, Out: norm}, 2 * 2 * tokens * hidden},
		{engine.Call{Op: "rope", Attr: ops.RoPE{HeadDim: 128, Theta: 1e6}, In: []*engine.Tensor{x, position}, Out: y}, 2 * 2 * tokens * hidden},
		{engine.Call{Op: "swiglu", In: []*engine.Tensor{g, u}, Out: g}, 3 * 2 * tokens * wide},
		{engine.Call{Op: "swiglu_backward", In: []*engine.Tensor{g, u, g}, Out: both}, 5 * 2 * tokens * wide},
		{engine.Call{Op: "add", Attr: engine.AddAttr{Scale: 1}, In: []*engine.Tensor{x, y}, Out: x}, 3 * 2 * tokens * hidden},
		{engine.Call{Op: "adamw", In: []*engine.Tensor{w[0], w[1], w[2], w[3], hyper, clip}, Out: w[0]}, 28 * hidden * wide},
		{engine.Call{Op: "sgd", In: []*engine.Tensor{w[0], w[1], w[2], hyperSGD, clip}, Out: w[0]}, 20 * hidden * wide},
		{engine.Call{Op: "sum_squares", In: []*engine.Tensor{w[0]}, Out: engine.NewTensor(clip.Ptr, engine.F64, []int{1}, nil)},
			4 * hidden * wide},
	} {
		s.measure(s.family+"/"+c.Op, s.compiled(c.Call), float64(c.bytes), "GB/s", s.peak.bytes)
	}
}
