//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"unsafe"

	"github.com/goprm/goprm/cuda/internal/driver"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

// shapes of one layer's products, in both model sizes: terms and results.
var shapes = []struct {
	name string
	k, n int
}{
	{"1.5B/qkv", 1536, 2048}, {"1.5B/o", 1536, 1536}, {"1.5B/gate", 1536, 8960}, {"1.5B/down", 8960, 1536},
	{"7B/qkv", 3584, 4608}, {"7B/o", 3584, 3584}, {"7B/gate", 3584, 18944}, {"7B/down", 18944, 3584}, {"square", 4096, 4096},
}

// bench is a GPU that benchmarks run on, with one family of kernels, which is part of their names.
type bench struct {
	*testing.B
	gpu    *backend
	family string
	l2     int // bytes
	peak   rates
	noise  []engine.BF16
}

// newBench opens the family that GOPRM_GPU_KERNELS names, the one that is taken by itself where it names none.
func newBench(b *testing.B) *bench {
	needGPU(b)
	d, err := describe(0)
	require.NoError(b, err)
	s := &bench{B: b, family: os.Getenv("GOPRM_GPU_KERNELS"), peak: ratesOfDevice(b), noise: randomNumbers(1, 1<<22+13, 1)}
	if s.family == "" {
		s.family = d.Kernels
	}
	s.gpu = openFamily(b, s.family).(*backend)
	s.l2, err = driver.Attribute(d.handle, driver.L2CacheSize)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, s.gpu.Close()) })
	return s
}

// tensor is of random numbers between −1 and 1 where it is of bf16 or f32, as zeros draw less power and let clocks be higher; of zeros
// where it is of other numbers.
func (s *bench) tensor(dtype tensor.Dtype, shape ...int) *engine.Tensor {
	host := engine.FromDType(dtype, shape...)
	switch dtype {
	case engine.BFloat16:
		for v := engine.Slice[engine.BF16](host); len(v) > 0; {
			v = v[copy(v, s.noise):]
		}
	case engine.F32:
		for i, v := 0, engine.Slice[float32](host); i < len(v); i++ {
			v[i] = s.noise[i%len(s.noise)].Float32()
		}
	}
	x, err := engine.CopyTo(s.gpu, host)
	require.NoError(s, err)
	return x
}

func (s *bench) bf16(shape ...int) *engine.Tensor { return s.tensor(engine.BFloat16, shape...) }

func (s *bench) ints(v ...int32) *engine.Tensor {
	x := s.tensor(engine.I32, len(v))
	require.NoError(s, s.gpu.Upload(x, unsafe.Slice((*byte)(unsafe.Pointer(&v[0])), 4*len(v))))
	return x
}

// sets is how many times operands of so many bytes are made, so that none is in the cache when its turn comes again.
func (s *bench) sets(bytes int) int { return min(max(1, (2*s.l2+bytes-1)/bytes), 16) }

func (s *bench) compiled(calls ...engine.Call) (launches []func() error) {
	for _, c := range calls {
		c.Rows = engine.Fixed
		launch, err := s.gpu.Compile(c)
		require.NoError(s, err)
		launches = append(launches, launch)
	}
	return launches
}

// measure reports the rate of launches that are made in turn, each of so much work: by the median of the times between events before
// and behind each.
func (s *bench) measure(name string, launches []func() error, work float64, unit string, most float64) {
	s.Run(name, func(b *testing.B) {
		scale := map[string]float64{"TFLOP/s": 1e12, "GB/s": 1e9}[unit]
		achieved := work / s.median(b, launches) * 1e3
		b.ReportMetric(achieved/scale, unit)
		reportShare(b, achieved, most)
	})
}

// median makes b.N launches and returns the median of their times in milliseconds.
func (s *bench) median(b *testing.B, launches []func() error) float64 {
	for _, launch := range launches { // the first one loads the kernel
		require.NoError(b, launch())
	}
	require.NoError(b, s.gpu.Sync())
	var marks [2][]driver.Event
	for i := range marks {
		for range b.N {
			require.NoError(b, s.gpu.do(func() error {
				e, err := driver.NewTimer()
				marks[i] = append(marks[i], e)
				return err
			}))
		}
	}
	for i := range b.N {
		if err := s.gpu.do(func() error { return marks[0][i].Record(s.gpu.stream) }); err != nil {
			b.Fatal(err)
		}
		if err := launches[i%len(launches)](); err != nil {
			b.Fatal(err)
		}
		if err := s.gpu.do(func() error { return marks[1][i].Record(s.gpu.stream) }); err != nil {
			b.Fatal(err)
		}
	}
	require.NoError(b, s.gpu.Sync())
	var times []float64
	require.NoError(b, s.gpu.do(func() error {
		for i := range b.N {
			ms, err := marks[1][i].Since(marks[0][i])
			if err != nil {
				return err
			}
			times = append(times, ms)
			for _, m := range marks {
				if err := m[i].Destroy(); err != nil {
					return err
				}
			}
		}
		return nil
	}))
	slices.Sort(times)
	return max(times[len(times)/2], 1e-6)
}

