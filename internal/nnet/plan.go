package nnet

import (
	"fmt"

	"github.com/goprm/goprm/internal/engine"
)

// Memory is what a network takes on its device, in bytes.
type Memory struct {
	Weights     int64 `json:"weights"`     // frozen, as stored, or trained, in the dtype of parameters
	Gradients   int64 `json:"gradients"`   // of trained parameters
	Moments     int64 `json:"moments"`     // of the optimizer, unless they lie on the host
	Activations int64 `json:"activations"` // the arena of the largest batch, trained on or evaluated
	Rounded     int64 `json:"rounded"`     // bf16 copies of the trained matrices, where products compute in bf16; a CPU keeps none
	Scratch     int64 `json:"scratch"`     // what kernels of one op leave for each other at most, where a GPU computes in bf16
	Trained     int64 `json:"trained"`     // numbers that are trained
	Host        int64 `json:"host"`        // page-locked memory of the host: moments that are offloaded
	Streamed    int64 `json:"streamed"`    // of layers that stay on the host, and are brought for each batch; Weights has room for two
}

// Total is the sum of all parts on the device.
func (m Memory) Total() int64 {
	return m.Weights + m.Gradients + m.Moments + m.Activations + m.Rounded + m.Scratch
}

// Measure plans a network for batches up to a capacity without weights and without a device, whose rules are given. bf16 says whether
// frozen matrices are stored as bf16; microBatches is how many an optimizer step has: from two on their gradients are summed, which takes a
// second copy of them where twice is set. The number is that of the launches of all machines, to which what they take on the host is
// proportional.
func Measure(spec Spec, capacity Capacity, bf16 bool, microBatches int, twice bool, rules engine.Rules) (Memory, int, error) {
	if err := spec.Validate(); err != nil {
		return Memory{}, 0, err
	}
	spec.allTokens = spec.DType == engine.BFloat16 // as package cuda has it
	m, err := newGraph(spec, capacity, func(string) bool { return bf16 }, nil)
	if err != nil {
		return Memory{}, 0, err
	}
	what, copies := outGradients, int64(1)
	switch {
	case spec.Train == TrainNothing:
		what = outFeatures
	case microBatches > 1 && (twice || spec.Expr != nil):
		copies = 2
	case microBatches > 1: // see gradientSum
		what = outSums
	}
	stats, err := engine.Measure(m.plan(what), rules)
	if err != nil {
		return Memory{}, 0, fmt.Errorf("capacity %+v: %w", capacity, err)
	}
	memory := Memory{Activations: int64(stats.Arena)}
	launches := stats.Steps
	if what != outFeatures { // an evaluation's machine shares the arena
		scored := outValues
		if spec.Expr != nil {
			scored = outOuter
		}
		stats, err := engine.Measure(m.plan(scored), rules)
		if err != nil {
			return Memory{}, 0, fmt.Errorf("capacity %+v: %w", capacity, err)
		}
		memory.Activations = max(memory.Activations, int64(stats.Arena))
		launches += stats.Steps
	}
	if what != outFeatures && spec.DType == engine.BFloat16 && m.Hidden != nil { // attention_backward's, see package cuda
		heads := capacity.Tokens * spec.Config.NumAttentionHeads
		memory.Scratch = int64(heads)*int64(8*spec.Config.HeadDim) + int64(4*heads+255)&^255
	}
	layers := map[int]int{} // bytes of each, where they are streamed
	for _, p := range m.Params {
		numbers := int64(p.Node.Shape().TotalSize())
		bytes := numbers * int64(p.Node.Dtype().Size())
		if layer, ok := p.streams(); spec.Streamed && ok {
			layers[layer] += engine.GroupBytes(int(bytes))
			memory.Streamed += bytes
			continue
		}
		memory.Weights += bytes
		if !p.Trained {
			continue
		}
		memory.Trained += numbers
		memory.Gradients += copies * bytes
		if moments := int64(len(spec.rule().State)) * numbers * int64(spec.moments(p.Node.Dtype()).Size()); spec.Offload {
			memory.Host += moments
		} else {
			memory.Moments += moments
		}
		if spec.rounds(p) {
			memory.Rounded += 2 * numbers
		}
	}
	largest := 0
	for _, bytes := range layers {
		largest = max(largest, bytes)
	}
	memory.Weights += int64(2 * largest)
	return memory, launches, nil
}
