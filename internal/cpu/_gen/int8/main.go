// Command int8 generates the kernels of products of int8 and what they pack. AVX2 multiplies pairs of int16 (VPMADDWD), which hold int8
// without loss; AVX-512 multiplies four bytes at a time (VPDPBUSD), of which the left ones are unsigned: 128 is added to them, and
// sums start at what that adds too much. Neither saturates.
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
	bytes  = set.Lanes == 16 // a word holds four of them, else two int16
)

func main() {
	ConstraintExpr("amd64,!noasm")
	c := vector.NewConstants(set, "int8Constants")
	microKernel()
	quantize(c)
	quantizeBlock(c)
	if bytes {
		start(c)
		vector.Peak(set, "peakInt8x64", "VPDPBUSD", func(x, y, sum reg.VecVirtual) { VPDPBUSD(x, y, sum) })
	} else {
		largest(c)
		widen()
		vector.Peak(set, "peakInt8x16", "VPMADDWD and VPADDD", func(x, y, sum reg.VecVirtual) {
			product := YMM()
			VPMADDWD(x, y, product)
			VPADDD(product, sum, sum)
		})
	}
	c.Define()
	Generate()
}

func microKernel() {
	name := fmt.Sprintf("gemm%sInt8", set.Tile())
	TEXT(name, NOSPLIT, "func(tiles, k int, a, b *uint32, from *int32, sx, sw, c *float32, ldc int, add *float32, ld int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s computes tiles of %d×%d, at least one, one below the other:", name, mr, nr),
		"c[i*ldc+j] = add[i*ld+j] + (sum·sx[i])·sw[j], rounded after each, where",
		fmt.Sprintf("sum = from[j] + Σ_kk a[kk*%d+i]·b[kk*%d+j] for kk < k, a multiple of 4, exactly: words are", mr, nr),
		words()+" and their products added.")
	tiles := Load(Param("tiles"), GP64())
	a := Load(Param("a"), GP64())
	sx := Load(Param("sx"), GP64())
	c, add := Load(Param("c"), GP64()), Load(Param("add"), GP64())
	ldc, ldadd := Load(Param("ldc"), GP64()), Load(Param("ld"), GP64())
	SHLQ(Imm(2), ldc)
	SHLQ(Imm(2), ldadd)
	Label("tile")
	k := Load(Param("k"), GP64())
	b := Load(Param("b"), GP64())
	from := Load(Param("from"), GP64())
	acc := set.Sums(func(j int, sum reg.VecVirtual) { VMOVUPS(Mem{Base: from, Disp: j * size}, sum) })
	b0, b1, t0, t1 := set.New(), set.New(), set.New(), set.New()
	column := func(u int) {
		VMOVUPS(Mem{Base: b, Disp: u * 4 * nr}, b0)
		VMOVUPS(Mem{Base: b, Disp: u*4*nr + size}, b1)
		for i := 0; i < mr; i++ {
			VPBROADCASTD(Mem{Base: a, Disp: 4 * (u*mr + i)}, t0)
			if bytes {
				VPDPBUSD(b0, t0, acc[i][0])
				VPDPBUSD(b1, t0, acc[i][1])
				t0, t1 = t1, t0
				continue
			}
			VPMADDWD(t0, b0, t1)
			VPADDD(t1, acc[i][0], acc[i][0])
			VPMADDWD(t0, b1, t0)
			VPADDD(t0, acc[i][1], acc[i][1])
		}
	}
	TESTQ(k, k)
	JZ(LabelRef("store"))
	Label("block")
	for u := range 4 {
		column(u)
	}
	ADDQ(U32(uint64(16*mr)), a)
	ADDQ(U32(uint64(16*nr)), b)
	SUBQ(Imm(4), k)
	JNZ(LabelRef("block"))
	Label("store")
	sw := Load(Param("sw"), GP64())
	for i := range mr {
		VBROADCASTSS(Mem{Base: sx, Disp: 4 * i}, t0)
		for j := range 2 {
			VCVTDQ2PS(acc[i][j], acc[i][j])
			VMULPS(t0, acc[i][j], acc[i][j])
			VMULPS(Mem{Base: sw, Disp: j * size}, acc[i][j], acc[i][j])
			VADDPS(Mem{Base: add, Disp: j * size}, acc[i][j], acc[i][j])
			VMOVUPS(acc[i][j], Mem{Base: c, Disp: j * size})
		}
		ADDQ(ldadd, add)
		ADDQ(ldc, c)
	}
	ADDQ(Imm(uint64(4*mr)), sx)
	DECQ(tiles)
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}

