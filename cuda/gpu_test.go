//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"unsafe"

	"github.com/goprm/goprm/cuda/internal/driver"
	"github.com/goprm/goprm/internal/compliance"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"github.com/stretchr/testify/require"
)

// needGPU skips unless this machine has a GPU that can be used. These tests and benchmarks run from one file, which
// scripts/gpu.sh builds and which needs neither Go nor this repository where the GPU is.
func needGPU(t testing.TB) {
	t.Helper()
	if os.Getenv(driver.LibraryEnv) != "" {
		t.Skip("this process has the emulated GPU")
	}
	if err := driver.Load(); errors.Is(err, driver.ErrNoDriver) {
		t.Skip("no NVIDIA GPU here")
	} else if err != nil {
		t.Fatal(err)
	}
}

func openGPU(t testing.TB) engine.Backend {
	needGPU(t)
	b, err := engine.Open("cuda:0", engine.Options{})
	require.NoError(t, err)
	return b
}

// The whole suite on the hardware: every op, dtype and size, gradients, packing, bad input.
func TestGPUCompliance(t *testing.T) {
	needGPU(t)
	compliance.Run(t, func(int) engine.Backend { return openGPU(t) }, compliance.Options{BF16: true})
}

// Training on the hardware against the f32 CPU run, with graphs and without.
func TestGPUTraining(t *testing.T) {
	needGPU(t)
	training(t, openGPU)
}

// shapes of one layer's products, in both model sizes: terms and results.
var shapes = []struct {
	name string
	k, n int
}{
	{"1.5B/qkv", 1536, 2048}, {"1.5B/o", 1536, 1536}, {"1.5B/gate", 1536, 8960}, {"1.5B/down", 8960, 1536},
	{"7B/qkv", 3584, 4608}, {"7B/o", 3584, 3584}, {"7B/gate", 3584, 18944}, {"7B/down", 18944, 3584}, {"square", 4096, 4096},
}

// device makes a tensor of the GPU's memory that holds zeros.
func device(b *testing.B, gpu engine.Backend, t *engine.Tensor) *engine.Tensor {
	p, err := gpu.Alloc(int(t.MemSize()))
	require.NoError(b, err)
	return engine.NewTensor(p, t.Dtype(), t.Shape(), nil)
}

func bf16(shape ...int) *engine.Tensor { return engine.NewTensor(nil, engine.BFloat16, shape, nil) }

// BenchmarkGPUProducts reports TFLOP/s of 4,096 tokens by form and shape. Zeros draw less power than numbers do, so
// clocks may be higher than in training; the profiler's figures of a real step are the ones to quote.
func BenchmarkGPUProducts(b *testing.B) {
	const tokens = 4096
	gpu := openGPU(b)
	defer func() { _ = gpu.Close() }()
	for _, s := range shapes {
		x, w, y := device(b, gpu, bf16(tokens, s.k)), device(b, gpu, bf16(s.n, s.k)), device(b, gpu, bf16(tokens, s.n))
		dw := device(b, gpu, engine.NewTensor(nil, engine.F32, []int{s.n, s.k}, nil))
		for _, c := range []engine.Call{
			{Op: "linear", In: []*engine.Tensor{x, w}, Out: y}, {Op: "linear_dx", In: []*engine.Tensor{y, w}, Out: x}, {Op: "linear_dw", In: []*engine.Tensor{y, x}, Out: dw},
		} {
			c.Rows = engine.Fixed
			measure(b, gpu, c.Op+"/"+s.name, c, 2*tokens*float64(s.k)*float64(s.n))
		}
		for _, t := range []*engine.Tensor{x, w, y, dw} {
			gpu.Free(t.Ptr)
		}
	}
}

// BenchmarkGPUAttention reports TFLOP/s of one causal sequence, counted as FlashAttention's authors count them: half of the
// square, four products forward, ten backward. Their figures forward, for heads of 128, from the FlashAttention-3 paper
// (arXiv 2407.08608; H100 SXM5): version 2 makes 191, 298 and 333 TFLOP/s at 512, 2,048 and 8,192 tokens, version 3 makes
// 292, 521 and 602. They pack 16,384 tokens a launch; one sequence of 512 does not fill the GPU.
func BenchmarkGPUAttention(b *testing.B) {
	gpu := openGPU(b)
	defer func() { _ = gpu.Close() }()
	ints := func(v ...int32) *engine.Tensor {
		t := device(b, gpu, engine.NewTensor(nil, engine.I32, []int{len(v)}, nil))
		require.NoError(b, gpu.Upload(t, unsafe.Slice((*byte)(unsafe.Pointer(&v[0])), 4*len(v))))
		return t
	}
	for _, tokens := range []int{512, 2048, 8192} {
		for _, a := range []ops.Attention{{Heads: 12, KVHeads: 2, HeadDim: 128}, {Heads: 28, KVHeads: 4, HeadDim: 128}, {Heads: 14, KVHeads: 2, HeadDim: 64}} {
			nq, nk := a.Heads*a.HeadDim, a.KVHeads*a.HeadDim
			ranges := ints(ops.BufferBatch, 0, int32(tokens), ops.MaskCausal, 0)
			ranges = engine.NewTensor(ranges.Ptr, engine.I32, []int{1, ops.RangeLen}, nil)
			q, k, v := device(b, gpu, bf16(tokens, nq)), device(b, gpu, bf16(tokens, nk)), device(b, gpu, bf16(tokens, nk))
			in := []*engine.Tensor{q, k, v, ints(0, int32(tokens)), ints(0, 1), ranges}
			packed := device(b, gpu, bf16(tokens*nq+ops.LSELen(engine.BFloat16, tokens*a.Heads)))
			grads := device(b, gpu, bf16(tokens*(nq+2*nk)))
			flops := 2 * float64(tokens) * float64(tokens) * float64(nq)
			name := fmt.Sprintf("%d/%dx%d", tokens, a.Heads, a.HeadDim)
			measure(b, gpu, "attention/"+name, engine.Call{Op: "attention", Attr: a, Rows: engine.Fixed, In: in, Out: packed}, flops)
			measure(b, gpu, "attention_backward/"+name, engine.Call{Op: "attention_backward", Attr: a, Rows: engine.Fixed, In: append(in, packed, q), Out: grads}, 2.5*flops)
		}
	}
}

func measure(b *testing.B, gpu engine.Backend, name string, c engine.Call, flops float64) {
	b.Run(name, func(b *testing.B) {
		launch, err := gpu.Compile(c)
		require.NoError(b, err)
		require.NoError(b, launch()) // the first one loads the kernel
		require.NoError(b, gpu.Sync())
		b.ResetTimer()
		for range b.N {
			if err := launch(); err != nil {
				b.Fatal(err)
			}
		}
		require.NoError(b, gpu.Sync())
		b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e12, "TFLOP/s")
	})
}
