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
	var want, got []string
	for name := range a {
		switch {
		case b[name]:
		case !arbitrary.MatchString(name):
			return pred
		default:
			want = append(want, name)
		}
	}
	for name := range b {
		switch {
		case a[name]:
		case !freeName.MatchString(name):
			return pred
		default:
			got = append(got, name)
		}
	}
	if len(want) != len(got) {
		return pred
	}
	slices.Sort(want)
	slices.Sort(got)
	for i, name := range got {
		pred = pred.rename(name, want[i])
	}
	return pred
}
