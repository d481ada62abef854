package grade

import (
	"math/big"
	"strconv"
	"strings"
)

// mixedNumber is 12\frac35, which is a sum; a mark behind it belongs to all of it. It is nil where there is none.
func mixedNumber(whole, part *node) *node {
	if part.kind == percent || part.kind == degree {
		if inner := mixedNumber(whole, part.args[0]); inner != nil {
			return newNode(part.kind, inner)
		}
		return nil
	}
	if whole.isInteger() && part.kind == quotient && part.args[0].isInteger() && part.args[1].isInteger() {
		return newNode(sum, whole, part)
	}
	return nil
}

// mixedWords is "2 and 1/2" as a sum; nil for everything else.
func mixedWords(n *node) *node {
	if !n.is(list, "and") || len(n.args) != 2 || n.args[1].kind != quotient || !properFraction(n.args[1]) {
		return nil
	}
	return mixedNumber(n.args[0], n.args[1])
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func (p *parser) number(text string) *node {
	n := &node{kind: number, name: text}
	mantissa, exponent := text, 0
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		var err error
		if exponent, err = strconv.Atoi(text[i+1:]); err != nil || exponent > maxExponent || exponent < -maxExponent {
			return p.fail("an exponent beyond %d", maxExponent)
		}
		mantissa = text[:i]
	}
	whole, fraction, isDecimal := strings.Cut(mantissa, ".")
	fraction, cycle, repeats := strings.Cut(strings.TrimSuffix(fraction, ")"), "(")
	digits, ok := new(big.Int).SetString("0"+whole+fraction, 10)
	if !ok {
		return p.fail("not a number: %q", text)
	}
	ten := big.NewInt(10)
	scale := new(big.Int).Exp(ten, big.NewInt(int64(len(fraction))), nil)
	n.value = new(big.Rat).SetFrac(digits, scale)
	if repeats {
		c, ok := new(big.Int).SetString(cycle, 10)
		if !ok {
			return p.fail("not a number: %q", text)
		}
		nines := new(big.Int).Exp(ten, big.NewInt(int64(len(cycle))), nil)
		nines.Sub(nines, big.NewInt(1))
		n.value.Add(n.value, new(big.Rat).SetFrac(c, nines.Mul(nines, scale)))
		return n
	}
	if exponent != 0 {
		shift := new(big.Rat).SetInt(new(big.Int).Exp(ten, big.NewInt(int64(max(exponent, -exponent))), nil))
		if exponent < 0 {
			shift.Inv(shift)
		}
		n.value.Mul(n.value, shift)
		return n
	}
	if isDecimal {
		n.decimals, n.digits = len(fraction), len(strings.TrimLeft(whole+fraction, "0"))
	}
	return n
}
