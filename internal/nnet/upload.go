package nnet

import (
	"errors"
	"fmt"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"gorgonia.org/gorgonia"
)

// upload brings the batch to the machine for the output.
func (n *Network) upload(what output, b MicroBatch) (*engine.Machine, error) {
	if err := n.check(what, b); err != nil {
		return nil, err
	}
	machine, err := n.machine(what, n.need(b))
	if err != nil {
		return nil, err
	}
	tokens, segments := len(b.Tokens), len(b.CuSeqlens)-1
	inputs := append(n.readInputs(b), n.trunkInputs(b)...)
	if n.spec.Train == TrainHead {
		tokens, segments = 0, 0
	}
	if kept := n.graph.Kept; kept != nil {
		inputs = append(inputs, input{kept, bytesOf(keptPairs(b.Keep, n.graph.Cap.Kept))})
	}
	if keys := n.graph.DropKeys; keys != nil {
		inputs = append(inputs, input{keys, bytesOf(halves(b.DropoutKeys, tokens))})
	}
	for _, in := range inputs {
		if err := machine.Upload(in.node, in.data); err != nil {
			return nil, err
		}
	}
	return machine, machine.SetLive(tokens, segments, len(b.Reads))
}

// check refuses a batch that does not fit the network.
func (n *Network) check(what output, b MicroBatch) error {
	if err := n.checkLabels(what, b); err != nil {
		return err
	}
	if n.spec.Train != TrainHead {
		return errors.Join(n.checkCache(b), n.checkPositions(b.Batch))
	}
	if want := len(b.Reads) * n.spec.Config.HiddenSize * int(n.spec.Params().Size()); len(b.Features) != want {
		return fmt.Errorf("features: %d bytes for %d read-outs, want %d", len(b.Features), len(b.Reads), want)
	}
	return n.checkCache(b)
}

// input is an input of the graph with the bytes that a batch has for it.
type input struct {
	node *gorgonia.Node
	data []byte
}

// readInputs are the read-outs and their objective.
func (n *Network) readInputs(b MicroBatch) []input {
	columns := b.Labels
	if columns == nil {
		columns = make([]int32, len(b.Reads))
		for i, k := range b.Kind {
			if k == data.KindTrajectory {
				columns[i] = 1
			}
		}
	}
	g := n.graph
	return []input{{g.Reads, bytesOf(b.Reads)}, {g.Column, bytesOf(columns)}, {g.Target, n.floats(b.Target)}, {g.Weight, n.floats(b.Weight)}}
}

// trunkInputs are the tokens and what they attend to, or the hidden states in their place.
func (n *Network) trunkInputs(b MicroBatch) []input {
	g := n.graph
	if n.spec.Train == TrainHead {
		return []input{{g.Features, b.Features}}
	}
	offsets, ranges := keyRanges(b)
	inputs := []input{{g.IDs, bytesOf(b.Tokens)}, {g.Positions, bytesOf(b.Positions)}, {g.Keys.CuSeqlens, bytesOf(b.CuSeqlens)},
		{g.Keys.RangeOffsets, bytesOf(offsets)}, {g.Keys.Ranges, bytesOf(ranges)}}
	if window := n.spec.Config.SlidingWindow; window > 0 {
		inputs = append(inputs, input{g.Sliding.Ranges, bytesOf(slidingRanges(ranges, window))})
	}
	return inputs
}

// halves are the low and high words of the tokens' dropout keys; without keys all are 0.
func halves(keys []uint64, tokens int) []int32 {
	if keys == nil {
		keys = make([]uint64, tokens)
	}
	words := make([]int32, 0, 2*len(keys))
	for _, k := range keys {
		words = append(words, int32(k), int32(k>>32))
	}
	return words
}

// need is the capacity that the batch takes.
func (n *Network) need(b MicroBatch) Capacity {
	if n.spec.Train == TrainHead {
		return Capacity{Tokens: 1, Segments: 1, Ranges: 1, Reads: max(1, len(b.Reads))}
	}
	_, ranges := keyRanges(b)
	need := Capacity{Tokens: max(1, len(b.Tokens)), Segments: max(1, len(b.CuSeqlens)-1), Ranges: max(1, len(ranges)/ops.RangeLen),
		Reads: max(1, len(b.Reads))}
	if n.spec.Cache > 0 {
		need.Ranges, need.Kept = roomFor(need.Ranges), roomFor(len(b.Keep))
	}
	return need
}
