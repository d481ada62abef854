package engine

import (
	"context"
	"errors"
	"slices"

	"gorgonia.org/gorgonia"
)

// Insert is a launch that comes after so many of a machine's own.
type Insert struct {
	After int
	Launch
}

// Ready is after how many launches of a run output n has its value: none of the later ones writes it.
func (m *Machine) Ready(n *gorgonia.Node) int { return m.outputs[n].ready }

// Interleave makes a second sequence of all launches, among which others come; those at the same place keep their order. It is dropped with
// the machine, whose plan must not be split.
func (m *Machine) Interleave(inserts []Insert) (*Sequence, error) {
	if len(m.rest.Launches) > 0 {
		return nil, errors.New("a split plan takes no other launches")
	}
	inserts = slices.Clone(inserts)
	slices.SortStableFunc(inserts, func(a, b Insert) int { return a.After - b.After })
	s := &Sequence{Backend: m.backend, Unrecorded: m.launch.Unrecorded}
	for at := range len(m.launch.Launches) + 1 {
		for len(inserts) > 0 && inserts[0].After <= at {
			s.Launches = append(s.Launches, inserts[0].Launch)
			inserts = inserts[1:]
		}
		if at < len(m.launch.Launches) {
			s.Launches = append(s.Launches, m.launch.Launches[at])
		}
	}
	m.interleaved = append(m.interleaved, s)
	return s, nil
}

// RunInterleaved is RunAllContext of a sequence that Interleave made.
func (m *Machine) RunInterleaved(ctx context.Context, s *Sequence) error {
	if err := m.hasInputs(); err != nil {
		return err
	}
	if err := s.RunContext(ctx); err != nil {
		return err
	}
	return m.backend.Sync()
}

// forget drops what was recorded of all sequences.
func (m *Machine) forget() error {
	err := errors.Join(m.launch.Forget(), m.rest.Forget())
	for _, s := range m.interleaved {
		err = errors.Join(err, s.Forget())
	}
	return err
}
