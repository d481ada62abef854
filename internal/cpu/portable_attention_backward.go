package cpu

import "github.com/goprm/goprm/internal/engine"

// attnBackward recomputes the probabilities p from the log-sum-exp. With dp = dout·value, δ = dout·out and
// ds = p·(dp − δ)·scale: dq = Σ_keys ds·key, dk = Σ_queries ds·query, dv = Σ_queries p·dout.
type attnBackward[T float] struct {
	attn[T]
	dout       []T
	delta      []T // [capacity, heads]
	dq, dk, dv []T
}

// attentionBackward first treats queries (dq), then blocks of keys (dk, dv). A key's sums run over its segments, their
// ranges, their queries and the heads of its group in ascending order, so sharing keys changes nothing but the sums.
func attentionBackward[T float](b *backend, c engine.Call) (engine.Launch, error) {
	a := &attnBackward[T]{attn: *newAttn[T](c)}
	a.delta = make([]T, a.capacity*a.Heads)
	queries := func(i int) {
		for t := i * queryChunk; t < min(a.tokens, (i+1)*queryChunk); t++ {
			s := a.of(t)
			for h := range a.Heads {
				a.queryGradient(s, t, h)
			}
		}
	}
	keys := func(i int) {
		from := i / a.KVHeads * keyBlock
		a.keyGradient(from, min(a.tokens, from+keyBlock), i%a.KVHeads)
	}
	return func() error {
		if err := a.bind(c, c.In[len(c.In)-2]); err != nil {
			return err
		}
		out, nq, nk := engine.Slice[T](c.Out), c.In[0].Size(), c.In[1].Size()
		a.dout, a.dq, a.dk, a.dv = engine.Slice[T](c.In[len(c.In)-1]), out[:nq], out[nq:nq+nk], out[nq+nk:]
		if err := b.pool.run(ceilDiv(a.tokens, queryChunk), queries); err != nil {
			return err
		}
		return b.pool.run(ceilDiv(a.tokens, keyBlock)*a.KVHeads, keys)
	}, nil
}

// slopes computes p and ds of up to four keys from lo on for one query; past hi they are those of the last key.
func (a *attnBackward[T]) slopes(t, h, buffer, lo, hi int) (p, ds [4]T) {
	g := h * a.KVHeads / a.Heads
	k, v := a.k[buffer], a.v[buffer]
	k1, k2, k3 := min(lo+1, hi-1), min(lo+2, hi-1), min(lo+3, hi-1)
	dot4(a.query(a.q, t, h), a.keyAt(k, lo, g), a.keyAt(k, k1, g), a.keyAt(k, k2, g), a.keyAt(k, k3, g), &p)
	dot4(a.query(a.dout, t, h), a.keyAt(v, lo, g), a.keyAt(v, k1, g), a.keyAt(v, k2, g), a.keyAt(v, k3, g), &ds)
	lse, delta := a.lse[t*a.Heads+h], a.delta[t*a.Heads+h]
	for i := range p {
		p[i] = exp(T(p[i]*a.scale) - lse)
		ds[i] = T(p[i]*(ds[i]-delta)) * a.scale
	}
	return p, ds
}

func (a *attnBackward[T]) queryGradient(s, t, h int) {
	dq, g := a.query(a.dq, t, h), h*a.KVHeads/a.Heads
	clear(dq)
	a.delta[t*a.Heads+h] = dot(a.query(a.dout, t, h), a.query(a.out, t, h))
	for j := int(a.offsets[s]); j < int(a.offsets[s+1]); j++ {
		r := a.keys(j)
		lo, hi := r.visible(t - int(a.starts[s]))
		for ; lo < hi; lo += 4 {
			_, ds := a.slopes(t, h, r.buffer, lo, hi)
			for i := range min(4, hi-lo) {
				axpy(dq, ds[i], a.keyAt(a.k[r.buffer], lo+i, g))
			}
		}
	}
}

// keyGradient computes dk and dv of the batch's keys from to to, of key/value head g.
func (a *attnBackward[T]) keyGradient(from, to, g int) {
	for t := from; t < to; t++ {
		clear(a.keyAt(a.dk, t, g))
		clear(a.keyAt(a.dv, t, g))
	}
	group := a.Heads / a.KVHeads
	for s := range a.count() {
		for j := int(a.offsets[s]); j < int(a.offsets[s+1]); j++ {
			r := a.keys(j)
			if r.buffer != 0 || r.start >= to || r.end <= from {
				continue
			}
			for t := int(a.starts[s]); t < int(a.starts[s+1]); t++ {
				lo, hi := r.visible(t - int(a.starts[s]))
				lo, hi = max(lo, from), min(hi, to)
				if lo >= hi {
					continue
				}
				for h := g * group; h < (g+1)*group; h++ {
					a.addKeys(t, h, g, lo, hi)
				}
			}
		}
	}
}

// addKeys adds what the query t of head h gives the batch's keys lo to hi.
func (a *attnBackward[T]) addKeys(t, h, g, lo, hi int) {
	q, dout := a.query(a.q, t, h), a.query(a.dout, t, h)
	for ; lo < hi; lo += 4 {
		p, ds := a.slopes(t, h, 0, lo, hi)
		for i := range min(4, hi-lo) {
			axpy(a.keyAt(a.dk, lo+i, g), ds[i], q)
			axpy(a.keyAt(a.dv, lo+i, g), p[i], dout)
		}
	}
}
