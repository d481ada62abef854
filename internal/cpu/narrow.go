package cpu

import (
	"fmt"
	"slices"
	"unsafe"

	"github.com/goprm/goprm/internal/engine"
)

// narrowing is what kernels need to compute in bf16: some of their own, which products and attention have, and the conversions. Every other
// op widens its operands, runs the f32 kernel and rounds the result, so its bits are those of f32 rounded once; attention_backward too.
type narrowing struct {
	kernels map[string]compile // calls that they decline are widened
	widen   func(dst []float32, src []engine.BF16)
	round   func(dst []engine.BF16, src []float32)

	rows  []*slots // of each worker: a few rows of an op's operands and result
	whole slots    // operands and result of the op that runs
}

func portableNarrowing() *narrowing {
	return &narrowing{kernels: portableKernelsBF16, widen: widenPortably, round: roundPortably}
}

// slots are f32 buffers by the place of an operand; launches follow one another, so all of them share one set. A launch
// looks its memory up each time, since a later op may need more.
type slots struct{ memory [][]float32 }

func (s *slots) reserve(slot, n int) {
	for len(s.memory) <= slot {
		s.memory = append(s.memory, nil)
	}
	if len(s.memory[slot]) < n || n == 0 {
		s.memory[slot] = alignedFloats(max(1, n))
	}
}

// byRow are the ops that treat each row by itself, whatever its place.
var byRow = []string{"add", "dropout", "rmsnorm", "rmsnorm_dx", "rope", "scale", "swiglu", "swiglu_backward"}

// compileNarrow prepares a call whose compute dtype is bf16.
func (b *backend) compileNarrow(c engine.Call) (engine.Launch, error) {
	if kernel := b.narrow.kernels[c.Op]; kernel != nil {
		if launch, err := kernel(b, c); launch != nil || err != nil {
			return launch, err
		}
	}
	switch {
	case portable[c.Op] == nil:
		return nil, fmt.Errorf("no kernel for %v", c.Out)
	case slices.Contains(byRow, c.Op):
		return b.narrowRows(c)
	case c.Op == "cache_write": // which copies, whatever the numbers are
		return cacheWrite(b, c)
	}
	return b.narrowWhole(c)
}

// compileWide prepares a call in f32, which has been checked in its narrow form.
func (b *backend) compileWide(c engine.Call) (engine.Launch, error) {
	c.SameFirst = false // operands are widened to memory that calls share
	for _, table := range b.tables {
		if kernel := table[c.Op]; kernel != nil {
			if launch, err := kernel(b, c); launch != nil || err != nil {
				return launch, err
			}
		}
	}
	return nil, fmt.Errorf("no kernel for %v", c.Out)
}

func wide(shape ...int) *engine.Tensor { return engine.NewTensor(nil, engine.F32, shape, nil) }

func elementsBF16(t *engine.Tensor) []engine.BF16 { return engine.Slice[engine.BF16](t) }

func bytesF32(x []float32) []byte {
	return unsafe.Slice((*byte)(pointer(x)), 4*len(x))
}

func pointer[T any](x []T) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(x)) }
