package grade

import (
	"math/big"
)

// literal returns a number that stands alone, perhaps with a sign.
func literal(n *node) *node {
	for n.kind == negative || n.kind == percent || n.kind == degree {
		n = n.args[0]
	}
	if n.kind == number {
		return n
	}
	return nil
}

// rounded tells whether one answer is the other rounded to the decimals it shows:
//   - the gold answer is a decimal with at least two decimals and three significant digits, and the answer has more decimals
//     or is exact (gold 0.333 and 1/3; gold 0.33 says too little, gold 0.5 and 5 are exact);
//   - the answer is a decimal with at least four decimals and four significant digits, and the gold answer is no decimal
//     (gold 8/3 and 2.6667; gold 8/3 and 2.67 differ); with six decimals it may be cut off instead of rounded;
//   - the answer is a double in all its digits, and the gold answer the same double but for the last bits.
func rounded(gold, pred *node, a, b value) bool {
	if !a.isReal() || !b.isReal() {
		return false
	}
	x, _ := a.parts()
	y, _ := b.parts()
	within := func(decimals int, share int64) bool { // half a unit of the last decimal, or all of it
		most := new(big.Rat).SetFrac(big.NewInt(1), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(decimals)), nil))
		most.Quo(most, big.NewRat(share, 1))
		return float().Abs(sub(x, y)).Cmp(float().SetRat(most)) <= 0
	}
	g, p := literal(gold), literal(pred)
	if gold.has(percent, degree) != pred.has(percent, degree) {
		return false
	}
	if g != nil && g.decimals >= 2 && g.digits >= 3 && (p == nil || p.decimals > g.decimals) {
		return within(g.decimals, 2)
	}
	if p != nil && p.digits >= 15 && p.digits <= 18 && p.decimals > 0 && log2(sub(x, y)) < log2(x)-doubleBits {
		return true
	}
	if p == nil || p.decimals < 4 || p.digits < 4 || g != nil || finiteDecimal(a) {
		return false
	}
	return within(p.decimals, 2) || p.decimals >= 6 && float().Abs(x).Cmp(float().Abs(y)) > 0 && within(p.decimals, 1)
}

// finiteDecimal tells whether the exact value can be written as a decimal, so that a rounded one is wrong.
func finiteDecimal(v value) bool {
	if v.rat == nil {
		return false
	}
	d := new(big.Int).Set(v.rat.Denom())
	for _, prime := range []int64{2, 5} {
		for {
			q, m := new(big.Int).QuoRem(d, big.NewInt(prime), new(big.Int))
			if m.Sign() != 0 {
				break
			}
			d = q
		}
	}
	return d.IsInt64() && d.Int64() == 1
}
