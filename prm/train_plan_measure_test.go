package prm

import (
	"context"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/safetensors"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

// counting is a backend that knows the most memory that was taken from it at once.
type counting struct {
	engine.Backend
	sizes      map[unsafe.Pointer]int64
	live, peak atomic.Int64
}

func (*counting) SharesHostMemory() {}

func (c *counting) Alloc(bytes int) (unsafe.Pointer, error) {
	ptr, err := c.Backend.Alloc(bytes)
	if err == nil {
		c.sizes[ptr] = int64(bytes)
		c.peak.Store(max(c.peak.Load(), c.live.Add(int64(bytes))))
	}
	return ptr, err
}

func (c *counting) Free(ptr unsafe.Pointer) {
	c.live.Add(-c.sizes[ptr])
	delete(c.sizes, ptr)
	c.Backend.Free(ptr)
}

// What is planned is what a run takes: within 5 % of the most that was taken at once, and of what the heap holds besides, for steps of
// one and five micro-batches and an evaluation.
func TestPlanIsWhatIsTaken(t *testing.T) {
	base := tiny(t, tinymodel.Options{Hidden: 128, Intermediate: 512, Layers: 3, DType: safetensors.BF16})
	const tokens = 256
	for _, k := range []struct {
		mode    string
		micros  int
		moments string
		keep    string
	}{
		{"head", 1, "f32", "auto"}, {"lora", 1, "f32", "layer"}, {"lora", 5, "f32", "none"}, {"full", 1, "f32", "none"},
		{"full", 5, "bf16", "layer"},
	} {
		mode, micros, moments := k.mode, k.micros, k.moments
		c := config(t, base)
		c.Train, c.LoRA.Rank, c.Optim.Moments, c.Batch.Tokens, c.Recompute = mode, 16, moments, tokens, k.keep
		s, err := prepare(context.Background(), c.filled(), false)
		require.NoError(t, err)
		backend := &counting{Backend: s.backend, sizes: map[unsafe.Pointer]int64{}}
		before := heap()
		train := mode
		if mode == "head" {
			train = nnet.TrainNothing // the trunk is what takes memory
		}
		n, err := nnet.New(s.spec(train), backend, nnet.Weights{s.folder.Trunk})
		require.NoError(t, err)
		batch := tinymodel.Batch(tokens)
		if mode == "head" {
			_, err = n.Features(context.Background(), batch)
		} else {
			list := make([]nnet.MicroBatch, micros)
			for i := range list {
				list[i] = nnet.MicroBatch{Batch: batch}
			}
			_, err = n.TrainStep(context.Background(), list, nnet.AdamW{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8})
			if err == nil {
				_, err = n.Score(context.Background(), list[0])
			}
		}
		require.NoError(t, err)
		plan, err := Plan(PlanOptions{Model: base, Train: mode, Tokens: tokens, MicroBatches: micros, DType: "f32", LoRA: c.LoRA,
			Moments: moments, Recompute: k.keep})
		require.NoError(t, err)
		mapped := int64(0) // used where the file is
		for _, p := range n.Parameters() {
			if !p.Trained && p.Node.Dtype() == engine.BFloat16 {
				mapped += int64(2 * tensor.Shape(p.Shape).TotalSize())
			}
		}
		taken := float64(backend.peak.Load() + mapped)
		require.InEpsilon(t, taken, float64(plan.Total), 0.05, "%s, %d micro-batches, moments in %s: planned %+v", mode, micros, moments, plan)
		const graph = 2 << 20 // the graph itself and the kernels' scratch, whatever the model's width
		require.LessOrEqual(t, heap()-before+mapped, plan.Total+graph, "%s: the heap holds more than was planned", mode)
		require.NoError(t, n.Close())
		require.NoError(t, s.Close())
	}
}
