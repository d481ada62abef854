// Command gemm generates the matrix kernels: micro-kernels over packed panels, and the packing itself.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const (
	mr = 6  // rows of a tile
	nr = 16 // columns of a tile: two registers
)

func main() {
	ConstraintExpr("amd64,!noasm")
	microKernel("gemm6x16", 4*mr, 4, 4,
		"a holds k columns of 6 rows (a[kk*6+i])")
	microKernel("gemm6x16Strip", 4, 4*64, 8,
		"a holds 6 rows of 64 elements (a[i*64+kk]), of which k are used")
	packRows("packRows8F32", 8, 4*nr, false)
	packRows("packRows8BF16", 8, 4*nr, true)
	packRows("packRows6F32", mr, 4*mr, false)
	packColumns("packColumns16F32", nr, false)
	packColumns("packColumns16BF16", nr, true)
	packColumns("packColumns6F32", mr, false)
	Generate()
}

// microKernel writes c[i*ldc+j] = add[i*ldadd+j] + Σ_kk a(i,kk)·b[kk*16+j]: the sum is one chain of fused
// multiply-adds from 0 in the order of kk, add comes last.
func microKernel(name string, kStride, rowStride, unroll int, layout string) {
	TEXT(name, NOSPLIT, "func(k int, a, b, c *float32, ldc int, add *float32, ldadd int)")
	Pragma("noescape")
	Doc(name+" computes a 6×16 tile: c[i*ldc+j] = add[i*ldadd+j] + Σ_kk a(i,kk)·b[kk*16+j],",
		"the sum one chain of fused multiply-adds from 0 in the order of kk.",
		layout+".")
	k := Load(Param("k"), GP64())
	a := Load(Param("a"), GP64())
	b := Load(Param("b"), GP64())
	c := Load(Param("c"), GP64())
	ldc := Load(Param("ldc"), GP64())
	SHLQ(Imm(2), ldc)
	// The tile's lines arrive while the sum runs.
	line := GP64()
	MOVQ(c, line)
	for i := range mr {
		PREFETCHT0(Mem{Base: line})
		PREFETCHT0(Mem{Base: line, Disp: 63})
		if i < mr-1 {
			ADDQ(ldc, line)
		}
	}
	var acc [mr][2]reg.VecVirtual
	for i := range acc {
		for j := range acc[i] {
			acc[i][j] = YMM()
			VXORPS(acc[i][j], acc[i][j], acc[i][j])
		}
	}
	b0, b1, t0, t1 := YMM(), YMM(), YMM(), YMM()
	column := func(u int) {
		VMOVUPS(Mem{Base: b, Disp: u * 4 * nr}, b0)
		VMOVUPS(Mem{Base: b, Disp: u*4*nr + 32}, b1)
		for i := 0; i < mr; i += 2 {
			VBROADCASTSS(Mem{Base: a, Disp: u*kStride + i*rowStride}, t0)
			VBROADCASTSS(Mem{Base: a, Disp: u*kStride + (i+1)*rowStride}, t1)
			VFMADD231PS(t0, b0, acc[i][0])
			VFMADD231PS(t0, b1, acc[i][1])
			VFMADD231PS(t1, b0, acc[i+1][0])
			VFMADD231PS(t1, b1, acc[i+1][1])
		}
	}
	blocks := GP64()
	MOVQ(k, blocks)
	ANDQ(Imm(uint64(unroll-1)), k)
	SHRQ(Imm(uint64(log2(unroll))), blocks)
	JZ(LabelRef("tail"))
	Label("block")
	for u := range unroll {
		column(u)
	}
	ADDQ(Imm(uint64(unroll*kStride)), a)
	ADDQ(U32(uint64(unroll*4*nr)), b)
	DECQ(blocks)
	JNZ(LabelRef("block"))
	Label("tail")
	TESTQ(k, k)
	JZ(LabelRef("store"))
	Label("one")
	column(0)
	ADDQ(Imm(uint64(kStride)), a)
	ADDQ(Imm(4*nr), b)
	DECQ(k)
	JNZ(LabelRef("one"))
	Label("store")
	add := Load(Param("add"), GP64())
	ldadd := Load(Param("ldadd"), GP64())
	SHLQ(Imm(2), ldadd)
	for i := range mr {
		VADDPS(Mem{Base: add}, acc[i][0], acc[i][0])
		VADDPS(Mem{Base: add, Disp: 32}, acc[i][1], acc[i][1])
		VMOVUPS(acc[i][0], Mem{Base: c})
		VMOVUPS(acc[i][1], Mem{Base: c, Disp: 32})
		if i < mr-1 {
			ADDQ(ldadd, add)
			ADDQ(ldc, c)
		}
	}
	VZEROUPPER()
	RET()
}

