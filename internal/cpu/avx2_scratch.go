//go:build amd64 && !noasm

package cpu

import "unsafe"

// scratch is the memory that a backend's kernels share: launches follow one another, so one set serves them all.
type scratch struct {
	packed []float32
	work   []*workspace
}

// packedA has room for the part of A that a product packs at a time.
func (s *scratch) packedA() []float32 {
	if s.packed == nil {
		s.packed = alignedFloats(packedRoom)
	}
	return s.packed
}

// spaces has the scratch of each of a number of workers.
func (s *scratch) spaces(workers int) []*workspace {
	for len(s.work) < workers {
		s.work = append(s.work, &workspace{panels: alignedFloats(kBlock * columnTile), tile: alignedFloats(6 * 16)})
	}
	return s.work[:workers]
}

// alignedFloats starts at a cache line.
func alignedFloats(n int) []float32 {
	const line = alignment / 4
	x := make([]float32, n+line-1)
	skip := int(-uintptr(unsafe.Pointer(&x[0])) % alignment / 4)
	return x[skip:][:n:n]
}
