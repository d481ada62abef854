// Command bf16 generates the kernels of products in bf16, whose panels hold pairs along the summed dimension as 32-bit
// words, what attention does with such pairs, and the conversions around them. Assembler and avo lack VDPBF16PS and VCVTNEPS2BF16: VPDPWSSD
// and VPMOVDW between registers stand in for them, which have the same operands, until _gen/vdpbf16ps puts in their bytes.
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
)

func main() {
	ConstraintExpr("amd64,!noasm")
	c := vector.NewConstants(set, "bf16Constants")
	microKernel()
	attention()
	packPairs(nr)
	packPairs(mr)
	widen()
	round(c)
	vector.Peak(set, "peakBF16", "VDPBF16PS", func(x, y, sum reg.VecVirtual) { VPDPWSSD(x, y, sum) })
	c.Define()
	Generate()
}

func microKernel() {
	name := fmt.Sprintf("gemm%sBF16", set.Tile())
	TEXT(name, NOSPLIT, "func(tiles, k int, a, b *uint32, c *float32, ldc int, add *float32, ldadd int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s computes tiles of %d×%d, at least one, one below the other:", name, mr, nr),
		fmt.Sprintf("c[i*ldc+j] = add[i*ldadd+j] + Σ_kk a[kk*%d+i]·b[kk*%d+j] for kk < k,", mr, nr),
		"where a word is a pair of bf16 and its product VDPBF16PS's: the sum is one chain from 0 in the order of kk.")
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
	acc := set.Sums(func(_ int, sum reg.VecVirtual) { set.Zero(sum) })
	b0, b1, t0, t1 := ZMM(), ZMM(), ZMM(), ZMM()
	column := func(u int) {
		VMOVUPS(Mem{Base: b, Disp: u * 4 * nr}, b0)
		VMOVUPS(Mem{Base: b, Disp: u*4*nr + 64}, b1)
		for i := 0; i < mr; i += 2 {
			VBROADCASTSS(Mem{Base: a, Disp: 4 * (u*mr + i)}, t0)
			VBROADCASTSS(Mem{Base: a, Disp: 4 * (u*mr + i + 1)}, t1)
			VPDPWSSD(t0, b0, acc[i][0])
			VPDPWSSD(t0, b1, acc[i][1])
			VPDPWSSD(t1, b0, acc[i+1][0])
			VPDPWSSD(t1, b1, acc[i+1][1])
		}
	}
	blocks := GP64()
	MOVQ(k, blocks)
	ANDQ(Imm(3), k)
	SHRQ(Imm(2), blocks)
	JZ(LabelRef("tail"))
	Label("block")
	for u := range 4 {
		column(u)
	}
	ADDQ(U32(uint64(16*mr)), a)
	ADDQ(U32(uint64(16*nr)), b)
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
		for j := range 2 {
			VADDPS(Mem{Base: add, Disp: 64 * j}, acc[i][j], acc[i][j])
			VMOVUPS(acc[i][j], Mem{Base: c, Disp: 64 * j})
		}
		ADDQ(ldadd, add)
		ADDQ(ldc, c)
	}
	DECQ(tiles)
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}

// attention emits the kernels of attention whose products are of bf16.
func attention() {
	c := vector.NewConstants(set, "bf16AttentionConstants")
	pairs := func(x, y, sum reg.VecVirtual) { VPDPWSSD(x, y, sum) }
	words := "where a word is a pair of bf16 and its product VDPBF16PS's: a chain from 0 in the order of kk."
	vector.StripScores(set, fmt.Sprintf("scoresStrip%dBF16", mr), "float32", words, pairs)
	vector.StripValues(set, fmt.Sprintf("valuesStrip%dBF16", mr), "float32", words, pairs)
	vector.Softmax(c, fmt.Sprintf("softmaxStrip%dBF16", mr), "\n// In the end s are words s[i*64+j/2] of pairs of bf16, denormals 0.",
		func(v reg.VecVirtual, row reg.Register, j int) {
			VPMOVDW(v, v.AsY())
			VMOVUPS(v.AsY(), Mem{Base: row, Disp: 32 * j})
		})
	c.Define()
	packPairRows()
}

