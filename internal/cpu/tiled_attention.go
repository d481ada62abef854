//go:build amd64 && !noasm

package cpu

import (
	"math"
	"unsafe"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
)

const (
	blockRows  = 384 // rows of one task, about
	maxHeadDim = 128
	stateRows  = 5 // numbers of an online softmax, a register each for those of a strip
)

// tiledAttention is one compiled call. Rows are (head, query) pairs in strips of as many as a
// register tile has; what is done to a row depends on
// its segment's logical sequence of keys alone, cut into blocks of keyBlock. A block that a row does not see at all would
// leave its bits as they are, so skipping it is no choice that shows.
type tiledAttention struct {
	ops.Attention
	segments
	capacity, group int
	set             *instructionSet
	wide            bool // of sets that multiply pairs of bf16: tensors are f32
	size            int  // of an element, in bytes
	width           int  // of accumulators: HeadDim up to a multiple of the tile's columns
	scale           float32
	q, out          unsafe.Pointer
	lse             *float32
	k, v            [2]unsafe.Pointer // by buffer

	blockTokens int // queries of one task
	blocks      []queryBlock
	spaces      []*attentionSpace
	crew        *crew
	forwardWork func(worker, piece int)
}

// queryBlock is a task's queries, by offset in their segment.
type queryBlock struct{ segment, first, count int }

// attentionSpace is one worker's scratch memory.
type attentionSpace struct {
	workspace
	rowsA, rowsB [2][]float32 // two packed operands of rows, and what is accumulated for them
	across       [2][]float32 // two packed blocks, to be multiplied along the head dimension
	along        [2][]float32 // and along the block
	s, dp        []float32    // a strip of scores
	state        []float32    // for each strip
	lse, delta   []float32    // for each row of strips, or for a block of queries
	keys         keyBlockRows
	row          sight           // of a strip, when rows are keys
	query        [keyBlock]int32 // offsets of a strip's or a block's queries in their segment
	list         [2][keyBlock]unsafe.Pointer
	rounded      [3][]engine.BF16 // a head's queries, and its keys and values of a block
}

func (s *scratch) attentionSpaces(workers, d, strips int) []*attentionSpace {
	mr, lanes := s.set.mr, s.set.lanes
	rows, width := strips*mr, roundUp(d, s.set.nr)
	if len(s.attention) < workers || len(s.attention[0].rowsA[0]) < rows*width || len(s.attention[0].across[0]) < keyBlock*width {
		s.attention = make([]*attentionSpace, workers)
		for i := range s.attention {
			a := &attentionSpace{s: alignedFloats(mr * keyBlock), dp: alignedFloats(mr * keyBlock),
				state: alignedFloats(strips * stateRows * lanes), lse: alignedFloats(max(keyBlock, strips*lanes)),
				delta: alignedFloats(max(keyBlock, strips*lanes))}
			if s.set.pairs {
				a.rounded = [3][]engine.BF16{make([]engine.BF16, blockRows*d), make([]engine.BF16, keyBlock*d), make([]engine.BF16, keyBlock*d)}
			}
			a.workspace.rows = make([]unsafe.Pointer, s.set.nr)
			for j := range 2 {
				a.rowsA[j], a.rowsB[j] = alignedFloats(rows*width), alignedFloats(rows*width)
				a.across[j], a.along[j] = alignedFloats(keyBlock*width), alignedFloats(keyBlock*width)
			}
			s.attention[i] = a
		}
	}
	return s.attention[:workers]
}

// newAttention is nil for calls that these kernels decline.
func (s *scratch) newAttention(b *backend, c engine.Call) *tiledAttention {
	attr := c.Attr.(ops.Attention)
	dtype := engine.F32
	if s.set.pairs && !attr.Pairs {
		dtype = engine.BFloat16
	}
	if c.Out.Dtype() != dtype || attr.Pairs && !s.set.pairs || attr.HeadDim%8 != 0 || attr.HeadDim > maxHeadDim {
		return nil
	}
	a := &tiledAttention{Attention: attr, capacity: c.In[0].Shape()[0], group: attr.Heads / attr.KVHeads, set: s.set,
		wide: attr.Pairs, width: roundUp(attr.HeadDim, s.set.nr),
		scale: float32(1 / math.Sqrt(float64(attr.HeadDim))), crew: newCrew(b.pool), size: int(dtype.Size())}
	a.blockTokens = max(s.set.mr, blockRows/a.group/s.set.mr*s.set.mr)
	a.blocks = make([]queryBlock, 0, a.capacity/a.blockTokens+c.In[3].Size())
	a.spaces = s.attentionSpaces(b.pool.helpers+1, attr.HeadDim, max(blockRows/s.set.mr, a.group))
	a.forwardWork = a.forward
	return a
}

