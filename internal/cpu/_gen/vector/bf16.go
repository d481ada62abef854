package vector

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// LoadBF16 widens sixteen elements, exactly.
func LoadBF16(from Mem) reg.VecVirtual {
	v := ZMM()
	VPMOVZXWD(from, v)
	VPSLLD(Imm(16), v, v)
	return v
}

// StoreBF16 rounds sixteen elements as engine.ToBF16 does. VCVTNEPS2BF16 would flush denormals.
func StoreBF16(c *Constants, v reg.VecVirtual, to Mem) {
	upper, t, nan := ZMM(), ZMM(), K()
	VCMPPS(Imm(3), v, v, nan)
	VPSRLD(Imm(16), v, upper)
	VPANDD(c.Bits(1), upper, t)
	VPADDD(c.Bits(0x7fff), t, t)
	VPADDD(v, t, t)
	VPSRLD(Imm(16), t, t)
	VPORD(c.Bits(0x40), upper, nan, t)
	VPMOVDW(t, to)
}
