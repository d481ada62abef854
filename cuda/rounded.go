//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"fmt"

	"github.com/goprm/goprm/cuda/internal/driver"
	"github.com/goprm/goprm/internal/engine"
)

// copied is the bf16 copy of an f32 weight, and the kernel that makes it anew.
type copied struct {
	at    driver.Ptr
	round *kernel
}

func addressOf(t *engine.Tensor) driver.Ptr { return driver.Ptr(uintptr(t.Ptr)) }

// KeepRounded is part of engine.RoundsWeights.
func (b *backend) KeepRounded(t *engine.Tensor) error {
	if t.Dtype() != engine.F32 {
		return fmt.Errorf("device %s: a bf16 copy of %v", b.name, t)
	}
	if b.copies[addressOf(t)] != nil {
		return nil
	}
	return b.do(func() error {
		at, err := b.take(2 * t.Size())
		if err != nil {
			return err
		}
		build := &builder{backend: b}
		round, err := build.kernel("round_bf16", ceilDiv(t.Size(), each), 1, eachThreads, 0, at, t, uint64(t.Size()))
		if err != nil {
			return err
		}
		b.copies[addressOf(t)] = &copied{at, round}
		return round.launch()
	})
}

// roundedCopy is the parameter of a kernel that writes an f32 tensor: its bf16 copy, or null.
type roundedCopy struct {
	b *backend
	t *engine.Tensor
}

func (r roundedCopy) address() driver.Ptr {
	if c := r.b.copies[addressOf(r.t)]; c != nil {
		return c.at
	}
	return 0
}

// roundedWeight is an f32 weight as a product on tensor cores reads it: its copy, else scratch memory.
type roundedWeight struct {
	b       *backend
	t       *engine.Tensor
	scratch place // nil: it had a copy when its product was compiled
}

func (r roundedWeight) address() driver.Ptr {
	if c := r.b.copies[addressOf(r.t)]; c != nil {
		return c.at
	}
	return r.scratch.address()
}

// rounding rounds a weight that has no copy to scratch memory.
type rounding struct {
	weight roundedWeight
	kernel *kernel
}

func (r rounding) launch() error {
	switch {
	case r.weight.b.copies[addressOf(r.weight.t)] != nil:
		return nil
	case r.weight.scratch == nil:
		return fmt.Errorf("a weight that had a bf16 copy when its product was compiled has none now")
	}
	return r.kernel.launch()
}