func words() string {
	if bytes {
		return "four bytes, unsigned in a and signed in b,"
	}
	return "two int16"
}

// quantize rounds elements to what the left words hold.
func quantize(c *vector.Constants) {
	name, what := "vecInt8AsWords", "int16"
	if bytes {
		name, what = "vecInt8AsBytes", "bytes, 128 added"
	}
	TEXT(name, NOSPLIT, "func(dst *uint8, x *float32, inverse float32, n8 int)")
	Pragma("noescape")
	Doc(name+" rounds 8·n8 elements x[i]·inverse, which lie from −127 to 127, to the nearest integers,", "ties to even, as "+what+".")
	dst := Load(Param("dst"), GP64())
	x := Load(Param("x"), GP64())
	inverse := vector.Broadcast("inverse", YMM())
	n := Load(Param("n8"), GP64())
	vector.Loop(n, func() {
		v := YMM()
		VMULPS(Mem{Base: x}, inverse, v)
		VCVTPS2DQ(v, v)
		upper := XMM()
		VEXTRACTI128(Imm(1), v, upper)
		VPACKSSDW(upper, v.AsX(), upper)
		if bytes {
			VPADDW(c.Bits(128<<16|128), upper, upper)
			VPACKUSWB(upper, upper, upper)
			VMOVQ(upper, Mem{Base: dst})
			ADDQ(Imm(8), dst)
		} else {
			VMOVDQU(upper, Mem{Base: dst})
			ADDQ(Imm(16), dst)
		}
		ADDQ(Imm(32), x)
	})
	VZEROUPPER()
	RET()
}

// quantizeBlock does what a block of K takes in one call: the largest magnitude, the scale, and the rounding.
func quantizeBlock(c *vector.Constants) {
	const elements = 128
	name, what, width := "int8BlockAsWords", "int16", 2
	if bytes {
		name, what, width = "int8BlockAsBytes", "bytes, 128 added", 1
	}
	TEXT(name, NOSPLIT, "func(dst *uint8, x, scale *float32)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s rounds a block of %d elements as ops.RoundInt8 does, as %s.", name, elements, what))
	dst := Load(Param("dst"), GP64())
	x := Load(Param("x"), GP64())
	lanes := set.Lanes
	part := func(j int) Mem { return Mem{Base: x, Disp: 4 * lanes * j} }
	and, most := func(a Op, b, to reg.VecVirtual) { VPAND(a, b, to) }, func(a, b, to reg.VecVirtual) { VPMAXSD(a, b, to) }
	if bytes {
		and = func(a Op, b, to reg.VecVirtual) { VPANDD(a, b, to) }
	}
	magnitudes, top := set.New(), [2]reg.VecVirtual{set.New(), set.New()}
	VMOVUPS(c.Bits(1<<31-1), magnitudes)
	for j := range elements / lanes {
		if j < 2 {
			and(part(j), magnitudes, top[j])
			continue
		}
		v := set.New()
		and(part(j), magnitudes, v)
		most(v, top[j%2], top[j%2])
	}
	most(top[1], top[0], top[0])
	m := XMM()
	if bytes {
		upper := YMM()
		VEXTRACTI32X8(Imm(1), top[0], upper)
		VPMAXSD(upper, top[0].AsY(), upper)
		VEXTRACTI128(Imm(1), upper, m)
		VPMAXSD(upper.AsX(), m, m)
	} else {
		VEXTRACTI128(Imm(1), top[0], m)
		VPMAXSD(top[0].AsX(), m, m)
	}
	other := XMM()
	for _, shift := range []uint64{8, 4} {
		VPSRLDQ(Imm(shift), m, other)
		VPMAXSD(other, m, m)
	}
	most127, scale, one, lost, inverse := XMM(), XMM(), XMM(), XMM(), set.New()
	VMOVSS(c.F32(127), most127)
	VDIVSS(most127, m, scale)
	VDIVSS(m, most127, one)
	VCMPSS(Imm(5), c.F32(0x1p-100), m, lost) // not less
	VANDPS(lost, scale, scale)
	VANDPS(lost, one, one)
	VSUBSS(m, m, lost) // NaN where m is infinite, else 0
	VADDSS(lost, scale, scale)
	VMOVSS(scale, Mem{Base: Load(Param("scale"), GP64())})
	VBROADCASTSS(one, inverse)
	for j := range elements / lanes {
		v, upper := set.New(), XMM()
		VMULPS(part(j), inverse, v)
		VCVTPS2DQ(v, v)
		to := Mem{Base: dst, Disp: width * lanes * j}
		if bytes {
			VPADDD(c.Bits(128), v, v)
			VPMOVDB(v, to)
			continue
		}
		VEXTRACTI128(Imm(1), v, upper)
		VPACKSSDW(upper, v.AsX(), upper)
		VMOVDQU(upper, to)
	}
	VZEROUPPER()
	RET()
}

