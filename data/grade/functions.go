package grade

import (
	"math/big"
)

// function computes a named function.
func (e *evaluator) function(name string, args []value) (value, error) {
	if err := e.spend(costly); err != nil {
		return value{}, err
	}
	x := args[0]
	switch name {
	case "root":
		index, err := over(fromInt(1), args[1])
		if err != nil {
			return value{}, err
		}
		return e.raise(x, index)
	case "exp":
		return e.exp(x)
	case "ln":
		return e.naturalLog(x)
	case "log", "lg":
		base := fromInt(10)
		if len(args) == 2 {
			base = args[1]
		}
		return e.logToBase(x, base)
	case "sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh":
		return e.trigonometric(name, x)
	case "arcsin", "arccos", "arctan", "arccot", "arcsinh", "arccosh", "arctanh":
		return e.inverse(name, x)
	case "abs":
		if x.rat != nil {
			return exact(new(big.Rat).Abs(x.rat)), nil
		}
		return tidy(modulus(x.re, x.im), float())
	case "!":
		return factorial(x)
	case "binom":
		return binomial(x, args[1])
	case "floor", "ceil":
		return round(name, x)
	case "mod", "gcd", "lcm":
		return integerFunction(name, args)
	case "max", "min":
		return extreme(name, args)
	case "base":
		return inBase(x, args[1])
	}
	return value{}, errNotNumeric
}

func (e *evaluator) naturalLog(x value) (value, error) {
	if x.isReal() && x.sign() < 0 {
		e.leftReals = true
	}
	return e.logOf(x)
}

// logToBase is exact for powers of the base.
func (e *evaluator) logToBase(x, base value) (value, error) {
	if x.rat != nil && base.rat != nil && base.rat.IsInt() && base.rat.Num().IsInt64() && base.rat.Num().Int64() > 1 && x.rat.Sign() > 0 {
		if n, ok := exactLog(x.rat, base.rat); ok {
			return fromInt(n), nil
		}
	}
	top, err := e.naturalLog(x)
	if err != nil {
		return value{}, err
	}
	bottom, err := e.naturalLog(base)
	if err != nil {
		return value{}, err
	}
	return over(top, bottom)
}

func exactLog(x, base *big.Rat) (int64, bool) {
	sign := int64(1)
	if x.Cmp(big.NewRat(1, 1)) < 0 {
		x, sign = new(big.Rat).Inv(x), -1
	}
	power := big.NewRat(1, 1)
	for n := int64(0); n <= maxFactorial && power.Cmp(x) <= 0; n++ {
		if power.Cmp(x) == 0 {
			return sign * n, true
		}
		power = new(big.Rat).Mul(power, base)
	}
	return 0, false
}

// combine is (a·e^z + b·e^-z) / d.
func (e *evaluator) combine(z value, b int64, d value) (value, error) {
	up, err := e.exp(z)
	if err != nil {
		return value{}, err
	}
	down, err := e.exp(minus(z))
	if err != nil {
		return value{}, err
	}
	if down, err = times(down, fromInt(b)); err != nil {
		return value{}, err
	}
	total, err := plus(up, down)
	if err != nil {
		return value{}, err
	}
	return over(total, d)
}

func imaginary() value { return inexact(float(), small(1)) }

func (e *evaluator) trigonometric(name string, x value) (value, error) {
	reciprocal := map[string]string{"sec": "cos", "csc": "sin", "cot": "tan"}[name]
	if reciprocal != "" {
		v, err := e.trigonometric(reciprocal, x)
		if err != nil {
			if name == "cot" && err == errUndefined {
				return fromInt(0), nil
			}
			return value{}, err
		}
		return over(fromInt(1), v)
	}
	if name == "tan" || name == "tanh" {
		s, err := e.trigonometric(map[string]string{"tan": "sin", "tanh": "sinh"}[name], x)
		if err != nil {
			return value{}, err
		}
		c, err := e.trigonometric(map[string]string{"tan": "cos", "tanh": "cosh"}[name], x)
		if err != nil {
			return value{}, err
		}
		return over(s, c)
	}
	if name == "sinh" {
		return e.combine(x, -1, fromInt(2))
	}
	if name == "cosh" {
		return e.combine(x, 1, fromInt(2))
	}
	z, err := times(x, imaginary())
	if err != nil {
		return value{}, err
	}
	if name == "cos" {
		return e.combine(z, 1, fromInt(2))
	}
	return e.combine(z, -1, inexact(float(), small(2)))
}

// inverse uses the logarithmic forms of the principal branches.
func (e *evaluator) inverse(name string, x value) (v value, err error) {
	step := func(f func(a, b value) (value, error), a, b value) value {
		if err != nil {
			return fromInt(0)
		}
		var r value
		if r, err = f(a, b); err != nil {
			return fromInt(0)
		}
		return r
	}
	log := func(a value) value { return step(func(a, _ value) (value, error) { return e.logOf(a) }, a, a) }
	root := func(a value) value {
		saved := e.leftReals
		defer func() { e.leftReals = saved }()
		return step(func(a, _ value) (value, error) { return e.raise(a, exact(big.NewRat(1, 2))) }, a, a)
	}
	one, i := fromInt(1), imaginary()
	half := scale(e.piOf(), -1)
	switch name {
	case "arctan", "arccot": // i/2 (ln(1-ix) - ln(1+ix))
		ix := step(times, i, x)
		v = step(times, inexact(float(), scale(small(1), -1)), step(plus, log(step(plus, one, minus(ix))), minus(log(step(plus, one, ix)))))
		if name == "arccot" {
			v = step(plus, inexact(half, float()), minus(v))
		}
	case "arcsin", "arccos": // -i ln(ix + sqrt(1-x²))
		if x.isReal() {
			if outside := step(plus, step(times, x, x), minus(one)); err == nil && outside.sign() > 0 {
				e.leftReals = true
			}
		}
		v = step(times, minus(i), log(step(plus, step(times, i, x), root(step(plus, one, minus(step(times, x, x)))))))
		if name == "arccos" {
			v = step(plus, inexact(half, float()), minus(v))
		}
	case "arcsinh":
		v = log(step(plus, x, root(step(plus, step(times, x, x), one))))
	case "arccosh":
		v = log(step(plus, x, step(times, root(step(plus, x, one)), root(step(plus, x, minus(one))))))
	case "arctanh":
		v = step(over, step(plus, log(step(plus, one, x)), minus(log(step(plus, one, minus(x))))), fromInt(2))
	}
	return v, err
}
