package grade

// ratios compares a:b, in which a common factor does not matter, save in times of the day.
func (g *grader) ratios(gold, pred *node) Decision {
	if gold.kind != ratio || pred.kind != ratio {
		a, b := asQuotient(gold), asQuotient(pred)
		if a == nil || b == nil {
			return g.no("one answer is a ratio, the other is not")
		}
		return g.same(a, b)
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