// largest is for every set.
func largest(c *vector.Constants) {
	TEXT("vecLargest", NOSPLIT, "func(x *float32, n8 int, to *uint32)")
	Pragma("noescape")
	Doc("vecLargest writes the largest of the bits of |x[i]| for i < 8·n8; those of infinities and NaN are above all numbers'.")
	x := Load(Param("x"), GP64())
	n := Load(Param("n8"), GP64())
	most, v := YMM(), YMM()
	VPXOR(most, most, most)
	vector.Loop(n, func() {
		VMOVUPS(Mem{Base: x}, v)
		VPAND(c.Bits(1<<31-1), v, v)
		VPMAXSD(v, most, most)
		ADDQ(Imm(32), x)
	})
	half := XMM()
	VEXTRACTI128(Imm(1), most, half)
	VPMAXSD(half, most.AsX(), half)
	other := XMM()
	VPSRLDQ(Imm(8), half, other)
	VPMAXSD(other, half, half)
	VPSRLDQ(Imm(4), half, other)
	VPMAXSD(other, half, half)
	VMOVD(half, Mem{Base: Load(Param("to"), GP64())})
	VZEROUPPER()
	RET()
}

func widen() {
	TEXT("vecWidenInt8", NOSPLIT, "func(dst *uint8, src *int8, n16 int)")
	Pragma("noescape")
	Doc("vecWidenInt8 widens 16·n16 elements to int16.")
	dst := Load(Param("dst"), GP64())
	src := Load(Param("src"), GP64())
	n := Load(Param("n16"), GP64())
	vector.Loop(n, func() {
		v := YMM()
		VPMOVSXBW(Mem{Base: src}, v)
		VMOVDQU(v, Mem{Base: dst})
		ADDQ(Imm(16), src)
		ADDQ(Imm(32), dst)
	})
	VZEROUPPER()
	RET()
}

// start is what the 128 in each left byte adds to a sum, negated.
func start(c *vector.Constants) {
	name := fmt.Sprintf("int8Start%d", nr)
	TEXT(name, NOSPLIT, "func(k int, b *uint32, start *int32)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s computes start[j] = −128·(the bytes of b[kk*%d+j] for kk < k, added) for j < %d.", name, nr, nr))
	k := Load(Param("k"), GP64())
	b := Load(Param("b"), GP64())
	to := Load(Param("start"), GP64())
	ones, s0, s1, zero := ZMM(), ZMM(), ZMM(), ZMM()
	set.Zero(s0)
	set.Zero(s1)
	set.Zero(zero)
	VMOVUPS(c.Bits(0x80808080), ones)
	vector.Loop(k, func() {
		VPDPBUSD(Mem{Base: b}, ones, s0)
		VPDPBUSD(Mem{Base: b, Disp: size}, ones, s1)
		ADDQ(U32(uint64(4*nr)), b)
	})
	VPSUBD(s0, zero, s0)
	VPSUBD(s1, zero, s1)
	VMOVUPS(s0, Mem{Base: to})
	VMOVUPS(s1, Mem{Base: to, Disp: size})
	VZEROUPPER()
	RET()
}
