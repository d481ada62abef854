//go:build amd64 && !noasm

package cpu

import (
	"math"
	"unsafe"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
)

// tiledAttentionBackward recomputes probabilities from the log-sum-exp twice: by rows of queries for dq, then by rows of
// keys for dk and dv. A key's sums run over segments, their ranges, the heads of its group and blocks of keyBlock
// queries cut at fixed offsets in the segment, in that order, whatever task the key falls into.
type tiledAttentionBackward struct {
	*tiledAttention
	dout, dq, dk, dv *float32
	delta            []float32 // [capacity, heads]: dout·out
	blockKeys        int       // keys of one task
	queryWork        func(worker, piece int)
	keyWork          func(worker, piece int)
}

func (s *scratch) attentionBackward(b *backend, c engine.Call) (engine.Launch, error) {
	forward := s.newAttention(b, c)
	if forward == nil {
		return nil, nil
	}
	a := &tiledAttentionBackward{tiledAttention: forward, delta: make([]float32, forward.capacity*forward.Heads)}
	a.queryWork, a.keyWork = a.queryGradients, a.keyGradients
	return func() error {
		if err := a.bind(c, c.In[len(c.In)-2]); err != nil {
			return err
		}
		a.dout, a.dq = (*float32)(c.In[len(c.In)-1].Ptr), (*float32)(c.Out.Ptr)
		a.dk = offset(a.dq, c.In[0].Size())
		a.dv = offset(a.dk, c.In[1].Size())
		if err := a.crew.run(len(a.blocks)*a.KVHeads, a.queryWork); err != nil {
			return err
		}
		pieces, stripRows := 8*len(a.spaces), a.set.mr
		a.blockKeys = min(blockRows/2, max(8*stripRows, roundUp(ceilDiv(a.tokens*a.KVHeads, pieces), stripRows)))
		return a.crew.run(ceilDiv(a.tokens, a.blockKeys)*a.KVHeads, a.keyWork)
	}, nil
}

// queryGradients computes dq of one block of queries for the heads that share a key/value head.
func (a *tiledAttentionBackward) queryGradients(worker, piece int) {
	w, b, g := a.spaces[worker], a.blocks[piece/a.KVHeads], piece%a.KVHeads
	a.packQueries(w, w.rowsA[0], a.q, b, g)
	a.packQueries(w, w.rowsA[1], unsafe.Pointer(a.dout), b, g)
	stripRows, d := a.set.mr, a.HeadDim
	perHead := ceilDiv(b.count, stripRows)
	strips := perHead * a.group
	acc := w.rowsB[0][:strips*stripRows*a.width]
	clear(acc)
	a.rowStatistics(w, b, g)
	for c := a.keysOf(b.segment); a.next(&c, &w.keys, g); {
		if w.keys.none(b.first, b.first+b.count-1) {
			continue
		}
		a.packAcross(&w.across[0][0], &w.keys.k, w.keys.n, d)
		a.packAcross(&w.across[1][0], &w.keys.v, w.keys.n, d)
		a.packAlong(&w.along[0][0], &w.keys.k, w.keys.n, d)
		for i := range strips {
			first := b.first + i%perHead*stripRows
			count := min(stripRows, b.first+b.count-first)
			if w.keys.none(first, first+count-1) {
				continue
			}
			seen := a.see(w, w.rowsA[0][i*stripRows*d:], first, first+count-1)
			a.scores(w.dp, w.rowsA[1][i*stripRows*d:], w.across[1], seen)
			a.set.slopesByRow(&w.s[0], &w.dp[0], a.scale, &w.lse[i*a.set.lanes], &w.delta[i*a.set.lanes])
			a.accumulate(acc[i*stripRows*a.width:], w.dp, w.along[0], seen, w.keys.n, &ones[0])
		}
	}
	for i := range strips {
		first, h := b.first+i%perHead*stripRows, g*a.group+i/perHead
		for r := range min(stripRows, b.first+b.count-first) {
			at := (int(a.starts[b.segment])+first+r)*a.Heads + h
			copy(unsafe.Slice(offset(a.dq, at*d), d), acc[(i*stripRows+r)*a.width:])
		}
	}
}

// rowStatistics gathers the log-sum-exp of a block's rows and computes their δ.
func (a *tiledAttentionBackward) rowStatistics(w *attentionSpace, b queryBlock, g int) {
	stripRows, d := a.set.mr, a.HeadDim
	perHead := ceilDiv(b.count, stripRows)
	for h := range a.group {
		for i := range b.count {
			at := (int(a.starts[b.segment])+b.first+i)*a.Heads + g*a.group + h
			delta := float32(vecSumProducts(offset(a.dout, at*d), (*float32)(a.element(a.out, at*d)), d/8))
			a.delta[at] = delta
			lse := *offset(a.lse, at)
			if math.IsInf(float64(lse), -1) {
				lse = 0 // a row without keys: its scores are −Inf and must stay it
			}
			slot := (h*perHead+i/stripRows)*a.set.lanes + i%stripRows
			w.lse[slot], w.delta[slot] = lse, delta
		}
	}
}

