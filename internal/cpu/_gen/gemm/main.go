// Command gemm generates the matrix kernels: micro-kernels over packed panels, and the packing itself.
package main

import (
	"fmt"

	"github.com/goprm/goprm/internal/cpu/_gen/vector"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

var (
	set    = vector.ParseSet()
	mr, nr = set.MR, set.NR
	size   = set.Bytes()
)

func main() {
	ConstraintExpr("amd64,!noasm")
	microKernel("gemm" + set.Tile())
	for _, bf16 := range []bool{false, true} {
		packRows(8, nr, bf16)
		packColumns(nr, bf16)
	}
	for rows := mr; rows > 0; rows -= 8 { // 8 at a time, and what is left
		packRows(min(rows, 8), mr, false)
	}
	packColumns(mr, false)
	vector.Peak(set, fmt.Sprintf("peakFMA%d", set.Lanes), "multiply-adds of "+digits(set.Lanes)+" float32", func(x, y, sum reg.VecVirtual) {
		VFMADD231PS(x, y, sum)
	})
	Generate()
}

// microKernel writes c[i*ldc+j] = add[i*ldadd+j] + Σ_kk a[kk*mr+i]·b[kk*nr+j]: the sum is one chain of fused
// multiply-adds from 0 in the order of kk, add comes last.
func microKernel(name string) {
	const unroll = 4
	TEXT(name, NOSPLIT, "func(tiles, k int, a, b, c *float32, ldc int, add *float32, ldadd int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s computes tiles of %d×%d, at least one, one below the other: c[i*ldc+j] = add[i*ldadd+j] + Σ_kk a(i,kk)·b[kk*%d+j],",
		name, mr, nr, nr),
		"the sum one chain of fused multiply-adds from 0 in the order of kk.",
		fmt.Sprintf("a holds k columns of %d rows (a[kk*%d+i]), for each tile.", mr, mr))
	tiles := Load(Param("tiles"), GP64())
	a := Load(Param("a"), GP64())
	c := Load(Param("c"), GP64())
	ldc := Load(Param("ldc"), GP64())
	SHLQ(Imm(2), ldc)
	add := Load(Param("add"), GP64())
	ldadd := Load(Param("ldadd"), GP64())
	SHLQ(Imm(2), ldadd)
	Label("tile")
	k := Load(Param("k"), GP64())
	b := Load(Param("b"), GP64())
	// The tile's lines arrive while the sum runs.
	line := GP64()
	MOVQ(c, line)
	for i := range mr {
		for at := 0; at < 4*nr; at += 64 {
			PREFETCHT0(Mem{Base: line, Disp: at})
		}
		PREFETCHT0(Mem{Base: line, Disp: 4*nr - 1})
		if i < mr-1 {
			ADDQ(ldc, line)
		}
	}
	acc := set.Sums(func(_ int, sum reg.VecVirtual) { set.Zero(sum) })
	b0, b1, t0, t1 := set.New(), set.New(), set.New(), set.New()
	column := func(u int) {
		VMOVUPS(Mem{Base: b, Disp: u * 4 * nr}, b0)
		VMOVUPS(Mem{Base: b, Disp: u*4*nr + size}, b1)
		for i := 0; i < mr; i += 2 {
			VBROADCASTSS(Mem{Base: a, Disp: 4 * (u*mr + i)}, t0)
			VBROADCASTSS(Mem{Base: a, Disp: 4 * (u*mr + i + 1)}, t1)
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
	ADDQ(Imm(uint64(unroll*4*mr)), a)
	ADDQ(U32(uint64(unroll*4*nr)), b)
	DECQ(blocks)
	JNZ(LabelRef("block"))
	Label("tail")
	TESTQ(k, k)
	JZ(LabelRef("store"))
	Label("one")
	column(0)
	ADDQ(Imm(uint64(4*mr)), a)
	ADDQ(U32(uint64(4*nr)), b)
	DECQ(k)
	JNZ(LabelRef("one"))
	Label("store")
	for i := range mr {
		VADDPS(Mem{Base: add}, acc[i][0], acc[i][0])
		VADDPS(Mem{Base: add, Disp: size}, acc[i][1], acc[i][1])
		VMOVUPS(acc[i][0], Mem{Base: c})
		VMOVUPS(acc[i][1], Mem{Base: c, Disp: size})
		ADDQ(ldadd, add)
		ADDQ(ldc, c)
	}
	DECQ(tiles)
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}

// packRows interleaves rows into a panel of some width: dst[kk*width+i] = rows[i][from+kk] for 4·n4 values of kk.
// Four columns of eight rows are one step: rows i and i+4 share a register's halves, so the transpose stays in lanes.
func packRows(rows, width int, bf16 bool) {
	stride := 4 * width
	name := fmt.Sprintf("packRows%dOf%d%s", rows, width, suffix(bf16))
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
	Doc(name + " interleaves " + digits(rows) + " rows: dst[kk*" + digits(width) + "+i] = rows[i][from+kk] for kk < 4·n4" + widened + ".")
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
		switch {
		case rows == 4:
			VMOVUPS(out[kk].AsX(), Mem{Base: dst, Disp: kk * stride})
			continue
		case rows == 6 && kk == 3:
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
func packColumns(columns int, bf16 bool) {
	name := fmt.Sprintf("packColumns%d%s", columns, suffix(bf16))
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
	for j := 0; j < columns; j += 8 {
		from, to := Mem{Base: src, Disp: size * j}, Mem{Base: dst, Disp: 4 * j}
		v := YMM()
		switch {
		case bf16:
			VPMOVZXWD(from, v)
			VPSLLD(Imm(16), v, v)
			VMOVUPS(v, to)
		case columns-j >= 8:
			VMOVUPS(from, v)
			VMOVUPS(v, to)
		default:
			VMOVUPS(from, v.AsX())
			if columns-j == 6 {
				high := XMM()
				VMOVSD(from.Offset(16), high)
				VMOVLPS(high, to.Offset(16))
			}
			VMOVUPS(v.AsX(), to)
		}
	}
	ADDQ(ld, src)
	ADDQ(U32(uint64(4*columns)), dst)
	DECQ(k)
	JNZ(LabelRef("row"))
	Label("done")
	VZEROUPPER()
	RET()
}

func suffix(bf16 bool) string {
	if bf16 {
		return "BF16"
	}
	return "F32"
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
