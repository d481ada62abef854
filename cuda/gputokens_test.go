//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"context"
	"errors"
	"hash/fnv"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/loss"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

// noise is the weights of a model of any size, random by name, as scripts/first_contact_torch.py makes them too: norms are 1, and all
// else is uniform with a deviation of 0.02, from a place in a block of numbers that the name determines.
type noise struct {
	numbers []float32
	rounded []engine.BF16
}

const noiseNumbers = 1 << 22

func newNoise() *noise {
	s := &noise{make([]float32, noiseNumbers), make([]engine.BF16, noiseNumbers)}
	for i := range s.numbers {
		h := uint32(i) * 2654435761
		h = (h ^ h>>15) * 2246822519
		h ^= h >> 13
		s.numbers[i] = (float32(h>>8)/(1<<23) - 1) * 0.034641016
		s.rounded[i] = engine.ToBF16(s.numbers[i])
	}
	return s
}

func (*noise) IsBF16(name string) bool {
	return strings.HasPrefix(name, "model.") && !strings.Contains(name, "lora")
}

func (s *noise) Load(name string, dtype tensor.Dtype, shape []int) (*engine.Tensor, error) {
	t := engine.FromDType(dtype, shape...)
	key := fnv.New32a()
	_, _ = key.Write([]byte(name))
	from := int(key.Sum32() % noiseNumbers)
	switch {
	case dtype == engine.BFloat16:
		repeated(engine.Slice[engine.BF16](t), s.rounded, from)
	case strings.Contains(name, "norm"):
		for i, v := 0, engine.Slice[float32](t); i < len(v); i++ {
			v[i] = 1
		}
	default:
		repeated(engine.Slice[float32](t), s.numbers, from)
	}
	return t, nil
}

// repeated fills dst with the block, over and over, from a place in it on.
func repeated[T any](dst, block []T, from int) {
	for len(dst) > 0 {
		dst, from = dst[copy(dst, block[from:]):], 0
	}
}

const (
	shape1B5 = `"hidden_size":1536,"intermediate_size":8960,"num_hidden_layers":28,"num_attention_heads":12,"num_key_value_heads":2,` +
		`"vocab_size":151936,"tie_word_embeddings":true`
	shape7B = `"hidden_size":3584,"intermediate_size":18944,"num_hidden_layers":28,"num_attention_heads":28,"num_key_value_heads":4,` +
		`"vocab_size":152064,"tie_word_embeddings":false`
	shapeOne = `"hidden_size":128,"intermediate_size":64,"num_hidden_layers":1,"num_attention_heads":1,"num_key_value_heads":1,` +
		`"vocab_size":64,"tie_word_embeddings":true`
)

// tokenRuns are what BenchmarkGPUTokens measures, with the flops a token and parameter of the layers that its share of peak counts.
var tokenRuns = []struct {
	name, train, shape string
	recompute          bool
	flops              float64
}{
	{"1.5B/lora/kept", nnet.TrainLoRA, shape1B5, false, 4}, {"1.5B/full/kept", nnet.TrainFull, shape1B5, false, 6},
	{"7B/lora/kept", nnet.TrainLoRA, shape7B, false, 4}, {"7B/lora/recomputed", nnet.TrainLoRA, shape7B, true, 6},
	{"1.5B/full/recomputed", nnet.TrainFull, shape1B5, true, 8}, {"7B/head", nnet.TrainNothing, shape7B, false, 2},
}

// BenchmarkGPUTokens reports tokens/s of optimizer steps on one sequence of 4,096 tokens at the shapes of Qwen2.5, with the activations of
// all layers kept or layers recomputed; of head training, whose backbone runs once, of the pass that makes its features. The share of peak
// counts 6 (full), 4 (LoRA) or 2 (head) flops a token and parameter of the layers, and 2 for recomputation. The losses and the norms of
// the gradient of the first two steps are what PyTorch's are compared with.
func BenchmarkGPUTokens(b *testing.B) {
	s := newBench(b)
	require.NoError(b, s.gpu.Close()) // each run has one of its own
	weights := newNoise()
	for _, run := range tokenRuns {
		tokens := 4096
		if standIn {
			tokens, run.shape = 64, shapeOne
		}
		b.Run(s.family+"/"+run.name, func(b *testing.B) {
			gpu := openFamily(b, s.family)
			defer func() { _ = gpu.Close() }()
			n := benchNetwork(b, gpu, weights, run.shape, run.train, run.recompute)
			defer func() { require.NoError(b, n.Close()) }()
			batch := benchBatch(b, tokens)
			step := func() (r nnet.StepResult, err error) {
				if run.train == nnet.TrainNothing {
					_, err = n.Features(context.Background(), batch)
					return r, err
				}
				return n.TrainStep(context.Background(), []nnet.MicroBatch{{Batch: batch}}, update)
			}
			for _, which := range []string{"1", "2"} { // the first one compiles and records
				r, err := step()
				if memory := new(engine.MemoryError); errors.As(err, &memory) {
					b.Skip(err)
				}
				require.NoError(b, err)
				if run.train != nnet.TrainNothing {
					b.ReportMetric(r.Loss, "loss"+which)
					b.ReportMetric(r.GradNorm, "norm"+which)
				}
			}
			var times []float64
			for range b.N {
				begin := time.Now()
				_, err := step()
				require.NoError(b, err)
				times = append(times, time.Since(begin).Seconds())
			}
			slices.Sort(times)
			rate := float64(tokens) / times[len(times)/2]
			b.ReportMetric(rate, "tokens/s")
			layers := 0
			for _, p := range n.Parameters() {
				if strings.HasPrefix(p.Name, "model.layers.") && !strings.Contains(p.Name, "lora") {
					layers += size(p.Shape)
				}
			}
			reportShare(b, run.flops*float64(layers)*rate, s.peak.flops)
		})
	}
}

func benchNetwork(b *testing.B, gpu engine.Backend, weights nnet.Source, shape, train string, recompute bool) *nnet.Network {
	config, err := hfmodel.ParseConfig([]byte(`{"architectures":["Qwen2ForCausalLM"],"model_type":"qwen2","hidden_act":"silu",` +
		`"rms_norm_eps":1e-6,"rope_theta":1e6,"max_position_embeddings":32768,"torch_dtype":"bfloat16",` + shape + `}`))
	require.NoError(b, err)
	n, err := nnet.New(nnet.Spec{Config: config, DType: engine.BFloat16, Train: train, Loss: loss.MSE, Recompute: recompute,
		Head: nnet.HeadSpec{Kind: nnet.Scalar, Activation: "sigmoid", Final: "shared"},
		LoRA: nnet.LoRASpec{Rank: 16,
			Alpha: 32, Targets: []string{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}}}, gpu, weights)
	require.NoError(b, err)
	return n
}

// benchBatch is one sequence with a step every 64 tokens.
func benchBatch(b *testing.B, tokens int) *data.Batch {
	e := &data.Example{ID: "long"}
	for i := range tokens {
		e.Tokens = append(e.Tokens, int32(i*7%60))
		if i%64 == 15 {
			e.Reads = append(e.Reads, data.ReadOut{Pos: int32(i), Kind: data.KindStep, Index: len(e.Reads), Target: 0.5 + 0.4*math.Sin(float64(i)),
				HasTarget: true, Weight: 1})
		}
	}
	packed, err := data.Pack([]*data.Example{e}, data.PackOptions{Tokens: tokens, N: 1, LambdaStep: 1, LambdaFinal: 1})
	require.NoError(b, err)
	return packed[0]
}
