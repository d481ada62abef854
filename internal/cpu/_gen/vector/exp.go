// Package vector emits the pieces that several kernels share.
package vector

import (
	"math"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Constants is a table of values, each filling a register, in a file's read-only data.
type Constants struct {
	Set
	name string
	at   map[uint32]int
	bits []uint32
	held map[uint32]reg.VecVirtual
}

// NewConstants starts an empty table; Define emits it.
func NewConstants(set Set, name string) *Constants {
	return &Constants{Set: set, name: name, at: map[uint32]int{}}
}

// Bits is the address of a register full of a 32-bit pattern.
func (c *Constants) Bits(b uint32) Mem {
	i, ok := c.at[b]
	if !ok {
		i = len(c.bits)
		c.at[b] = i
		c.bits = append(c.bits, b)
	}
	return NewDataAddr(Symbol{Name: c.name, Static: true}, c.Bytes()*i)
}

// F32 is a register full of a number, or the address of one.
func (c *Constants) F32(x float32) Op {
	if held, ok := c.held[math.Float32bits(x)]; ok {
		return held
	}
	return c.Bits(math.Float32bits(x))
}

// HoldExp keeps what Exp needs in registers, where there are enough of them, until Free: loads of 64 bytes cross lines, as Go's linker
// aligns data to 32.
func (c *Constants) HoldExp() {
	if c.Lanes < 16 {
		return
	}
	c.held = map[uint32]reg.VecVirtual{}
	for _, x := range append(append([]float32{lowest, highest, math.Log2E, 1}, ln2...), powers...) {
		v := c.New()
		VMOVUPS(c.Bits(math.Float32bits(x)), v)
		c.held[math.Float32bits(x)] = v
	}
}

// Free ends what HoldExp began.
func (c *Constants) Free() { c.held = nil }

// Define emits the table; call it once, last.
func (c *Constants) Define() {
	GLOBL(c.name, attr.RODATA|attr.NOPTR)
	for i, b := range c.bits {
		for lane := range c.Lanes {
			DATA(c.Bytes()*i+4*lane, U32(b))
		}
	}
}

// What e^x is made of: bounds beyond which it is 0 or infinite, ln2 in two parts, the polynomial's coefficients.
var (
	lowest, highest = float32(-104), float32(89)

	ln2    = []float32{0.693359375, -2.12194440e-4}
	powers = []float32{1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1}
)

// Exp replaces x by e^x: reduction to |r| ≤ ln2/2, a polynomial of degree 7 (Cephes' coefficients), and 2^n in two
// factors, so that results that are denormal are rounded once and those beyond the range become 0 or +Inf. NaN stays NaN.
func Exp(c *Constants, x reg.VecVirtual) { exp(c, x, true) }

// exp is Exp; where x is not above 0, or NaN, it needs no upper bound.
func exp(c *Constants, x reg.VecVirtual, bounded bool) {
	n, p, half := c.New(), c.New(), c.New()
	// The bounds come first among the operands: a NaN in the last one is what the instructions return.
	VMOVUPS(c.F32(lowest), n)
	VMAXPS(x, n, x)
	if bounded {
		VMOVUPS(c.F32(highest), n)
		VMINPS(x, n, x)
	}
	VMULPS(c.F32(math.Log2E), x, n)
	c.Round(n)
	VFNMADD231PS(c.F32(ln2[0]), n, x)
	VFNMADD231PS(c.F32(ln2[1]), n, x)
	VMOVUPS(c.F32(powers[0]), p)
	for _, a := range powers[1:] {
		VFMADD213PS(c.F32(a), x, p)
	}
	VMULPS(x, x, half)
	VFMADD213PS(x, half, p)
	VADDPS(c.F32(1), p, p)
	if c.Lanes == 16 { // one rounding too
		VSCALEFPS(n, p, x)
		return
	}
	VCVTPS2DQ(n, n)
	VPSRAD(Imm(1), n, half)
	VPSUBD(half, n, n)
	bias := c.Bits(127)
	for _, f := range []reg.VecVirtual{half, n} {
		VPADDD(bias, f, f)
		VPSLLD(Imm(23), f, f)
	}
	VMULPS(half, p, p)
	VMULPS(n, p, x)
}

// across folds the lanes of v, a register of eight, with an operation and leaves the result in every lane.
func (s Set) across(op func(a, b reg.VecVirtual), v reg.VecVirtual) {
	t := YMM()
	if s.Lanes == 16 {
		VSHUFF32X4(Imm(1), v, v, t)
	} else {
		VPERM2F128(Imm(1), v, v, t)
	}
	op(t, v)
	VPERMILPS(Imm(0x4e), v, t)
	op(t, v)
	VPERMILPS(Imm(0xb1), v, t)
	op(t, v)
}
