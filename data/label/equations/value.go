package equations

import (
	"errors"
	"math"
	"math/big"
)

// value is a number: exact where rat is not nil, else to float64's precision.
type value struct {
	rat   *big.Rat
	float float64
}

// maxBits bounds numerator and denominator.
const maxBits = 1 << 12

var (
	errUndefined = errors.New("undefined")
	errTooLarge  = errors.New("too large")
)

func exact(r *big.Rat) (value, error) {
	if r.Num().BitLen() > maxBits || r.Denom().BitLen() > maxBits {
		return value{}, errTooLarge
	}
	f, _ := r.Float64()
	return value{r, f}, nil
}

func inexact(f float64) (value, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return value{}, errUndefined
	}
	return value{float: f}, nil
}

func whole(n int64) value { return value{big.NewRat(n, 1), float64(n)} }

func combine(k kind, a, b value) (value, error) {
	if k == power {
		return raise(a, b)
	}
	if a.rat == nil || b.rat == nil {
		switch k {
		case plus:
			return inexact(a.float + b.float)
		case minus:
			return inexact(a.float - b.float)
		case times:
			return inexact(a.float * b.float)
		}
		return inexact(a.float / b.float)
	}
	r := new(big.Rat)
	switch k {
	case plus:
		r.Add(a.rat, b.rat)
	case minus:
		r.Sub(a.rat, b.rat)
	case times:
		r.Mul(a.rat, b.rat)
	default:
		if b.rat.Sign() == 0 {
			return value{}, errUndefined
		}
		r.Quo(a.rat, b.rat)
	}
	return exact(r)
}

func raise(a, b value) (value, error) {
	if a.rat == nil || b.rat == nil || !b.rat.IsInt() {
		if b.rat != nil && b.rat.Denom().IsInt64() && b.rat.Denom().Int64() == 2 { // a half power of a square is exact
			r, err := squareRoot(a)
			if err != nil {
				return value{}, err
			}
			return raise(r, value{new(big.Rat).SetInt(b.rat.Num()), 2 * b.float})
		}
		return inexact(math.Pow(a.float, b.float))
	}
	if !b.rat.Num().IsInt64() {
		return value{}, errTooLarge
	}
	n := b.rat.Num().Int64()
	size := int64(max(a.rat.Num().BitLen(), a.rat.Denom().BitLen()))
	switch {
	case a.rat.Sign() == 0 && n <= 0:
		return value{}, errUndefined
	case n > maxBits || n < -maxBits || size*max(n, -n) > maxBits+size:
		return value{}, errTooLarge
	}
	e := big.NewInt(max(n, -n))
	num, den := new(big.Int).Exp(a.rat.Num(), e, nil), new(big.Int).Exp(a.rat.Denom(), e, nil)
	if n < 0 {
		num, den = den, num
	}
	return exact(new(big.Rat).SetFrac(num, den))
}

func squareRoot(a value) (value, error) {
	if a.float < 0 {
		return value{}, errUndefined
	}
	if a.rat != nil {
		num, den := new(big.Int).Sqrt(a.rat.Num()), new(big.Int).Sqrt(a.rat.Denom())
		r := new(big.Rat).SetFrac(num, den)
		if new(big.Rat).Mul(r, r).Cmp(a.rat) == 0 {
			return exact(r)
		}
	}
	return inexact(math.Sqrt(a.float))
}

// nthRoot is the real root.
func nthRoot(n int64, a value) (value, error) {
	if n == 2 {
		return squareRoot(a)
	}
	if n < 2 || n > 100 || a.float < 0 && n%2 == 0 {
		return value{}, errUndefined
	}
	f := math.Copysign(math.Pow(math.Abs(a.float), 1/float64(n)), a.float)
	if near := math.Round(f); a.rat != nil && math.Abs(near) < 1<<53 {
		r := whole(int64(near))
		if p, err := raise(r, whole(n)); err == nil && p.rat.Cmp(a.rat) == 0 {
			return r, nil
		}
	}
	return inexact(f)
}

func choose(n, k value) (value, error) {
	for _, v := range []value{n, k} {
		if v.rat == nil || !v.rat.IsInt() || v.float < 0 || v.float > 500 {
			return value{}, errUndefined
		}
	}
	return exact(new(big.Rat).SetInt(new(big.Int).Binomial(n.rat.Num().Int64(), k.rat.Num().Int64())))
}

func product(n value) (value, error) {
	if n.rat == nil || !n.rat.IsInt() || n.float < 0 || n.float > 200 {
		return value{}, errUndefined
	}
	return exact(new(big.Rat).SetInt(new(big.Int).MulRange(1, n.rat.Num().Int64())))
}

// compare says whether a and b are equal; known is false where float64's precision does not tell.
func compare(a, b value) (equal, known bool) {
	if a.rat != nil && b.rat != nil {
		return a.rat.Cmp(b.rat) == 0, true
	}
	gap := math.Abs(a.float-b.float) / math.Max(1, math.Max(math.Abs(a.float), math.Abs(b.float)))
	return gap < 1e-10, gap < 1e-10 || gap > 1e-6
}
