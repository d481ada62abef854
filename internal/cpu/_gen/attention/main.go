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
	fma := func(x, y, sum reg.VecVirtual) { VFMADD231PS(x, y, sum) }
	chain := "a chain of fused multiply-adds in the order of kk."
	vector.StripScores(set, fmt.Sprint("scoresStrip", set.MR), "float32", chain, fma)
	vector.StripValues(set, fmt.Sprint("valuesStrip", set.MR), "float32", chain, fma)
	vector.Softmax(c, fmt.Sprint("softmaxStrip", set.MR), "", nil)
	hide(c, "hideByRow", true)
	hide(c, "hideByColumn", false)
	slopes(c, "slopesByRow", true)
	slopes(c, "slopesByColumn", false)
	c.Define()
	Generate()
}

// hide emits what gives scores −Inf that are not seen. By row, queries are the strip's rows and keys its columns, else the
// other way round.
func hide(c *vector.Constants, name string, byRow bool) {
	name += fmt.Sprint(set.MR)
	TEXT(name, NOSPLIT, "func(s *float32, from, until, query *int32)")
	Pragma("noescape")
	key, asking := "i", "j"
	if byRow {
		key, asking = "j", "i"
	}
	Doc(fmt.Sprintf("%s gives those of %d×64 scores s[i*64+j] −Inf for which not from[%s] ≤ query[%s] < until[%s].",
		name, set.MR, key, asking, key))
	s := Load(Param("s"), GP64())
	p, names := map[string]reg.Register{}, []string{"from", "until", "query"}
	for _, name := range names {
		p[name] = Load(Param(name), GP64())
	}
	infinite := set.New()
	VMOVUPS(c.F32(float32(math.Inf(-1))), infinite)
	row := GP64()
	XORQ(row, row)
	Label("row")
	all := map[string]reg.VecVirtual{} // of the row
	for _, name := range names {
		if byRow == (name == "query") {
			all[name] = set.New()
			VPBROADCASTD(Mem{Base: p[name], Index: row, Scale: 4}, all[name])
		}
	}
	for j := range vectors {
		at := func(name string) reg.VecVirtual {
			if v := all[name]; v != nil {
				return v
			}
			v := set.New()
			VMOVUPS(Mem{Base: p[name], Disp: size * j}, v)
			return v
		}
		score := Mem{Base: s, Disp: size * j}
		from, until, query := at("from"), at("until"), at("query")
		if set.Lanes == 16 {
			early, late := K(), K()
			VPCMPD(Imm(1), from, query, early) // query < from
			VPCMPD(Imm(5), until, query, late) // query ≥ until
			VMOVUPS(infinite, early, score)
			VMOVUPS(infinite, late, score)
			continue
		}
		early, seen, v := set.New(), set.New(), set.New()
		VPCMPGTD(query, from, early)
		VPCMPGTD(query, until, seen)
		VPANDN(seen, early, seen)
		VBLENDVPS(seen, score, infinite, v)
		VMOVUPS(v, score)
	}
	ADDQ(U32(pitch), s)
	INCQ(row)
	CMPQ(row, Imm(uint64(set.MR)))
	JNE(LabelRef("row"))
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
	c.HoldExp()
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
	c.Free()
	VZEROUPPER()
	RET()
}