// packPairRows joins pairs of rows that lie anywhere, eight columns of them.
func packPairRows() {
	name := fmt.Sprintf("packPairRows8Of%d", nr)
	TEXT(name, NOSPLIT, "func(dst *float32, rows **uint16, from, k int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s joins pairs of rows in words for kk < k and j < 8:", name),
		fmt.Sprintf("dst[kk*%d+j] = rows[2*kk][from+j] | rows[2*kk+1][from+j]<<16.", nr))
	dst := Load(Param("dst"), GP64())
	rows := Load(Param("rows"), GP64())
	from := Load(Param("from"), GP64())
	k := Load(Param("k"), GP64())
	row := GP64()
	vector.Loop(k, func() {
		low, high := YMM(), YMM()
		MOVQ(Mem{Base: rows}, row)
		VPMOVZXWD(Mem{Base: row, Index: from, Scale: 2}, low)
		MOVQ(Mem{Base: rows, Disp: 8}, row)
		VPMOVZXWD(Mem{Base: row, Index: from, Scale: 2}, high)
		VPSLLD(Imm(16), high, high)
		VPOR(low, high, high)
		VMOVUPS(high, Mem{Base: dst})
		ADDQ(Imm(16), rows)
		ADDQ(U32(uint64(4*nr)), dst)
	})
	VZEROUPPER()
	RET()
}

// packPairs joins rows of two in words.
func packPairs(columns int) {
	name := fmt.Sprintf("packPairs%d", columns)
	TEXT(name, NOSPLIT, "func(dst *uint32, src *uint16, ld, k int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s joins pairs of rows: dst[kk*%d+j] = src[2*kk*ld+j] | src[(2*kk+1)*ld+j]<<16 for kk < k.", name, columns))
	dst := Load(Param("dst"), GP64())
	src := Load(Param("src"), GP64())
	ld := Load(Param("ld"), GP64())
	k := Load(Param("k"), GP64())
	SHLQ(Imm(1), ld)
	TESTQ(k, k)
	JZ(LabelRef("done"))
	Label("row")
	for j := 0; j < columns; {
		width := 4
		low, high := reg.Register(XMM()), reg.Register(XMM())
		switch {
		case columns-j >= 16:
			width, low, high = 16, ZMM(), ZMM()
		case columns-j >= 8:
			width, low, high = 8, YMM(), YMM()
		}
		VPMOVZXWD(Mem{Base: src, Disp: 2 * j}, low)
		VPMOVZXWD(Mem{Base: src, Index: ld, Scale: 1, Disp: 2 * j}, high)
		VPSLLD(Imm(16), high, high)
		VPORD(low, high, high)
		VMOVUPS(high, Mem{Base: dst, Disp: 4 * j})
		j += width
	}
	LEAQ(Mem{Base: src, Index: ld, Scale: 2}, src)
	ADDQ(U32(uint64(4*columns)), dst)
	DECQ(k)
	JNZ(LabelRef("row"))
	Label("done")
	VZEROUPPER()
	RET()
}

func widen() {
	TEXT("vecWidenBF16", NOSPLIT, "func(dst *float32, src *uint16, n16 int)")
	Pragma("noescape")
	Doc("vecWidenBF16 widens 16·n16 elements, exactly.")
	dst := Load(Param("dst"), GP64())
	src := Load(Param("src"), GP64())
	n := Load(Param("n16"), GP64())
	vector.Loop(n, func() {
		VMOVUPS(vector.LoadBF16(Mem{Base: src}), Mem{Base: dst})
		ADDQ(Imm(32), src)
		ADDQ(Imm(64), dst)
	})
	VZEROUPPER()
	RET()
}

// round does as engine.ToBF16 does.
func round(c *vector.Constants) {
	TEXT("vecRoundBF16", NOSPLIT, "func(dst *uint16, src *float32, n16 int)")
	Pragma("noescape")
	Doc("vecRoundBF16 rounds 16·n16 elements to the nearest bf16, ties to even; a NaN stays a (quiet) NaN.")
	dst := Load(Param("dst"), GP64())
	src := Load(Param("src"), GP64())
	n := Load(Param("n16"), GP64())
	vector.Loop(n, func() {
		v := ZMM()
		VMOVUPS(Mem{Base: src}, v)
		vector.StoreBF16(c, v, Mem{Base: dst})
		ADDQ(Imm(64), src)
		ADDQ(Imm(32), dst)
	})
	VZEROUPPER()
	RET()
}
