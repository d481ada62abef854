package compliance

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"gorgonia.org/tensor"
)

// A layout says what the segments of a packed batch attend to.
type layout struct {
	name   string
	starts []int        // of the segments, and the end
	ranges [][][5]int32 // of each segment
	cache  int          // rows; 0: no cache
}

func (l *layout) tokens() int { return l.starts[len(l.starts)-1] }

func causalRange(from, to int) [5]int32 {
	return [5]int32{ops.BufferBatch, int32(from), int32(to), ops.MaskCausal, 0}
}

func fullRange(buffer, from, to int) [5]int32 {
	return [5]int32{int32(buffer), int32(from), int32(to), ops.MaskFull, 0}
}

// packed is segments of the given lengths, each causal within itself.
func packed(lengths ...int) *layout {
	l := &layout{name: "causal", starts: []int{0}}
	for _, n := range lengths {
		from := l.tokens()
		l.starts = append(l.starts, from+n)
		l.ranges = append(l.ranges, [][5]int32{causalRange(from, from+n)})
	}
	return l
}

// bidirectional is segments of the given lengths whose tokens all see each other, as in BERT.
func bidirectional(lengths ...int) *layout {
	l := packed(lengths...)
	l.name = "bidirectional"
	for s := range l.ranges {
		l.ranges[s][0][3] = ops.MaskFull
	}
	return l
}

// tree has a prefix of 70 tokens, two children (20 and 5) and a grandchild of the first (30).
func tree() *layout {
	l := packed(70, 20, 5, 30)
	l.name = "tree"
	l.ranges[1] = slices.Insert(l.ranges[1], 0, fullRange(ops.BufferBatch, 0, 70))
	l.ranges[2] = slices.Insert(l.ranges[2], 0, fullRange(ops.BufferBatch, 0, 70))
	l.ranges[3] = slices.Insert(l.ranges[3], 0, fullRange(ops.BufferBatch, 0, 70), fullRange(ops.BufferBatch, 70, 90))
	return l
}

func windowed(window int) *layout {
	l := packed(150, 7, 65)
	l.name = fmt.Sprintf("window %d", window)
	for s := range l.ranges {
		l.ranges[s][0][3], l.ranges[s][0][4] = ops.MaskWindow, int32(window)
	}
	return l
}

func cached() *layout {
	l := packed(9, 66, 3)
	l.name, l.cache = "cache", 75
	l.ranges[0] = slices.Insert(l.ranges[0], 0, fullRange(ops.BufferCache, 0, 75))
	l.ranges[1] = slices.Insert(l.ranges[1], 0, fullRange(ops.BufferCache, 3, 20), fullRange(ops.BufferCache, 40, 41))
	return l
}

// blind has segments that see nothing, nothing but others, and an empty one.
func blind() *layout {
	l := packed(3, 4, 0, 2)
	l.name = "blind"
	l.ranges[0] = nil
	l.ranges[1] = [][5]int32{fullRange(ops.BufferBatch, 2, 2), fullRange(ops.BufferBatch, 7, 9)}
	return l
}

var headShapes = []ops.Attention{{Heads: 1, KVHeads: 1, HeadDim: 16}, {Heads: 2, KVHeads: 1, HeadDim: 64},
	{Heads: 10, KVHeads: 2, HeadDim: 32}, {Heads: 7, KVHeads: 1, HeadDim: 80}, {Heads: 2, KVHeads: 2, HeadDim: 128}}

// small layouts have several blocks of keys all the same: what a slow device can take.
func small() []*layout {
	branch := packed(40, 50)
	branch.name = "small tree"
	branch.ranges[1] = slices.Insert(branch.ranges[1], 0, fullRange(ops.BufferBatch, 0, 40))
	window := packed(90)
	window.name, window.ranges[0][0][3], window.ranges[0][0][4] = "small window", ops.MaskWindow, 30
	return []*layout{packed(3, 70), branch, window}
}

func long() *layout {
	l := packed(140) // a third block, for rings of two
	l.name = "three blocks"
	return l
}

func attentionKases(l *layout, shape ops.Attention) []testCase {
	name := fmt.Sprintf("%s of %d/%d,%d,%d", l.name, l.tokens(), shape.Heads, shape.KVHeads, shape.HeadDim)
	return []testCase{
		{name, func(m *maker) *call { return m.attention(l, shape, m.drawAttention(l, shape)) }},
		{name, func(m *maker) *call { return m.attentionBackward(l, shape, m.drawAttention(l, shape)) }},
	}
}

