package vector

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Multiply adds the products of two registers to a third.
type Multiply func(x, y, sum reg.VecVirtual)

// strip emits the loops over panels and k of a strip's product; begin and end frame each panel.
type strip struct {
	Set
	mul                Multiply
	kStride, rowStride int // of a, in bytes
	unroll             int
}

// sum adds the products along k of one panel to sums of 0. It moves b past the panel where k is a multiple of unroll, or anywhere after.
func (s strip) sum(a, b, k reg.Register) [][2]reg.VecVirtual {
	acc := s.Sums(func(_ int, sum reg.VecVirtual) { s.Zero(sum) })
	b0, b1, t0, t1 := s.New(), s.New(), s.New(), s.New()
	column := func(u int) {
		VMOVUPS(Mem{Base: b, Disp: u * 4 * s.NR}, b0)
		VMOVUPS(Mem{Base: b, Disp: u*4*s.NR + s.Bytes()}, b1)
		for i := 0; i < s.MR; i += 2 {
			VBROADCASTSS(Mem{Base: a, Disp: u*s.kStride + i*s.rowStride}, t0)
			VBROADCASTSS(Mem{Base: a, Disp: u*s.kStride + (i+1)*s.rowStride}, t1)
			for j, v := range []reg.VecVirtual{b0, b1} {
				s.mul(t0, v, acc[i][j])
				s.mul(t1, v, acc[i+1][j])
			}
		}
	}
	SUBQ(Imm(uint64(s.unroll)), k)
	JL(LabelRef("tail"))
	Label("block")
	for u := range s.unroll {
		column(u)
	}
	ADDQ(U32(uint64(s.unroll*s.kStride)), a)
	ADDQ(U32(uint64(s.unroll*4*s.NR)), b)
	SUBQ(Imm(uint64(s.unroll)), k)
	JGE(LabelRef("block"))
	Label("tail")
	ADDQ(Imm(uint64(s.unroll)), k)
	JZ(LabelRef("store"))
	Label("one")
	column(0)
	ADDQ(Imm(uint64(s.kStride)), a)
	ADDQ(U32(uint64(4*s.NR)), b)
	DECQ(k)
	JNZ(LabelRef("one"))
	Label("store")
	return acc
}

// StripScores emits the product of a strip of packed rows and panels beside each other.
func StripScores(set Set, name string, element, words string, mul Multiply) {
	TEXT(name, NOSPLIT, fmt.Sprintf("func(panels, k int, a, b *%s, c *float32)", element))
	Pragma("noescape")
	Doc(fmt.Sprintf("%s computes c[i*64+p*%d+j] = Σ_kk a[kk*%d+i]·b[(p*k+kk)*%d+j]", name, set.NR, set.MR, set.NR),
		fmt.Sprintf("of %d rows for kk < k and p < panels, both at least 1,", set.MR), words)
	panels := Load(Param("panels"), GP64())
	b := Load(Param("b"), GP64())
	c := Load(Param("c"), GP64())
	Label("panel")
	k := Load(Param("k"), GP64())
	a := Load(Param("a"), GP64())
	acc := strip{set, mul, 4 * set.MR, 4, 4}.sum(a, b, k)
	for i := range acc {
		for j := range acc[i] {
			VMOVUPS(acc[i][j], Mem{Base: c, Disp: 256*i + j*set.Bytes()})
		}
	}
	ADDQ(U32(uint64(4*set.NR)), c)
	DECQ(panels)
	JNZ(LabelRef("panel"))
	VZEROUPPER()
	RET()
}

// StripValues emits the product of a strip of probabilities and panels beside each other, added to what was there.
func StripValues(set Set, name string, element, words string, mul Multiply) {
	TEXT(name, NOSPLIT, fmt.Sprintf("func(panels, k int, a, b *%s, ldb int, c *float32, ldc int, shrink *float32)", element))
	Pragma("noescape")
	Doc(fmt.Sprintf("%s computes c[i*ldc+p*%d+j] = c[i*ldc+p*%d+j]·shrink[i] + Σ_kk a[i*64+kk]·b[p*ldb+kk*%d+j],",
		name, set.NR, set.NR, set.NR), fmt.Sprintf("rounded after each, of %d rows for kk < k and p < panels, both at least 1,", set.MR), words)
	panels := Load(Param("panels"), GP64())
	b := Load(Param("b"), GP64())
	c := Load(Param("c"), GP64())
	ldc := Load(Param("ldc"), GP64())
	SHLQ(Imm(2), ldc)
	Label("panel")
	k := Load(Param("k"), GP64())
	a := Load(Param("a"), GP64())
	at, row := GP64(), GP64()
	MOVQ(b, at)
	acc := strip{set, mul, 4, 256, 8}.sum(a, at, k)
	shrink := Load(Param("shrink"), GP64())
	MOVQ(c, row)
	by := set.New()
	for i := range acc {
		VBROADCASTSS(Mem{Base: shrink, Disp: 4 * i}, by)
		for j := range acc[i] {
			old := set.New()
			to := Mem{Base: row, Disp: j * set.Bytes()}
			VMULPS(to, by, old)
			VADDPS(old, acc[i][j], acc[i][j])
			VMOVUPS(acc[i][j], to)
		}
		if i < len(acc)-1 {
			ADDQ(ldc, row)
		}
	}
	ADDQ(U32(uint64(4*set.NR)), c)
	ldb := Load(Param("ldb"), GP64())
	LEAQ(Mem{Base: b, Index: ldb, Scale: 4}, b)
	DECQ(panels)
	JNZ(LabelRef("panel"))
	VZEROUPPER()
	RET()
}
