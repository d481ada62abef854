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
// of registers. store writes part j of a row's probabilities.
func Softmax(c *Constants, name, written string, store func(v reg.VecVirtual, row reg.Register, j int)) {
	TEXT(name, NOSPLIT, "func(s *float32, scale float32, state *float32)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s advances %d online softmaxes by a block of 64 scores s[i*64+j]. state is five rows of %d, an entry for each softmax:",
		name, c.MR, c.Lanes),
		"max, sum, shrink and two of scratch. top = max(max, scale·s); shrink = e^(max−top); s = e^(scale·s−top)"+written+";",
		"sum = sum·shrink + Σ s (lane j%8 first, upwards, then across lanes); max = top. While top is −Inf all of them are 0.")
	size := c.Bytes()
	s := Load(Param("s"), GP64())
	state := Load(Param("state"), GP64())
	scale := Broadcast("scale", c.New())
	row := GP64()
	XORQ(row, row)
	Label("row")
	entry := func(i int) Mem { return Mem{Base: state, Index: row, Scale: 4, Disp: i * size} }
	v := make([]reg.VecVirtual, 64/c.Lanes)
	for j := range v {
		v[j] = c.New()
		VMULPS(Mem{Base: s, Disp: size * j}, scale, v[j])
	}
	top := c.fold(v, func(a, b, to reg.Register) { VMAXPS(a, b, to) })
	Across(maximum, top)
	t := YMM()
	VBROADCASTSS(entry(0), t)
	VMAXPS(t, top, top)
	VMOVSS(top.AsX(), entry(3))
	all := c.New()
	VBROADCASTSS(top.AsX(), all)
	VMAXPS(c.F32(-math.MaxFloat32), all, all)
	for j := range v {
		VSUBPS(all, v[j], v[j])
		exp(c, v[j], false)
		store(v[j], s, j)
	}
	total := c.fold(v, func(a, b, to reg.Register) { VADDPS(a, b, to) })
	Across(sum, total)
	VMOVSS(total.AsX(), entry(4))
	ADDQ(U32(256), s)
	INCQ(row)
	CMPQ(row, Imm(uint64(c.MR)))
	JNE(LabelRef("row"))
	newMax, shrink, sums := c.New(), c.New(), c.New()
	VMOVUPS(Mem{Base: state, Disp: 3 * size}, newMax)
	VMOVUPS(Mem{Base: state}, shrink)
	VMAXPS(c.F32(-math.MaxFloat32), newMax, all)
	VSUBPS(all, shrink, shrink)
	exp(c, shrink, false)
	VMOVUPS(newMax, Mem{Base: state})
	VMOVUPS(Mem{Base: state, Disp: size}, sums)
	VMULPS(shrink, sums, sums)
	VADDPS(Mem{Base: state, Disp: 4 * size}, sums, sums)
	VMOVUPS(sums, Mem{Base: state, Disp: size})
	VMOVUPS(shrink, Mem{Base: state, Disp: 2 * size})
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
