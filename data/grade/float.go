package grade

import "math/big"

// real numbers of fixed precision. The functions take finite arguments of bounded size (see maxLog2) and are right to all but
// some twenty of their last bits, far below what equality asks for.

func float() *big.Float                    { return new(big.Float).SetPrec(precision) }
func small(n int64) *big.Float             { return float().SetInt64(n) }
func add(a, b *big.Float) *big.Float       { return float().Add(a, b) }
func sub(a, b *big.Float) *big.Float       { return float().Sub(a, b) }
func mul(a, b *big.Float) *big.Float       { return float().Mul(a, b) }
func div(a, b *big.Float) *big.Float       { return float().Quo(a, b) }
func scale(a *big.Float, n int) *big.Float { return float().SetMantExp(a, n) }

// log2 is the exponent of |a|, a large negative number for 0.
func log2(a *big.Float) int {
	if a.Sign() == 0 {
		return -1 << 30
	}
	return a.MantExp(nil)
}

// constants are computed once for each comparison that needs them.
type constants struct{ ln2, pi *big.Float }

func (c *constants) logOf2() *big.Float {
	if c.ln2 == nil {
		c.ln2 = scale(atanh(div(small(1), small(3))), 1)
	}
	return c.ln2
}

// piOf is π by Machin's formula.
func (c *constants) piOf() *big.Float {
	if c.pi == nil {
		c.pi = scale(sub(scale(arctanSeries(div(small(1), small(5))), 2), arctanSeries(div(small(1), small(239)))), 2)
	}
	return c.pi
}

// atanh sums z + z³/3 + ... for small |z|.
func atanh(z *big.Float) *big.Float        { return oddSeries(z, 1) }
func arctanSeries(z *big.Float) *big.Float { return oddSeries(z, -1) }

func oddSeries(z *big.Float, sign int64) *big.Float {
	total, term, square := float().Set(z), float().Set(z), mul(z, z)
	if sign < 0 {
		square.Neg(square)
	}
	for k := int64(3); term.Sign() != 0 && log2(term) > log2(total)-precision-2; k += 2 {
		term = mul(term, square)
		total = add(total, div(term, small(k)))
	}
	return total
}

// log is the natural logarithm of x > 0.
func (c *constants) log(x *big.Float) *big.Float {
	m := float()
	exponent := x.MantExp(m) // m in [0.5, 1)
	const roots = 8
	for range roots {
		m = float().Sqrt(m)
	}
	z := div(sub(m, small(1)), add(m, small(1)))
	return add(scale(atanh(z), roots+1), mul(small(int64(exponent)), c.logOf2()))
}

// atan is the arc tangent.
func (c *constants) atan(x *big.Float) *big.Float {
	if log2(x) > 1 { // |x| >= 2: π/2 - atan(1/x), with the sign of x
		half := scale(c.piOf(), -1)
		if x.Sign() < 0 {
			half.Neg(half)
		}
		return sub(half, c.atan(div(small(1), x)))
	}
	const halvings = 8
	for range halvings {
		x = div(x, add(small(1), float().Sqrt(add(small(1), mul(x, x)))))
	}
	return scale(arctanSeries(x), halvings)
}