// bind reads addresses and counts and cuts the segments' queries into tasks, those with most keys first.
func (a *tiledAttention) bind(c engine.Call, packed *engine.Tensor) error {
	var err error
	if a.segments, err = readSegments(c); err != nil {
		return err
	}
	a.q = c.In[0].Ptr
	a.k[ops.BufferBatch], a.v[ops.BufferBatch] = c.In[1].Ptr, c.In[2].Ptr
	if hasCache(c) {
		a.k[ops.BufferCache], a.v[ops.BufferCache] = c.In[6].Ptr, c.In[7].Ptr
	}
	a.out = packed.Ptr
	a.lse = (*float32)(a.element(a.out, a.capacity*a.Heads*a.HeadDim))
	a.blocks = a.blocks[:0]
	for s := a.count() - 1; s >= 0; s-- {
		n := int(a.starts[s+1] - a.starts[s])
		for first := (ceilDiv(n, a.blockTokens) - 1) * a.blockTokens; first >= 0; first -= a.blockTokens {
			a.blocks = append(a.blocks, queryBlock{s, first, min(a.blockTokens, n-first)})
		}
	}
	return nil
}

// element is the address of element i of a tensor.
func (a *tiledAttention) element(p unsafe.Pointer, i int) unsafe.Pointer {
	return unsafe.Add(p, i*a.size)
}

// depth is how many words of an operand n elements take.
func (a *tiledAttention) depth(n int) int {
	if a.set.pairs {
		return ceilDiv(n, 2)
	}
	return n
}

func (s *scratch) attentionForward(b *backend, c engine.Call) (engine.Launch, error) {
	a := s.newAttention(b, c)
	if a == nil {
		return nil, nil
	}
	return func() error {
		if err := a.bind(c, c.Out); err != nil {
			return err
		}
		return a.crew.run(len(a.blocks)*a.KVHeads, a.forwardWork)
	}, nil
}

// packQueries packs a block's rows of x for the heads of group g into strips.
func (a *tiledAttention) packQueries(w *attentionSpace, dst []float32, x unsafe.Pointer, b queryBlock, g int) {
	m := matrix{ld: a.Heads * a.HeadDim, alongK: true, bf16: a.set.pairs}
	if a.wide {
		m.ld = a.HeadDim
	}
	stripRows := a.set.mr
	strips := ceilDiv(b.count, stripRows)
	first, depth := int(a.starts[b.segment])+b.first, a.depth(a.HeadDim)
	for h := range a.group {
		m.ptr = a.element(x, (g*a.group+h)*a.HeadDim)
		to := &dst[h*strips*stripRows*depth]
		switch {
		case a.wide:
			for i := range b.count {
				from := (*float32)(a.element(m.ptr, (first+i)*a.Heads*a.HeadDim))
				roundBF16(w.rounded[0][i*a.HeadDim:][:a.HeadDim], unsafe.Slice(from, a.HeadDim))
			}
			m.ptr = pointer(w.rounded[0])
			a.set.packPairs(w.rows[:stripRows], to, &m, 0, b.count, 0, depth, a.HeadDim)
		case a.set.pairs:
			a.set.packPairs(w.rows[:stripRows], to, &m, first, b.count, 0, depth, a.HeadDim)
		default:
			a.set.packA(&w.workspace, to, &m, first, b.count, 0, depth)
		}
	}
}

// scores computes a strip against n columns of a packed block.
func (a *tiledAttention) scores(dst, rows, across []float32, n int) {
	a.set.scores(ceilDiv(n, a.set.nr), a.depth(a.HeadDim), &rows[0], &across[0], &dst[0])
}

