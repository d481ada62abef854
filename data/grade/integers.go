package grade

import (
	"math/big"
)

func factorial(x value) (value, error) {
	if x.rat == nil || !x.rat.IsInt() || x.rat.Sign() < 0 {
		return value{}, errUndefined
	}
	if x.rat.Cmp(big.NewRat(maxFactorial, 1)) > 0 {
		return value{}, errBound
	}
	return exact(new(big.Rat).SetInt(new(big.Int).MulRange(1, x.rat.Num().Int64()))), nil
}

func binomial(n, k value) (value, error) {
	if n.rat == nil || k.rat == nil || !n.rat.IsInt() || !k.rat.IsInt() || n.rat.Sign() < 0 {
		return value{}, errUndefined
	}
	if n.rat.Cmp(big.NewRat(maxFactorial, 1)) > 0 {
		return value{}, errBound
	}
	if k.rat.Sign() < 0 || k.rat.Cmp(n.rat) > 0 {
		return fromInt(0), nil
	}
	return exact(new(big.Rat).SetInt(new(big.Int).Binomial(n.rat.Num().Int64(), k.rat.Num().Int64()))), nil
}

// floorOf divides as Euclid does, which is the floor for a positive divisor.
func floorOf(r *big.Rat) *big.Int { return new(big.Int).Div(r.Num(), r.Denom()) }

// round is floor or ceil. A value that is an integer but for rounding noise counts as one: floor(√2·√2) is 2.
func round(name string, x value) (value, error) {
	if !x.isReal() {
		return value{}, errUndefined
	}
	r := x.rat
	if r == nil {
		near := add(x.re, float().SetRat(big.NewRat(int64(map[bool]int{true: 1, false: -1}[x.re.Sign() >= 0]), 2)))
		whole, _ := near.Int(nil)
		if log2(sub(x.re, float().SetInt(whole))) < max(log2(x.re), 0)-sameBits {
			return exact(new(big.Rat).SetInt(whole)), nil
		}
		r, _ = x.re.Rat(nil)
	}
	if name == "ceil" {
		f := floorOf(new(big.Rat).Neg(r))
		return exact(new(big.Rat).SetInt(f.Neg(f))), nil
	}
	return exact(new(big.Rat).SetInt(floorOf(r))), nil
}

// integerFunction is mod, gcd or lcm of integers.
func integerFunction(name string, args []value) (value, error) {
	var total *big.Int
	for i, a := range args {
		if a.rat == nil || !a.rat.IsInt() {
			return value{}, errNotNumeric
		}
		n := a.rat.Num()
		switch {
		case i == 0 && name == "mod":
			total = new(big.Int).Set(n)
		case i == 0:
			total = new(big.Int).Abs(n)
		case name == "mod" && n.Sign() == 0:
			return value{}, errUndefined
		case name == "mod":
			total = new(big.Int).Mod(total, n)
		case name == "gcd":
			total = new(big.Int).GCD(nil, nil, total, new(big.Int).Abs(n))
		case n.Sign() == 0 || total.Sign() == 0:
			total = new(big.Int)
		default:
			g := new(big.Int).GCD(nil, nil, total, new(big.Int).Abs(n))
			total = g.Mul(total, g.Quo(new(big.Int).Abs(n), g))
		}
	}
	return bounded(new(big.Rat).SetInt(total))
}

func extreme(name string, args []value) (value, error) {
	best := args[0]
	for _, a := range args {
		if !a.isReal() || !best.isReal() {
			return value{}, errUndefined
		}
		ar, _ := a.parts()
		br, _ := best.parts()
		if c := ar.Cmp(br); c > 0 && name == "max" || c < 0 && name == "min" {
			best = a
		}
	}
	return best, nil
}

// inBase reads the decimal digits of x in another base: 101_2 is 5.
func inBase(x, base value) (value, error) {
	if x.rat == nil || base.rat == nil || !x.rat.IsInt() || !base.rat.IsInt() || !base.rat.Num().IsInt64() {
		return value{}, errNotNumeric
	}
	b := base.rat.Num().Int64()
	if b < 2 || b > 36 {
		return value{}, errNotNumeric
	}
	n, ok := new(big.Int).SetString(x.rat.Num().String(), int(b))
	if !ok {
		return value{}, errUndefined
	}
	return exact(new(big.Rat).SetInt(n)), nil
}
