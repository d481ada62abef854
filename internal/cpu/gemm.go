//go:build amd64 && !noasm

package cpu

import (
	"math"
	"unsafe"
)

// Blocking of a product. None of it depends on the number of rows, of workers or of live rows in the buffers, so that an
// element's sum has one order for each length K: blocks of kBlock, one after the other, each a chain in the order of k.
const (
	kBlock     = 256           // a packed B panel (16 KiB) stays in the first cache
	rowBlock   = 192           // rows of A that stay in the second cache, kBlock deep: 192 KiB
	columnTile = 128           // most columns a task takes, half as many of each of two matrices; their packed B is 128 KiB
	kSpan      = 20 * kBlock   // most of K that A is packed for at a time
	leastSpan  = 3 * kBlock    // of K, however many rows there are; 2,688 rows have room then
	gatedRows  = 12 * rowBlock // most rows of what is gated that A is packed for at a time: up's sums are 576 KiB then
	packedRoom = 2 << 20       // floats of packed A that all workers share: 8 MiB, at home in the third cache
)

// PackedBytes is what a product with a left operand A of so many rows and columns packs of it at a time, at most.
func PackedBytes(rows, columns int) int { return 4 * min(packedRoom, rows*min(columns, kSpan)) }

// instructionSet is what products and attention take from an instruction set: a register tile, the panels that fit it,
// and what is done to a strip of scores, as many rows as the tile has. None of it decides about bits: every set computes
// an element's sum as the same chain of fused multiply-adds.
type instructionSet struct {
	mr, nr int // rows and columns of the tile
	lanes  int // float32 in a register
	// tile computes c[i*ldc+j] = add[i*ldadd+j] + Σ_kk a[kk*mr+i]·b[kk*nr+j] for kk < k, and as much for further tiles below, whose panels
	// of a follow each other.
	tile func(tiles, k int, a, b, c *float32, ldc int, add *float32, ldadd int)
	// packRowsA and packRowsB interleave mr or nr rows, 4·n4 elements from an index on, into a panel. packColumnsA and
	// packColumnsB copy mr or nr columns of k rows that are ld elements apart.
	packRowsA, packRowsB func(dst *float32, rows []unsafe.Pointer, bf16 bool, from, n4 int)
	packColumnsA         func(dst, src *float32, ld, k int)
	packColumnsB         func(dst, src *float32, ld, k int)
	packColumnsBF16      func(dst *float32, src *uint16, ld, k int)
	// packPairsA and packPairsB join mr or nr columns of 2·k rows of bf16 in words, for sets that multiply pairs of bf16.
	packPairsA, packPairsB func(dst *uint32, src *uint16, ld, k int)
	// What attention does to a strip, panel p of b beside the others: scores computes
	// c[i*keyBlock+p*nr+j] = Σ_kk a[kk*mr+i]·b[(p*k+kk)*nr+j], and values adds Σ_kk a[i*keyBlock+kk]·b[p*ldb+kk*nr+j] to
	// c[i*ldc+p*nr+j]·shrink[i]. With pairs, the elements of a and b are words of two bf16, and softmax leaves such words.
	pairs                       bool
	scores                      func(panels, k int, a, b, c *float32)
	values                      func(panels, k int, a, b *float32, ldb int, c *float32, ldc int, shrink *float32)
	softmax                     func(s *float32, scale float32, state *float32)
	hideByRow, hideByColumn     func(s *float32, from, until, query *int32)
	slopesByRow, slopesByColumn func(s, dp *float32, scale float32, lse, delta *float32)
}

// matrix is an operand seen as vectors along the dimension that is summed over.
type matrix struct {
	ptr    unsafe.Pointer
	ld     int  // elements from one row in memory to the next
	alongK bool // element k of vector i lies at i·ld+k, else at k·ld+i
	bf16   bool
}

// workspace is one worker's scratch memory.
type workspace struct {
	panels []float32        // packed B
	rows   []unsafe.Pointer // those that a panel interleaves
	tile   []float32        // a register tile that the result has no room for
	bias   []float32        // of a tile that is not full
	up     []float32        // [rows, columns] of a task: sums that are not written to C
}

// gemm is a compiled product C = A·B + bias, or C = gate(A·B, A·up); its fields are set anew at each launch.
type gemm struct {
	set    *instructionSet
	packed []float32 // of A, shared by all workers
	holds  *packedOperand
	same   bool         // A is what it was when it was packed last
	spaces []*workspace // one for each worker

	m, n, k int
	a, b    matrix
	c       *float32 // [m, n]
	bias    *float32 // [n] or nil
	up      matrix
	gate    func(c, gate, up *float32, n int) // of n elements of a row; nil: a product alone

	// The part in work: rows row0 to row0+rows, k0 to k0+span.
	row0, rows, k0, span int
	tileColumns          int
	tileRows             int

	crew               *crew
	packWork, tileWork func(worker, piece int)
}

