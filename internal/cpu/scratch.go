//go:build amd64 && !noasm

package cpu

import "unsafe"

// scratch is the memory that a backend's kernels share: launches follow one another, so one set serves them all.
type scratch struct {
	set       *instructionSet
	packed    []float32
	holds     packedOperand
	work      []*workspace
	attention []*attentionSpace
}

// packedOperand says what a buffer of packed A holds; zero: a part of an operand, or nothing.
type packedOperand struct {
	a    matrix
	m, k int
}

// packedA has room for the part of A that a product packs at a time. It lies outside of the Go heap, which would let as much garbage lie.
func (s *scratch) packedA(b *backend) ([]float32, error) {
	if s.packed == nil {
		ptr, err := b.Alloc(4 * packedRoom)
		if err != nil {
			return nil, err
		}
		s.packed = unsafe.Slice((*float32)(ptr), packedRoom)
	}
	return s.packed, nil
}

// spaces has the scratch of each of a number of workers.
func (s *scratch) spaces(workers int) []*workspace {
	for len(s.work) < workers {
		s.work = append(s.work, &workspace{panels: alignedFloats(kBlock * columnTile), rows: make([]unsafe.Pointer, s.set.nr),
			tile: alignedFloats(s.set.mr * s.set.nr), bias: make([]float32, s.set.nr)})
	}
	return s.work[:workers]
}
