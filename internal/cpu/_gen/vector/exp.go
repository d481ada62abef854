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

// F32 is the address of a register full of a number.
func (c *Constants) F32(x float32) Mem { return c.Bits(math.Float32bits(x)) }

// Define emits the table; call it once, last.
func (c *Constants) Define() {
	GLOBL(c.name, attr.RODATA|attr.NOPTR)
	for i, b := range c.bits {
		for lane := range c.Lanes {
			DATA(c.Bytes()*i+4*lane, U32(b))
		}
	}
}

// Exp replaces x by e^x: reduction to |r| ≤ ln2/2, a polynomial of degree 7 (Cephes' coefficients), and 2^n in two
// factors, so that results that are denormal are rounded once and those beyond the range become 0 or +Inf. NaN stays NaN.
func Exp(c *Constants, x reg.VecVirtual) { exp(c, x, true) }

// exp is Exp; where x is not above 0, or NaN, it needs no upper bound.
func exp(c *Constants, x reg.VecVirtual, bounded bool) {
	n, p, half := c.New(), c.New(), c.New()
	// The bounds come first among the operands: a NaN in the last one is what the instructions return.
	VMOVUPS(c.F32(-104), n)
	VMAXPS(x, n, x)
	if bounded {
		VMOVUPS(c.F32(89), n)
		VMINPS(x, n, x)
	}
	VMULPS(c.F32(math.Log2E), x, n)
	c.Round(n)
	VFNMADD231PS(c.F32(0.693359375), n, x)
	VFNMADD231PS(c.F32(-2.12194440e-4), n, x)
	VMOVUPS(c.F32(1.9875691500e-4), p)
	for _, a := range []float32{1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1} {
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

// Across folds the lanes of v, a register of eight, with an operation and leaves the result in every lane.
func Across(op func(a, b reg.VecVirtual), v reg.VecVirtual) {
	t := YMM()
	VPERM2F128(Imm(1), v, v, t)
	op(t, v)
	VPERMILPS(Imm(0x4e), v, t)
	op(t, v)
	VPERMILPS(Imm(0xb1), v, t)
	op(t, v)
}