func attentionCases() []testCase {
	var all []testCase
	add := func(l *layout, shape ops.Attention) { all = append(all, attentionKases(l, shape)...) }
	add(long(), ops.Attention{Heads: 2, KVHeads: 1, HeadDim: 4})
	for _, l := range small() {
		add(l, ops.Attention{Heads: 4, KVHeads: 2, HeadDim: 4})
	}
	for _, l := range []*layout{packed(1), packed(1, 17, 65, 3, 130), bidirectional(1, 17, 65, 3, 130), tree(), windowed(33), windowed(1),
		cached(), blind()} {
		for _, shape := range headShapes {
			add(l, shape)
		}
	}
	return all
}

// tensorCoreAttention is of heads that tensor-core kernels are made for, with segments about their tiles and rings of stages;
// unless all, a few.
func tensorCoreAttention(all bool) []testCase {
	two, wide := ops.Attention{Heads: 2, KVHeads: 1, HeadDim: 64}, ops.Attention{Heads: 2, KVHeads: 1, HeadDim: 128}
	deep := packed(3) // many blocks of keys for few queries
	deep.name, deep.cache = "deep cache", 450
	deep.ranges[0] = slices.Insert(deep.ranges[0], 0, fullRange(ops.BufferCache, 0, 450))
	cases := slices.Concat(attentionKases(packed(300), two), attentionKases(tree(), two), attentionKases(cached(), wide),
		attentionKases(deep, ops.Attention{Heads: 1, KVHeads: 1, HeadDim: 64}))
	if !all {
		return cases
	}
	for _, l := range []*layout{packed(1), packed(1, 17, 65, 3, 130), bidirectional(64, 140), windowed(33), windowed(1), cached(), blind()} {
		for _, shape := range []ops.Attention{two, wide, {Heads: 4, KVHeads: 2, HeadDim: 64}, {Heads: 2, KVHeads: 2, HeadDim: 128}} {
			cases = append(cases, attentionKases(l, shape)...)
		}
	}
	return cases
}

// qkv holds an attention's inputs; the cache's are nil without one.
type qkv struct{ q, k, v, dout, ck, cv value }

func (m *maker) drawAttention(l *layout, a ops.Attention) *qkv {
	kv := a.KVHeads * a.HeadDim
	x := &qkv{q: m.perRow(1, l.tokens(), a.Heads*a.HeadDim), k: m.perRow(1, l.tokens(), kv), v: m.perRow(1, l.tokens(), kv),
		dout: m.perRow(1, l.tokens(), a.Heads*a.HeadDim)}
	if l.cache > 0 {
		x.ck, x.cv = m.fixed(m.dtype, 1, l.cache, kv), m.fixed(m.dtype, 1, l.cache, kv)
	}
	return x
}

// inputs are the op's first six or eight; dead segments and ranges are garbage.
func (m *maker) inputs(l *layout, x *qkv) []value {
	cu, offsets, ranges := value{dtype: engine.I32}, value{dtype: engine.I32, ints: []int32{0}}, value{dtype: engine.I32}
	for _, at := range l.starts {
		cu.ints = append(cu.ints, int32(at))
	}
	n := 0
	for _, keys := range l.ranges {
		n += len(keys)
		offsets.ints = append(offsets.ints, int32(n))
		for _, r := range keys {
			ranges.ints = append(ranges.ints, r[:]...)
		}
	}
	for range m.spare + 1 { // one more range than are used, whatever the capacity: none is a legal count too
		ranges.ints = append(ranges.ints, -9, -9, 1<<30, 77, -9)
	}
	ranges.shape = []int{len(ranges.ints) / ops.RangeLen, ops.RangeLen}
	in := []value{x.q, x.k, x.v, m.deadInts(cu), m.deadInts(offsets), ranges}
	if l.cache > 0 {
		in = append(in, x.ck, x.cv)
	}
	return in
}

func (m *maker) attention(l *layout, a ops.Attention, x *qkv) *call {
	capacity := l.tokens() + m.spare
	rows := l.tokens() * a.Heads
	return &call{op: "attention", attr: a, rows: engine.Tokens, live: m.counts(l.tokens(), len(l.ranges), 1), in: m.inputs(l, x),
		out: m.packed(capacity*a.Heads*a.HeadDim, capacity*a.Heads), want: func() []float64 {
			y := unspecified(capacity*a.Heads*a.HeadDim + capacity*a.Heads)
			out, lse := naiveAttention(l, a, x)
			copy(y, out)
			copy(y[capacity*a.Heads*a.HeadDim:], lse[:rows])
			return y
		}}
}

