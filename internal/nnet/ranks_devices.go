package nnet

import (
	"fmt"

	"github.com/goprm/goprm/internal/dist"
	"github.com/goprm/goprm/internal/engine"
)

// partAlign is more than what a part of a gradient takes besides its bytes where it is received.
const partAlign = 16

// meeting is what each rank says before the devices meet.
type meeting struct {
	ID  []byte
	Why string // it cannot; "": it can
}

// Meet lets the devices of the group that the network has joined exchange gradients and parameters by themselves, where all of them can. It
// returns what they exchange by, or why they do not; both are "" where the ranks have no devices with memory of their own. It is
// collective, and comes before the first step.
func (n *Network) Meet() (by, why string, err error) {
	r := n.optim.ranks
	if r == nil {
		return "", "", nil
	}
	device, reaches := n.backend.(engine.ReachesPeers)
	mine := meeting{Why: n.backend.Name() + " computes in the host's memory"}
	if reaches {
		id, err := device.PeerID()
		mine = meeting{ID: id}
		if err != nil {
			mine.Why = err.Error()
		}
	}
	all, err := dist.GatherValues(r.group, mine)
	if err != nil {
		return "", "", err
	}
	able := 0
	for rank, m := range all {
		if m.Why == "" {
			able++
		} else if why == "" {
			why = fmt.Sprintf("rank %d: %s", rank, m.Why)
		}
	}
	if able < len(all) {
		if !reaches {
			why = ""
		}
		return "", why, nil
	}
	peers, failed := device.JoinPeers(all[0].ID, r.group.Rank, r.group.World, r.group.Timeout(), r.group.Lost)
	agreed := r.group.Agree(failed)
	if agreed == nil {
		r.peers = peers
		return peers.Name(), "", nil
	}
	if failed == nil {
		err = peers.Leave(agreed)
	}
	if lost := r.group.Barrier(); lost != nil {
		return "", "", lost
	}
	return "", agreed.Error(), err
}

// launchRound makes the launch of a round on the devices.
func (r *ranks) launchRound(number int, grads []*engine.Tensor) (engine.Launch, error) {
	round := r.rounds[number]
	var parts []engine.Part
	var moves []engine.Move
	for rank, n := range round.counts {
		add := func(i int, _ []byte, part *engine.Tensor) error {
			parts = append(parts, engine.Part{Tensor: part, Owner: rank})
			if r.owner[i] != rank {
				moves = append(moves, engine.Move{Tensor: part, From: rank, To: r.owner[i]})
			}
			return nil
		}
		if err := span(grads, r.summedBy(rank), round.from[rank], r.staging[:n], add); err != nil {
			return nil, err
		}
	}
	which := fmt.Sprintf("%d of %d of the gradients", number+1, len(r.rounds))
	reduce, err := r.peers.Reduce("reduction "+which, parts)
	if err != nil || len(moves) == 0 {
		return reduce, err
	}
	move, err := r.peers.Move("sums "+which, moves)
	return func() error {
		if err := reduce(); err != nil {
			return err
		}
		return move()
	}, err
}

// reduceOnDevices is reduce by the devices; who adds nothing adds zeros, which take the place of its own gradients.
func (r *ranks) reduceOnDevices(b engine.Backend, grads []*engine.Tensor, adds bool) error {
	s := r.plain[grads[0]]
	if s == nil {
		s = &engine.Sequence{Backend: b}
		for i := range r.rounds {
			launch, err := r.launchRound(i, grads)
			if err != nil {
				return err
			}
			s.Launches = append(s.Launches, launch)
		}
		s.Launches = append(s.Launches, r.peers.Wait)
		if r.plain == nil {
			r.plain = map[*engine.Tensor]*engine.Sequence{}
		}
		r.plain[grads[0]] = s
	}
	for i := 0; i < len(grads) && !adds; i++ {
		if err := r.peers.Zero(grads[i]); err != nil {
			return err
		}
	}
	r.group.Sent += r.reductionBytes(grads)
	if err := s.Run(); err != nil {
		return err
	}
	return b.Sync()
}

// launchSpread makes the launches that copy every owner's parameters to all ranks.
func (r *ranks) launchSpread(b engine.Backend, parameters []*engine.Tensor) ([]engine.Launch, error) {
	var parts []engine.Part
	for i, p := range parameters {
		parts = append(parts, engine.Part{Tensor: p, Owner: r.owner[i]})
	}
	spread, err := r.peers.Spread("copies of the parameters", parts)
	if err != nil {
		return nil, err
	}
	renewed := func() error { return r.renewOthers(b, parameters) }
	return []engine.Launch{spread, r.peers.Wait, renewed}, nil
}

// reductionBytes is what this rank sends in all rounds.
func (r *ranks) reductionBytes(grads []*engine.Tensor) int64 {
	sum, me := 0, r.group.Rank
	for _, round := range r.rounds {
		for owner, n := range round.counts {
			if owner != me {
				sum += n
			}
		}
		if r.sliced {
			_ = r.eachSum(round, me, grads, func(owner int, part *engine.Tensor) error { // which cannot fail
				if owner != me {
					sum += int(part.MemSize())
				}
				return nil
			})
		}
	}
	return int64(sum)
}

// spreadBytes is what others get of this rank's parameters, whoever passes it on.
func (r *ranks) spreadBytes(parameters []*engine.Tensor) int64 {
	return int64(r.totals(parameters)[r.group.Rank]) * int64(r.group.World-1)
}