// BenchmarkGPUProducts reports TFLOP/s of 4,096 tokens by form and shape, beside those of cuBLASLt where it is found, and their share of
// the device's peak.
func BenchmarkGPUProducts(b *testing.B) {
	tokens, list := 4096, shapes
	s := newBench(b)
	beside := openCublas(s.gpu)
	if standIn {
		tokens, list = 64, shapes[:1]
	}
	for _, shape := range list {
		k, n := shape.k, shape.n
		if standIn {
			k, n = 72, 72
		}
		var linear, added, dx, dw, gated []engine.Call
		var theirs [3][]func() error
		flops := 2 * float64(tokens) * float64(k) * float64(n)
		for range s.sets(2 * (tokens*k + n*k + tokens*n)) {
			x, w, y, gate, grad := s.bf16(tokens, k), s.bf16(n, k), s.bf16(tokens, n), s.bf16(n, k), s.tensor(engine.F32, n, k)
			outX, outY := s.bf16(tokens, k), s.bf16(tokens, n)
			linear = append(linear, engine.Call{Op: "linear", In: []*engine.Tensor{x, w}, Out: outY})
			added = append(added, engine.Call{Op: "linear_add", Attr: engine.AddAttr{Scale: 1}, In: []*engine.Tensor{y, x, w}, Out: outY})
			dx = append(dx, engine.Call{Op: "linear_dx", In: []*engine.Tensor{y, w}, Out: outX})
			dw = append(dw, engine.Call{Op: "linear_dw", In: []*engine.Tensor{y, x}, Out: grad})
			gated = append(gated, engine.Call{Op: "linear_swiglu", In: []*engine.Tensor{x, gate, w}, Out: outY})
			if beside != nil {
				for i, p := range []product{{outY, x, w, false, true}, {outX, y, w, false, false}, {grad, y, x, true, false}} {
					launch, err := beside.product(s.gpu, p)
					if err != nil {
						fmt.Println("NOTE no figures of cuBLASLt:", err)
						beside = nil
						break
					}
					theirs[i] = append(theirs[i], launch)
				}
			}
		}
		for i, calls := range [][]engine.Call{linear, dx, dw, added, gated} {
			op, work := calls[0].Op, flops
			if op == "linear_swiglu" {
				work *= 2
			}
			s.measure(fmt.Sprintf("%s/%s/%s", s.family, op, shape.name), s.compiled(calls...), work, "TFLOP/s", s.peak.flops)
			if beside != nil && i < len(theirs) {
				s.measure(fmt.Sprintf("cuBLASLt/%s/%s", op, shape.name), theirs[i], flops, "TFLOP/s", s.peak.flops)
			}
		}
		s.gpu.freeAll()
	}
	layers := layerShapes
	if standIn {
		layers = []layerShape{{layers[0].name, 72, 72, 1, 1}}
	}
	s.layers(tokens, layers, beside)
}

// freeAll gives back what benchmarks have made; not the scratch memory, nor where faults go.
func (b *backend) freeAll() {
	for p := range b.owned {
		if p != b.scratch && p != b.fault {
			b.Free(pointer(p))
		}
	}
	b.calls = nil
	b.tables = map[ops.RoPE]driver.Ptr{}
}

// BenchmarkGPUAttention reports TFLOP/s of one causal sequence, counted as FlashAttention's authors count them: half of the
// square, four products forward, ten backward. Their figures forward, for heads of 128, from the FlashAttention-3 paper
// (arXiv 2407.08608; H100 SXM5): version 2 makes 191, 298 and 333 TFLOP/s at 512, 2,048 and 8,192 tokens, version 3 makes
// 292, 521 and 602. They pack 16,384 tokens a launch; one sequence of 512 does not fill the GPU.
func BenchmarkGPUAttention(b *testing.B) {
	lengths, list := []int{512, 2048, 4096, 8192}, attentions
	s := newBench(b)
	if standIn {
		lengths, list = []int{32}, attentions[:1]
	}
	for _, tokens := range lengths {
		for _, a := range list {
			nq, nk := a.Heads*a.HeadDim, a.KVHeads*a.HeadDim
			var forward, backward []engine.Call
			for range s.sets(2 * tokens * (2*nq + 2*nk)) {
				ranges := engine.NewTensor(s.ints(ops.BufferBatch, 0, int32(tokens), ops.MaskCausal, 0).Ptr, engine.I32, []int{1, ops.RangeLen}, nil)
				in := []*engine.Tensor{s.bf16(tokens, nq), s.bf16(tokens, nk), s.bf16(tokens, nk), s.ints(0, int32(tokens)), s.ints(0, 1), ranges}
				packed := s.bf16(tokens*nq + ops.LSELen(engine.BFloat16, tokens*a.Heads))
				forward = append(forward, engine.Call{Op: "attention", Attr: a, In: in, Out: packed})
				backward = append(backward, engine.Call{Op: "attention_backward", Attr: a,
					In: append(slices.Clone(in), packed, s.bf16(tokens, nq)), Out: s.bf16(tokens * (nq + 2*nk))})
			}
			flops, name := 2*float64(tokens)*float64(tokens)*float64(nq), fmt.Sprintf("%d/%dx%d", tokens, a.Heads, a.HeadDim)
			s.measure(s.family+"/attention/"+name, s.compiled(forward...), flops, "TFLOP/s", s.peak.flops) // which fills packed
			s.measure(s.family+"/attention_backward/"+name, s.compiled(backward...), 2.5*flops, "TFLOP/s", s.peak.flops)
			s.gpu.freeAll()
		}
	}
}
