package nnet

import (
	"slices"

	"github.com/goprm/goprm/internal/engine"
)

// gradientTree adds the gradients of micro-batches 0, 1, 2, ... in a tree whose shape depends on their number alone:
// neighbours first, then neighbours' sums. Several processes that each take a run of micro-batches can give the same bits.
type gradientTree struct {
	optim *optimizer
	sums  []subtree // from the largest to the smallest
	spare [][]*engine.Tensor
	made  map[*engine.Tensor]int // when a list was made, by its first tensor
}

type subtree struct {
	level int // it holds 2^level micro-batches
	grads []*engine.Tensor
}

// reset takes the memory of the last step's sums back: gradients lie where they lay, so an update that was recorded stays
// good.
func (t *gradientTree) reset() {
	for i := len(t.sums) - 1; i >= 0; i-- {
		t.spare = append(t.spare, t.sums[i].grads)
	}
	t.sums = nil
	slices.SortFunc(t.spare, func(a, b []*engine.Tensor) int { return t.made[b[0]] - t.made[a[0]] })
}

// push adds a micro-batch's gradients; grads is read, not kept.
func (t *gradientTree) push(grads []*engine.Tensor) error {
	own, err := t.buffers(grads)
	if err != nil {
		return err
	}
	for i := range grads {
		if err := t.optim.launch("scale", engine.AddAttr{Scale: 1}, own[i], grads[i]); err != nil {
			return err
		}
	}
	t.sums = append(t.sums, subtree{0, own})
	for len(t.sums) > 1 && t.sums[len(t.sums)-1].level == t.sums[len(t.sums)-2].level {
		if err := t.join(); err != nil {
			return err
		}
		t.sums[len(t.sums)-1].level++
	}
	return t.optim.net.backend.Sync()
}

// join adds the last subtree to the one before it.
func (t *gradientTree) join() error {
	n := len(t.sums)
	left, right := t.sums[n-2].grads, t.sums[n-1].grads
	for i := range left {
		if err := t.optim.launch(engine.AddKernel, engine.AddAttr{Scale: 1}, left[i], left[i], right[i]); err != nil {
			return err
		}
	}
	t.spare, t.sums = append(t.spare, right), t.sums[:n-1]
	return nil
}

// sum joins what is left, smallest first.
func (t *gradientTree) sum() ([]*engine.Tensor, error) {
	for len(t.sums) > 1 {
		if err := t.join(); err != nil {
			return nil, err
		}
	}
	return t.sums[0].grads, nil
}

func (t *gradientTree) buffers(like []*engine.Tensor) ([]*engine.Tensor, error) {
	if n := len(t.spare); n > 0 {
		own := t.spare[n-1]
		t.spare = t.spare[:n-1]
		return own, nil
	}
	own := make([]*engine.Tensor, len(like))
	for i, g := range like {
		var err error
		if own[i], err = engine.CopyTo(t.optim.net.backend, engine.FromDType(g.Dtype(), g.Shape()...)); err != nil {
			return nil, err
		}
	}
	if t.made == nil {
		t.made = map[*engine.Tensor]int{}
	}
	t.made[own[0]] = len(t.made)
	return own, nil
}
