//go:build amd64 && !noasm

package cpu

import (
	"unsafe"

	"github.com/goprm/goprm/internal/engine"
)

// gemmBF16 is a compiled product C = A·B + bias of bf16 operands, or C = gate(A·B, A·B') of two right operands. Panels hold pairs along
// the summed dimension as 32-bit words, kBlock of them a block; a task has B packed as deep as it goes, and sums a block of rows in f32
// before it writes them. The order of an element's sum is productBF16's.
type gemmBF16 struct {
	*scratchBF16
	tasks
	k      int // in elements
	a      matrix
	b      []matrix                                // with gate: two
	c      unsafe.Pointer                          // [m, n], bf16 or f32
	rounds bool                                    // C is bf16
	bias   *float32                                // [n] or nil
	gate   func(w *workspaceBF16, c []engine.BF16) // of a row whose gates are in c; nil: a product alone
}

// scratchBF16 is the memory that a backend's products in bf16 share.
type scratchBF16 struct {
	set     *instructionSet
	tile    func(tiles, k int, a, b *uint32, c *float32, ldc int, add *float32, ldadd int)
	packed  []float32 // words of A
	holds   packedOperand
	spaces  []*workspaceBF16
	rounded [2][]engine.BF16 // weights that are stored as f32
}

type workspaceBF16 struct {
	workspace           // panels: words of B, as deep as a product goes
	sums      []float32 // [rowBlock, columnTile]
	row       struct {  // of what is gated; wide where swiglu has no kernel in bf16
		up   [columnTile / 2]engine.BF16
		wide [columnTile]float32
	}
}

// reserve makes room for products that are k deep.
func (s *scratchBF16) reserve(k, workers int) {
	words := ceilDiv(k, 2)
	if room := max(packedRoom, words*s.set.mr); len(s.packed) < room {
		s.packed, s.holds = alignedFloats(room), packedOperand{}
	}
	for len(s.spaces) < workers {
		w := &workspaceBF16{sums: alignedFloats(rowBlock * columnTile)}
		w.rows, w.bias = make([]unsafe.Pointer, s.set.nr), make([]float32, s.set.nr)
		s.spaces = append(s.spaces, w)
	}
	for _, w := range s.spaces {
		if len(w.panels) < words*columnTile {
			w.panels = alignedFloats(words * columnTile)
		}
	}
}

func newGEMMBF16(p *pool, s *scratchBF16, k int) *gemmBF16 {
	s.reserve(k, p.helpers+1)
	g := &gemmBF16{scratchBF16: s}
	g.tasks = tasks{crew: newCrew(p), packWork: g.pack, tileWork: g.tileOfC}
	return g
}

func (g *gemmBF16) run() error {
	return g.tasks.run(g.set, packedOperand{g.a, g.m, g.k}, ceilDiv(g.k, 2), len(g.packed), &g.holds)
}

func (g *gemmBF16) pack(worker, piece int) {
	padded, from := roundUp(g.rows, g.set.mr), piece*packRowsAtATime
	count := min(packRowsAtATime, g.rows-from)
	for k, words := 0, ceilDiv(g.k, 2); k < words; k += kBlock {
		kc := min(kBlock, words-k)
		g.set.packPairs(g.spaces[worker].rows[:g.set.mr], &g.packed[k*padded+from*kc], &g.a, g.row0+from, count, k, kc, g.k)
	}
}

// tileOfC computes some rows of some columns. The second of two B has the second half of the panels, and of each row of sums.
func (g *gemmBF16) tileOfC(worker, piece int) {
	w, across, words := g.spaces[worker], ceilDiv(g.n, g.tileColumns), ceilDiv(g.k, 2)
	from, column := piece/across*g.tileRows, piece%across*g.tileColumns
	columns, end := min(g.tileColumns, g.n-column), min(from+g.tileRows, g.rows)
	for i := range g.b {
		g.packB(w, &g.b[i], w.panels[i*words*columnTile/2:], column, columns)
	}
	for block := from; block < end; block += rowBlock {
		height := min(rowBlock, end-block)
		for i := 0; i < len(g.b) && words == 0; i++ {
			startSums(w.sums[i*columnTile/2:], g.bias, column, columns, height)
		}
		for k := 0; k < words; k += kBlock {
			for i := range g.b {
				g.strips(w, k, min(kBlock, words-k), w.panels[i*words*columnTile/2:], w.sums[i*columnTile/2:], block, height, column, columns)
			}
		}
		g.write(w, block, height, column, columns)
	}
}

