package nnet

import "github.com/goprm/goprm/internal/engine"

// slicedRounds shares the bytes of gradients, listed as they are done, into rounds of up to piece bytes for each rank.
func slicedRounds(sizes []int, world, piece int) []round {
	const number = 8 // bytes of the longest
	var rounds []round
	done, upto, total := 0, 0, 0
	for _, n := range sizes {
		total += n
	}
	for at := 0; at < total; {
		end := min(total, at+piece*world)
		for done < end {
			done, upto = done+sizes[upto], upto+1
		}
		r := round{upto: upto, from: make([]int, world), counts: make([]int, world)}
		slice := ((end-at+world-1)/world + number - 1) &^ (number - 1)
		for rank := range world {
			r.from[rank], r.counts[rank] = at, min(slice, end-at)
			at += r.counts[rank]
		}
		rounds = append(rounds, r)
	}
	return rounds
}

// summedBy lists the gradients of which a rank takes its part of a round.
func (r *ranks) summedBy(rank int) []int {
	if r.sliced {
		return r.all
	}
	return r.owned[rank]
}

// eachSum visits the parts of a rank's slice of a round, with their owners.
func (r *ranks) eachSum(round round, rank int, grads []*engine.Tensor, visit func(owner int, part *engine.Tensor) error) error {
	return span(grads, r.all, round.from[rank], r.staging[:round.counts[rank]], func(i int, _ []byte, part *engine.Tensor) error {
		return visit(r.owner[i], part)
	})
}

// deliver gives the sums of this rank's slice to the owners of their parameters, and takes those of its own from the others.
func (r *ranks) deliver(b engine.Backend, round round, grads []*engine.Tensor, sum []byte) error {
	world, me := r.group.World, r.group.Rank
	byOwner, sendCounts, recvCounts := make([][]byte, world), make([]int, world), make([]int, world)
	if err := r.eachSum(round, me, grads, func(owner int, part *engine.Tensor) error {
		n := int(part.MemSize())
		byOwner[owner] = append(byOwner[owner], sum[:n]...)
		sum = sum[n:]
		return nil
	}); err != nil {
		return err
	}
	var mine []*engine.Tensor // what comes, in the order in which it does
	for rank := range world {
		if err := r.eachSum(round, rank, grads, func(owner int, part *engine.Tensor) error {
			if owner == me {
				recvCounts[rank] += int(part.MemSize())
				mine = append(mine, part)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	var send []byte
	total := 0
	for rank := range world {
		send, sendCounts[rank], total = append(send, byOwner[rank]...), len(byOwner[rank]), total+recvCounts[rank]
	}
	recv := r.staging[:total]
	if err := r.group.Exchange(send, sendCounts, recv, recvCounts); err != nil {
		return err
	}
	for _, part := range mine {
		n := int(part.MemSize())
		if err := b.Upload(part, recv[:n]); err != nil {
			return err
		}
		recv = recv[n:]
	}
	return nil
}
