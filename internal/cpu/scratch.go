//go:build amd64 && !noasm

package cpu

import (
	"sync/atomic"
	"unsafe"
)

// scratch is the memory that a backend's kernels share: launches follow one another, so one set serves them all.
type scratch struct {
	set       *instructionSet
	packed    []float32
	work      []*workspace
	attention []*attentionSpace
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
		s.work = append(s.work, &workspace{panels: alignedFloats(kBlock * columnTile), rows: make([]unsafe.Pointer, s.set.nr),
			tile: alignedFloats(s.set.mr * s.set.nr), bias: make([]float32, s.set.nr)})
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

// crew shares pieces of work among workers that each have scratch of their own.
type crew struct {
	pool   *pool
	pieces int64
	next   atomic.Int64
	work   func(worker, piece int)
	member func(worker int)
}

func newCrew(p *pool) *crew {
	c := &crew{pool: p}
	c.member = func(worker int) {
		for i := c.next.Add(1) - 1; i < c.pieces; i = c.next.Add(1) - 1 {
			c.work(worker, int(i))
		}
	}
	return c
}

// run does every piece once and waits; no two workers of the same number run at a time.
func (c *crew) run(pieces int, work func(worker, piece int)) error {
	c.pieces, c.work = int64(pieces), work
	c.next.Store(0)
	return c.pool.run(min(c.pool.helpers+1, pieces), c.member)
}
