package nnet

import (
	"math"

	"github.com/goprm/goprm/internal/ops"
	"github.com/goprm/goprm/internal/rng"
)

// Rule is a kind of update: what it keeps of each trained parameter, and the op that applies it.
type Rule struct {
	// Op takes param, grad, the state tensors, the hyper tensor and clip's result; it gives the param and changes the state.
	Op        string
	State     []string // names of the state tensors, each of the parameter's shape
	Hyper     int      // numbers in the hyper tensor
	BF16State bool     // the state may be bf16
}

// Update is a rule with the settings of one step.
type Update interface {
	Rule() Rule
	// Hyper fills the numbers that the op takes for a parameter; done is the number of updates so far.
	Hyper(dst []float64, p *Parameter, done int)
	// ClipNorm bounds the global L2 norm of the gradient; 0: no bound.
	ClipNorm() float64
}

// AdamW holds the settings of one update; see Loshchilov and Hutter, arXiv 1711.05101, in PyTorch's order of operations.
type AdamW struct {
	LR          float64 // of the trunk and adapters
	HeadLR      float64 // of the value head
	Beta1       float64
	Beta2       float64
	Eps         float64
	WeightDecay float64 // on matrices, not on biases and norms
	Clip        float64 // bound on the global L2 norm of the gradient; 0: none
	Seed        uint64  // of the rounding of moments, where they are bf16
}

// Rule is part of Update.
func (AdamW) Rule() Rule {
	return Rule{Op: "adamw", State: []string{"m", "v"}, Hyper: ops.HyperLen, BF16State: true}
}

// ClipNorm is part of Update.
func (h AdamW) ClipNorm() float64 { return h.Clip }

// Hyper is part of Update.
func (h AdamW) Hyper(dst []float64, p *Parameter, done int) {
	t := float64(done + 1)
	dst[ops.HyperBeta1], dst[ops.HyperBeta2], dst[ops.HyperEps] = h.Beta1, h.Beta2, h.Eps
	dst[ops.HyperCorrection1], dst[ops.HyperCorrection2] = 1-math.Pow(h.Beta1, t), 1-math.Pow(h.Beta2, t)
	dst[ops.HyperLR] = h.LR
	if p.Head {
		dst[ops.HyperLR] = h.HeadLR
	}
	if p.Decays() {
		dst[ops.HyperWeightDecay] = h.WeightDecay
	}
	dst[ops.HyperSalt] = float64(rng.New(h.Seed, "moments "+p.Name).Uint64(uint64(done)) >> 11)
}

// SGD holds the settings of one update of stochastic gradient descent with momentum, as torch.optim.SGD without dampening has it:
// g += WeightDecay·param, velocity = Momentum·velocity + g, param -= LR·velocity.
type SGD struct {
	LR          float64 // of the trunk and adapters
	HeadLR      float64 // of the value head
	Momentum    float64
	WeightDecay float64 // added to the gradient of matrices, not of biases and norms
	Clip        float64 // bound on the global L2 norm of the gradient; 0: none
}

// Rule is part of Update.
func (SGD) Rule() Rule {
	return Rule{Op: "sgd", State: []string{"velocity"}, Hyper: ops.SGDLen}
}

// ClipNorm is part of Update.
func (h SGD) ClipNorm() float64 { return h.Clip }

// Hyper is part of Update.
func (h SGD) Hyper(dst []float64, p *Parameter, _ int) {
	dst[ops.SGDLR], dst[ops.SGDMomentum] = h.LR, h.Momentum
	if p.Head {
		dst[ops.SGDLR] = h.HeadLR
	}
	if p.Decays() {
		dst[ops.SGDWeightDecay] = h.WeightDecay
	}
}
