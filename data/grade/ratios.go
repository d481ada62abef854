package grade

import "math/big"

// ratios compares a:b, in which a common factor does not matter, save in times of the day.
func (g *grader) ratios(gold, pred *node) Decision {
	if gold, pred = wholeHour(gold, pred), wholeHour(pred, gold); gold.kind != ratio || pred.kind != ratio {
		if pred.kind == ratio && len(pred.args) == 2 && pred.args[0].kind == words { // Total: 15
			if tells(readUnits(pred.args[0].name).words) {
				return g.undecided("the words before the colon may change the value")
			}
			return g.same(gold, pred.args[1])
		}
		a, b := asQuotient(gold), asQuotient(pred)
		if a == nil || b == nil {
			return g.no("one answer is a ratio, the other is not")
		}
		return g.same(a, b)
	}
	if a, b, ok := clockTimes(gold, pred); ok {
		if a != b {
			return g.no("the times differ")
		}
		return Yes
	}
	if len(gold.args) != len(pred.args) || isClock(gold) && isClock(pred) {
		return g.all(gold.args, pred.args)
	}
	result := Yes
	for i := 1; i < len(gold.args); i++ {
		result = worse(result, g.same(newNode(product, gold.args[0], pred.args[i]), newNode(product, gold.args[i], pred.args[0])))
	}
	return result
}

// asQuotient is a ratio of two as their quotient, and an expression as it is.
func asQuotient(n *node) *node {
	switch {
	case n.kind == ratio && len(n.args) == 2 && !isClock(n):
		return newNode(quotient, n.args...)
	case isScalarKind(n.kind):
		return n
	}
	return nil
}

// isClock tells whether a ratio is written as a time: 4:30.
func isClock(n *node) bool {
	for _, a := range n.args[1:] {
		for a.kind == product || a.kind == unit {
			a = a.args[0]
		}
		if !a.isInteger() || len(a.name) != 2 {
			return false
		}
	}
	return true
}

// wholeHour writes 7 a.m. as 7:00 a.m. beside a time with minutes.
func wholeHour(n, beside *node) *node {
	if _, half := minutes(newNode(list, n)); half == "" || n.kind != unit || beside.kind != ratio || !isClock(beside) {
		return n
	}
	return newNode(ratio, n.args[0], named(unit, n.name, &node{kind: number, name: "00", value: new(big.Rat)}))
}

// clockTimes are two times of the day in minutes where one is written in the 24-hour form and the other with a.m. or p.m.
func clockTimes(gold, pred *node) (a, b int64, ok bool) {
	if !isClock(gold) || !isClock(pred) || len(gold.args) != 2 || len(pred.args) != 2 {
		return 0, 0, false
	}
	a, halfA := minutes(gold)
	b, halfB := minutes(pred)
	switch late := int64(13 * 60); {
	case halfA != "" && halfB == "" && b >= late:
		a = inDay(a, halfA)
	case halfB != "" && halfA == "" && a >= late:
		b = inDay(b, halfB)
	default:
		return 0, 0, false
	}
	return a, b, true
}

// minutes are those of a time as written, and its half of the day.
func minutes(n *node) (total int64, half string) {
	for _, a := range n.args {
		for a.kind == product || a.kind == unit {
			if a.kind == unit {
				for _, w := range readUnits(a.name).words {
					if w = synonym(w); w == "a.m" || w == "p.m" {
						half = w
					}
				}
			}
			a = a.args[0]
		}
		if !a.isInteger() || !a.value.Num().IsInt64() {
			return -1, ""
		}
		total = total*60 + a.value.Num().Int64()
	}
	return total, half
}

// inDay are the minutes since midnight of a time with its half of the day.
func inDay(minutes int64, half string) int64 {
	minutes %= 12 * 60
	if half == "p.m" {
		minutes += 12 * 60
	}
	return minutes
}
