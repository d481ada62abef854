package prm

import (
	"fmt"
	"math"

	"github.com/goprm/goprm/internal/nnet"
)

// PlanRanks is what a plan says of an optimizer step of every rank.
type PlanRanks struct {
	World        int   `json:"world"`
	Zero         int   `json:"zero"` // ZeRO stage
	MicroBatches int   `json:"micro_batches"`
	Bytes        int64 `json:"bytes"` // that a rank sends, and receives, in an optimizer step, on average
	// Seconds of an optimizer step; 0: not asked for. Of communication as much as Hidden goes on beside the backward pass: a step takes
	// Computing + Communicating - Hidden.
	Communicating float64 `json:"communicating_s,omitempty"`
	Computing     float64 `json:"computing_s,omitempty"`
	Hidden        float64 `json:"hidden_s,omitempty"`
	// Efficiency is the share of the time that is computing: how much of the ranks' speed-up is left.
	Efficiency float64 `json:"efficiency,omitempty"`
}

// sharing is among how many ranks a run is shared out, and how.
type sharing struct{ world, zero int }

// of is what a rank takes of the memory that one process would: the largest share of moments, and with ZeRO's stage 2 of the gradients'
// sum.
func (s sharing) of(spec nnet.Spec, m nnet.Memory, microBatches int) (nnet.Memory, error) {
	if s.world < 2 || m.Trained == 0 {
		return m, nil
	}
	shares, err := nnet.SharesOf(spec, s.world)
	if err != nil {
		return m, err
	}
	part := float64(shares.Largest) / float64(shares.Trained)
	cut := func(bytes int64) int64 { return int64(math.Ceil(part * float64(bytes))) }
	m.Moments, m.Host = cut(m.Moments), cut(m.Host)
	if s.zero == 2 && microBatches > 1 { // the sum, beside the gradients of a micro-batch
		m.Gradients = m.Gradients/2 + cut(m.Gradients/2)
	}
	return m, nil
}

// perRank is how many micro-batches of a step a rank has.
func (s sharing) perRank(microBatches int) int {
	return (microBatches + s.world - 1) / max(1, s.world)
}

// ranks counts what the ranks exchange and how long a step takes.
func (o PlanOptions) ranks(spec nnet.Spec, width int64) (*PlanRanks, error) {
	shares, err := nnet.SharesOf(spec, o.World)
	if err != nil {
		return nil, err
	}
	s := sharing{o.World, o.Zero}
	r := &PlanRanks{World: o.World, Zero: o.Zero, MicroBatches: s.perRank(o.MicroBatches)}
	times := 2.0 // gradients to their owners, parameters back
	if o.Zero == 2 {
		times = float64(1 + r.MicroBatches)
	}
	if spec.Train == nnet.TrainNothing { // the head alone, of a few thousand numbers
		shares.Trained = int64(spec.Config.HiddenSize) + 1
	}
	r.Bytes = int64(times * float64(width*shares.Trained) * float64(o.World-1) / float64(o.World))
	reductions, early := 1.0, 0.0
	if o.Zero == 2 {
		reductions = float64(r.MicroBatches)
	}
	if o.Bandwidth > 0 { // what the fullest rank gets decides
		second := o.Bandwidth * 1e9 / float64(width*int64(o.World-1))
		copies := float64(shares.Largest) // from their owner to each other rank
		if o.Device != "cpu" {            // NCCL passes them on
			copies = float64(shares.Trained) / float64(o.World)
		}
		r.Communicating = (reductions*float64(max(shares.Reduced, shares.Trained/int64(o.World))) + copies) / second
		early = reductions * float64(shares.Early) / second
	}
	if o.TFLOPS > 0 && spec.Train != nnet.TrainNothing {
		passes := 2.0 // forward, and backward to the activations
		if spec.Train == nnet.TrainFull {
			passes++ // and to the weights
		}
		if spec.Recompute {
			passes++
		}
		tokens := float64(o.Tokens * r.MicroBatches)
		r.Computing = tokens * passes * 2 * float64(shares.Multiplied) / (o.TFLOPS * 1e12)
		backward := (passes - 1) / passes * r.Computing / float64(max(1, r.MicroBatches)) // of one micro-batch
		r.Hidden = min(early, reductions*backward)
		r.Efficiency = r.Computing / (r.Computing + r.Communicating - r.Hidden)
	}
	return r, nil
}

// validateRanks checks what concerns several ranks.
func (o PlanOptions) validateRanks() error {
	switch {
	case o.World < 0 || o.World > 1<<20:
		return fmt.Errorf("world: %d is outside 1..%d", o.World, 1<<20)
	case o.Zero < 0 || o.Zero > 2:
		return fmt.Errorf("zero: stage %d is neither 1 nor 2", o.Zero)
	case !notNegative(o.Bandwidth):
		return fmt.Errorf("bandwidth: %v is not a number from 0", o.Bandwidth)
	case !notNegative(o.TFLOPS):
		return fmt.Errorf("tflops: %v is not a number from 0", o.TFLOPS)
	}
	return nil
}
