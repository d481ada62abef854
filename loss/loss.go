// Package loss is the joint objective over step and trajectory rewards, in float64.
//
// A process reward model is read at R positions: one for each step and one for the whole trajectory. Both objectives
// are one weighted sum over those read-outs,
//
//	L = Σ_i weight_i · ℓ(value_i, target_i),
//
// where the weights (see [Weights]) hold λ, the batch size and the number of labelled steps. So the sum can be taken
// over any split of a batch into micro-batches and changes in rounding only.
//
// The model computes the same sums on its own; this package is their reference and what the metrics report.
package loss

import (
	"fmt"
	"math"
)

// Kind is the loss of one read-out.
type Kind int

const (
	// MSE is (value − target)², the value being the head's output after its activation.
	MSE Kind = iota
	// BCE is the cross-entropy of σ(logit) against the target, which may be any number in [0,1].
	BCE
	// CE is the cross-entropy of the softmax over two logits (bad, good) against (1 − target, target).
	CE
)

var kindNames = [...]string{MSE: "mse", BCE: "bce", CE: "ce"}

func (k Kind) valid() bool { return k >= 0 && int(k) < len(kindNames) }

func (k Kind) String() string {
	if !k.valid() {
		return fmt.Sprintf("loss.Kind(%d)", int(k))
	}
	return kindNames[k]
}

// MarshalText writes the kind as configuration files spell it: mse, bce or ce.
func (k Kind) MarshalText() ([]byte, error) {
	if !k.valid() {
		return nil, fmt.Errorf("loss: no loss has the number %d", int(k))
	}
	return []byte(kindNames[k]), nil
}

// UnmarshalText reads mse, bce or ce.
func (k *Kind) UnmarshalText(text []byte) error {
	for i, name := range kindNames {
		if name == string(text) {
			*k = Kind(i)
			return nil
		}
	}
	return fmt.Errorf("loss %q is not known: use mse, bce or ce", text)
}

// Part says which objective a read-out belongs to.
type Part int

const (
	Step  Part = iota // the read-out of one step
	Final             // the read-out of the whole trajectory
)

// Read is one read-out with its label.
type Read struct {
	Part Part
	// Value is the head's output after its activation. MSE uses it, and nothing else of the output.
	Value float64
	// Logits are the two logits (bad, good) that CE uses. BCE uses Logits[1] alone, as if Logits[0] were 0.
	Logits [2]float64
	// Target is the reward to learn, in [0,1] for BCE and CE, any finite number for MSE. NaN: no label, and the read-out counts for nothing.
	Target float64
	// Weight is what [Weights] gave.
	Weight float64
}

// Parts is the loss of some read-outs: Loss = Step + Final, each with its λ included.
type Parts struct {
	Loss, Step, Final float64
	NStep, NFinal     int // labels that each part had, whatever their weights
}

// Joint returns the weighted sum over all labelled read-outs. An unknown kind gives NaN.
func Joint(kind Kind, reads []Read) Parts {
	var p Parts
	for _, r := range reads {
		if math.IsNaN(r.Target) {
			continue
		}
		term := r.Weight * kind.of(r)
		if r.Part == Final {
			p.Final += term
			p.NFinal++
		} else {
			p.Step += term
			p.NStep++
		}
	}
	p.Loss = p.Step + p.Final
	return p
}

// Grad appends the derivative of [Joint]'s Loss to dst[:0] and returns it: for MSE ∂L/∂Value and for BCE ∂L/∂Logits[1],
// one number a read-out; for CE ∂L/∂Logits[0], ∂L/∂Logits[1], two numbers a read-out. Unlabelled read-outs get zeros.
func Grad(kind Kind, reads []Read, dst []float64) []float64 {
	dst = dst[:0]
	for _, r := range reads {
		g := 0.0
		if !math.IsNaN(r.Target) {
			g = r.Weight * kind.slope(r)
		}
		if kind == CE {
			dst = append(dst, -g)
		}
		dst = append(dst, g)
	}
	return dst
}

// of is the unweighted loss of one read-out.
func (k Kind) of(r Read) float64 {
	switch k {
	case MSE:
		d := r.Value - r.Target
		return d * d
	case BCE:
		return crossEntropy(r.Logits[1], r.Target)
	case CE:
		return crossEntropy(r.Logits[1]-r.Logits[0], r.Target)
	}
	return math.NaN()
}

// slope is its derivative by Value (MSE) or by the good logit (BCE, CE).
func (k Kind) slope(r Read) float64 {
	switch k {
	case MSE:
		return 2 * (r.Value - r.Target)
	case BCE:
		return Sigmoid(r.Logits[1]) - r.Target
	case CE:
		return Sigmoid(r.Logits[1]-r.Logits[0]) - r.Target
	}
	return math.NaN()
}

// crossEntropy is −t·log σ(d) − (1−t)·log(1 − σ(d)). A softmax over two logits is a sigmoid of their difference d.
// Each logarithm is a softplus of its own, so nothing cancels when the model is confidently right.
func crossEntropy(d, t float64) float64 {
	l := 0.0
	if t != 0 { // 0·∞ is 0 here: a certain logit with a hard label costs nothing
		l += t * softplus(-d)
	}
	if t != 1 {
		l += (1 - t) * softplus(d)
	}
	return l
}

func softplus(x float64) float64 { return math.Max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

// Sigmoid is 1/(1+e^−x), computed so that neither tail overflows.
func Sigmoid(x float64) float64 {
	if x >= 0 {
		return 1 / (1 + math.Exp(-x))
	}
	e := math.Exp(x)
	return e / (1 + e)
}
