package nnet

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/loss"
)

// StepResult describes one optimizer step.
type StepResult struct {
	Loss, LossStep, LossFinal float64 // with their λ; Loss is the sum
	NumStep, NumFinal         int     // labelled read-outs
	GradNorm                  float64 // global L2, before clipping
}

// NonFiniteError says that a step was not applied, and which tensor had the first NaN or Inf.
type NonFiniteError struct{ Tensor string }

func (e *NonFiniteError) Error() string {
	return fmt.Sprintf("NaN or Inf in %s: the step was not applied", e.Tensor)
}

// TrainStep runs the micro-batches of one optimizer batch, adds their gradients in a fixed chain, and updates
// the trained parameters. When anything is NaN or Inf nothing is changed and the error is a *NonFiniteError.
// When the context ends before the update, it stops between two launches with the context's error and changes nothing. A rank
// whose device exchanges gradients with those of others leaves them at any error but a *NonFiniteError, which all later steps return.
func (n *Network) TrainStep(ctx context.Context, batches []MicroBatch, u Update) (StepResult, error) {
	if len(batches) == 0 {
		return StepResult{}, fmt.Errorf("an optimizer step without micro-batches")
	}
	if n.spec.Train == TrainNothing {
		return StepResult{}, errors.New("an optimizer step of a network that trains nothing")
	}
	if err := n.optim.use(u.Rule()); err != nil {
		return StepResult{}, err
	}
	r := n.optim.ranks
	if r != nil && r.left != nil {
		return StepResult{}, r.left
	}
	result, err := reading(n, func() (StepResult, error) { return n.trainStep(ctx, batches, u) })
	if bad := new(NonFiniteError); err != nil && !errors.As(err, &bad) && r != nil && r.peers != nil {
		err = errors.Join(err, r.peers.Leave(err)) // the others need not wait; of a number that is not finite all know
		r.left = err
	}
	return result, err
}

func (n *Network) trainStep(ctx context.Context, batches []MicroBatch, u Update) (StepResult, error) {
	result, grads, err := n.allGradients(ctx, batches)
	if err != nil {
		return StepResult{}, err
	}
	if math.IsNaN(result.Loss) || math.IsInf(result.Loss, 0) {
		if _, err := n.optim.norm(grads, n.optim.ranks); err != nil { // which names a tensor
			return StepResult{}, err
		}
		return StepResult{}, &NonFiniteError{Tensor: "the loss"}
	}
	if result.GradNorm, err = n.optim.update(grads, u); err != nil {
		return StepResult{}, err
	}
	return result, nil
}

// backward runs one micro-batch, adds its losses to the result and returns its gradients, which lie where the next run's will.
func (n *Network) backward(ctx context.Context, b MicroBatch, result *StepResult) ([]*engine.Tensor, error) {
	if n.custom != nil {
		return n.backwardCustom(ctx, b, result)
	}
	machine, err := n.run(ctx, outGradients, b)
	if err != nil {
		return nil, err
	}
	return n.gradsOf(machine), n.account(machine, b, result)
}

// account adds the losses of a micro-batch that a machine has run to the result.
func (n *Network) account(machine *engine.Machine, b MicroBatch, result *StepResult) error {
	scores, err := n.scores(machine, len(b.Reads))
	if err == nil && !b.Idle {
		result.add(n.spec.Loss, b, scores)
	}
	return err
}

func (n *Network) gradsOf(machine *engine.Machine) []*engine.Tensor {
	grads := make([]*engine.Tensor, len(n.graph.Grads))
	for i, g := range n.graph.Grads {
		grads[i] = machine.Output(g)
	}
	return grads
}

// gradients sums over micro-batches: losses in order, gradients in their chain.
func (n *Network) gradients(ctx context.Context, batches []MicroBatch) (StepResult, []*engine.Tensor, error) {
	var result StepResult
	total := &n.optim.total
	total.begin(len(batches))
	if _, err := total.reserve(batches); err != nil {
		return result, nil, err
	}
	if len(batches) == 1 && !total.brief {
		grads, err := n.backward(ctx, batches[0], &result)
		if err == nil {
			err = n.optim.allocate() // not before: a custom head's parameters are known now
		}
		return result, grads, err
	}
	err := n.addGradients(ctx, batches, &result)
	return result, total.sum, err
}

// addGradients adds the gradients of micro-batches to their sum.
func (n *Network) addGradients(ctx context.Context, batches []MicroBatch, result *StepResult) error {
	add := n.addCopied
	if n.optim.total.brief {
		add = n.addBackward
	}
	for i, b := range batches {
		if err := add(ctx, b, result); err != nil {
			return fmt.Errorf("micro-batch %d: %w", i, err)
		}
	}
	return nil
}

// addBackward runs a micro-batch whose gradients are added as they come.
func (n *Network) addBackward(ctx context.Context, b MicroBatch, result *StepResult) error {
	if err := n.optim.allocate(); err != nil {
		return err
	}
	machine, err := n.upload(outSums, b)
	if err != nil {
		return err
	}
	if err := n.optim.total.run(ctx, machine); err != nil {
		return err
	}
	return n.account(machine, b, result)
}

// addCopied runs a micro-batch and adds its gradients afterwards.
func (n *Network) addCopied(ctx context.Context, b MicroBatch, result *StepResult) error {
	grads, err := n.backward(ctx, b, result)
	if err != nil {
		return err
	}
	if err := n.optim.allocate(); err != nil {
		return err
	}
	return n.optim.total.add(grads)
}

// add accounts a micro-batch's part of the loss, from its read-outs and in float64.
func (r *StepResult) add(kind loss.Kind, b MicroBatch, s Scores) {
	reads := make([]loss.Read, len(b.Reads))
	columns := len(s.Logits) / max(1, len(reads))
	for i := range reads {
		reads[i] = loss.Read{Value: s.Values[i], Target: b.Target[i], Weight: b.Weight[i]}
		if b.Kind[i] == data.KindTrajectory {
			reads[i].Part = loss.Final
		}
		copy(reads[i].Logits[2-columns:], s.Logits[i*columns:(i+1)*columns])
	}
	parts := loss.Joint(kind, reads)
	r.Loss += parts.Loss
	r.LossStep += parts.Step
	r.LossFinal += parts.Final
	r.NumStep += parts.NStep
	r.NumFinal += parts.NFinal
}

// Gradients computes the loss and its gradient by each trained parameter, and changes nothing.
func (n *Network) Gradients(ctx context.Context, batches []MicroBatch) (StepResult, map[string][]float64, error) {
	if len(batches) == 0 {
		return StepResult{}, nil, fmt.Errorf("a gradient without micro-batches")
	}
	byName := map[string][]float64{}
	result, err := reading(n, func() (StepResult, error) { return n.gradientsInto(ctx, batches, byName) })
	if err != nil {
		return StepResult{}, nil, err
	}
	return result, byName, nil
}

func (n *Network) gradientsInto(ctx context.Context, batches []MicroBatch, byName map[string][]float64) (StepResult, error) {
	result, grads, err := n.gradients(ctx, batches)
	if err != nil {
		return StepResult{}, err
	}
	if result.GradNorm, err = n.optim.norm(grads, nil); err != nil {
		return StepResult{}, err
	}
	for i, g := range grads {
		if byName[n.optim.names[i]], err = download(n.backend, g, g.Size()); err != nil {
			return StepResult{}, err
		}
	}
	return result, nil
}
