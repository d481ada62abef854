package engine

import (
	"fmt"

	"gorgonia.org/gorgonia"
)

// StreamsWeights marks backends that bring weights to the device while it computes, for models beyond its memory.
type StreamsWeights interface {
	// StreamWeights takes memory of the device for two groups of weights of at most so many bytes, see GroupBytes.
	StreamWeights(bytes int) (WeightStream, error)
}

// WeightStream has two places in the device's memory, which groups of weights take in turn.
type WeightStream interface {
	// Bring copies tensors of the host into the place that the group before the last had, behind what was launched for that one, and points
	// the slots there. What is launched from now on waits for the copies; the host's memory may be a mapping, whose loss is an error.
	Bring(slots, from []*Tensor) error
	Close() error
}

// WeightAlign is at what multiples of bytes the tensors of a group lie.
const WeightAlign = 256

// GroupBytes is what a group of tensors takes of a place.
func GroupBytes(sizes ...int) (total int) {
	for _, n := range sizes {
		total += (n + WeightAlign - 1) &^ (WeightAlign - 1)
	}
	return total
}

// Streamed are the inputs of a graph that a stream brings, in groups: what one launch reads is of one group.
type Streamed struct {
	Stream WeightStream
	Groups []WeightGroup
}

// WeightGroup are inputs with their content in the host's memory.
type WeightGroup struct {
	Nodes gorgonia.Nodes
	Host  []*Tensor
}

// bringer makes the launches that bring groups, one before each launch that needs another one than the launch before.
type bringer struct {
	*Streamed
	of      map[*step]int // groups
	current int
}

func (m *Machine) newBringer(s *Streamed) *bringer {
	b := &bringer{Streamed: s, of: map[*step]int{}, current: -1}
	if s == nil {
		return b
	}
	for g, group := range s.Groups {
		for _, n := range group.Nodes {
			if st := m.inputs[n]; st != nil {
				b.of[st], st.streamed = g, true
			}
		}
	}
	return b
}

// before is the launch that must come before a step's; nil: none.
func (b *bringer) before(m *Machine, st *step) (Launch, error) {
	wanted := b.current
	for _, in := range st.inputs {
		g, ok := b.of[in]
		switch {
		case !ok:
		case wanted != b.current && wanted != g:
			return nil, fmt.Errorf("%s: it reads streamed weights of two groups", st.op.Kernel)
		default:
			wanted = g
		}
	}
	if wanted == b.current {
		return nil, nil
	}
	b.current = wanted
	var slots, host []*Tensor
	for i, n := range b.Groups[wanted].Nodes {
		if in := m.inputs[n]; in != nil {
			slots, host = append(slots, in.tensor), append(host, b.Groups[wanted].Host[i])
		}
	}
	return func() error { return b.Stream.Bring(slots, host) }, nil
}
