package nnet

import (
	"cmp"
	"slices"

	"github.com/goprm/goprm/internal/dist"
	"github.com/goprm/goprm/internal/engine"
)

// round is one exchange of a reduction: of the gradients that each rank sums, which count as laid end to end, so many bytes from a place
// on. A rank sums its own parameters' gradients; or, by slices, as much as every other of all gradients, and gives the sums to the owners.
type round struct {
	upto         int // gradients of the order that must be done before it
	from, counts []int
}

// arrange fixes the order in which gradients are summed, which is rank 0's, as other machines may recompute more. It is collective, once.
// Without an order, as a custom head's parameters are known late, all gradients are done before the first is summed.
func (r *ranks) arrange(o *optimizer, order []int) error {
	if r.rounds != nil {
		return nil
	}
	order, err := dist.Told(r.group, order)
	if err != nil {
		return err
	}
	r.prepare(o)
	all := order
	if order == nil {
		for i := range o.names {
			all = append(all, i)
		}
	}
	r.order, r.all, r.owned = order, all, make([][]int, r.group.World)
	sizes := make([]int, len(all))
	for at, i := range all {
		r.owned[r.owner[i]] = append(r.owned[r.owner[i]], i)
		sizes[at] = int(o.net.tensors[o.names[i]].MemSize())
	}
	owners := make([]int, len(all))
	for at, i := range all {
		owners[at] = r.owner[i]
	}
	r.rounds = roundsOf(owners, sizes, r.group.World, r.piece)
	if r.sliced {
		r.rounds = slicedRounds(sizes, r.group.World, r.piece)
	}
	if r.peers != nil {
		return r.peers.Reserve(r.piece + partAlign*len(all))
	}
	return nil
}

// roundsOf shares the bytes of gradients, listed as they are done with the rank that sums each, into rounds of at most piece bytes for each
// rank. A round is due when it is seven eighths full, as what the fullest rank receives is how long it takes; what is left when all are
// done follows.
func roundsOf(owners, sizes []int, world, piece int) []round {
	waiting, at := make([]int, world), make([]int, world)
	var rounds []round
	take := func(upto int) {
		r := round{upto: upto, from: slices.Clone(at), counts: make([]int, world)}
		for rank, n := range waiting {
			r.counts[rank] = min(n, piece)
			at[rank], waiting[rank] = at[rank]+r.counts[rank], n-r.counts[rank]
		}
		rounds = append(rounds, r)
	}
	for i, owner := range owners {
		waiting[owner] += sizes[i]
		for 8*fill(waiting, piece) >= 7*piece*world {
			take(i + 1)
		}
	}
	for slices.Max(waiting) > 0 {
		take(len(owners))
	}
	return rounds
}

// fill is how much a round would take.
func fill(waiting []int, piece int) int {
	sum := 0
	for _, n := range waiting {
		sum += min(n, piece)
	}
	return sum
}

// doneOrder lists the trained parameters as a machine's gradients are done.
func (n *Network) doneOrder(m *engine.Machine) []int {
	order := make([]int, len(n.graph.Grads))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(m.Ready(n.graph.Grads[a]), m.Ready(n.graph.Grads[b])) })
	return order
}
