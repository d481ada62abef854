//go:build amd64 && !noasm

package cpu

import (
	"math"
	"unsafe"

	"github.com/goprm/goprm/internal/ops"
)

// sight says which queries see each of some keys: those whose offset in the segment is in [from, until).
type sight struct {
	from, until                          [keyBlock]int32
	minFrom, maxFrom, minUntil, maxUntil int32
}

func (v *sight) reset() {
	v.minFrom, v.maxFrom, v.minUntil, v.maxUntil = math.MaxInt32, 0, math.MaxInt32, 0
}

// set describes key i: the one at an offset into a range.
func (v *sight) set(i, offset int, r keyRange) {
	from, until := int32(0), int32(math.MaxInt32)
	if r.mask != ops.MaskFull {
		from = int32(offset)
	}
	if r.mask == ops.MaskWindow {
		until = int32(min(math.MaxInt32, offset+r.window))
	}
	v.from[i], v.until[i] = from, until
	v.minFrom, v.maxFrom = min(v.minFrom, from), max(v.maxFrom, from)
	v.minUntil, v.maxUntil = min(v.minUntil, until), max(v.maxUntil, until)
}

// none is true only if none of the queries first to last sees any of the keys, all if each sees every one.
func (v *sight) none(first, last int) bool { return last < int(v.minFrom) || first >= int(v.maxUntil) }
func (v *sight) all(first, last int) bool  { return first >= int(v.maxFrom) && last < int(v.minUntil) }

// keyBlockRows is a block of a segment's logical sequence of keys.
type keyBlockRows struct {
	sight
	n    int                      // keys; the entries after them are zeros that no query sees
	k, v [keyBlock]unsafe.Pointer // one head's rows
}

// keyCursor walks a segment's keys block by block.
type keyCursor struct {
	j, end int // ranges left
	row    int // the next key's row in range j's buffer
}

func (a *tiledAttention) keysOf(segment int) keyCursor {
	c := keyCursor{j: int(a.offsets[segment]), end: int(a.offsets[segment+1])}
	if c.j < c.end {
		c.row = a.keys(c.j).start
	}
	return c
}

// next fills b with the segment's next keys, of key/value head g; false: there are none.
func (a *tiledAttention) next(c *keyCursor, b *keyBlockRows, g int) bool {
	b.n = 0
	b.reset()
	for c.j < c.end && b.n < keyBlock {
		r := a.keys(c.j)
		take := min(keyBlock-b.n, r.end-c.row)
		for i := range take {
			at := ((c.row+i)*a.KVHeads + g) * a.HeadDim
			b.k[b.n+i], b.v[b.n+i] = a.element(a.k[r.buffer], at), a.element(a.v[r.buffer], at)
			b.set(b.n+i, c.row+i-r.start, r)
		}
		b.n, c.row = b.n+take, c.row+take
		if c.row == r.end {
			if c.j++; c.j < c.end {
				c.row = a.keys(c.j).start
			}
		}
	}
	for i := b.n; i < keyBlock; i++ {
		b.k[i], b.v[i] = unsafe.Pointer(&zeros), unsafe.Pointer(&zeros)
		b.from[i], b.until[i] = math.MaxInt32, 0
	}
	return b.n > 0
}

// roundKeys rounds a block's keys and values to bf16, in memory of the worker.
func (a *tiledAttention) roundKeys(w *attentionSpace) {
	for j, rows := range []*[keyBlock]unsafe.Pointer{&w.keys.k, &w.keys.v} {
		for i, from := range rows[:w.keys.n] {
			to := w.rounded[1+j][i*a.HeadDim:][:a.HeadDim]
			roundBF16(to, unsafe.Slice((*float32)(from), a.HeadDim))
			rows[i] = pointer(to)
		}
	}
}

// packAcross lays rows of d elements out as panels of the tile's columns, to be multiplied along d.
func (a *tiledAttention) packAcross(dst *float32, rows *[keyBlock]unsafe.Pointer, n, d int) {
	depth := a.depth(d)
	for i := 0; i < n; i += a.set.nr {
		a.set.packRowsB(offset(dst, i*depth), rows[i:][:a.set.nr], false, 0, depth/4)
	}
}

// packAlong lays n rows of d elements out as panels of the tile's columns, to be multiplied along n; d is a multiple of 8.
func (a *tiledAttention) packAlong(dst *float32, rows *[keyBlock]unsafe.Pointer, n, d int) {
	nr := a.set.nr
	if a.set.pairs {
		for j := 0; j < d; j += 8 {
			packPairRows8Of32(offset(dst, j/nr*nr*a.depth(n)+j%nr), listBF16(rows[:]), j, a.depth(n))
		}
		return
	}
	for j := 0; j < d; j += nr {
		for i, row := range rows[:n] {
			from, to := unsafe.Add(row, 4*j), unsafe.Pointer(offset(dst, j*n+nr*i))
			for x := 0; x < nr; x += 16 {
				copyWithin(unsafe.Add(to, 4*x), unsafe.Add(from, 4*x), d-j-x)
			}
		}
	}
}

// copyWithin copies 16 elements, of which the first n exist, and zeros for the others; n is a multiple of 8.
func copyWithin(to, from unsafe.Pointer, n int) {
	if n >= 16 {
		*(*[16]float32)(to) = *(*[16]float32)(from)
		return
	}
	*(*[16]float32)(to) = [16]float32{}
	if n > 0 {
		*(*[8]float32)(to) = *(*[8]float32)(from)
	}
}
