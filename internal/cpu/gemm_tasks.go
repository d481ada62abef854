//go:build amd64 && !noasm

package cpu

import "unsafe"

// tasks is how a product of words, whose operands are packed as deep as it goes, is shared out: A is packed a chunk of rows at a time,
// and a task computes some rows of some columns of a chunk.
type tasks struct {
	m, n                              int
	row0, rows, tileRows, tileColumns int // of the chunk in work

	crew               *crew
	packWork, tileWork func(worker, piece int)
}

// run computes the product; there is room for so many words of A, of which a row has some.
func (g *tasks) run(set *instructionSet, room, words int) error {
	if g.m == 0 || g.n == 0 {
		return nil
	}
	workers := g.crew.pool.helpers + 1
	g.tileColumns = columnsOfTask(g.n, workers, set.nr)
	tiles := ceilDiv(g.n, g.tileColumns)
	chunk := max(set.mr, room/max(1, words)/set.mr*set.mr)
	for g.row0 = 0; g.row0 < g.m; g.row0 += chunk {
		g.rows = min(chunk, g.m-g.row0)
		g.tileRows = rowsOfTask(g.rows, tiles, workers, set.mr)
		if err := g.crew.run(ceilDiv(g.rows, packRowsAtATime), g.packWork); err != nil {
			return err
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
