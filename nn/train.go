package nn

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/goprm/goprm/internal/nnet"
	"gorgonia.org/tensor"
)

// Optimizer is a rule of updates with its settings: [AdamW] or [SGD]. Settings may change from step to step, the rule may not.
type Optimizer interface {
	// Validate reports the first setting that is out of range.
	Validate() error
	update(seed uint64) nnet.Update
}

// AdamW is Adam with decoupled weight decay (arXiv 1711.05101), in torch.optim.AdamW's order of operations. DefaultAdamW has
// PyTorch's settings; in a literal, zero means zero.
type AdamW struct {
	LR           float64 // of the trunk and adapters
	HeadLR       float64 // of the head and of an expression's parameters
	Beta1, Beta2 float64 // in [0, 1)
	Eps          float64 // above 0
	WeightDecay  float64 // of tensors of two dimensions or more
	Clip         float64 // bound on the global L2 norm of the gradient; 0: none
}

// DefaultAdamW is AdamW with a learning rate for all parameters, betas 0.9 and 0.999, eps 1e-8 and weight decay 0.01.
func DefaultAdamW(lr float64) AdamW {
	return AdamW{LR: lr, HeadLR: lr, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.01}
}

// Validate reports the first setting that is out of range.
func (o AdamW) Validate() error {
	switch {
	case !(o.Beta1 >= 0 && o.Beta1 < 1) || !(o.Beta2 >= 0 && o.Beta2 < 1):
		return fmt.Errorf("betas: %v and %v are not both in [0, 1)", o.Beta1, o.Beta2)
	case !(o.Eps > 0):
		return fmt.Errorf("eps: %v is not above 0; DefaultAdamW has 1e-8", o.Eps)
	}
	return checkRates(o.LR, o.HeadLR, o.WeightDecay, o.Clip)
}

func (o AdamW) update(seed uint64) nnet.Update {
	return nnet.AdamW{
		LR: o.LR, HeadLR: o.HeadLR, Beta1: o.Beta1, Beta2: o.Beta2, Eps: o.Eps, WeightDecay: o.WeightDecay, Clip: o.Clip, Seed: seed,
	}
}

// SGD is stochastic gradient descent with momentum, as torch.optim.SGD has it without dampening and Nesterov's correction:
// g += WeightDecay·p, velocity = Momentum·velocity + g, p -= LR·velocity.
type SGD struct {
	LR          float64 // of the trunk and adapters
	HeadLR      float64 // of the head and of an expression's parameters
	Momentum    float64 // in [0, 1)
	WeightDecay float64 // of tensors of two dimensions or more
	Clip        float64 // bound on the global L2 norm of the gradient; 0: none
}

// Validate reports the first setting that is out of range.
func (o SGD) Validate() error {
	if !(o.Momentum >= 0 && o.Momentum < 1) {
		return fmt.Errorf("momentum: %v is not in [0, 1)", o.Momentum)
	}
	return checkRates(o.LR, o.HeadLR, o.WeightDecay, o.Clip)
}

func (o SGD) update(uint64) nnet.Update {
	return nnet.SGD{LR: o.LR, HeadLR: o.HeadLR, Momentum: o.Momentum, WeightDecay: o.WeightDecay, Clip: o.Clip}
}

func checkRates(lr, headLR, decay, clip float64) error {
	names := []string{"lr", "head_lr", "weight_decay", "clip"}
	for i, v := range []float64{lr, headLR, decay, clip} {
		if !(v >= 0) || math.IsInf(v, 0) {
			return fmt.Errorf("%s: %v is not a finite number of at least 0", names[i], v)
		}
	}
	return nil
}

// StepResult describes one optimizer step.
type StepResult struct {
	Loss                float64 // the sum of what follows, or an expression's loss
	LossStep, LossFinal float64 // with their λ; 0 with an expression
	NumStep, NumFinal   int     // labelled read-outs
	GradNorm            float64 // global L2 norm of the gradient before clipping
}

// NonFiniteError says that a step was not applied, since something was NaN or Inf.
type NonFiniteError struct{ Tensor string } // the first that was

func (e *NonFiniteError) Error() string {
	return fmt.Sprintf("NaN or Inf in %s: the step was not applied", e.Tensor)
}

// TrainStep runs the micro-batches of one optimizer step, adds their gradients and updates the trained parameters. Where
// something is NaN or Inf it changes nothing and the error is a [*NonFiniteError]; nor does it change anything when ctx ends before
// the update.
func (n *Network) TrainStep(ctx context.Context, batches []Batch, o Optimizer) (StepResult, error) {
	if o == nil {
		return StepResult{}, errors.New("TrainStep: the optimizer is nil")
	}
	if err := o.Validate(); err != nil {
		return StepResult{}, err
	}
	done, err := n.begin(ctx)
	if err != nil {
		return StepResult{}, err
	}
	defer done()
	micros, err := n.micros(ctx, batches)
	if err != nil {
		return StepResult{}, err
	}
	r, err := n.trainer.TrainStep(ctx, micros, o.update(n.options.Seed))
	if err != nil {
		return StepResult{}, publicError(err)
	}
	n.updates++
	return StepResult(r), nil
}

// Gradients computes the loss of one optimizer step and its gradient by each trained parameter, and changes nothing.
func (n *Network) Gradients(ctx context.Context, batches []Batch) (StepResult, map[string]*tensor.Dense, error) {
	done, err := n.begin(ctx)
	if err != nil {
		return StepResult{}, nil, err
	}
	defer done()
	micros, err := n.micros(ctx, batches)
	if err != nil {
		return StepResult{}, nil, err
	}
	r, wide, err := n.trainer.Gradients(ctx, micros)
	if err != nil {
		return StepResult{}, nil, publicError(err)
	}
	grads := map[string]*tensor.Dense{}
	for _, p := range n.trainer.Parameters() {
		if v, ok := wide[p.Name]; ok {
			if grads[p.Name], err = n.dense(v, p.Shape...); err != nil {
				return StepResult{}, nil, err
			}
		}
	}
	return StepResult(r), grads, nil
}

func (n *Network) micros(ctx context.Context, batches []Batch) ([]nnet.MicroBatch, error) {
	if n.options.Train == None {
		return nil, errors.New("the network trains nothing; set Options.Train")
	}
	var micros []nnet.MicroBatch
	for i, b := range batches {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		m, err := n.micro(ctx, b)
		if err != nil {
			return nil, fmt.Errorf("micro-batch %d: %w", i, err)
		}
		if n.trainer.Spec().DropsOut() {
			m.DropoutKeys = nnet.DropoutKeys(b.Batch, n.options.Seed, n.updates)
		}
		micros = append(micros, m)
	}
	return micros, nil
}

func publicError(err error) error {
	var bad *nnet.NonFiniteError
	if errors.As(err, &bad) {
		return &NonFiniteError{Tensor: bad.Tensor}
	}
	return err
}