// packed is an attention's result: n numbers of the compute dtype, then the log-sum-exps.
func (m *maker) packed(n, lse int) value {
	v := m.result(n + ops.LSELen(m.dtype, lse))
	v.tail = lse
	return v
}

func (m *maker) attentionBackward(l *layout, a ops.Attention, x *qkv) *call {
	capacity := l.tokens() + m.spare
	nq, nk := capacity*a.Heads*a.HeadDim, capacity*a.KVHeads*a.HeadDim
	out, lse := naiveAttention(l, a, x)
	forward := m.packed(nq, capacity*a.Heads)
	forward.floats = unspecified(nq + capacity*a.Heads)
	for i, v := range out {
		forward.floats[i] = round(v, m.dtype)
	}
	for i, v := range lse {
		forward.floats[nq+i] = round(v, m.param())
	}
	return &call{op: "attention_backward", attr: a, rows: engine.Tokens, live: m.counts(l.tokens(), len(l.ranges), 1),
		in: append(m.inputs(l, x), forward, x.dout), out: m.result(nq + 2*nk), want: func() []float64 {
			y := unspecified(nq + 2*nk)
			dq, dk, dv := naiveAttentionBackward(l, a, x)
			copy(y, dq)
			copy(y[nq:], dk)
			copy(y[nq+nk:], dv)
			return y
		}}
}

// key is one key that a query sees: the offset of its head's slice in a buffer.
type key struct{ buffer, at int }

// eachRow calls f for every query row and head with what it sees, as the ops page says it, key by key.
func eachRow(l *layout, a ops.Attention, f func(q int, seen []key)) {
	for s, keys := range l.ranges {
		for t := l.starts[s]; t < l.starts[s+1]; t++ {
			i := int32(t - l.starts[s])
			for h := range a.Heads {
				var seen []key
				for _, r := range keys {
					for at := r[1]; at < r[2]; at++ {
						offset := at - r[1]
						if r[3] == ops.MaskFull || r[3] == ops.MaskCausal && offset <= i || r[3] == ops.MaskWindow && 0 <= i-offset && i-offset < r[4] {
							seen = append(seen, key{int(r[0]), (int(at)*a.KVHeads + h*a.KVHeads/a.Heads) * a.HeadDim})
						}
					}
				}
				f(t*a.Heads+h, seen)
			}
		}
	}
}

