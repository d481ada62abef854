//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"math"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"github.com/goprm/goprm/internal/rng"
)

// attention of two segments: a causal one of three fifths of the tokens, and one that sees the first half of that one, and itself
// causally.
func (s *shapeTest) attention(tokens int, a ops.Attention) {
	width, kvWidth, cut := a.Heads*a.HeadDim, a.KVHeads*a.HeadDim, s.live*3/5
	q, k, v, do := s.matrix(s.live, tokens, width, 1), s.matrix(s.live, tokens, kvWidth, 1), s.matrix(s.live, tokens, kvWidth, 1),
		s.matrix(s.live, tokens, width, 1)
	ranges := s.integers(ops.BufferBatch, 0, int32(cut), ops.MaskCausal, 0, ops.BufferBatch, 0, int32(cut/2), ops.MaskFull, 0,
		ops.BufferBatch, int32(cut), int32(s.live), ops.MaskCausal, 0)
	in := []*engine.Tensor{q, k, v, s.integers(0, int32(cut), int32(s.live)), s.integers(0, 1, 3),
		engine.NewTensor(ranges.Ptr, engine.I32, []int{3, ops.RangeLen}, nil)}
	packed := s.zeros(engine.BFloat16, tokens*width+ops.LSELen(engine.BFloat16, tokens*a.Heads))
	out := s.result("attention", a, packed, in...)
	grads := s.result("attention_backward", a, s.zeros(engine.BFloat16, tokens*(width+2*kvWidth)), append(in, packed, do)...)
	r := &attentionReference{s.inputs[q], s.inputs[k], s.inputs[v], s.inputs[do], out, s.logSumExps(packed, tokens, a), a, cut, s.live}
	for i := range uint64(12) {
		at, h := int(rng.Mix(i)%uint64(s.live)), int(i)%a.Heads
		if i < 4 {
			at = []int{0, cut - 1, cut, s.live - 1}[i]
		}
		r.checkQuery(s, at, h, grads)
		r.checkKey(s, at, h%a.KVHeads, grads[tokens*width:], grads[tokens*(width+kvWidth):])
	}
}

// logSumExps are what a packed result holds behind the outputs.
func (s *shapeTest) logSumExps(packed *engine.Tensor, tokens int, a ops.Attention) []float32 {
	tail := engine.FromDType(engine.F32, tokens*a.Heads)
	copy(tail.Bytes(), s.bytes(packed)[2*tokens*a.Heads*a.HeadDim:])
	return engine.Slice[float32](tail)
}

// attentionReference computes single rows of attention in float64. Outputs and log-sum-exps that a gradient needs of other rows are the
// device's; those of the rows that are looked at are checked.
type attentionReference struct {
	q, k, v, do []engine.BF16
	out         []float64
	lse         []float32
	a           ops.Attention
	cut, live   int
}

// sees reports whether query i sees key j.
func (r *attentionReference) sees(i, j int) bool {
	if i < r.cut {
		return j <= i
	}
	return j < r.cut/2 || j >= r.cut && j <= i
}

func (r *attentionReference) row(x []engine.BF16, i, h, heads int) []engine.BF16 {
	return x[(i*heads+h)*r.a.HeadDim:][:r.a.HeadDim]
}

func (r *attentionReference) score(i, j, h int) float64 {
	d := r.a.HeadDim
	return dot(r.row(r.q, i, h, r.a.Heads), r.row(r.k, j, h*r.a.KVHeads/r.a.Heads, r.a.KVHeads), 1, 1, d) / math.Sqrt(float64(d))
}

// slope is the gradient of a score, and probability what the key weighs.
func (r *attentionReference) slope(i, j, h int) (slope, probability float64) {
	d, do := r.a.HeadDim, r.row(r.do, i, h, r.a.Heads)
	delta := 0.0
	for c, o := range r.out[(i*r.a.Heads+h)*d:][:d] {
		delta += o * float64(do[c].Float32())
	}
	probability = math.Exp(r.score(i, j, h) - float64(r.lse[i*r.a.Heads+h]))
	return probability * (dot(do, r.row(r.v, j, h*r.a.KVHeads/r.a.Heads, r.a.KVHeads), 1, 1, d) - delta) / math.Sqrt(float64(d)), probability
}

// checkQuery compares a query's output, its log-sum-exp and its gradient.
func (r *attentionReference) checkQuery(s *shapeTest, i, h int, dq []float64) {
	d, kv, sum := r.a.HeadDim, h*r.a.KVHeads/r.a.Heads, 0.0
	out, grad := make([]float64, d), make([]float64, d)
	for j := range r.live {
		if !r.sees(i, j) {
			continue
		}
		p := math.Exp(r.score(i, j, h))
		slope, _ := r.slope(i, j, h)
		sum += p
		for c := range d {
			out[c] += p * float64(r.row(r.v, j, kv, r.a.KVHeads)[c].Float32())
			grad[c] += slope * float64(r.row(r.k, j, kv, r.a.KVHeads)[c].Float32())
		}
	}
	s.near("log-sum-exp", math.Log(sum), float64(r.lse[i*r.a.Heads+h]), 1e-3)
	for c, at := 0, (i*r.a.Heads+h)*d; c < d; c++ {
		s.near("attention", out[c]/sum, r.out[at+c], 8e-3+math.Abs(out[c]/sum)/128)
		s.near("gradient of a query", grad[c], dq[at+c], 8e-3+math.Abs(grad[c])/64)
	}
}

// checkKey compares the gradients of a key and a value.
func (r *attentionReference) checkKey(s *shapeTest, j, kv int, dk, dv []float64) {
	d, group := r.a.HeadDim, r.a.Heads/r.a.KVHeads
	gradK, gradV := make([]float64, d), make([]float64, d)
	norm := 0.0
	for i := range r.live {
		if !r.sees(i, j) {
			continue
		}
		for h := kv * group; h < (kv+1)*group; h++ {
			slope, p := r.slope(i, j, h)
			norm += slope*slope + p*p
			for c := range d {
				gradK[c] += slope * float64(r.row(r.q, i, h, r.a.Heads)[c].Float32())
				gradV[c] += p * float64(r.row(r.do, i, h, r.a.Heads)[c].Float32())
			}
		}
	}
	for c, at := 0, (j*r.a.KVHeads+kv)*d; c < d; c++ {
		allowed := 4e-3 + math.Sqrt(norm)/64
		s.near("gradient of a key", gradK[c], dk[at+c], allowed+math.Abs(gradK[c])/64)
		s.near("gradient of a value", gradV[c], dv[at+c], allowed+math.Abs(gradV[c])/64)
	}
}
