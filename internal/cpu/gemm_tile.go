//go:build amd64 && !noasm

package cpu

import "unsafe"

// part is what a task computes: some rows of the chunk in work, and some columns.
type part struct{ from, end, column, columns int }

// sums is where a part's sums are: the first is that of a row and a column of C, and the next row is ld apart.
type sums struct {
	ptr             *float32
	ld, row, column int
}

func (s sums) at(row, column int) *float32 { return offset(s.ptr, (row-s.row)*s.ld+column-s.column) }

// tile computes one tile of C.
func (g *gemm) tile(worker, piece int) {
	w, across := g.spaces[worker], ceilDiv(g.n, g.tileColumns)
	from, column := piece/across*g.tileRows, piece%across*g.tileColumns
	p := part{from, min(from+g.tileRows, g.rows), column, min(g.tileColumns, g.n-column)}
	c, up := sums{g.c, g.n, -g.row0, 0}, sums{}
	if g.gate != nil {
		up = sums{&w.up[:(p.end-from)*p.columns][0], p.columns, from, column}
	}
	padded, upPanels := roundUp(g.rows, g.set.mr), kBlock*columnTile/2
	for k := 0; k < g.span; k += kBlock {
		kc := min(kBlock, g.span-k)
		g.set.packB(w, &w.panels[0], &g.b, column, p.columns, g.k0+k, kc)
		if g.gate != nil {
			g.set.packB(w, &w.panels[upPanels], &g.up, column, p.columns, k, kc)
		}
		for block := from; block < p.end; block += rowBlock {
			rows, a := part{block, min(block+rowBlock, p.end), column, p.columns}, &g.packed[k*padded+block*kc]
			g.strips(w, k, kc, rows, a, w.panels, c)
			if g.gate == nil {
				continue
			}
			g.strips(w, k, kc, rows, a, w.panels[upPanels:], up)
			for i := block; i < rows.end && k+kc == g.k; i++ {
				g.gate(c.at(i, column), c.at(i, column), up.at(i, column), p.columns)
			}
		}
	}
}

// strips computes some rows, a panel of columns at a time, for a block of K.
func (g *gemm) strips(w *workspace, k, kc int, p part, a *float32, panels []float32, c sums) {
	for j := 0; j < p.columns; j += g.set.nr {
		g.strip(w, g.k0+k == 0, kc, part{p.from, p.end, p.column + j, min(g.set.nr, p.columns-j)}, a, &panels[j*kc], c)
	}
}

func (g *gemm) strip(w *workspace, first bool, kc int, p part, a, b *float32, c sums) {
	set := g.set
	start := &zeros[0]
	if first && g.bias != nil {
		start = offset(g.bias, p.column)
		if p.columns < set.nr {
			copy(w.bias, unsafe.Slice(start, p.columns))
			start = &w.bias[0]
		}
	}
	i := p.from
	if whole := (p.end - i) / set.mr; whole > 0 && p.columns == set.nr {
		to := c.at(i, p.column)
		add, ldadd := to, c.ld
		if first {
			add, ldadd = start, 0
		}
		set.tile(whole, kc, a, b, to, c.ld, add, ldadd)
		i += whole * set.mr
	}
	for ; i < p.end; i += set.mr {
		set.tile(1, kc, offset(a, (i-p.from)*kc), b, &w.tile[0], set.nr, start, 0)
		for row := i; row < min(i+set.mr, p.end); row++ {
			copyEdge(unsafe.Slice(c.at(row, p.column), p.columns), w.tile[(row-i)*set.nr:], first)
		}
	}
}

// copyEdge moves or adds what a row of a tile has of the result, with the roundings of a whole tile.
func copyEdge(to, tile []float32, first bool) {
	for j, v := range tile[:len(to)] {
		if first {
			to[j] = v
		} else {
			to[j] += v
		}
	}
}
