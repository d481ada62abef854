//go:build amd64 && !noasm

package cpu

import (
	"unsafe"

	"github.com/goprm/goprm/internal/engine"
)

// packA lays the f32 vectors first to first+count of a matrix, from k0 on and kc deep, into panels of mr interleaved
// vectors; what fills up the last panel is never read back.
func (s *instructionSet) packA(w *workspace, dst *float32, x *matrix, first, count, k0, kc int) {
	for p := 0; p < count; p += s.mr {
		width := min(s.mr, count-p)
		switch {
		case x.alongK:
			s.interleave(w, dst, x, s.mr, first+p, width, k0, kc)
		case width == s.mr:
			s.packColumnsA(dst, (*float32)(x.at(k0, first+p)), x.ld, kc)
		default:
			x.packNarrow(dst, s.mr, width, first+p, k0, kc)
		}
		dst = offset(dst, s.mr*kc)
	}
}

// packB does the same in panels of nr; the vectors may be bf16.
func (s *instructionSet) packB(w *workspace, dst *float32, x *matrix, first, count, k0, kc int) {
	for p := 0; p < count; p += s.nr {
		width := min(s.nr, count-p)
		switch {
		case x.alongK:
			s.interleave(w, dst, x, s.nr, first+p, width, k0, kc)
		case width < s.nr:
			x.packNarrow(dst, s.nr, width, first+p, k0, kc)
		case x.bf16:
			s.packColumnsBF16(dst, (*uint16)(x.at(k0, first+p)), x.ld, kc)
		default:
			s.packColumnsB(dst, (*float32)(x.at(k0, first+p)), x.ld, kc)
		}
		dst = offset(dst, s.nr*kc)
	}
}

// interleave makes a panel of vectors that lie along the summed dimension.
func (s *instructionSet) interleave(w *workspace, dst *float32, x *matrix, panel, first, width, k0, kc int) {
	rows, pack := w.rows[:panel], s.packRowsB
	if panel == s.mr {
		pack = s.packRowsA
	}
	x.vectors(rows, first, width)
	pack(dst, rows, x.bf16, k0, kc/4)
	x.packTail(rows, offset(dst, kc/4*4*panel), k0+kc/4*4, kc%4)
}

func (x *matrix) size() int {
	if x.bf16 {
		return 2
	}
	return 4
}

// at is the address of an element by its place in memory.
func (x *matrix) at(row, column int) unsafe.Pointer {
	return unsafe.Add(x.ptr, (row*x.ld+column)*x.size())
}

// vectors lists the starts of len(list) vectors, of which width exist; the last one stands in for the others.
func (x *matrix) vectors(list []unsafe.Pointer, first, width int) {
	for i := range list {
		list[i] = x.at(first+min(i, width-1), 0)
	}
}

// packTail interleaves the last elements of rows, fewer than the assembly takes at a time.
func (x *matrix) packTail(rows []unsafe.Pointer, dst *float32, from, n int) {
	to := unsafe.Slice(dst, n*len(rows))
	for i, row := range rows {
		for k := range n {
			to[k*len(rows)+i] = x.load(unsafe.Add(row, (from+k)*x.size()))
		}
	}
}

// packNarrow packs columns that do not fill a panel, and zeros beside them.
func (x *matrix) packNarrow(dst *float32, panel, width, first, k0, kc int) {
	to := unsafe.Slice(dst, panel*kc)
	clear(to)
	for k := range kc {
		for j := range width {
			to[k*panel+j] = x.load(x.at(k0+k, first+j))
		}
	}
}

func (x *matrix) load(p unsafe.Pointer) float32 {
	if x.bf16 {
		return (*engine.BF16)(p).Float32()
	}
	return *(*float32)(p)
}
