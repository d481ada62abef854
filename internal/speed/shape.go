package speed

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/nnet"
	"gorgonia.org/tensor"
)

// shapes are configurations of published sizes; those with a size for a name are of Qwen2.5's config.json files.
var shapes = map[string]func() map[string]any{
	"tiny":  func() map[string]any { return shape(64, 2, 4, 2, 160, 512) },
	"small": func() map[string]any { return shape(128, 2, 2, 1, 320, 512) }, // heads of 64, which vLLM wants
	"0.5b":  func() map[string]any { return shape(896, 24, 14, 2, 4864, 151936) },
	"1.5b":  func() map[string]any { return shape(1536, 28, 12, 2, 8960, 151936) },
	"7b":    func() map[string]any { return untied(shape(3584, 28, 28, 4, 18944, 152064)) },
	"72b":   func() map[string]any { return untied(shape(8192, 80, 64, 8, 29568, 152064)) },
	"qwen3": func() map[string]any { return qwen3(shape(64, 2, 4, 2, 160, 512)) }, // heads wider than a quarter of the model
}

// Shapes lists the names that [ShapeConfig] knows.
func Shapes() []string { return slices.Sorted(maps.Keys(shapes)) }

// ShapeConfig is the content of config.json of a shape, nil for a name that is none.
func ShapeConfig(name string) map[string]any {
	if shapes[name] == nil {
		return nil
	}
	return shapes[name]()
}

func parseShape(name string) (*hfmodel.Config, error) {
	text, err := json.Marshal(ShapeConfig(name))
	if err != nil {
		return nil, err
	}
	return hfmodel.ParseConfig(text)
}

func qwen3(config map[string]any) map[string]any {
	config["architectures"], config["model_type"], config["head_dim"] = []string{"Qwen3ForCausalLM"}, "qwen3", 32
	return config
}

func untied(config map[string]any) map[string]any {
	config["tie_word_embeddings"] = false
	return config
}

func shape(hidden, layers, heads, keyHeads, intermediate, vocab int) map[string]any {
	return map[string]any{"architectures": []string{"Qwen2ForCausalLM"}, "model_type": "qwen2", "hidden_act": "silu",
		"hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": keyHeads,
		"intermediate_size": intermediate, "vocab_size": vocab, "rms_norm_eps": 1e-6, "rope_theta": 1e6,
		"max_position_embeddings": 32768, "tie_word_embeddings": true}
}

// randomWeights is a source of matrices of bf16 around 0, norms of ones and biases of zeros.
type randomWeights struct{ state uint64 }

func (*randomWeights) IsBF16(name string) bool {
	return strings.HasSuffix(name, "_proj.weight") || strings.Contains(name, "embed_tokens")
}

func (r *randomWeights) Load(name string, dtype tensor.Dtype, shape []int) (*engine.Tensor, error) {
	if strings.HasPrefix(name, "score.") || strings.Contains(name, "lora_") {
		return nil, fmt.Errorf("tensor %q: %w", name, nnet.ErrAbsent)
	}
	t := engine.FromDType(dtype, shape...)
	switch {
	case strings.HasSuffix(name, ".bias"):
	case len(shape) == 1 && dtype == engine.F32:
		fill(engine.Slice[float32](t), 1)
	case len(shape) == 1:
		fill(engine.Slice[float64](t), 1)
	case dtype == engine.BFloat16:
		for i := range engine.Slice[engine.BF16](t) {
			engine.Slice[engine.BF16](t)[i] = engine.BF16(r.bits() >> 16)
		}
	case dtype == engine.F32:
		for i := range engine.Slice[float32](t) {
			engine.Slice[float32](t)[i] = engine.BF16(r.bits() >> 16).Float32()
		}
	default:
		for i := range engine.Slice[float64](t) {
			engine.Slice[float64](t)[i] = float64(engine.BF16(r.bits() >> 16).Float32())
		}
	}
	return t, nil
}

// bits are a float32 of either sign from 2⁻⁶ to 2⁻⁵, about the size of trained weights.
func (r *randomWeights) bits() uint32 {
	r.state ^= r.state << 13
	r.state ^= r.state >> 7
	r.state ^= r.state << 17
	return uint32(r.state)&0x807fffff | 0x3c800000
}

func fill[T float32 | float64](x []T, v T) {
	for i := range x {
		x[i] = v
	}
}

// weights opens the model that the options name.
func (o Options) weights() (*hfmodel.Config, nnet.Source, func() error, error) {
	if o.Model == "" {
		config, err := parseShape(o.Shape)
		return config, &randomWeights{state: 1}, func() error { return nil }, err
	}
	config, err := hfmodel.ReadConfig(o.Model)
	if err != nil {
		return nil, nil, nil, err
	}
	weights, err := hfmodel.OpenWeights(o.Model)
	if err != nil {
		return nil, nil, nil, err
	}
	return config, nnet.Weights{nnet.InWeights(weights)}, weights.Close, nil
}
