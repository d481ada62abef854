package nnet

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/goprm/goprm/internal/engine"
)

// overlapKey tells backward passes apart whose gradients are summed over the ranks as they are done.
type overlapKey struct {
	machine     *engine.Machine
	adds, first bool // each gradient is first added to the sum over micro-batches, or begins it
}

// overlapped is a backward pass with a launch behind each gradient that completes a round.
type overlapped struct {
	sequence *engine.Sequence
	tensors  []*engine.Tensor // what is summed over the ranks: the gradients, or their sums over micro-batches
	early    int64            // rounds that are due before the last launch of the pass
	now      *exchanging
}

// exchanging does the rounds of one backward pass, in order, on a goroutine of its own: all other calls of the group wait for it.
type exchanging struct {
	due   chan struct{} // one for each round
	began atomic.Int64  // rounds
	err   atomic.Pointer[error]
	over  chan struct{}
}

// canOverlap reports whether rounds are exchanged while the backward pass goes on: by a goroutine where kernels and host share memory, or
// by the devices. A custom head's gradients come when the pass is over.
func (n *Network) canOverlap() bool {
	_, shares := n.backend.(engine.SharesHostMemory)
	return (shares || n.optim.ranks.peers != nil) && n.custom == nil
}

// reducedBackward runs a micro-batch, adds its gradients to the sum over micro-batches if that is asked for, and sums the result over all
// ranks: the gradients of the parameters that this rank owns are valid then.
func (n *Network) reducedBackward(ctx context.Context, b MicroBatch, result *StepResult, adds bool) ([]*engine.Tensor, error) {
	r, total := n.optim.ranks, &n.optim.total
	if !n.canOverlap() {
		var grads []*engine.Tensor
		var err error
		if adds {
			err, grads = n.addGradients(ctx, []MicroBatch{b}, result), total.sum
		} else if grads, err = n.backward(ctx, b, result); err == nil {
			err = n.optim.allocate()
		}
		if err == nil {
			err = r.arrange(n.optim, nil)
		}
		if err == nil {
			err = r.reduce(n.backend, grads, true)
		}
		r.reduced += int64(len(r.rounds))
		return grads, err
	}
	if err := n.optim.allocate(); err != nil {
		return nil, err
	}
	what := outGradients
	if adds {
		what = outSums
	}
	machine, err := n.upload(what, b)
	if err != nil {
		return nil, err
	}
	o, err := n.overlapOf(machine, adds)
	if err != nil {
		return nil, err
	}
	if err := n.runOverlapped(ctx, machine, o); err != nil {
		return nil, err
	}
	if adds {
		total.added++
	}
	return o.tensors, n.account(machine, b, result)
}

// overlapOf makes the sequence of a machine, once.
func (n *Network) overlapOf(machine *engine.Machine, adds bool) (*overlapped, error) {
	r, total := n.optim.ranks, &n.optim.total
	key := overlapKey{machine, adds, adds && total.added == 0}
	if o := r.overlaps[key]; o != nil {
		return o, nil
	}
	o := &overlapped{tensors: n.gradsOf(machine)}
	var inserts []engine.Insert
	var err error
	if adds {
		o.tensors = total.sum
		if inserts, err = total.adds(machine); err != nil {
			return nil, err
		}
	}
	all := machine.Stats().Steps
	for i, round := range r.rounds {
		after := 0
		for _, i := range r.order[:round.upto] {
			after = max(after, machine.Ready(n.graph.Grads[i]))
		}
		if after < all {
			o.early++
		}
		due := func() error { return o.now.next() }
		if r.peers != nil {
			if due, err = r.launchRound(i, o.tensors); err != nil {
				return nil, err
			}
		}
		inserts = append(inserts, engine.Insert{After: after, Launch: due})
	}
	if r.peers != nil {
		inserts = append(inserts, engine.Insert{After: all, Launch: r.peers.Wait})
	}
	if o.sequence, err = machine.Interleave(inserts); err != nil {
		return nil, err
	}
	if r.overlaps == nil {
		r.overlaps = map[overlapKey]*overlapped{}
	}
	r.overlaps[key] = o
	return o, nil
}

// next says that one more round is due. It fails if an earlier one has.
func (e *exchanging) next() error {
	e.due <- struct{}{}
	if err := e.err.Load(); err != nil {
		return *err
	}
	return nil
}

// runOverlapped runs the backward pass and, beside it, the rounds.
func (n *Network) runOverlapped(ctx context.Context, machine *engine.Machine, o *overlapped) error {
	r := n.optim.ranks
	if r.peers != nil {
		r.group.Sent += r.reductionBytes(o.tensors)
		r.early, r.reduced = r.early+o.early, r.reduced+int64(len(r.rounds))
		return machine.RunInterleaved(ctx, o.sequence)
	}
	e := &exchanging{due: make(chan struct{}, len(r.rounds)), over: make(chan struct{})}
	o.now = e
	go func() {
		defer close(e.over)
		at := 0
		for range e.due {
			e.began.Add(1)
			if err := r.exchange(n.backend, r.rounds[at], o.tensors, true); err != nil {
				e.err.Store(&err)
				return
			}
			at++
		}
	}()
	err := machine.RunInterleaved(ctx, o.sequence)
	r.early, r.reduced = r.early+e.began.Load(), r.reduced+int64(len(r.rounds))
	close(e.due)
	<-e.over
	if failed := e.err.Load(); failed != nil && !errors.Is(err, *failed) {
		err = errors.Join(err, *failed)
	}
	return err
}

// Overlap is how many exchanges of gradients there were, and how many of them began before the backward pass was over.
func (n *Network) Overlap() (early, all int64) {
	if n.optim.ranks == nil {
		return 0, 0
	}
	return n.optim.ranks.early, n.optim.ranks.reduced
}