// accumulate adds the strip's rows times the first k of a packed block's n rows to acc, each of which shrinks before.
func (a *tiledAttention) accumulate(acc, strip, along []float32, k, n int, shrink *float32) {
	a.set.values(a.width/a.set.nr, a.depth(k), &strip[0], &along[0], a.depth(n)*a.set.nr, &acc[0], a.width, shrink)
}

// ones are the factors of rows that do not shrink.
var ones = [16]float32{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}

func fillWith(x []float32, v float32) {
	for i := range x {
		x[i] = v
	}
}

// see computes the scores of a strip of queries, from offset first on in the segment, against the keys that the last of them sees, and
// hides what a query does not see. It gives the number of those keys, after which all are hidden.
func (a *tiledAttention) see(w *attentionSpace, rows []float32, first, last int) int {
	n := w.keys.n
	if n == keyBlock && w.keys.all(first, last) {
		a.scores(w.s, rows, w.across[0], n)
		return n
	}
	for n > 1 && last < int(w.keys.from[n-1]) {
		n--
	}
	a.scores(w.s, rows, w.across[0], n)
	for i := range a.set.mr {
		w.query[i] = int32(first + i)
	}
	a.set.hideByRow(&w.s[0], &w.keys.from[0], &w.keys.until[0], &w.query[0])
	return n
}

// forward computes one block of queries for the heads that share a key/value head.
func (a *tiledAttention) forward(worker, piece int) {
	w, b, g := a.spaces[worker], a.blocks[piece/a.KVHeads], piece%a.KVHeads
	stripRows, lanes := a.set.mr, a.set.lanes
	a.packQueries(w, w.rowsA[0], a.q, b, g)
	perHead := ceilDiv(b.count, stripRows)
	strips := perHead * a.group
	acc := w.rowsB[0][:strips*stripRows*a.width]
	clear(acc)
	for i := range strips {
		state := w.state[i*stateRows*lanes:][:stateRows*lanes]
		clear(state)
		fillWith(state[:lanes], float32(math.Inf(-1)))
	}
	for c := a.keysOf(b.segment); a.next(&c, &w.keys, g); {
		if w.keys.none(b.first, b.first+b.count-1) {
			continue
		}
		if a.wide {
			a.roundKeys(w)
		}
		a.packAcross(&w.across[0][0], &w.keys.k, w.keys.n, a.HeadDim)
		a.packAlong(&w.along[0][0], &w.keys.v, w.keys.n, a.HeadDim)
		for i := range strips {
			first := b.first + i%perHead*stripRows
			count := min(stripRows, b.first+b.count-first)
			if w.keys.none(first, first+count-1) {
				continue
			}
			seen := a.see(w, w.rowsA[0][i*stripRows*a.depth(a.HeadDim):], first, first+count-1)
			state := w.state[i*stateRows*lanes:][:stateRows*lanes]
			a.set.softmax(&w.s[0], a.scale, &state[0])
			a.accumulate(acc[i*stripRows*a.width:], w.s, w.along[0], seen, w.keys.n, &state[2*lanes])
		}
	}
	for i := range strips {
		first, h := b.first+i%perHead*stripRows, g*a.group+i/perHead
		state := w.state[i*stateRows*lanes:]
		for r := range min(stripRows, b.first+b.count-first) {
			at := (int(a.starts[b.segment])+first+r)*a.Heads + h
			a.finish(at, acc[(i*stripRows+r)*a.width:][:a.HeadDim], state[r], state[lanes+r])
		}
	}
}

// finish writes one row's output and log-sum-exp.
func (a *tiledAttention) finish(at int, acc []float32, top, sum float32) {
	lse, inverse := float32(math.Inf(-1)), float32(0)
	if sum != 0 { // it is 0 only if no key was visible
		lse, inverse = top+float32(math.Log(float64(sum))), 1/sum
	}
	*offset(a.lse, at) = lse
	out := a.element(a.out, at*a.HeadDim)
	if a.set.pairs && !a.wide {
		vecScale(&acc[0], &acc[0], inverse, a.HeadDim/8)
		roundBF16(unsafe.Slice((*engine.BF16)(out), a.HeadDim), acc)
		return
	}
	vecScale((*float32)(out), &acc[0], inverse, a.HeadDim/8)
}
