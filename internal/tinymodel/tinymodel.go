// Package tinymodel writes small model folders in Hugging Face's layout, with seeded random weights, for tests, the
// demonstration and training from scratch.
package tinymodel

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"github.com/goprm/goprm/data/tokenizer"
	"github.com/goprm/goprm/internal/atomicfile"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/rng"
	"github.com/goprm/goprm/internal/safetensors"
)

// Options describe a Qwen2-shaped model; zero fields take the smallest sensible size.
type Options struct {
	Hidden       int               // 32
	Intermediate int               // 80
	Layers       int               // 2
	Heads        int               // 4
	KVHeads      int               // 2
	MaxPositions int               // 512
	Merges       []string          // of the tokenizer, as tokenizer.Bytes takes them
	DType        safetensors.DType // F32, or BF16
	Scale        float64           // standard deviation of matrices; 0.02, as transformers initialises
	RopeTheta    float64           // 10000
	Seed         uint64
}

func (o Options) filled() Options {
	for _, f := range []struct {
		field *int
		value int
	}{{&o.Hidden, 32}, {&o.Intermediate, 80}, {&o.Layers, 2}, {&o.Heads, 4}, {&o.KVHeads, 2}, {&o.MaxPositions, 512}} {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
	if o.DType == "" {
		o.DType = safetensors.F32
	}
	if o.Scale == 0 {
		o.Scale = 0.02
	}
	if o.RopeTheta == 0 {
		o.RopeTheta = 10000
	}
	return o
}

// Added tokens of the tokenizer, as Qwen2's; the chat template uses two of them.
var addedTokens = []string{"<|endoftext|>", "<|im_start|>", "<|im_end|>", "<extra_0>"}

// chatTemplate is ChatML without a default system message.
const chatTemplate = `{%- for m in messages %}{{- '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{%- endfor %}` +
	`{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}`

// Write makes the folder dir, which must not exist: config.json, model.safetensors, tokenizer and chat template.
func Write(dir string, opt Options) error {
	opt = opt.filled()
	tok, err := tokenizer.Bytes(opt.Merges, addedTokens)
	if err != nil {
		return err
	}
	config, err := opt.config(256 + len(opt.Merges) + len(addedTokens))
	if err != nil {
		return err
	}
	parsed, err := hfmodel.ParseConfig(config)
	if err != nil {
		return fmt.Errorf("tiny model: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(filepath.Clean(dir)), 0o777); err != nil {
		return err
	}
	folder, err := atomicfile.NewDir(dir)
	if err != nil {
		return err
	}
	tensors, err := opt.weights(parsed)
	if err != nil {
		return errors.Join(err, folder.Abort())
	}
	files := []struct {
		name    string
		content func(io.Writer) error
	}{
		{hfmodel.ConfigName, text(config)},
		{hfmodel.TokenizerName, text(tok)},
		{"tokenizer_config.json", text([]byte(`{"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}` + "\n"))},
		{"chat_template.jinja", text([]byte(chatTemplate))},
		{hfmodel.SingleName, func(w io.Writer) error {
			return safetensors.Write(w, tensors, map[string]string{"format": "pt"})
		}},
	}
	for _, f := range files {
		if err := folder.WriteFile(f.name, f.content); err != nil {
			return errors.Join(err, folder.Abort())
		}
	}
	return folder.Commit()
}

func text(b []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	}
}

func (o Options) config(vocabulary int) ([]byte, error) {
	dtype := map[safetensors.DType]string{safetensors.F32: "float32", safetensors.BF16: "bfloat16"}[o.DType]
	if dtype == "" {
		return nil, fmt.Errorf("tiny model: dtype %s is neither F32 nor BF16", o.DType)
	}
	return json.MarshalIndent(map[string]any{
		"architectures": []string{"Qwen2ForCausalLM"}, "model_type": "qwen2", "hidden_act": "silu", "hidden_size": o.Hidden,
		"intermediate_size": o.Intermediate, "num_hidden_layers": o.Layers, "num_attention_heads": o.Heads, "num_key_value_heads": o.KVHeads,
		"max_position_embeddings": o.MaxPositions, "rms_norm_eps": 1e-6, "rope_theta": o.RopeTheta, "tie_word_embeddings": true,
		"torch_dtype": dtype, "vocab_size": vocabulary, "use_sliding_window": false,
	}, "", "  ")
}

// weights draws matrices from a normal distribution; norms are 1, biases 0.
func (o Options) weights(config *hfmodel.Config) ([]safetensors.Tensor, error) {
	var tensors []safetensors.Tensor
	for _, spec := range config.TrunkTensors() {
		count := 1
		for _, d := range spec.Shape {
			count *= d
		}
		values := make([]float32, count)
		if len(spec.Shape) == 2 {
			normal(values, rng.New(o.Seed, spec.Name), o.Scale)
		} else if filepath.Ext(spec.Name) == ".weight" {
			for i := range values {
				values[i] = 1
			}
		}
		encoded, err := safetensors.AppendEncoded(nil, o.DType, values)
		if err != nil {
			return nil, err
		}
		tensors = append(tensors, safetensors.Tensor{Name: "model." + spec.Name, DType: o.DType, Shape: spec.Shape, Data: encoded})
	}
	return tensors, nil
}

// normal fills values by the method of Box and Muller (1958), a pair of uniform numbers for each.
func normal(values []float32, stream rng.Stream, scale float64) {
	for i := range values {
		radius := math.Sqrt(-2 * math.Log(1-stream.Float64(uint64(2*i)))) // 1−u is never 0
		values[i] = float32(scale * radius * math.Cos(2*math.Pi*stream.Float64(uint64(2*i+1))))
	}
}
