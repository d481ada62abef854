// Command attention generates what attention does to a strip of scores, 6 rows of 64, between its matrix products.
package main

import (
	"math"

	"github.com/goprm/goprm/internal/cpu/_gen/vector"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const (
	rows    = 6
	vectors = 8 // of a row
	pitch   = 32 * vectors
)

func main() {
	ConstraintExpr("amd64,!noasm")
	c := vector.NewConstants("attentionConstants")
	softmax(c)
	slopes(c, "slopesByRow", true)
	slopes(c, "slopesByColumn", false)
	c.Define()
	Generate()
}

func maximum(a, b reg.VecVirtual) { VMAXPS(a, b, b) }
func sum(a, b reg.VecVirtual)     { VADDPS(a, b, b) }

// softmax advances the online softmax of six rows by one block.
func softmax(c *vector.Constants) {
	TEXT("softmaxStrip", NOSPLIT, "func(s *float32, scale float32, state *float32)")
	Pragma("noescape")
	Doc("softmaxStrip advances six online softmaxes by a block of 64 scores s[i*64+j]. state is five rows of 8, an entry for each softmax:",
		"max, sum, shrink and two of scratch. top = max(max, scale·s); shrink = e^(max−top); s = e^(scale·s−top);",
		"sum = sum·shrink + Σ s (lane j%8 first, upwards, then across lanes); max = top. While top is −Inf all of them are 0.")
	s := Load(Param("s"), GP64())
	state := Load(Param("state"), GP64())
	scale := YMM()
	ptr, err := Param("scale").Resolve()
	if err != nil {
		panic(err)
	}
	VBROADCASTSS(ptr.Addr, scale)
	row := GP64()
	XORQ(row, row)
	Label("row")
	var v [vectors]reg.VecVirtual
	for j := range v {
		v[j] = YMM()
		VMULPS(Mem{Base: s, Disp: 32 * j}, scale, v[j])
	}
	top, t := YMM(), YMM()
	VMAXPS(v[0], v[1], top)
	VMAXPS(v[2], v[3], t)
	VMAXPS(t, top, top)
	VMAXPS(v[4], v[5], t)
	VMAXPS(t, top, top)
	VMAXPS(v[6], v[7], t)
	VMAXPS(t, top, top)
	vector.Across(maximum, top)
	VBROADCASTSS(Mem{Base: state, Index: row, Scale: 4}, t)
	VMAXPS(t, top, top)
	VMOVSS(top.AsX(), Mem{Base: state, Index: row, Scale: 4, Disp: 96})
	VMAXPS(c.F32(-math.MaxFloat32), top, top)
	total := YMM()
	for j := range v {
		VSUBPS(top, v[j], v[j])
		vector.Exp(c, v[j])
		VMOVUPS(v[j], Mem{Base: s, Disp: 32 * j})
		if j == 0 {
			VMOVAPS(v[0], total)
		} else {
			VADDPS(v[j], total, total)
		}
	}
	vector.Across(sum, total)
	VMOVSS(total.AsX(), Mem{Base: state, Index: row, Scale: 4, Disp: 128})
	ADDQ(U32(pitch), s)
	INCQ(row)
	CMPQ(row, Imm(rows))
	JNE(LabelRef("row"))
	newMax, shrink := YMM(), YMM()
	VMOVUPS(Mem{Base: state, Disp: 96}, newMax)
	VMOVUPS(Mem{Base: state}, shrink)
	VMAXPS(c.F32(-math.MaxFloat32), newMax, top)
	VSUBPS(top, shrink, shrink)
	vector.Exp(c, shrink)
	VMOVUPS(newMax, Mem{Base: state})
	VMOVUPS(Mem{Base: state, Disp: 32}, total)
	VMULPS(shrink, total, total)
	VADDPS(Mem{Base: state, Disp: 128}, total, total)
	VMOVUPS(total, Mem{Base: state, Disp: 32})
	VMOVUPS(shrink, Mem{Base: state, Disp: 64})
	VZEROUPPER()
	RET()
}

// slopes turns scores and dout·value into probabilities and their gradients.
func slopes(c *vector.Constants, name string, byRow bool) {
	TEXT(name, NOSPLIT, "func(s, dp *float32, scale float32, lse, delta *float32)")
	Pragma("noescape")
	index := "j"
	if byRow {
		index = "i"
	}
	Doc(name + " computes for 6×64 scores s[i*64+j] and as many dp: s = e^(scale·s − lse[" + index + "]), dp = s·(dp − delta[" + index + "])·scale.")
	s := Load(Param("s"), GP64())
	dp := Load(Param("dp"), GP64())
	lse := Load(Param("lse"), GP64())
	delta := Load(Param("delta"), GP64())
	scale := YMM()
	ptr, err := Param("scale").Resolve()
	if err != nil {
		panic(err)
	}
	VBROADCASTSS(ptr.Addr, scale)
	row := GP64()
	XORQ(row, row)
	Label("row")
	rowLSE, rowDelta := YMM(), YMM()
	if byRow {
		VBROADCASTSS(Mem{Base: lse, Index: row, Scale: 4}, rowLSE)
		VBROADCASTSS(Mem{Base: delta, Index: row, Scale: 4}, rowDelta)
	}
	for j := range vectors {
		p, d := YMM(), YMM()
		VMULPS(Mem{Base: s, Disp: 32 * j}, scale, p)
		VMOVUPS(Mem{Base: dp, Disp: 32 * j}, d)
		if byRow {
			VSUBPS(rowLSE, p, p)
			VSUBPS(rowDelta, d, d)
		} else {
			VSUBPS(Mem{Base: lse, Disp: 32 * j}, p, p)
			VSUBPS(Mem{Base: delta, Disp: 32 * j}, d, d)
		}
		vector.Exp(c, p)
		VMULPS(p, d, d)
		VMULPS(scale, d, d)
		VMOVUPS(p, Mem{Base: s, Disp: 32 * j})
		VMOVUPS(d, Mem{Base: dp, Disp: 32 * j})
	}
	ADDQ(U32(pitch), s)
	ADDQ(U32(pitch), dp)
	INCQ(row)
	CMPQ(row, Imm(rows))
	JNE(LabelRef("row"))
	VZEROUPPER()
	RET()
}
