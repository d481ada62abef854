//go:build amd64 && !noasm

package cpu

import (
	"math"
	"unsafe"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
)

// int8Set is how an instruction set multiplies int8: as many elements as fit a 32-bit word, interleaved as f32 would be.
type int8Set struct {
	*instructionSet // of the tile, and of the panels
	perWord         int
	tile            func(tiles, k int, a, b *uint32, start *int32, sx, sw, c *float32, ldc int, add *float32, ldadd int)
	round           func(dst *uint8, x *float32, inverse float32, n8 int)
	roundBlock      func(dst *uint8, x, scale *float32)  // of ops.Int8Block elements
	start           func(k int, b *uint32, start *int32) // what sums over a panel of B begin with; nil: zeros
}

// gemmInt8 is a compiled linear_int8. A task has B packed as deep as it goes, and sums a block of rows before it writes them. The order
// of an element's sum is linearInt8's.
type gemmInt8 struct {
	*scratchInt8
	tasks
	k     int
	x     *float32
	w     *int8
	byRow *float32 // scales of w, [n, blocks]
	c     *float32
	bias  *float32 // or nil
}

// scratchInt8 is the memory that a backend's products of int8 share.
type scratchInt8 struct {
	set    *int8Set
	packed []float32 // words of A
	holds  packedOperand
	scales []float32 // of A: [block][row]
	spaces []*workspaceInt8
}

type workspaceInt8 struct {
	rows   []unsafe.Pointer
	narrow []uint8   // rows of a panel, a block deep
	panels []float32 // words of B
	scales []float32 // of B: [block][column]
	start  []int32   // of B: [block][column]
	sums   []float32 // [rowBlock, columnTile]
	rest   struct {  // of a row, fewer than the assembly takes at a time
		from [8]float32
		to   [16]uint8
	}
	largest uint32  // of a row
	scale   float32 // of a block
}

// wordsOf is how many words a row of k elements takes, each block's filled up to four.
func (s *int8Set) wordsOf(k int) int { return roundUp(ceilDiv(k, s.perWord), 4) }

// reserve makes room for products that are k deep.
func (s *scratchInt8) reserve(k, workers int) {
	words, blocks, mr, nr := s.set.wordsOf(k), ops.Int8Blocks(k), s.set.mr, s.set.nr
	if room := max(packedRoom, words*mr); len(s.packed) < room {
		s.packed, s.holds = alignedFloats(room), packedOperand{}
	}
	if room := len(s.packed) / max(1, words) * blocks; len(s.scales) < room {
		s.scales, s.holds = alignedFloats(room), packedOperand{}
	}
	for len(s.spaces) < workers {
		s.spaces = append(s.spaces, &workspaceInt8{rows: make([]unsafe.Pointer, nr), sums: alignedFloats(rowBlock * columnTile),
			narrow: make([]uint8, nr*ops.Int8Block*4/s.set.perWord)})
	}
	for _, w := range s.spaces {
		if len(w.panels) < words*columnTile {
			w.panels = alignedFloats(words * columnTile)
		}
		if len(w.scales) < blocks*columnTile {
			w.scales, w.start = alignedFloats(blocks*columnTile), make([]int32, blocks*columnTile)
		}
	}
}

// linear is linear_int8.
func (s *scratchInt8) linear(b *backend, c engine.Call) (engine.Launch, error) {
	k, capacity := c.In[1].Shape()[1], c.In[0].Shape()[0]
	s.reserve(k, b.pool.helpers+1)
	g := &gemmInt8{scratchInt8: s, k: k}
	g.tasks = tasks{n: c.In[1].Shape()[0], crew: newCrew(b.pool), packWork: g.pack, tileWork: g.tileOfC, same: c.SameFirst}
	return func() error {
		var err error
		if g.m, err = live(c, c.Rows, capacity); err != nil {
			return err
		}
		g.x, g.w, g.byRow, g.c = (*float32)(c.In[0].Ptr), (*int8)(c.In[1].Ptr), (*float32)(c.In[2].Ptr), (*float32)(c.Out.Ptr)
		if len(c.In) > 3 {
			g.bias = (*float32)(c.In[3].Ptr)
		}
		a := packedOperand{matrix{ptr: c.In[0].Ptr, ld: k, alongK: true}, g.m, k}
		return g.run(s.set.instructionSet, a, s.set.wordsOf(k), len(s.packed), &s.holds)
	}, nil
}

// int8Block is a block of K: its number, its first element, how many it has, the words before it and its own.
type int8Block struct{ number, k, kc, word, words int }

func (g *gemmInt8) block(number int) int8Block {
	k := number * ops.Int8Block
	kc := min(ops.Int8Block, g.k-k)
	return int8Block{number, k, kc, k / g.set.perWord, g.set.wordsOf(kc)}
}

// pack rounds some of A's rows, a panel at a time.
func (g *gemmInt8) pack(worker, piece int) {
	w, mr, padded := g.spaces[worker], g.set.mr, roundUp(g.rows, g.set.mr)
	from := piece * packRowsAtATime
	for number := range ops.Int8Blocks(g.k) {
		b := g.block(number)
		for p := from; p < min(from+packRowsAtATime, g.rows); p += mr {
			height := min(mr, g.rows-p)
			for i := range height {
				x := unsafe.Slice(offset(g.x, (g.row0+p+i)*g.k+b.k), b.kc)
				row := g.narrowRow(w, i)
				g.scales[b.number*padded+p+i] = g.set.roundRow(w, row, x)
				clear(row[b.kc*4/g.set.perWord : 4*b.words])
				w.rows[i] = unsafe.Pointer(&row[0])
			}
			for i := height; i < mr; i++ {
				w.rows[i] = w.rows[0]
			}
			g.set.packRowsA(&g.packed[b.word*padded+p*b.words], w.rows[:mr], false, 0, b.words/4)
		}
	}
}