// probabilities is the softmax over the seen keys, and its log-sum-exp.
func (x *qkv) probabilities(a ops.Attention, row int, seen []key) (p []float64, lse float64) {
	top := math.Inf(-1)
	for _, k := range seen {
		s := 0.0
		for d := range a.HeadDim {
			s += x.q.floats[row*a.HeadDim+d] * x.keys(k.buffer)[k.at+d]
		}
		p = append(p, s/math.Sqrt(float64(a.HeadDim)))
		top = max(top, p[len(p)-1])
	}
	var sum float64
	for i := range p {
		p[i] = math.Exp(p[i] - top)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p, top + math.Log(sum)
}

func (x *qkv) keys(buffer int) []float64 {
	return [][]float64{ops.BufferBatch: x.k.floats, ops.BufferCache: x.ck.floats}[buffer]
}

func (x *qkv) values(buffer int) []float64 {
	return [][]float64{ops.BufferBatch: x.v.floats, ops.BufferCache: x.cv.floats}[buffer]
}

func naiveAttention(l *layout, a ops.Attention, x *qkv) (out, lse []float64) {
	out, lse = make([]float64, l.tokens()*a.Heads*a.HeadDim), make([]float64, l.tokens()*a.Heads)
	eachRow(l, a, func(row int, seen []key) {
		if len(seen) == 0 {
			lse[row] = math.Inf(-1)
			return
		}
		p, top := x.probabilities(a, row, seen)
		lse[row] = top
		for i, k := range seen {
			for d := range a.HeadDim {
				out[row*a.HeadDim+d] += p[i] * x.values(k.buffer)[k.at+d]
			}
		}
	})
	return out, lse
}

func naiveAttentionBackward(l *layout, a ops.Attention, x *qkv) (dq, dk, dv []float64) {
	nk := l.tokens() * a.KVHeads * a.HeadDim
	dq, dk, dv = make([]float64, l.tokens()*a.Heads*a.HeadDim), make([]float64, nk), make([]float64, nk)
	eachRow(l, a, func(row int, seen []key) {
		p, _ := x.probabilities(a, row, seen)
		dout := x.dout.floats[row*a.HeadDim:][:a.HeadDim]
		dp, mean := make([]float64, len(seen)), 0.0
		for i, k := range seen {
			for d, v := range dout {
				dp[i] += v * x.values(k.buffer)[k.at+d]
			}
			mean += p[i] * dp[i]
		}
		for i, k := range seen {
			ds := p[i] * (dp[i] - mean) / math.Sqrt(float64(a.HeadDim))
			for d, v := range dout {
				dq[row*a.HeadDim+d] += ds * x.keys(k.buffer)[k.at+d]
				if k.buffer == ops.BufferBatch {
					dk[k.at+d] += ds * x.q.floats[row*a.HeadDim+d]
					dv[k.at+d] += p[i] * v
				}
			}
		}
	})
	return dq, dk, dv
}

// attentionPacking: a segment's rows are the same bits alone, packed, as a tree's branch, and behind a cached prefix.
func attentionPacking(t *testing.T, d device, dtype tensor.Dtype) {
	for _, a := range headShapes {
		m := newMaker(99, 0, dtype)
		wide, narrow := a.Heads*a.HeadDim, a.KVHeads*a.HeadDim
		check := func(what string, batch *layout, x *qkv, from, to int, other *layout, y *qkv, at int) {
			t.Helper()
			n, k := to-from, batch.tokens()
			got, want := d.run(t, m.attention(batch, a, x), placement{}), d.run(t, m.attention(other, a, y), placement{})
			requireSameBits(t, what, want[at*wide:(at+n)*wide], got[from*wide:to*wide])
			requireSameBits(t, what+", log-sum-exp", want[other.tokens()*wide+at*a.Heads:][:n*a.Heads], got[k*wide+from*a.Heads:to*a.Heads+k*wide])
		}
		rows := func(v value, width int, parts ...[2]int) value {
			var picked []float64
			for _, p := range parts {
				picked = append(picked, v.floats[p[0]*width:p[1]*width]...)
			}
			v.floats, v.shape = picked, []int{len(picked) / width, width}
			return v
		}
		pick := func(x *qkv, parts ...[2]int) *qkv {
			return &qkv{q: rows(x.q, wide, parts...), k: rows(x.k, narrow, parts...), v: rows(x.v, narrow, parts...),
				dout: rows(x.dout, wide, parts...)}
		}

		both := bidirectional(1, 17, 65, 3, 130)
		x := m.drawAttention(both, a)
		for s := range both.ranges {
			from, to := both.starts[s], both.starts[s+1]
			check("bidirectional segment alone", both, x, from, to, bidirectional(to-from), pick(x, [2]int{from, to}), 0)
		}

		batch := packed(1, 17, 65, 3, 130)
		x = m.drawAttention(batch, a)
		for s := range batch.ranges {
			from, to := batch.starts[s], batch.starts[s+1]
			alone, y := packed(to-from), pick(x, [2]int{from, to})
			check("segment alone", batch, x, from, to, alone, y, 0)
			got, want := d.run(t, m.attentionBackward(batch, a, x), placement{}), d.run(t, m.attentionBackward(alone, a, y), placement{})
			all, n := batch.tokens(), to-from
			requireSameBits(t, "dq alone", want[:n*wide], got[from*wide:to*wide])
			requireSameBits(t, "dk alone", want[n*wide:][:n*narrow], got[all*wide+from*narrow:][:n*narrow])
			requireSameBits(t, "dv alone", want[n*wide+n*narrow:], got[all*(wide+narrow)+from*narrow:][:n*narrow])
		}

		branches := tree()
		x = m.drawAttention(branches, a)
		check("second child of a tree", branches, x, 90, 95, packed(75), pick(x, [2]int{0, 70}, [2]int{90, 95}), 70)
		check("grandchild of a tree", branches, x, 95, 125, packed(120), pick(x, [2]int{0, 90}, [2]int{95, 125}), 90)

		whole := packed(120)
		x = m.drawAttention(whole, a)
		rest := packed(50)
		rest.cache, rest.ranges[0] = 70, slices.Insert(rest.ranges[0], 0, fullRange(ops.BufferCache, 0, 70))
		y := pick(x, [2]int{70, 120})
		y.ck, y.cv = rows(x.k, narrow, [2]int{0, 70}), rows(x.v, narrow, [2]int{0, 70})
		check("behind a cached prefix", whole, x, 70, 120, rest, y, 0)
	}
}
