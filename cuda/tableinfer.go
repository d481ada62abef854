//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
)

// logitThreads is what kernels/vocabulary.cu calls LOGIT_THREADS.
const logitThreads = 256

// dropout's factor is rounded as the compute dtype's arithmetic takes it.
func dropout(b *builder) ([]step, error) {
	a, capacity, width := b.Attr.(ops.Dropout), b.In[0].Shape()[0], b.In[0].Shape()[1]
	scale := 1 / (1 - a.P)
	if b.compute != engine.F64 {
		scale = float64(float32(scale))
	}
	return b.one("dropout"+suffix(b.compute), capacity, 1, rowThreads, 0,
		b.outAndIn(b.In, bound{}, capacity, width, a.Salt, uint64(a.P*(1<<32)), scale)...)
}

func layernorm(b *builder) ([]step, error) {
	capacity, width := b.In[0].Shape()[0], b.In[0].Shape()[1]
	return b.one("layernorm"+suffix(b.compute), capacity, 1, rowThreads, 2*8*rowThreads/32,
		b.outAndIn(b.In, bound{}, capacity, width, b.Attr.(ops.LayerNorm).Eps)...)
}

func gelu(b *builder) ([]step, error) {
	if b.Attr.(ops.GELU).Tanh {
		return b.unaryOf("gelu_tanh")
	}
	return b.unaryOf("gelu")
}

// unaryOf calls a kernel that is a function of one element.
func (b *builder) unaryOf(name string) ([]step, error) {
	capacity, width := b.In[0].Shape()[0], b.In[0].Shape()[1]
	return b.one(name+suffix(b.compute), ceilDiv(capacity*width, each), 1, eachThreads, 0, b.outAndIn(b.In, bound{}, capacity, width)...)
}

func pool(b *builder) ([]step, error) {
	greatest := 0
	if b.Attr.(ops.Pool).Max {
		greatest = 1
	}
	capacity, width, tokens := b.Out.Shape()[0], b.Out.Shape()[1], b.In[0].Shape()[0]
	return b.one("pool"+suffix(b.compute), capacity, 1, rowThreads, 0, b.outAndIn(b.In, bound{}, capacity, width, tokens, greatest)...)
}

// cacheWrite's pairs are all launched; those that are none end at once.
func cacheWrite(b *builder) ([]step, error) {
	tokens, width, pairs, rows := b.In[0].Shape()[0], b.In[0].Shape()[1], b.In[1].Shape()[0], b.Out.Shape()[0]
	return b.one("cache_write"+suffix(b.compute), pairs, 1, rowThreads, 0, b.outAndIn(b.In, bound{}, pairs, width, tokens, rows)...)
}

func logProbBlock(b *builder) ([]step, error) {
	var state any
	if len(b.In) == 3 {
		state = b.In[2]
	}
	capacity, width := b.In[0].Shape()[0], b.In[0].Shape()[1]
	return b.one("log_prob_block"+suffix(b.compute), capacity, 1, logitThreads, 2*8*logitThreads/32,
		b.Out, b.In[0], b.In[1], state, bound{}, capacity, width, b.Attr.(ops.LogProbBlock).From)
}
