package grade

import (
	"regexp"
	"slices"
)

var (
	// arbitrary is an arbitrary constant as gold answers name it: C of an integral, c_1 of a differential equation.
	arbitrary = regexp.MustCompile(`^[cC](?:_\{?\d\}?)?$`)
	// freeName is what another answer may call one.
	freeName = regexp.MustCompile(`^(?:[A-DKac-dk]|[cCkK]_\{?\d\}?)$`)
)

// renamed gives pred's arbitrary constants the names that they have in gold, in their order: e^x + K against e^x + C. What is no
// arbitrary constant keeps its name.
func renamed(gold, pred *node) *node {
	if gold.kind != sum && gold.kind != product && gold.kind != relation || combination(gold) || pred.has(words) {
		return pred
	}
	if _, value := definition(pred); value != nil && gold.kind != relation {
		pred = value
	}
	a, b := freeVariables(gold), freeVariables(pred)
	want, all := besides(a, b, arbitrary)
	got, free := besides(b, a, freeName)
	if !all || !free || len(want) != len(got) {
		return pred
	}
	for i, name := range got {
		pred = pred.rename(name, want[i])
	}
	return pred
}

// besides are, in order, the names that others does not have; all tells whether each of them is of the pattern.
func besides(names, others map[string]bool, pattern *regexp.Regexp) (list []string, all bool) {
	all = true
	for name := range names {
		if !others[name] {
			list, all = append(list, name), all && pattern.MatchString(name)
		}
	}
	slices.Sort(list)
	return list, all
}
