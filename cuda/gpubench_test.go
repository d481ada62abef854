//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"context"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"unsafe"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/ops"
	"github.com/goprm/goprm/loss"
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

// device makes a tensor of the GPU's memory that holds zeros.
func device(b *testing.B, gpu engine.Backend, t *engine.Tensor) *engine.Tensor {
	p, err := gpu.Alloc(int(t.MemSize()))
	require.NoError(b, err)
	return engine.NewTensor(p, t.Dtype(), t.Shape(), nil)
}

func bf16(shape ...int) *engine.Tensor { return engine.NewTensor(nil, engine.BFloat16, shape, nil) }

// BenchmarkGPUProducts reports TFLOP/s of 4,096 tokens by form and shape, and their share of the device's peak. Zeros draw less power than
// numbers do, so
// clocks may be higher than in training; the profiler's figures of a real step are the ones to quote.
func BenchmarkGPUProducts(b *testing.B) {
	tokens := 4096
	gpu := openFamily(b, os.Getenv("GOPRM_GPU_KERNELS"))
	defer func() { _ = gpu.Close() }()
	beside := openCublas(b, gpu.(*backend))
	for _, s := range shapes {
		if standIn {
			tokens, s.k, s.n = 64, 72, 72
		}
		x, w, y := device(b, gpu, bf16(tokens, s.k)), device(b, gpu, bf16(s.n, s.k)), device(b, gpu, bf16(tokens, s.n))
		dw := device(b, gpu, engine.NewTensor(nil, engine.F32, []int{s.n, s.k}, nil))
		for _, c := range []engine.Call{
			{Op: "linear", In: []*engine.Tensor{x, w}, Out: y}, {Op: "linear_add", Attr: engine.AddAttr{Scale: 1}, In: []*engine.Tensor{y, x, w},
				Out: y}, {Op: "linear_dx", In: []*engine.Tensor{y, w}, Out: x}, {Op: "linear_dw", In: []*engine.Tensor{y, x}, Out: dw},
		} {
			c.Rows = engine.Fixed
			measure(b, gpu, c.Op+"/"+s.name, c, 2*float64(tokens)*float64(s.k)*float64(s.n))
		}
		gated := engine.Call{Op: "linear_swiglu", Rows: engine.Fixed, In: []*engine.Tensor{x, w, w}, Out: y}
		measure(b, gpu, gated.Op+"/"+s.name, gated, 4*float64(tokens)*float64(s.k)*float64(s.n))
		if beside != nil {
			launch, err := beside.linear(gpu.(*backend), y, x, w)
			require.NoError(b, err)
			timed(b, gpu, "cublasLt/linear/"+s.name, launch, 2*float64(tokens)*float64(s.k)*float64(s.n))
		}
		for _, t := range []*engine.Tensor{x, w, y, dw} {
			gpu.Free(t.Ptr)
		}
		if standIn {
			break
		}
	}
}

// BenchmarkGPUAttention reports TFLOP/s of one causal sequence, counted as FlashAttention's authors count them: half of the
// square, four products forward, ten backward. Their figures forward, for heads of 128, from the FlashAttention-3 paper
// (arXiv 2407.08608; H100 SXM5): version 2 makes 191, 298 and 333 TFLOP/s at 512, 2,048 and 8,192 tokens, version 3 makes
// 292, 521 and 602. They pack 16,384 tokens a launch; one sequence of 512 does not fill the GPU.
func BenchmarkGPUAttention(b *testing.B) {
	gpu := openFamily(b, os.Getenv("GOPRM_GPU_KERNELS"))
	defer func() { _ = gpu.Close() }()
	ints := func(v ...int32) *engine.Tensor {
		t := device(b, gpu, engine.NewTensor(nil, engine.I32, []int{len(v)}, nil))
		require.NoError(b, gpu.Upload(t, unsafe.Slice((*byte)(unsafe.Pointer(&v[0])), 4*len(v))))
		return t
	}
	lengths := []int{512, 2048, 8192}
	if standIn {
		lengths = []int{32}
	}
	for _, tokens := range lengths {
		for _, a := range []ops.Attention{{Heads: 12, KVHeads: 2, HeadDim: 128}, {Heads: 28, KVHeads: 4, HeadDim: 128},
			{Heads: 14, KVHeads: 2, HeadDim: 64}} {
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
			measure(b, gpu, "attention_backward/"+name,
				engine.Call{Op: "attention_backward", Attr: a, Rows: engine.Fixed, In: append(in, packed, q), Out: grads}, 2.5*flops)
		}
	}
}

func measure(b *testing.B, gpu engine.Backend, name string, c engine.Call, flops float64) {
	launch, err := gpu.Compile(c)
	require.NoError(b, err)
	timed(b, gpu, name, launch, flops)
}