// keyGradients computes dk and dv of a block of the batch's keys, of one key/value head.
func (a *tiledAttentionBackward) keyGradients(worker, piece int) {
	w, g := a.spaces[worker], piece%a.KVHeads
	from := piece / a.KVHeads * a.blockKeys
	to := min(a.tokens, from+a.blockKeys)
	for t := from; t < to; t++ {
		at := (t*a.KVHeads + g) * a.HeadDim
		clear(unsafe.Slice(offset(a.dk, at), a.HeadDim))
		clear(unsafe.Slice(offset(a.dv, at), a.HeadDim))
	}
	for s := range a.count() {
		for j := int(a.offsets[s]); j < int(a.offsets[s+1]); j++ {
			r := a.keys(j)
			if r.buffer != ops.BufferBatch || r.start >= to || r.end <= from {
				continue
			}
			a.rangeGradients(w, s, r, max(from, r.start), min(to, r.end), g)
		}
	}
}

// rangeGradients adds what segment s gives the keys from to to of range r.
func (a *tiledAttentionBackward) rangeGradients(w *attentionSpace, s int, r keyRange, from, to, g int) {
	stripRows, d, start, n := a.set.mr, a.HeadDim, int(a.starts[s]), int(a.starts[s+1]-a.starts[s])
	keys := matrix{ptr: a.element(a.k[0], g*d), ld: a.KVHeads * d, alongK: true}
	a.set.packA(&w.workspace, &w.rowsA[0][0], &keys, from, to-from, 0, d)
	keys.ptr = a.element(a.v[0], g*d)
	a.set.packA(&w.workspace, &w.rowsA[1][0], &keys, from, to-from, 0, d)
	strips := ceilDiv(to-from, stripRows)
	size := stripRows * a.width
	clear(w.rowsB[0][:strips*size])
	clear(w.rowsB[1][:strips*size])
	for h := g * a.group; h < (g+1)*a.group; h++ {
		for first := 0; first < n; first += keyBlock {
			count := min(keyBlock, n-first)
			w.sightOf(r, from-r.start, to-from, stripRows)
			if w.row.none(first, first+count-1) {
				continue
			}
			a.packQueryBlock(w, start+first, count, h)
			for i := range w.query {
				w.query[i] = int32(first + i)
			}
			for i := range strips {
				at, rows := from+i*stripRows-r.start, min(stripRows, to-from-i*stripRows)
				w.sightOf(r, at, rows, stripRows)
				if w.row.none(first, first+count-1) {
					continue
				}
				a.scores(w.s, w.rowsA[0][i*stripRows*d:], w.across[0], count)
				a.scores(w.dp, w.rowsA[1][i*stripRows*d:], w.across[1], count)
				if !w.row.all(first, first+count-1) {
					a.set.hideByColumn(&w.s[0], &w.row.from[0], &w.row.until[0], &w.query[0])
				}
				a.set.slopesByColumn(&w.s[0], &w.dp[0], a.scale, &w.lse[0], &w.delta[0])
				a.accumulate(w.rowsB[0][i*size:], w.dp, w.along[0], count, count, &ones[0])
				a.accumulate(w.rowsB[1][i*size:], w.s, w.along[1], count, count, &ones[0])
			}
		}
	}
	for i := range to - from {
		at := ((from+i)*a.KVHeads + g) * d
		vecAdd(offset(a.dk, at), offset(a.dk, at), &w.rowsB[0][i*a.width], 1, d/8)
		vecAdd(offset(a.dv, at), offset(a.dv, at), &w.rowsB[1][i*a.width], 1, d/8)
	}
}

// sightOf describes the n keys from an offset into a range on. Of more than a strip only the bounds are right: those of
// the first and the last key, since keys further on in a range are seen no earlier and no shorter.
func (w *attentionSpace) sightOf(r keyRange, from, n, strip int) {
	w.row.reset()
	w.row.set(0, from+n-1, r)
	for i := range min(n, strip) {
		w.row.set(i, from+i, r)
	}
}

// packQueryBlock packs queries and their gradients both ways, and gathers their statistics; those that are missing to a
// full block have log-sum-exp +Inf, so their probabilities are 0.
func (a *tiledAttentionBackward) packQueryBlock(w *attentionSpace, from, count, h int) {
	for i := range roundUp(count, a.set.nr) {
		w.list[0][i], w.list[1][i] = unsafe.Pointer(&zeros), unsafe.Pointer(&zeros)
		if i < count {
			at := ((from+i)*a.Heads + h) * a.HeadDim
			w.list[0][i], w.list[1][i] = a.element(a.q, at), unsafe.Pointer(offset(a.dout, at))
		}
	}
	for i := range w.list {
		a.packAcross(&w.across[i][0], &w.list[i], count, a.HeadDim)
		a.packAlong(&w.along[i][0], &w.list[i], count, a.HeadDim)
	}
	for i := range keyBlock {
		w.lse[i], w.delta[i] = float32(math.Inf(1)), 0
		if i < count {
			at := (from+i)*a.Heads + h
			w.delta[i] = a.delta[at]
			if lse := *offset(a.lse, at); !math.IsInf(float64(lse), -1) {
				w.lse[i] = lse
			}
		}
	}
}
