package cpu

import (
	"math"
	"unsafe"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
)

// attentionBF16 is attention whose products are of pairs of bf16, the specification of every other kernel's bits. The logical sequence of a
// segment's keys is cut into blocks of keyBlock. A block's scores are chains of addPair along the head dimension; its probabilities,
// in f32 of these scores, are rounded to bf16, denormals to 0, before they meet the values in chains of addPair along the block.
// Output and log-sum-exp are those of the online softmax over blocks, with one rounding an operation. Tensors in f32 are rounded before,
// and the output is not.
type attentionBF16 struct {
	ops.Attention
	segments
	scale float32
	wide  bool // tensors are f32
	q     []engine.BF16
	k, v  [2][]engine.BF16 // by buffer
	out   []engine.BF16
	out32 []float32
	lse   []float32
}

// onlineBF16 is the state of one query, and the block that it sees.
type onlineBF16 struct {
	acc      [256]float32 // of heads that are no larger
	max, sum float32
	any      bool
	scores   [keyBlock]float32
	values   [keyBlock][]engine.BF16 // nil: not seen
}

func portableAttentionBF16(b *backend, c engine.Call) (engine.Launch, error) {
	attr := c.Attr.(ops.Attention)
	a := &attentionBF16{Attention: attr, scale: float32(1 / math.Sqrt(float64(attr.HeadDim))), wide: c.Out.Dtype() == engine.F32}
	task := func(i int) {
		var o onlineBF16
		for t := i * queryChunk; t < min(a.tokens, (i+1)*queryChunk); t++ {
			for h := range a.Heads {
				a.forward(&o, t, h)
			}
		}
	}
	return func() error {
		var err error
		if a.segments, err = readSegments(c); err != nil {
			return err
		}
		a.q = a.rounded(a.q, c.In[0])
		a.k[ops.BufferBatch], a.v[ops.BufferBatch] = a.rounded(a.k[ops.BufferBatch], c.In[1]), a.rounded(a.v[ops.BufferBatch], c.In[2])
		if hasCache(c) {
			a.k[ops.BufferCache], a.v[ops.BufferCache] = a.rounded(a.k[ops.BufferCache], c.In[6]), a.rounded(a.v[ops.BufferCache], c.In[7])
		}
		if n := c.In[0].Size(); a.wide {
			all := engine.Slice[float32](c.Out)
			a.out32, a.lse = all[:n], all[n:]
		} else {
			a.out, a.lse = packedBF16(c.Out, n)
		}
		return b.pool.run(ceilDiv(a.tokens, queryChunk), task)
	}, nil
}

// rounded are a tensor's numbers; of f32 in memory that is made once.
func (a *attentionBF16) rounded(memory []engine.BF16, t *engine.Tensor) []engine.BF16 {
	if !a.wide {
		return elementsBF16(t)
	}
	if memory == nil {
		memory = make([]engine.BF16, t.Size())
	}
	roundPortably(memory, engine.Slice[float32](t))
	return memory
}

// forward computes head h of token t.
func (a *attentionBF16) forward(o *onlineBF16, t, h int) {
	s, at := a.of(t), (t*a.Heads+h)*a.HeadDim
	q, g := a.q[at:][:a.HeadDim], h*a.KVHeads/a.Heads
	acc := o.acc[:]
	if a.HeadDim > len(acc) {
		acc = make([]float32, a.HeadDim)
	}
	acc = acc[:a.HeadDim]
	clear(acc)
	o.max, o.sum = float32(math.Inf(-1)), 0
	o.empty()
	base := 0 // logical position of the range's first key
	for j := int(a.offsets[s]); j < int(a.offsets[s+1]); j++ {
		r := a.keys(j)
		lo, hi := r.visible(t - int(a.starts[s]))
		for row := r.start; row < r.end; row++ {
			position := base + row - r.start
			if row >= lo && row < hi {
				at := (row*a.KVHeads + g) * a.HeadDim
				o.any = true
				o.scores[position%keyBlock] = chainBF16(q, a.k[r.buffer][at:][:a.HeadDim]) * a.scale
				o.values[position%keyBlock] = a.v[r.buffer][at:][:a.HeadDim]
			}
			if position%keyBlock == keyBlock-1 {
				o.flush(acc)
			}
		}
		base += r.end - r.start
	}
	o.flush(acc)
	inverse := float32(0)
	a.lse[t*a.Heads+h] = float32(math.Inf(-1))
	if o.sum != 0 {
		inverse, a.lse[t*a.Heads+h] = 1/o.sum, o.max+float32(math.Log(float64(o.sum)))
	}
	for d, v := range acc {
		if a.wide {
			a.out32[at+d] = v * inverse
		} else {
			a.out[at+d] = engine.ToBF16(v * inverse)
		}
	}
}

func chainBF16(x, y []engine.BF16) float32 {
	var sum float32
	for i := 0; i+1 < len(x); i += 2 {
		sum = addPair(sum, [2]engine.BF16(x[i:]), [2]engine.BF16(y[i:]))
	}
	if n := len(x); n%2 == 1 {
		sum = addPair(sum, [2]engine.BF16{x[n-1]}, [2]engine.BF16{y[n-1]})
	}
	return sum
}

func (o *onlineBF16) empty() {
	o.any = false
	clear(o.values[:])
	for i := range o.scores {
		o.scores[i] = float32(math.Inf(-1))
	}
}

// flush folds the block into the sum and acc, one element for each of the head.
func (o *onlineBF16) flush(acc []float32) {
	if !o.any {
		return
	}
	top := o.max
	for _, s := range o.scores {
		top = max(top, s)
	}
	all := max(top, -math.MaxFloat32)
	shrink := expAsVectors(o.max - all)
	var lanes [8]float32
	var p [keyBlock]engine.BF16
	for i, s := range o.scores {
		e := expAsVectors(s - all)
		lanes[i%8] += e
		p[i] = engine.ToBF16(flushed(e))
	}
	o.max, o.sum = top, float32(o.sum*shrink)+acrossLanes(lanes)
	for d := range acc {
		var sum float32
		for i := 0; i < keyBlock; i += 2 {
			sum = addPair(sum, [2]engine.BF16(p[i:]), [2]engine.BF16{o.value(i, d), o.value(i+1, d)})
		}
		acc[d] = float32(acc[d]*shrink) + sum
	}
	o.empty()
}

func (o *onlineBF16) value(key, d int) engine.BF16 {
	if o.values[key] == nil {
		return 0
	}
	return o.values[key][d]
}

// acrossLanes adds lanes i and i+4, then i and i+2, then the two that are left.
func acrossLanes(v [8]float32) float32 {
	for half := 4; half > 0; half /= 2 {
		for i := range half {
			v[i] += v[i+half]
		}
	}
	return v[0]
}

// packedBF16 splits attention's packed result: n outputs, and the log-sum-exps in f32 behind them.
func packedBF16(t *engine.Tensor, n int) ([]engine.BF16, []float32) {
	all := elementsBF16(t)
	if len(all) == n {
		return all, nil
	}
	return all[:n], floatsAt(t.Bytes()[2*n:])
}

// floatsAt sees bytes as float32; x86 and arm64 read them wherever they lie.
func floatsAt(b []byte) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
}
