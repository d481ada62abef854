package cpu

import (
	"sync/atomic"
	"unsafe"
)

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

// alignedFloats starts at a cache line.
func alignedFloats(n int) []float32 {
	const line = alignment / 4
	x := make([]float32, n+line-1)
	skip := int(-uintptr(unsafe.Pointer(&x[0])) % alignment / 4)
	return x[skip:][:n:n]
}
