package grade

import "math/big"

// raise is a^b. A negative base has its real root where b's denominator is odd; else the principal value.
func (e *evaluator) raise(a, b value) (value, error) {
	switch {
	case b.isZero() && a.isZero():
		return value{}, errUndefined
	case b.isZero():
		return fromInt(1), nil
	case a.isZero() && b.isReal() && b.sign() > 0:
		return fromInt(0), nil
	case a.isZero():
		return value{}, errUndefined
	case b.rat != nil && b.rat.IsInt() && b.rat.Num().IsInt64():
		return e.integerPower(a, b.rat.Num().Int64())
	}
	if a.rat != nil && b.rat != nil {
		if root, ok := exactRoot(a.rat, b.rat.Denom()); ok && b.rat.Num().IsInt64() {
			return e.integerPower(exact(root), b.rat.Num().Int64())
		}
	}
	negative := a.isReal() && a.sign() < 0
	if negative && b.rat != nil && b.rat.Denom().Bit(0) == 1 {
		size, err := e.raise(minus(a), b)
		if err != nil || b.rat.Num().Bit(0) == 0 {
			return size, err
		}
		return minus(size), nil
	}
	if negative {
		e.leftReals = true
	}
	if b.rat != nil && b.rat.Cmp(big.NewRat(1, 2)) == 0 && a.isReal() {
		re, _ := a.parts()
		root := float().Sqrt(float().Abs(re))
		if negative {
			return tidy(float(), root)
		}
		return tidy(root, float())
	}
	if err := e.spend(costly); err != nil {
		return value{}, err
	}
	l, err := e.logOf(a)
	if err == nil {
		l, err = times(l, b)
	}
	if err != nil {
		return value{}, err
	}
	return e.exp(l)
}

// integerPower multiplies, exactly while the result stays below maxBits.
func (e *evaluator) integerPower(a value, n int64) (value, error) {
	if n < 0 {
		if n == -n {
			return value{}, errBound
		}
		p, err := e.integerPower(a, -n)
		if err != nil {
			return value{}, err
		}
		return over(fromInt(1), p)
	}
	if a.rat != nil {
		if a.rat.IsInt() && a.rat.Num().IsInt64() {
			switch a.rat.Num().Int64() {
			case 1:
				return a, nil
			case -1:
				return fromInt(1 - 2*(n&1)), nil
			}
		}
		bits := int64(max(a.rat.Num().BitLen(), a.rat.Denom().BitLen())) - 1
		if n > maxLog2 || bits*n > maxLog2 {
			return value{}, errBound
		}
	}
	if n > maxLog2 {
		return value{}, errBound
	}
	result, err := fromInt(1), error(nil)
	for ; n > 0 && err == nil; n >>= 1 {
		if n&1 == 1 {
			if result, err = times(result, a); err != nil {
				break
			}
		}
		if n > 1 {
			a, err = times(a, a)
		}
	}
	return result, err
}

// exactRoot is the real root of degree n, where it is rational and cheap to find.
func exactRoot(r *big.Rat, n *big.Int) (*big.Rat, bool) {
	if !n.IsInt64() || n.Int64() > 64 || r.Sign() < 0 && n.Bit(0) == 0 {
		return nil, false
	}
	num, ok := integerRoot(r.Num(), int(n.Int64()))
	if !ok {
		return nil, false
	}
	den, ok := integerRoot(r.Denom(), int(n.Int64()))
	if !ok {
		return nil, false
	}
	return new(big.Rat).SetFrac(num, den), true
}

// integerRoot is the exact root by bisection on bits.
func integerRoot(x *big.Int, n int) (*big.Int, bool) {
	negative := x.Sign() < 0
	size := new(big.Int).Abs(x)
	if size.BitLen() > maxBits/8 && n != 2 {
		return nil, false
	}
	root := new(big.Int)
	if n == 2 {
		root.Sqrt(size)
	} else {
		for bit := size.BitLen() / n; bit >= 0; bit-- {
			root.SetBit(root, bit, 1)
			if new(big.Int).Exp(root, big.NewInt(int64(n)), nil).Cmp(size) > 0 {
				root.SetBit(root, bit, 0)
			}
		}
	}
	if new(big.Int).Exp(root, big.NewInt(int64(n)), nil).Cmp(size) != 0 {
		return nil, false
	}
	if negative {
		root.Neg(root)
	}
	return root, true
}
