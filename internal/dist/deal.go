package dist

import (
	"cmp"
	"slices"
)

// Deal gives things of these sizes to ranks, the largest first, each to the rank that has least by then. It returns who gets each.
func Deal(sizes []int64, ranks int) []int {
	order, owner, load := make([]int, len(sizes)), make([]int, len(sizes)), make([]int64, ranks)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(sizes[b], sizes[a]) })
	for _, i := range order {
		to := slices.Index(load, slices.Min(load))
		owner[i] = to
		load[to] += sizes[i]
	}
	return owner
}