func timed(b *testing.B, gpu engine.Backend, name string, launch func() error, flops float64) {
	b.Run(name, func(b *testing.B) {
		repeated(b, gpu, launch)
		achieved := flops * float64(b.N) / b.Elapsed().Seconds()
		b.ReportMetric(achieved/1e12, "TFLOP/s")
		reportShare(b, achieved, ratesOfDevice(b).flops)
	})
}

// BenchmarkGPURows reports GB/s of what memory bounds, at the shape of a 7B model and 4,096 tokens, counted as what must be
// read and written at least, and their share of the memory's rate.
func BenchmarkGPURows(b *testing.B) {
	gpu := openFamily(b, os.Getenv("GOPRM_GPU_KERNELS"))
	defer func() { _ = gpu.Close() }()
	tokens, hidden, wide := 4096, 3584, 18944
	if standIn {
		tokens, hidden, wide = 16, 128, 64
	}
	f32 := func(shape ...int) *engine.Tensor {
		return device(b, gpu, engine.NewTensor(nil, engine.F32, shape, nil))
	}
	x, y, norm, g, u := device(b, gpu, bf16(tokens, hidden)), device(b, gpu, bf16(tokens, hidden)), f32(hidden),
		device(b, gpu, bf16(tokens, wide)), device(b, gpu, bf16(tokens, wide))
	both, position := device(b, gpu, bf16(2*tokens*wide)), device(b, gpu, engine.NewTensor(nil, engine.I32, []int{tokens}, nil))
	f64 := func(n int) *engine.Tensor {
		return device(b, gpu, engine.NewTensor(nil, engine.F64, []int{n}, nil))
	}
	w, hyper, hyperSGD, clip := [4]*engine.Tensor{}, f64(ops.HyperLen), f64(ops.SGDLen), f64(ops.ClipLen)
	for i := range w {
		w[i] = f32(hidden, wide)
	}
	rms := ops.RMSNorm{Eps: 1e-6}
	for _, c := range []struct {
		engine.Call
		bytes int
	}{
		{engine.Call{Op: "rmsnorm", Attr: rms, In: []*engine.Tensor{x, norm}, Out: y}, 2 * 2 * tokens * hidden},
		{engine.Call{Op: "rmsnorm_dx", Attr: rms, In: []*engine.Tensor{x, norm, y}, Out: y}, 3 * 2 * tokens * hidden},
		{engine.Call{Op: "rmsnorm_dw", Attr: rms, In: []*engine.Tensor{x, y}, Out: norm}, 2 * 2 * tokens * hidden},
		{engine.Call{Op: "rope", Attr: ops.RoPE{HeadDim: 128, Theta: 1e6}, In: []*engine.Tensor{x, position}, Out: y}, 2 * 2 * tokens * hidden},
		{engine.Call{Op: "swiglu", In: []*engine.Tensor{g, u}, Out: g}, 3 * 2 * tokens * wide},
		{engine.Call{Op: "swiglu_backward", In: []*engine.Tensor{g, u, g}, Out: both}, 5 * 2 * tokens * wide},
		{engine.Call{Op: "add", Attr: engine.AddAttr{Scale: 1}, In: []*engine.Tensor{x, y}, Out: x}, 3 * 2 * tokens * hidden},
		{engine.Call{Op: "adamw", In: []*engine.Tensor{w[0], w[1], w[2], w[3], hyper, clip}, Out: w[0]}, 28 * hidden * wide},
		{engine.Call{Op: "sgd", In: []*engine.Tensor{w[0], w[1], w[2], hyperSGD, clip}, Out: w[0]}, 20 * hidden * wide},
		{engine.Call{Op: "sum_squares", In: []*engine.Tensor{w[0]}, Out: engine.NewTensor(clip.Ptr, engine.F64, []int{1}, nil)},
			4 * hidden * wide},
	} {
		c.Rows = engine.Fixed
		launch, err := gpu.Compile(c.Call)
		require.NoError(b, err)
		b.Run(c.Op, func(b *testing.B) {
			repeated(b, gpu, launch)
			achieved := float64(c.bytes) * float64(b.N) / b.Elapsed().Seconds()
			b.ReportMetric(achieved/1e9, "GB/s")
			reportShare(b, achieved, ratesOfDevice(b).bytes)
		})
	}
}

// repeated launches b.N times, and waits.
func repeated(b *testing.B, gpu engine.Backend, launch func() error) {
	require.NoError(b, launch()) // the first one loads the kernel
	require.NoError(b, gpu.Sync())
	b.ResetTimer()
	for range b.N {
		if err := launch(); err != nil {
			b.Fatal(err)
		}
	}
	require.NoError(b, gpu.Sync())
}

// noise is weights of any model: small numbers, the same over and over.
type noise struct{ words []uint16 }

func (*noise) IsBF16(name string) bool {
	return strings.HasPrefix(name, "model.") && !strings.Contains(name, "lora")
}

