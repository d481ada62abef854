//go:build amd64 && !noasm

package cpu

import (
	"unsafe"

	"github.com/goprm/goprm/internal/engine"
)

// packA6 packs f32 vectors into panels of 6.
func packA6(w *workspace, dst *float32, x *matrix, first, count, k0, kc int) {
	for p := 0; p < count; p += 6 {
		width := min(6, count-p)
		switch {
		case x.alongK:
			x.vectors(w.rows[:6], first+p, width)
			packRows6F32(dst, (**float32)(unsafe.Pointer(&w.rows)), k0, kc/4)
			x.packTail(w.rows[:6], offset(dst, kc/4*4*6), k0+kc/4*4, kc%4)
		case width == 6:
			packColumns6F32(dst, (*float32)(x.at(k0, first+p)), x.ld, kc)
		default:
			x.packNarrow(dst, 6, width, first+p, k0, kc)
		}
		dst = offset(dst, 6*kc)
	}
}

// packB16 packs f32 or bf16 vectors into panels of 16.
func packB16(w *workspace, dst *float32, x *matrix, first, count, k0, kc int) {
	for p := 0; p < count; p += 16 {
		width := min(16, count-p)
		switch {
		case x.alongK:
			x.vectors(w.rows[:], first+p, width)
			packRows16(dst, &w.rows, x.bf16, k0, kc/4)
			x.packTail(w.rows[:], offset(dst, kc/4*4*16), k0+kc/4*4, kc%4)
		case width < 16:
			x.packNarrow(dst, 16, width, first+p, k0, kc)
		case x.bf16:
			packColumns16BF16(dst, (*uint16)(x.at(k0, first+p)), x.ld, kc)
		default:
			packColumns16F32(dst, (*float32)(x.at(k0, first+p)), x.ld, kc)
		}
		dst = offset(dst, 16*kc)
	}
}

// packRows16 interleaves 16 rows, 4·n4 elements of each.
func packRows16(dst *float32, rows *[16]unsafe.Pointer, bf16 bool, from, n4 int) {
	for half := range 2 {
		list := unsafe.Pointer(&rows[8*half])
		if bf16 {
			packRows8BF16(offset(dst, 8*half), (**uint16)(list), from, n4)
		} else {
			packRows8F32(offset(dst, 8*half), (**float32)(list), from, n4)
		}
	}
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
