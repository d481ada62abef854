//go:build amd64 && !noasm

package cpu

import "unsafe"

// tasks is how a product of words, whose operands are packed as deep as it goes, is shared out: A is packed a chunk of rows at a time,
// and a task computes some rows of some columns of a chunk.
type tasks struct {
	m, n                              int
	row0, rows, tileRows, tileColumns int  // of the chunk in work
	gated                             bool // of two matrices, that a task takes half as many columns of
	same                              bool // A is what it was when it was packed last

	crew               *crew
	packWork, tileWork func(worker, piece int)
}

// run computes the product with an A, of which a row has so many words; there is room for some of it, and what that holds.
func (g *tasks) run(set *instructionSet, a packedOperand, words, room int, holds *packedOperand) error {
	if g.m == 0 || g.n == 0 {
		return nil
	}
	workers := g.crew.pool.helpers + 1
	most := columnTile
	if g.gated {
		most /= 2
	}
	g.tileColumns = columnsOfTask(g.n, workers, set.nr, most)
	tiles := ceilDiv(g.n, g.tileColumns)
	chunk := max(set.mr, room/max(1, words)/set.mr*set.mr)
	packed := g.same && *holds == a
	if !packed {
		*holds = packedOperand{}
	}
	for g.row0 = 0; g.row0 < g.m; g.row0 += chunk {
		g.rows = min(chunk, g.m-g.row0)
		g.tileRows = rowsOfTask(g.rows, tiles, workers, set.mr)
		if !packed {
			if err := g.crew.run(ceilDiv(g.rows, packRowsAtATime), g.packWork); err != nil {
				return err
			}
		}
		if g.rows == g.m {
			*holds = a
		}
		if err := g.crew.run(tiles*ceilDiv(g.rows, g.tileRows), g.tileWork); err != nil {
			return err
		}
	}
	return nil
}

// startSums writes the bias, or zeros, where the sums of some rows [height, columnTile] are going to be.
func startSums(sums []float32, bias *float32, column, columns, height int) {
	for i := range height {
		row := sums[i*columnTile:][:columns]
		if bias == nil {
			clear(row)
			continue
		}
		copy(row, unsafe.Slice(offset(bias, column), columns))
	}
}
