package cpu

import (
	"math"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
)

const (
	keyBlock   = 64 // logical key positions between two rescalings of the online softmax
	queryChunk = 8  // tokens of one task
)

// attn holds one launch's view of an attention call.
type attn[T float] struct {
	ops.Attention
	segments
	capacity int // tokens
	scale    T
	q        []T
	k, v     [2][]T // by buffer
	out, lse []T    // the forward's result
}

// bind reads addresses and counts; nothing in it allocates.
func (a *attn[T]) bind(c engine.Call, packed *engine.Tensor) error {
	var err error
	if a.segments, err = readSegments(c); err != nil {
		return err
	}
	a.q = engine.Slice[T](c.In[0])
	a.k[ops.BufferBatch], a.v[ops.BufferBatch] = engine.Slice[T](c.In[1]), engine.Slice[T](c.In[2])
	if hasCache(c) {
		a.k[ops.BufferCache], a.v[ops.BufferCache] = engine.Slice[T](c.In[6]), engine.Slice[T](c.In[7])
	}
	n := a.capacity * a.Heads * a.HeadDim
	a.out, a.lse = engine.Slice[T](packed)[:n], engine.Slice[T](packed)[n:]
	return nil
}

func newAttn[T float](c engine.Call) *attn[T] {
	attr := c.Attr.(ops.Attention)
	return &attn[T]{Attention: attr, capacity: c.In[0].Shape()[0], scale: T(1 / math.Sqrt(float64(attr.HeadDim)))}
}

// query is row t's slice of head h in a tensor of query heads.
func (a *attn[T]) query(x []T, t, h int) []T { return x[(t*a.Heads+h)*a.HeadDim:][:a.HeadDim] }

// keyAt is row t's slice of the key/value head g.
func (a *attn[T]) keyAt(x []T, t, g int) []T { return x[(t*a.KVHeads+g)*a.HeadDim:][:a.HeadDim] }

func attention[T float](b *backend, c engine.Call) (engine.Launch, error) {
	a := newAttn[T](c)
	task := func(i int) {
		var o online[T]
		for t := i * queryChunk; t < min(a.tokens, (i+1)*queryChunk); t++ {
			s := a.of(t)
			for h := range a.Heads {
				a.forward(&o, s, t, h)
			}
		}
	}
	return func() error {
		if err := a.bind(c, c.Out); err != nil {
			return err
		}
		return b.pool.run(ceilDiv(a.tokens, queryChunk), task)
	}, nil
}

// online is the state of an online softmax over blocks of keys: out holds Σ e^(score−max)·value, sum Σ e^(score−max).
type online[T float] struct {
	out      []T
	max, sum T
	n        int // keys of the block so far
	scores   [keyBlock]T
	values   [keyBlock][]T
}

// forward computes head h of token t in segment s.
func (a *attn[T]) forward(o *online[T], s, t, h int) {
	o.out, o.max, o.sum, o.n = a.query(a.out, t, h), T(math.Inf(-1)), 0, 0
	clear(o.out)
	q, g := a.query(a.q, t, h), h*a.KVHeads/a.Heads
	block, base := 0, 0 // base: logical position of the range's first key
	for j := int(a.offsets[s]); j < int(a.offsets[s+1]); j++ {
		r := a.keys(j)
		lo, hi := r.visible(t - int(a.starts[s]))
		for lo < hi {
			at := base + lo - r.start
			if at/keyBlock != block {
				o.flush()
				block = at / keyBlock
			}
			end := min(hi, lo+keyBlock-at%keyBlock)
			a.score(o, q, a.k[r.buffer], a.v[r.buffer], lo, end, g)
			lo = end
		}
		base += r.end - r.start
	}
	o.flush()
	lse := T(math.Inf(-1))
	if o.sum != 0 { // it is 0 only if no key was visible
		for d := range o.out {
			o.out[d] /= o.sum
		}
		lse = o.max + T(math.Log(float64(o.sum)))
	}
	a.lse[t*a.Heads+h] = lse
}

// score adds the keys lo to hi to the block.
func (a *attn[T]) score(o *online[T], q, keys, values []T, lo, hi, g int) {
	for ; lo+4 <= hi; lo += 4 {
		var s [4]T
		dot4(q, a.keyAt(keys, lo, g), a.keyAt(keys, lo+1, g), a.keyAt(keys, lo+2, g), a.keyAt(keys, lo+3, g), &s)
		for i, v := range s {
			o.scores[o.n], o.values[o.n] = v*a.scale, a.keyAt(values, lo+i, g)
			o.n++
		}
	}
	for ; lo < hi; lo++ {
		o.scores[o.n], o.values[o.n] = dot(q, a.keyAt(keys, lo, g))*a.scale, a.keyAt(values, lo, g)
		o.n++
	}
}

// flush folds the block's keys into sum and out.
func (o *online[T]) flush() {
	if o.n == 0 {
		return
	}
	top := o.max
	for _, s := range o.scores[:o.n] {
		top = max(top, s)
	}
	shrink := exp(o.max - top)
	o.max, o.sum = top, o.sum*shrink
	for d := range o.out {
		o.out[d] *= shrink
	}
	for i, s := range o.scores[:o.n] {
		p := exp(s - top)
		o.scores[i] = p
		o.sum += p
	}
	i, p, v := 0, &o.scores, &o.values
	for ; i+4 <= o.n; i += 4 {
		axpy4(o.out, p[i], p[i+1], p[i+2], p[i+3], v[i], v[i+1], v[i+2], v[i+3])
	}
	for ; i < o.n; i++ {
		axpy(o.out, p[i], v[i])
	}
	o.n = 0
}

func attentionF32(b *backend, c engine.Call) (engine.Launch, error) {
	if c.Attr.(ops.Attention).Pairs {
		return portableAttentionBF16(b, c)
	}
	return attention[float32](b, c)
}
