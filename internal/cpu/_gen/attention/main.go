// Command attention generates what attention does to a strip of scores, a tile's rows of 64, between its matrix products.
package main

import (
	"fmt"
	"math"

	"github.com/goprm/goprm/internal/cpu/_gen/vector"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const (
	columns = 64
	pitch   = 4 * columns
)

var (
	set     = vector.ParseSet()
	size    = set.Bytes()
	vectors = columns / set.Lanes // of a row
)

func main() {
	ConstraintExpr("amd64,!noasm")
	c := vector.NewConstants(set, "attentionConstants"+set.Tile())
	softmax(c)
	slopes(c, "slopesByRow", true)
	slopes(c, "slopesByColumn", false)
	c.Define()
	Generate()
}

func maximum(a, b reg.VecVirtual) { VMAXPS(a, b, b) }
func sum(a, b reg.VecVirtual)     { VADDPS(a, b, b) }

// softmax advances the online softmax of a tile's rows by one block. Its sums have one order whatever the width of registers.
func softmax(c *vector.Constants) {
	name := fmt.Sprint("softmaxStrip", set.MR)
	TEXT(name, NOSPLIT, "func(s *float32, scale float32, state *float32)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s advances %d online softmaxes by a block of 64 scores s[i*64+j]. state is five rows of %d, an entry for each softmax:",
		name, set.MR, set.Lanes),
		"max, sum, shrink and two of scratch. top = max(max, scale·s); shrink = e^(max−top); s = e^(scale·s−top);",
		"sum = sum·shrink + Σ s (lane j%8 first, upwards, then across lanes); max = top. While top is −Inf all of them are 0.")
	s := Load(Param("s"), GP64())
	state := Load(Param("state"), GP64())
	scale := vector.Broadcast("scale", set.New())
	row := GP64()
	XORQ(row, row)
	Label("row")
	entry := func(i int) Mem { return Mem{Base: state, Index: row, Scale: 4, Disp: i * size} }
	v := make([]reg.VecVirtual, vectors)
	top := YMM()
	for j := range v {
		v[j] = set.New()
		VMULPS(Mem{Base: s, Disp: size * j}, scale, v[j])
		for i, part := range set.Eights(v[j]) {
			if i+j == 0 {
				VMOVAPS(part, top)
			} else {
				VMAXPS(part, top, top)
			}
		}
	}
	vector.Across(maximum, top)
	t := YMM()
	VBROADCASTSS(entry(0), t)
	VMAXPS(t, top, top)
	VMOVSS(top.AsX(), entry(3))
	all := set.New()
	VBROADCASTSS(top.AsX(), all)
	VMAXPS(c.F32(-math.MaxFloat32), all, all)
	total := YMM()
	for j := range v {
		VSUBPS(all, v[j], v[j])
		vector.Exp(c, v[j])
		VMOVUPS(v[j], Mem{Base: s, Disp: size * j})
		for i, part := range set.Eights(v[j]) {
			if i+j == 0 {
				VMOVAPS(part, total)
			} else {
				VADDPS(part, total, total)
			}
		}
	}
	vector.Across(sum, total)
	VMOVSS(total.AsX(), entry(4))
	ADDQ(U32(pitch), s)
	INCQ(row)
	CMPQ(row, Imm(uint64(set.MR)))
	JNE(LabelRef("row"))
	newMax, shrink, sums := set.New(), set.New(), set.New()
	VMOVUPS(Mem{Base: state, Disp: 3 * size}, newMax)
	VMOVUPS(Mem{Base: state}, shrink)
	VMAXPS(c.F32(-math.MaxFloat32), newMax, all)
	VSUBPS(all, shrink, shrink)
	vector.Exp(c, shrink)
	VMOVUPS(newMax, Mem{Base: state})
	VMOVUPS(Mem{Base: state, Disp: size}, sums)
	VMULPS(shrink, sums, sums)
	VADDPS(Mem{Base: state, Disp: 4 * size}, sums, sums)
	VMOVUPS(sums, Mem{Base: state, Disp: size})
	VMOVUPS(shrink, Mem{Base: state, Disp: 2 * size})
	VZEROUPPER()
	RET()
}

// slopes turns scores and dout·value into probabilities and their gradients.
func slopes(c *vector.Constants, name string, byRow bool) {
	name += fmt.Sprint(set.MR)
	TEXT(name, NOSPLIT, "func(s, dp *float32, scale float32, lse, delta *float32)")
	Pragma("noescape")
	index := "j"
	if byRow {
		index = "i"
	}
	Doc(name + " computes for " + fmt.Sprint(set.MR) + "×64 scores s[i*64+j] and as many dp: s = e^(scale·s − lse[" + index +
		"]), dp = s·(dp − delta[" + index + "])·scale.")
	s := Load(Param("s"), GP64())
	dp := Load(Param("dp"), GP64())
	lse := Load(Param("lse"), GP64())
	delta := Load(Param("delta"), GP64())
	scale := vector.Broadcast("scale", set.New())
	row := GP64()
	XORQ(row, row)
	Label("row")
	rowLSE, rowDelta := set.New(), set.New()
	if byRow {
		VBROADCASTSS(Mem{Base: lse, Index: row, Scale: 4}, rowLSE)
		VBROADCASTSS(Mem{Base: delta, Index: row, Scale: 4}, rowDelta)
	}
	for j := range vectors {
		p, d := set.New(), set.New()
		VMULPS(Mem{Base: s, Disp: size * j}, scale, p)
		VMOVUPS(Mem{Base: dp, Disp: size * j}, d)
		if byRow {
			VSUBPS(rowLSE, p, p)
			VSUBPS(rowDelta, d, d)
		} else {
			VSUBPS(Mem{Base: lse, Disp: size * j}, p, p)
			VSUBPS(Mem{Base: delta, Disp: size * j}, d, d)
		}
		vector.Exp(c, p)
		VMULPS(p, d, d)
		VMULPS(scale, d, d)
		VMOVUPS(p, Mem{Base: s, Disp: size * j})
		VMOVUPS(d, Mem{Base: dp, Disp: size * j})
	}
	ADDQ(U32(pitch), s)
	ADDQ(U32(pitch), dp)
	INCQ(row)
	CMPQ(row, Imm(uint64(set.MR)))
	JNE(LabelRef("row"))
	VZEROUPPER()
	RET()
}