// packRows interleaves rows: dst[kk*stride+i] = rows[i][from+kk] for 4·n4 values of kk.
// Four columns of eight rows are one step: rows i and i+4 share a register's halves, so the transpose stays in lanes.
func packRows(name string, rows, stride int, bf16 bool) {
	signature, size := "func(dst *float32, rows **float32, from, n4 int)", 4
	if bf16 {
		signature, size = "func(dst *float32, rows **uint16, from, n4 int)", 2
	}
	TEXT(name, NOSPLIT, signature)
	Pragma("noescape")
	widened := ""
	if bf16 {
		widened = ", widened from bfloat16"
	}
	Doc(name + " interleaves " + digits(rows) + " rows: dst[kk*" + digits(stride/4) + "+i] = rows[i][from+kk] for kk < 4·n4" + widened + ".")
	dst := Load(Param("dst"), GP64())
	list := Load(Param("rows"), GP64())
	at := Load(Param("from"), GP64())
	n := Load(Param("n4"), GP64())
	SHLQ(Imm(uint64(log2(size))), at)
	row := make([]reg.GPVirtual, rows)
	for i := range row {
		row[i] = GP64()
		MOVQ(Mem{Base: list, Disp: 8 * i}, row[i])
		ADDQ(at, row[i])
	}
	off := GP64()
	XORQ(off, off)
	TESTQ(n, n)
	JZ(LabelRef("done"))
	Label("step")
	var r [4]reg.VecVirtual
	for i := range r {
		r[i] = YMM()
		lower := Mem{Base: row[i], Index: off, Scale: 1}
		if bf16 {
			VPMOVZXWD(lower, r[i].AsX())
		} else {
			VMOVUPS(lower, r[i].AsX())
		}
		if i+4 < rows {
			upper := Mem{Base: row[i+4], Index: off, Scale: 1}
			if bf16 {
				t := XMM()
				VPMOVZXWD(upper, t)
				VINSERTI128(Imm(1), t, r[i], r[i])
			} else {
				VINSERTF128(Imm(1), upper, r[i], r[i])
			}
		}
		if bf16 {
			VPSLLD(Imm(16), r[i], r[i])
		}
	}
	t0, t1, t2, t3 := YMM(), YMM(), YMM(), YMM()
	VUNPCKLPS(r[1], r[0], t0)
	VUNPCKHPS(r[1], r[0], t1)
	VUNPCKLPS(r[3], r[2], t2)
	VUNPCKHPS(r[3], r[2], t3)
	out := [4]reg.VecVirtual{YMM(), YMM(), YMM(), YMM()}
	VUNPCKLPD(t2, t0, out[0])
	VUNPCKHPD(t2, t0, out[1])
	VUNPCKLPD(t3, t1, out[2])
	VUNPCKHPD(t3, t1, out[3])
	for kk := range out {
		if rows < 8 && kk == 3 {
			// A full store would reach into the next panel, which another worker may be writing.
			storeSix(out[kk], dst, kk*stride)
			continue
		}
		VMOVUPS(out[kk], Mem{Base: dst, Disp: kk * stride})
	}
	ADDQ(Imm(uint64(4*size)), off)
	ADDQ(U32(uint64(4*stride)), dst)
	DECQ(n)
	JNZ(LabelRef("step"))
	Label("done")
	VZEROUPPER()
	RET()
}

func storeSix(v reg.VecVirtual, dst reg.Register, disp int) {
	high := XMM()
	VEXTRACTF128(Imm(1), v, high)
	VMOVUPS(v.AsX(), Mem{Base: dst, Disp: disp})
	VMOVLPS(high, Mem{Base: dst, Disp: disp + 16})
}

// packColumns copies a strip of columns: dst[kk*columns+j] = src[kk*ld+j] for kk < k.
func packColumns(name string, columns int, bf16 bool) {
	signature, size, widened := "func(dst, src *float32, ld, k int)", 4, ""
	if bf16 {
		signature, size, widened = "func(dst *float32, src *uint16, ld, k int)", 2, ", widened from bfloat16"
	}
	TEXT(name, NOSPLIT, signature)
	Pragma("noescape")
	Doc(name + " copies " + digits(columns) + " columns: dst[kk*" + digits(columns) + "+j] = src[kk*ld+j] for kk < k" + widened + ".")
	dst := Load(Param("dst"), GP64())
	src := Load(Param("src"), GP64())
	ld := Load(Param("ld"), GP64())
	k := Load(Param("k"), GP64())
	SHLQ(Imm(uint64(log2(size))), ld)
	TESTQ(k, k)
	JZ(LabelRef("done"))
	Label("row")
	switch {
	case columns == mr:
		low, high := XMM(), XMM()
		VMOVUPS(Mem{Base: src}, low)
		VMOVSD(Mem{Base: src, Disp: 16}, high)
		VMOVUPS(low, Mem{Base: dst})
		VMOVLPS(high, Mem{Base: dst, Disp: 16})
	case bf16:
		for j := range 2 {
			v := YMM()
			VPMOVZXWD(Mem{Base: src, Disp: 16 * j}, v)
			VPSLLD(Imm(16), v, v)
			VMOVUPS(v, Mem{Base: dst, Disp: 32 * j})
		}
	default:
		for j := range 2 {
			v := YMM()
			VMOVUPS(Mem{Base: src, Disp: 32 * j}, v)
			VMOVUPS(v, Mem{Base: dst, Disp: 32 * j})
		}
	}
	ADDQ(ld, src)
	ADDQ(Imm(uint64(4*columns)), dst)
	DECQ(k)
	JNZ(LabelRef("row"))
	Label("done")
	VZEROUPPER()
	RET()
}

func log2(n int) int {
	b := 0
	for 1<<b < n {
		b++
	}
	return b
}

func digits(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return digits(n/10) + digits(n%10)
}