// packB lays columns out as panels.
func (g *gemmBF16) packB(w *workspaceBF16, b *matrix, panels []float32, column, columns int) {
	width, words := roundUp(columns, g.set.nr), ceilDiv(g.k, 2)
	for k := 0; k < words; k += kBlock {
		kc := min(kBlock, words-k)
		g.set.packPairs(w.rows[:g.set.nr], &panels[k*width], b, column, columns, k, kc, g.k)
	}
}

// strips adds a block of K to the sums of some rows; what they have beyond the result is never written.
func (g *gemmBF16) strips(w *workspaceBF16, k, kc int, panels, sums []float32, block, height, column, columns int) {
	mr, nr := g.set.mr, g.set.nr
	padded, width := roundUp(g.rows, mr), roundUp(columns, nr)
	for j := 0; j < columns; j += nr {
		start := &zeros[0]
		if g.bias != nil && k == 0 {
			copy(w.bias, unsafe.Slice(offset(g.bias, column+j), min(nr, columns-j)))
			start = &w.bias[0]
		}
		to, add, ldadd := &sums[j], start, 0
		if k > 0 {
			add, ldadd = to, columnTile
		}
		g.tile(ceilDiv(height, mr), kc, word(&g.packed[k*padded+block*kc]), word(&panels[k*width+j*kc]), to, columnTile, add, ldadd)
	}
}

// write takes the sums of some rows to C.
func (g *gemmBF16) write(w *workspaceBF16, block, height, column, columns int) {
	for i := range height {
		at, row := (g.row0+block+i)*g.n+column, w.sums[i*columnTile:][:columnTile]
		if !g.rounds {
			copy(unsafe.Slice((*float32)(unsafe.Add(g.c, 4*at)), columns), row)
			continue
		}
		c := unsafe.Slice((*engine.BF16)(unsafe.Add(g.c, 2*at)), columns)
		roundBF16(c, row[:columns])
		if g.gate != nil {
			roundBF16(w.row.up[:columns], row[columnTile/2:][:columns])
			g.gate(w, c)
		}
	}
}

func word(p *float32) *uint32 { return (*uint32)(unsafe.Pointer(p)) }

// packPairs lays the bf16 vectors first to first+count of a matrix out as panels of words, from word k0 on and kc deep:
// as many interleaved vectors as rows has room for. The last word of an odd k has 0 above; what fills up the last panel
// is never read back.
func (s *instructionSet) packPairs(rows []unsafe.Pointer, dst *float32, x *matrix, first, count, k0, kc, k int) {
	panel, whole := len(rows), min(kc, k/2-k0)
	interleave, pairs := s.packRowsB, s.packPairsB
	if panel == s.mr {
		interleave, pairs = s.packRowsA, s.packPairsA
	}
	for p := 0; p < count; p += panel {
		width, done := min(panel, count-p), 0
		switch {
		case x.alongK: // pairs lie together: words are interleaved as f32 would be
			x.vectors(rows, first+p, width)
			interleave(dst, rows, false, k0, whole/4)
			done = whole / 4 * 4
		case width == panel:
			pairs(word(dst), (*uint16)(x.at(2*k0, first+p)), x.ld, whole)
			done = whole
		}
		to := unsafe.Slice(word(dst), panel*kc)
		clear(to[done*panel:])
		for kk := done; kk < kc; kk++ {
			for i := range width {
				to[kk*panel+i] = x.pair(first+p+i, k0+kk, k)
			}
		}
		dst = offset(dst, panel*kc)
	}
}

// pair is word k of a vector that has n elements.
func (x *matrix) pair(vector, k, n int) uint32 {
	at := func(k int) uint32 {
		if x.alongK {
			return uint32(*(*engine.BF16)(x.at(vector, k)))
		}
		return uint32(*(*engine.BF16)(x.at(k, vector)))
	}
	if 2*k+1 == n {
		return at(2 * k)
	}
	return at(2*k) | at(2*k+1)<<16
}

// roundBF16 does as engine.ToBF16, widenBF16 as its inverse.
func roundBF16(dst []engine.BF16, src []float32) {
	n := len(src) / 16 * 16
	if n > 0 {
		vecRoundBF16((*uint16)(&dst[0]), &src[0], n/16)
	}
	for i, v := range src[n:] {
		dst[n+i] = engine.ToBF16(v)
	}
}

func widenBF16(dst []float32, src []engine.BF16) {
	n := len(src) / 16 * 16
	if n > 0 {
		vecWidenBF16(&dst[0], (*uint16)(&src[0]), n/16)
	}
	for i, v := range src[n:] {
		dst[n+i] = v.Float32()
	}
}
