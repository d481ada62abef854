package vector

import (
	"flag"
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Set is an instruction set: the width of its registers and the register tile that products use. Kernels are named by
// the tile, so that those of several sets lie side by side in one program.
type Set struct {
	Lanes  int // float32 in a register
	MR, NR int // rows and columns of a tile; NR is two registers
}

var sets = map[string]Set{
	"avx2":   {Lanes: 8, MR: 6, NR: 16},
	"avx512": {Lanes: 16, MR: 12, NR: 32},
}

// ParseSet reads the flag -set; it parses the flags of avo too.
func ParseSet() Set {
	name := flag.String("set", "avx2", "instruction set")
	flag.Parse()
	s, ok := sets[*name]
	if !ok {
		panic("unknown instruction set " + *name)
	}
	return s
}

// Tile is the tile's name: 6x16.
func (s Set) Tile() string { return fmt.Sprintf("%dx%d", s.MR, s.NR) }

// Bytes is the size of a register.
func (s Set) Bytes() int { return 4 * s.Lanes }

// New is a register of the set's width.
func (s Set) New() reg.VecVirtual {
	if s.Lanes == 16 {
		return ZMM()
	}
	return YMM()
}

// Sums are registers for the sums of a tile, two for each of its rows, which begin fills.
func (s Set) Sums(begin func(j int, sum reg.VecVirtual)) [][2]reg.VecVirtual {
	sums := make([][2]reg.VecVirtual, s.MR)
	for i := range sums {
		for j := range sums[i] {
			sums[i][j] = s.New()
			begin(j, sums[i][j])
		}
	}
	return sums
}

// Zero clears v.
func (s Set) Zero(v reg.VecVirtual) {
	if s.Lanes == 16 {
		VPXORD(v, v, v)
		return
	}
	VXORPS(v, v, v)
}

// Broadcast fills v with a parameter of the function.
func Broadcast(name string, v reg.VecVirtual) reg.VecVirtual {
	p, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	VBROADCASTSS(p.Addr, v)
	return v
}

// Round rounds v to the nearest integers, ties to even.
func (s Set) Round(v reg.VecVirtual) {
	if s.Lanes == 16 {
		VRNDSCALEPS(Imm(8), v, v)
		return
	}
	VROUNDPS(Imm(8), v, v)
}

// Eights gives v's elements as registers of eight, the first ones first. It leaves v as it is.
func (s Set) Eights(v reg.VecVirtual) []reg.Register {
	if s.Lanes == 8 {
		return []reg.Register{v}
	}
	upper := YMM()
	VEXTRACTF32X8(Imm(1), v, upper)
	return []reg.Register{v.AsY(), upper}
}
