package nnet

import (
	"context"
	"fmt"

	"github.com/goprm/goprm/internal/engine"
)

// allGradients sums over the micro-batches of all ranks; the gradients of parameters that other ranks own are not valid.
func (n *Network) allGradients(ctx context.Context, batches []MicroBatch) (StepResult, []*engine.Tensor, error) {
	r := n.optim.ranks
	if r == nil {
		return n.gradients(ctx, batches)
	}
	most, err := r.most(len(batches))
	if err != nil {
		return StepResult{}, nil, err
	}
	n.optim.total.begin(len(batches))
	machine, err := n.optim.total.reserve(batches)
	if err != nil {
		return StepResult{}, nil, err
	}
	if n.custom == nil {
		if err := r.arrange(n.optim, n.doneOrder(machine)); err != nil {
			return StepResult{}, nil, err
		}
	}
	gradients := n.wholeGradients
	if r.stage == 2 && most > 1 {
		gradients = func(ctx context.Context, batches []MicroBatch) (StepResult, []*engine.Tensor, error) {
			return n.shardedGradients(ctx, batches, most)
		}
	}
	result, grads, err := gradients(ctx, batches)
	if err == nil {
		err = r.share(&result)
	}
	return result, grads, err
}

// wholeGradients is allGradients of ZeRO stage 1: this rank's sum over micro-batches is summed over the ranks as its last backward pass
// completes it.
func (n *Network) wholeGradients(ctx context.Context, batches []MicroBatch) (result StepResult, grads []*engine.Tensor, err error) {
	last := len(batches) - 1
	if err := n.addGradients(ctx, batches[:last], &result); err != nil {
		return result, nil, err
	}
	grads, err = n.reducedBackward(ctx, batches[last], &result, last > 0 || n.optim.total.brief)
	return result, grads, err
}

// shardedGradients is allGradients of ZeRO stage 2: each micro-batch's gradients are summed at the owners, which alone keep the sums.
func (n *Network) shardedGradients(ctx context.Context, batches []MicroBatch, most int) (
	result StepResult, sum []*engine.Tensor, err error) {
	var grads []*engine.Tensor
	total := &n.optim.total
	for i := range most {
		if i < len(batches) {
			grads, err = n.reducedBackward(ctx, batches[i], &result, false)
		} else {
			err = n.optim.ranks.reduce(n.backend, grads, false)
		}
		if err == nil {
			err = n.optim.allocate()
		}
		if err != nil {
			return result, nil, err
		}
		if err := total.add(grads); err != nil {
			return result, nil, fmt.Errorf("micro-batch %d: %w", i, err)
		}
	}
	return result, total.sum, nil
}