func newGEMM(p *pool, s *scratch, packed []float32) *gemm {
	g := &gemm{set: s.set, crew: newCrew(p), packed: packed, holds: &s.holds, spaces: s.spaces(p.helpers + 1)}
	g.packWork, g.tileWork = g.pack, g.tile
	return g
}

// run computes the product on all workers.
func (g *gemm) run() error {
	if g.m == 0 || g.n == 0 {
		return nil
	}
	if g.k == 0 {
		g.fill()
		return nil
	}
	workers := len(g.spaces)
	g.tileColumns = columnsOfTask(g.n, workers, g.set.nr, columnTile)
	chunk, span := blockOfA(g.m, g.k)
	if g.gate != nil { // sums are whole when a task ends
		g.tileColumns = columnsOfTask(g.n, workers, g.set.nr, columnTile/2)
		chunk, span = roundUp(ceilDiv(g.m, ceilDiv(g.m, g.set.mostGated(g.k))), g.set.mr), g.k
	}
	whole := packedOperand{g.a, g.m, g.k}
	packed := g.same && *g.holds == whole
	if !packed {
		*g.holds = packedOperand{}
	}
	for g.row0 = 0; g.row0 < g.m; g.row0 += chunk {
		g.rows = min(chunk, g.m-g.row0)
		g.tileRows = rowsOfTask(g.rows, ceilDiv(g.n, g.tileColumns), workers, g.set.mr)
		for g.k0 = 0; g.k0 < g.k; g.k0 += span {
			g.span = min(span, g.k-g.k0)
			if !packed {
				if err := g.crew.run(ceilDiv(g.rows, packRowsAtATime), g.packWork); err != nil {
					return err
				}
			}
			if g.rows == g.m && g.span == g.k {
				*g.holds = whole
			}
			if err := g.crew.run(ceilDiv(g.n, g.tileColumns)*ceilDiv(g.rows, g.tileRows), g.tileWork); err != nil {
				return err
			}
		}
	}
	return nil
}

// blockOfA is how many of m rows, and how much of K, A is packed for at a time. B is packed anew for each chunk of rows, so these are few
// and alike; K, whose blocks add up in C one by one, is cut instead.
func blockOfA(m, k int) (rows, span int) {
	fits := packedRoom / roundUp(m, rowBlock) / kBlock * kBlock
	span = min(kSpan, max(leastSpan, fits))
	most := packedRoom / min(k, span) / rowBlock * rowBlock
	return roundUp(ceilDiv(m, ceilDiv(m, most)), rowBlock), span
}

// mostGated is how many rows at most A is packed for at a time, all of K deep.
func (s *instructionSet) mostGated(k int) int {
	return min(packedRoom/max(1, k), gatedRows) / s.mr * s.mr
}

// columnsOfTask is how many of n columns one task takes, at most: so many that the busiest worker has least, as many as that allows.
func columnsOfTask(n, workers, nr, most int) int {
	most = min(most, roundUp(ceilDiv(n, 2*workers), nr))
	best, least := most, math.MaxInt
	for columns := most; columns >= max(nr, most/2); columns -= nr {
		if busiest := ceilDiv(ceilDiv(n, columns), workers) * columns; busiest < least {
			best, least = columns, busiest
		}
	}
	return best
}

// rowsOfTask is how many rows one task takes where the columns make a number of tiles: all, unless workers were idle.
func rowsOfTask(rows, tiles, workers, mr int) int {
	if tiles < 2*workers && workers > 1 {
		return max(mr*8, roundUp(ceilDiv(rows, ceilDiv(4*workers, tiles)), mr))
	}
	return rows
}

const packRowsAtATime = 96

// pack lays some of A's rows out as panels: for each block of K one after the other, [panel][k][mr].
func (g *gemm) pack(worker, piece int) {
	padded, from := roundUp(g.rows, g.set.mr), piece*packRowsAtATime
	count := min(packRowsAtATime, g.rows-from)
	for k := 0; k < g.span; k += kBlock {
		kc := min(kBlock, g.span-k)
		g.set.packA(g.spaces[worker], &g.packed[k*padded+from*kc], &g.a, g.row0+from, count, g.k0+k, kc)
	}
}

// fill writes the sum of no products.
func (g *gemm) fill() {
	for i := range g.m {
		row := unsafe.Slice(offset(g.c, i*g.n), g.n)
		clear(row)
		if g.bias != nil {
			copy(row, unsafe.Slice(g.bias, g.n))
		}
	}
}

// zeros is added where a sum starts at nothing, and stands in for vectors that are not there.
var zeros [128]float32

func offset(p *float32, elements int) *float32 {
	return (*float32)(unsafe.Add(unsafe.Pointer(p), 4*elements))
}

func roundUp(n, multiple int) int { return ceilDiv(n, multiple) * multiple }