// narrowRow is where row i of a panel lies that is being packed.
func (g *gemmInt8) narrowRow(w *workspaceInt8, i int) []uint8 {
	size := ops.Int8Block * 4 / g.set.perWord
	return w.narrow[i*size : (i+1)*size]
}

// roundRow does as ops.RoundInt8, into the form that words have on the left.
func (s *int8Set) roundRow(w *workspaceInt8, dst []uint8, x []float32) float32 {
	if len(x) == ops.Int8Block {
		s.roundBlock(&dst[0], &x[0], &w.scale)
		return w.scale
	}
	n := len(x) / 8 * 8
	w.largest = 0
	if n > 0 {
		vecLargest(&x[0], n/8, &w.largest)
	}
	largest := w.largest
	for _, v := range x[n:] {
		largest = max(largest, math.Float32bits(v)&math.MaxInt32)
	}
	scale, inverse := ops.Int8Scale(largest)
	if n > 0 {
		s.round(&dst[0], &x[0], inverse, n/8)
	}
	if n < len(x) {
		copy(w.rest.from[:], x[n:])
		s.round(&w.rest.to[0], &w.rest.from[0], inverse, 1)
		copy(dst[n*4/s.perWord:], w.rest.to[:(len(x)-n)*4/s.perWord])
	}
	return scale
}

// packB lays columns out as panels, with their scales and what sums begin with.
func (g *gemmInt8) packB(w *workspaceInt8, b int8Block, column, columns int) {
	nr, width := g.set.nr, roundUp(columns, g.set.nr)
	for p := 0; p < columns; p += nr {
		for i := range nr {
			j := column + min(p+i, columns-1) // past the last column that one again: what it gives is never written
			w.scales[b.number*columnTile+p+i] = *offset(g.byRow, j*ops.Int8Blocks(g.k)+b.number)
			w.rows[i] = g.columnRow(w, i, b, unsafe.Slice((*int8)(unsafe.Add(unsafe.Pointer(g.w), j*g.k+b.k)), b.kc))
		}
		panel := &w.panels[b.word*width+p*b.words]
		g.set.packRowsB(panel, w.rows[:nr], false, 0, b.words/4)
		if g.set.start != nil {
			g.set.start(b.words, word(panel), &w.start[b.number*columnTile+p])
		}
	}
}

// columnRow is where a column's elements lie as words: in place, or widened or filled up in scratch.
func (g *gemmInt8) columnRow(w *workspaceInt8, i int, b int8Block, elements []int8) unsafe.Pointer {
	if g.set.perWord == 4 && b.kc%16 == 0 {
		return unsafe.Pointer(&elements[0])
	}
	row := g.narrowRow(w, i)
	clear(row[:4*b.words])
	if g.set.perWord == 4 {
		copy(row, unsafe.Slice((*uint8)(unsafe.Pointer(&elements[0])), len(elements)))
		return unsafe.Pointer(&row[0])
	}
	n := len(elements) / 16 * 16
	if n > 0 {
		vecWidenInt8(&row[0], &elements[0], n/16)
	}
	wide := unsafe.Slice((*int16)(unsafe.Pointer(&row[0])), len(elements))
	for k := n; k < len(elements); k++ {
		wide[k] = int16(elements[k])
	}
	return unsafe.Pointer(&row[0])
}

// tileOfC computes some rows of some columns.
func (g *gemmInt8) tileOfC(worker, piece int) {
	w, across := g.spaces[worker], ceilDiv(g.n, g.tileColumns)
	from, column := piece/across*g.tileRows, piece%across*g.tileColumns
	columns, end := min(g.tileColumns, g.n-column), min(from+g.tileRows, g.rows)
	for number := range ops.Int8Blocks(g.k) {
		g.packB(w, g.block(number), column, columns)
	}
	for row := from; row < end; row += rowBlock {
		height := min(rowBlock, end-row)
		startSums(w.sums, g.bias, column, columns, height)
		for number := range ops.Int8Blocks(g.k) {
			g.strips(w, g.block(number), row, height, columns)
		}
		for i := range height {
			copy(unsafe.Slice(offset(g.c, (g.row0+row+i)*g.n+column), columns), w.sums[i*columnTile:])
		}
	}
}

// strips adds a block of K to the sums of some rows; what they have beyond the result is never written.
func (g *gemmInt8) strips(w *workspaceInt8, b int8Block, row, height, columns int) {
	mr, nr := g.set.mr, g.set.nr
	padded, width := roundUp(g.rows, mr), roundUp(columns, nr)
	for j := 0; j < columns; j += nr {
		panel, at := word(&w.panels[b.word*width+j*b.words]), b.number*columnTile+j
		sums := &w.sums[j]
		g.set.tile(ceilDiv(height, mr), b.words, word(&g.packed[b.word*padded+row*b.words]), panel, &w.start[at],
			&g.scales[b.number*padded+row], &w.scales[at], sums, columnTile, sums, columnTile)
	}
}