func (s *noise) Load(_ string, dtype tensor.Dtype, shape []int) (*engine.Tensor, error) {
	n := size(shape)
	if dtype == engine.F32 {
		t := engine.FromDType(dtype, shape...)
		for i, v := 0, engine.Slice[float32](t); i < n; i++ {
			v[i] = float32(i%31-15) / 1000
		}
		return t, nil
	}
	for i := len(s.words); i < n; i++ {
		s.words = append(s.words, uint16(math.Float32bits(float32(i%31-15)/1000)>>16))
	}
	return engine.NewTensor(unsafe.Pointer(&s.words[0]), dtype, shape, s.words), nil
}

const (
	shape1B5 = `"hidden_size":1536,"intermediate_size":8960,"num_hidden_layers":28,"num_attention_heads":12,"num_key_value_heads":2,` +
		`"vocab_size":151936,"tie_word_embeddings":true`
	shape7B = `"hidden_size":3584,"intermediate_size":18944,"num_hidden_layers":28,"num_attention_heads":28,"num_key_value_heads":4,` +
		`"vocab_size":152064,"tie_word_embeddings":false`
	shapeOne = `"hidden_size":128,"intermediate_size":64,"num_hidden_layers":1,"num_attention_heads":1,"num_key_value_heads":1,` +
		`"vocab_size":64,"tie_word_embeddings":true`
)

// BenchmarkGPUTokens reports tokens/s of optimizer steps on one sequence of 4,096 tokens at the shapes of Qwen2.5, with
// layers recomputed; of head training, whose backbone runs once, of the pass that makes its features. The share
// of peak counts 8 (full), 6 (LoRA) or 2 (head) flops a token and parameter of the layers, of which recomputation is 2.
func BenchmarkGPUTokens(b *testing.B) {
	for _, c := range []struct {
		name, train, shape string
		flops              float64 // a token and parameter
	}{
		{"1.5B/lora", nnet.TrainLoRA, shape1B5, 6}, {"1.5B/full", nnet.TrainFull, shape1B5, 8}, {"7B/lora", nnet.TrainLoRA, shape7B, 6},
		{"7B/head", nnet.TrainNothing, shape7B, 2},
	} {
		b.Run(c.name, func(b *testing.B) {
			tokens := 4096
			if standIn {
				tokens, c.shape = 16, shapeOne
			}
			gpu := openFamily(b, os.Getenv("GOPRM_GPU_KERNELS"))
			defer func() { _ = gpu.Close() }()
			config, err := hfmodel.ParseConfig([]byte(`{"architectures":["Qwen2ForCausalLM"],"model_type":"qwen2","hidden_act":"silu",` +
				`"rms_norm_eps":1e-6,"rope_theta":1e6,"max_position_embeddings":32768,"torch_dtype":"bfloat16",` + c.shape + `}`))
			require.NoError(b, err)
			n, err := nnet.New(nnet.Spec{Config: config, DType: engine.BFloat16, Train: c.train, Loss: loss.MSE, Recompute: true,
				Head: nnet.HeadSpec{Kind: nnet.Scalar, Activation: "sigmoid", Final: "shared"},
				LoRA: nnet.LoRASpec{Rank: 16,
					Alpha: 32, Targets: []string{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}}}, gpu, &noise{})
			require.NoError(b, err)
			defer func() { require.NoError(b, n.Close()) }()
			e := &data.Example{ID: "long"}
			for i := range tokens {
				e.Tokens = append(e.Tokens, int32(i*7%60))
				if i%64 == 15 {
					e.Reads = append(e.Reads, data.ReadOut{Pos: int32(i), Kind: data.KindStep, Index: len(e.Reads), Target: 0.5,
						HasTarget: true, Weight: 1})
				}
			}
			packed, err := data.Pack([]*data.Example{e}, data.PackOptions{Tokens: tokens, N: 1, LambdaStep: 1, LambdaFinal: 1})
			require.NoError(b, err)
			step := func() (err error) {
				if c.train == nnet.TrainNothing {
					_, err = n.Features(context.Background(), packed[0])
				} else {
					_, err = n.TrainStep(context.Background(), []nnet.MicroBatch{{Batch: packed[0]}}, update)
				}
				return err
			}
			require.NoError(b, step()) // compiles and records
			b.ResetTimer()
			for range b.N {
				if err := step(); err != nil {
					b.Fatal(err)
				}
			}
			rate := float64(tokens) * float64(b.N) / b.Elapsed().Seconds()
			b.ReportMetric(rate, "tokens/s")
			layers := 0
			for _, p := range n.Parameters() {
				if strings.HasPrefix(p.Name, "model.layers.") && !strings.Contains(p.Name, "lora") {
					layers += size(p.Shape)
				}
			}
			reportShare(b, c.flops*float64(layers)*rate, ratesOfDevice(b).flops)
		})
	}
}
