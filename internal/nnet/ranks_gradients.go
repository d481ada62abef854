package nnet

import (
	"context"
	"fmt"

	"github.com/goprm/goprm/internal/engine"
)

// allGradients sums over the micro-batches of all ranks; the gradients of parameters that other ranks own are not valid.
func (n *Network) allGradients(ctx context.Context, batches []MicroBatch) (StepResult, []*engine.Tensor, error) {
	r, b := n.optim.ranks, n.backend
	if r == nil {
		return n.gradients(ctx, batches)
	}
	most, err := r.most(len(batches))
	if err != nil {
		return StepResult{}, nil, err
	}
	if r.stage == 1 || most == 1 {
		result, grads, err := n.gradients(ctx, batches)
		if err == nil {
			err = r.share(&result)
		}
		if err == nil {
			err = r.reduce(b, grads, true)
		}
		return result, grads, err
	}
	return n.shardedGradients(ctx, batches, most)
}

// shardedGradients is allGradients of ZeRO stage 2: each micro-batch's gradients are summed at the owners, which alone keep the sums.
func (n *Network) shardedGradients(ctx context.Context, batches []MicroBatch, most int) (
	result StepResult, sum []*engine.Tensor, err error) {
	if err := n.reserve(batches); err != nil {
		return result, nil, err
	}
	var grads []*engine.Tensor
	total := &n.optim.total
	total.added = 0
	for i := range most {
		if i < len(batches) {
			if grads, err = n.backward(ctx, batches[i], &result); err == nil {
				err = n.optim.allocate()
			}
			if err != nil {
				return result, nil, err
			}
		}
		if err := n.optim.ranks.reduce(n.backend, grads, i < len(batches)); err != nil {
			return result, nil, err
		}
		if err := total.add(grads); err != nil {
			return result, nil, fmt.Errorf("micro-batch %d: %w", i, err)
		}
	}
	return result, total.sum, n.optim.ranks.share(&result)
}
