// Command elements generates AVX-512's kernels of elements one by one, where more than memory bounds AVX2's. They have the same bits.
package main

import (
	"github.com/goprm/goprm/internal/cpu/_gen/vector"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

var constants = vector.NewConstants(vector.ParseSet(), "elementConstants")

func main() {
	ConstraintExpr("amd64,!noasm")
	for _, bf16 := range []bool{false, true} {
		elementwise("vecSwiGLU", "gate[i]/(1+e^−gate[i])·up[i]", "out, gate, up", bf16, true, func(gate, up, _ reg.VecVirtual) reg.VecVirtual {
			e := ZMM()
			VPXORD(constants.Bits(1<<31), gate, e)
			vector.Exp(constants, e)
			VADDPS(constants.F32(1), e, e)
			VDIVPS(e, gate, e)
			VMULPS(up, e, e)
			return e
		})
	}
	elementwise("vecAdd", "x[i] + s·y[i], rounded after each", "out, x, y", true, false, func(x, y, s reg.VecVirtual) reg.VecVirtual {
		VMULPS(s, y, y)
		VADDPS(y, x, x)
		return x
	})
	constants.Define()
	Generate()
}

// elementwise emits a loop over vectors of sixteen. Its arguments are the result and two operands, and a number s where there
// are no powers.
func elementwise(name, what, arguments string, bf16, powers bool, body func(x, y, s reg.VecVirtual) reg.VecVirtual) {
	kind, size, rounded, scalar := " *float32", 4, "", ""
	if name += "16"; bf16 {
		name, kind, size, rounded = name[:len(name)-2]+"BF16", " *uint16", 2, ", in float32 and rounded to bf16"
	}
	if !powers {
		scalar = "s float32, "
	}
	TEXT(name, NOSPLIT, "func("+arguments+kind+", "+scalar+"n16 int)")
	Pragma("noescape")
	Doc(name + ": out[i] = " + what + rounded + ", for i < 16·n16.")
	var p [3]reg.Register
	for i := range p {
		p[i] = Load(ParamIndex(i), GP64())
	}
	var s reg.VecVirtual
	if powers {
		constants.HoldExp()
	} else {
		s = vector.Broadcast("s", ZMM())
	}
	n, at := Load(Param("n16"), GP64()), GP64()
	XORQ(at, at)
	vector.Loop(n, func() {
		element := func(i int) Mem { return Mem{Base: p[i], Index: at, Scale: 1} }
		if bf16 {
			vector.StoreBF16(constants, body(vector.LoadBF16(element(1)), vector.LoadBF16(element(2)), s), element(0))
		} else {
			x, y := ZMM(), ZMM()
			VMOVUPS(element(1), x)
			VMOVUPS(element(2), y)
			VMOVUPS(body(x, y, s), element(0))
		}
		ADDQ(Imm(uint64(16*size)), at)
	})
	constants.Free()
	VZEROUPPER()
	RET()
}
