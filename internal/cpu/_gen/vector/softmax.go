package vector

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func maximum(a, b reg.VecVirtual) { VMAXPS(a, b, b) }
func sum(a, b reg.VecVirtual)     { VADDPS(a, b, b) }

// Softmax emits what advances the online softmax of a strip's rows by one block of 64 scores. Its sums have one order whatever the width
// of registers. store, if any, writes part j of a row's probabilities in place of the scores' memory. Maxima, powers and sums are a loop
// each: what a row waits for in one of them is short, so that several rows are under way.
func Softmax(c *Constants, name, written string, store func(v reg.VecVirtual, row reg.Register, j int)) {
	TEXT(name, NOSPLIT, "func(s *float32, scale float32, state *float32)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s advances %d online softmaxes by a block of 64 scores s[i*64+j]. state is five rows of %d, an entry for each softmax:",
		name, c.MR, c.Lanes),
		"max, sum, shrink and two of scratch. top = max(max, scale·s); shrink = e^(max−top); s = e^(scale·s−top);",
		"sum = sum·shrink + Σ s (lane j%8 first, upwards, then across lanes); max = top. While top is −Inf all of them are 0."+written)
	size := c.Bytes()
	s := Load(Param("s"), GP64())
	state := Load(Param("state"), GP64())
	scale := Broadcast("scale", c.New())
	v, row, i := make([]reg.VecVirtual, 64/c.Lanes), GP64(), GP64()
	for j := range v {
		v[j] = c.New()
	}
	entry := func(n int) Mem { return Mem{Base: state, Index: i, Scale: 4, Disp: n * size} }
	part := func(j int) Mem { return Mem{Base: row, Disp: size * j} }
	rows := func(label string, body func()) {
		MOVQ(s, row)
		XORQ(i, i)
		Label(label)
		body()
		ADDQ(U32(256), row)
		INCQ(i)
		CMPQ(i, Imm(uint64(c.MR)))
		JNE(LabelRef(label))
	}
	rows("max", func() {
		for j := range v {
			VMULPS(part(j), scale, v[j])
		}
		top, before := c.fold(v, func(a, b, to reg.Register) { VMAXPS(a, b, to) }), YMM()
		c.across(maximum, top)
		VBROADCASTSS(entry(0), before)
		VMAXPS(before, top, top)
		VMOVSS(top.AsX(), entry(3))
	})
	c.HoldExp()
	lowestTop, top := c.New(), c.New()
	VMOVUPS(c.F32(-math.MaxFloat32), lowestTop)
	rows("power", func() {
		VBROADCASTSS(entry(3), top)
		VMAXPS(lowestTop, top, top)
		for j := range v {
			VMULPS(part(j), scale, v[j])
			VSUBPS(top, v[j], v[j])
			exp(c, v[j], false)
			VMOVUPS(v[j], part(j))
		}
	})
	shrink, sums := c.New(), c.New()
	VMOVUPS(Mem{Base: state, Disp: 3 * size}, sums)
	VMOVUPS(Mem{Base: state}, shrink)
	VMAXPS(lowestTop, sums, top)
	VSUBPS(top, shrink, shrink)
	exp(c, shrink, false)
	c.Free()
	VMOVUPS(sums, Mem{Base: state})
	VMOVUPS(shrink, Mem{Base: state, Disp: 2 * size})
	rows("sum", func() {
		for j := range v {
			VMOVUPS(part(j), v[j])
		}
		total := c.fold(v, func(a, b, to reg.Register) { VADDPS(a, b, to) })
		c.across(sum, total)
		VMOVSS(total.AsX(), entry(4))
		for j := range v {
			if store != nil {
				store(v[j], row, j)
			}
		}
	})
	VMULPS(Mem{Base: state, Disp: size}, shrink, sums)
	VADDPS(Mem{Base: state, Disp: 4 * size}, sums, sums)
	VMOVUPS(sums, Mem{Base: state, Disp: size})
	VZEROUPPER()
	RET()
}

// fold combines the elements of registers in eight lanes, upwards.
func (s Set) fold(v []reg.VecVirtual, op func(a, b, to reg.Register)) reg.VecVirtual {
	all := YMM()
	for i, x := range v {
		for j, part := range s.Eights(x) {
			if i+j == 0 {
				VMOVAPS(part, all)
			} else {
				op(part, all, all)
			}
		}
	}
	return all
}
