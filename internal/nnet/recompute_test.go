package nnet_test

import (
	"context"
	"fmt"
	"testing"
	"unsafe"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

// sizing is a CPU that knows how large each piece of memory was that was taken from it.
type sizing struct {
	engine.Backend
	sizes []int
	held  map[unsafe.Pointer]int
}

func (*sizing) SharesHostMemory() {}

func (s *sizing) Fusions() []engine.Fusion { return engine.FusionsOf(s.Backend) }

func (s *sizing) Alloc(bytes int) (unsafe.Pointer, error) {
	s.sizes = append(s.sizes, bytes)
	at, err := s.Backend.Alloc(bytes)
	if s.held == nil {
		s.held = map[unsafe.Pointer]int{}
	}
	s.held[at] = bytes
	return at, err
}

func (s *sizing) Free(at unsafe.Pointer) {
	delete(s.held, at)
	s.Backend.Free(at)
}

// What the backward pass finds in memory changes no bit of loss and gradients, and the arena is to the byte what was planned.
func TestRecomputeChangesMemoryAlone(t *testing.T) {
	ctx := context.Background()
	for _, dtype := range []tensor.Dtype{engine.F32, engine.F64} {
		for _, train := range []string{nnet.TrainHead, nnet.TrainLoRA, nnet.TrainFull} {
			t.Run(fmt.Sprint(train, " ", engine.DTypeName(dtype)), func(t *testing.T) {
				o := newOpener(t, "auto")
				memory := &sizing{Backend: o.backend}
				o.backend = memory
				list := micros(t, examples(5), 0)
				require.Len(t, list, 1)
				if train == nnet.TrainHead {
					list[0].Features = make([]byte, len(list[0].Reads)*o.config.HiddenSize*int(dtype.Size()))
					for i := range list[0].Features {
						list[0].Features[i] = byte(i*7) & 0x3f // as a float below 1
					}
				}
				var losses []nnet.StepResult
				var gradients []map[string][]float64
				var arenas []int64
				for _, recompute := range []bool{false, true} {
					n := o.open(nnet.Spec{Train: train, DType: dtype, Recompute: recompute})
					memory.sizes = nil
					loss, grads, err := n.Gradients(ctx, list)
					require.NoError(t, err)
					losses, gradients = append(losses, loss), append(gradients, grads)
					b := list[0].Batch
					planned, _, err := nnet.Measure(n.Spec(), nnet.Capacity{Tokens: len(b.Tokens), Segments: len(b.CuSeqlens) - 1,
						Ranges: len(b.CuSeqlens) - 1, Reads: len(b.Reads)},
						nnet.Weights{nnet.InWeights(o.weights)}.IsBF16("model.embed_tokens.weight"), 1, false,
						engine.Rules{Fusions: engine.FusionsOf(o.backend)})
					require.NoError(t, err)
					require.Contains(t, memory.sizes, int(planned.Activations), "the arena")
					arenas = append(arenas, planned.Activations)
					require.NoError(t, n.Close())
				}
				require.Equal(t, losses[0], losses[1])
				require.Equal(t, gradients[0], gradients[1])
				if train != nnet.TrainHead {
					require.Less(t, arenas[1], arenas[0])
				}
			})
		}
	}
}
