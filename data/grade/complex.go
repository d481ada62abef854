package grade

import (
	"errors"
	"math/big"
)

// value is a number: exact where rat is set, else a complex number of fixed precision.
type value struct {
	rat    *big.Rat
	re, im *big.Float
}

var (
	errUndefined = errors.New("undefined") // a division by zero, a logarithm of zero
	errBound     = errors.New("too large to be evaluated")
)

func exact(r *big.Rat) value          { return value{rat: r} }
func inexact(re, im *big.Float) value { return value{re: re, im: im} }
func fromInt(n int64) value           { return exact(big.NewRat(n, 1)) }
func (v value) isZero() bool {
	if v.rat != nil {
		return v.rat.Sign() == 0
	}
	return log2(v.re) < -sameBits && log2(v.im) < -sameBits
}

// parts are the real and the imaginary part.
func (v value) parts() (re, im *big.Float) {
	if v.rat != nil {
		return float().SetRat(v.rat), float()
	}
	return v.re, v.im
}

func (v value) isReal() bool { return v.rat != nil || v.im.Sign() == 0 }

// sign of a real value.
func (v value) sign() int {
	if v.rat != nil {
		return v.rat.Sign()
	}
	return v.re.Sign()
}

// tidy removes an imaginary part that is rounding noise, and refuses what grew too large or too small: big.Float adds numbers
// in memory as large as the ratio between them.
func tidy(re, im *big.Float) (value, error) {
	tiny := func(x *big.Float) bool { return x.Sign() != 0 && log2(x) < -maxLog2 }
	if re.IsInf() || im.IsInf() || log2(re) > maxLog2 || log2(im) > maxLog2 || tiny(re) && log2(im) < -maxLog2 {
		return value{}, errBound
	}
	if log2(im) < max(log2(re), 0)-precision+60 {
		im = float()
	}
	if log2(re) < max(log2(im), 0)-precision+60 && im.Sign() != 0 {
		re = float()
	}
	if tiny(re) || tiny(im) {
		return value{}, errBound
	}
	return inexact(re, im), nil
}

func bounded(r *big.Rat) (value, error) {
	if r.Num().BitLen() > maxBits || r.Denom().BitLen() > maxBits {
		return tidy(float().SetRat(r), float())
	}
	return exact(r), nil
}

func plus(a, b value) (value, error) {
	if a.rat != nil && b.rat != nil {
		return bounded(new(big.Rat).Add(a.rat, b.rat))
	}
	ar, ai := a.parts()
	br, bi := b.parts()
	return tidy(add(ar, br), add(ai, bi))
}

func minus(a value) value {
	if a.rat != nil {
		return exact(new(big.Rat).Neg(a.rat))
	}
	return inexact(float().Neg(a.re), float().Neg(a.im))
}

func times(a, b value) (value, error) {
	if a.rat != nil && b.rat != nil {
		return bounded(new(big.Rat).Mul(a.rat, b.rat))
	}
	ar, ai := a.parts()
	br, bi := b.parts()
	return tidy(sub(mul(ar, br), mul(ai, bi)), add(mul(ar, bi), mul(ai, br)))
}

func over(a, b value) (value, error) {
	if b.isZero() {
		return value{}, errUndefined
	}
	if a.rat != nil && b.rat != nil {
		return bounded(new(big.Rat).Quo(a.rat, b.rat))
	}
	br, bi := b.parts()
	norm := add(mul(br, br), mul(bi, bi))
	if norm.Sign() == 0 || log2(norm) < -maxLog2 {
		return value{}, errBound
	}
	return times(a, inexact(div(br, norm), div(float().Neg(bi), norm)))
}

// abs is |a| of an inexact value.
func modulus(re, im *big.Float) *big.Float {
	if im.Sign() == 0 {
		return float().Abs(re)
	}
	return float().Sqrt(add(mul(re, re), mul(im, im)))
}

// exp is e^z, by halving z until the series is short.
func (c *constants) exp(z value) (value, error) {
	re, im := z.parts()
	if log2(re) > 15 || log2(im) > 40 {
		return value{}, errBound
	}
	turns, _ := div(re, c.logOf2()).Int64()
	re = sub(re, mul(small(turns), c.logOf2()))
	twice := scale(c.piOf(), 1)
	rounds, _ := div(im, twice).Int64()
	im = sub(im, mul(small(rounds), twice))
	const halvings = 12
	re, im = scale(re, -halvings), scale(im, -halvings)
	// e^w - 1, squared back as (1+s)² - 1 = 2s + s², keeps the small bits.
	sr, si, tr, ti := float(), float(), small(1), float()
	for k := int64(1); k < 80; k++ {
		tr, ti = sub(mul(tr, re), mul(ti, im)), add(mul(tr, im), mul(ti, re))
		tr, ti = div(tr, small(k)), div(ti, small(k))
		sr, si = add(sr, tr), add(si, ti)
		if max(log2(tr), log2(ti)) < -precision-halvings {
			break
		}
	}
	for range halvings {
		sr, si = add(scale(sr, 1), sub(mul(sr, sr), mul(si, si))), add(scale(si, 1), scale(mul(sr, si), 1))
	}
	return tidy(scale(add(sr, small(1)), int(turns)), scale(si, int(turns)))
}

// log is the principal logarithm.
func (c *constants) logOf(z value) (value, error) {
	re, im := z.parts()
	size := modulus(re, im)
	if size.Sign() == 0 {
		return value{}, errUndefined
	}
	angle := float()
	switch {
	case im.Sign() == 0 && re.Sign() < 0:
		angle = c.piOf()
	case im.Sign() == 0:
	case re.Sign() == 0:
		angle = scale(c.piOf(), -1)
		if im.Sign() < 0 {
			angle = float().Neg(angle)
		}
	default:
		angle = c.atan(div(im, re))
		if re.Sign() < 0 {
			if im.Sign() > 0 {
				angle = add(angle, c.piOf())
			} else {
				angle = sub(angle, c.piOf())
			}
		}
	}
	return tidy(c.log(size), angle)
}

// nearlyEqual compares two values: 1 equal, -1 different, 0 too near to tell.
func nearlyEqual(a, b value) int {
	if a.rat != nil && b.rat != nil {
		if a.rat.Cmp(b.rat) == 0 {
			return 1
		}
		return -1
	}
	ar, ai := a.parts()
	br, bi := b.parts()
	size := max(log2(ar), log2(ai), log2(br), log2(bi), 0)
	switch distance := max(log2(sub(ar, br)), log2(sub(ai, bi))) - size; {
	case distance < -sameBits:
		return 1
	case distance > -farBits:
		return -1
	}
	return 0
}
