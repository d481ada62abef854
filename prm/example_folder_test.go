package prm_test

import (
	"encoding/binary"
	"encoding/json"
	"log"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/goprm/goprm/data/tokenizer"
)

// The examples train a random Qwen2 of two layers, so that they need no download. Its folder is written here byte for byte,
// as a program outside this module could; any folder from Hugging Face stands in its place.
const (
	hidden, intermediate, layers, heads, kvHeads = 32, 80, 2, 4, 2
	headSize                                     = hidden / heads
)

var specialTokens = []string{"<|endoftext|>", "<|im_start|>", "<|im_end|>"}

// writeModel makes a backbone's folder with config.json, tokenizer.json and model.safetensors.
func writeModel(dir string) error { return writeFolder(dir, "Qwen2ForCausalLM") }

// exampleModel is the folder of a process reward model: the same with a head of two classes.
func exampleModel() string {
	dir, err := os.MkdirTemp("", "model")
	if err == nil {
		err = writeFolder(dir, "Qwen2ForTokenClassification")
	}
	if err != nil {
		log.Fatal(err)
	}
	return dir
}

func writeFolder(dir, architecture string) error {
	tok, err := tokenizer.Bytes(nil, specialTokens)
	if err != nil {
		return err
	}
	vocabulary := 256 + len(specialTokens)
	config, err := json.Marshal(map[string]any{
		"architectures": []string{architecture}, "model_type": "qwen2", "hidden_act": "silu", "hidden_size": hidden,
		"vocab_size": vocabulary, "intermediate_size": intermediate, "num_hidden_layers": layers,
		"num_attention_heads": heads, "num_key_value_heads": kvHeads,
		"max_position_embeddings": 512, "rms_norm_eps": 1e-6, "rope_theta": 10000, "tie_word_embeddings": true, "torch_dtype": "float32",
	})
	if err != nil {
		return err
	}
	weights, err := randomWeights(vocabulary, architecture == "Qwen2ForTokenClassification")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		"config.json": config, "tokenizer.json": tok, "model.safetensors": weights,
		"tokenizer_config.json": []byte(`{"eos_token": "<|im_end|>"}`),
		"chat_template.jinja": []byte(`{%- for m in messages %}` +
			`{{- '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{%- endfor %}` +
			`{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}`),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o666); err != nil {
			return err
		}
	}
	return nil
}

// randomWeights is a safetensors file: the header's length in eight bytes, the header, the tensors.
func randomWeights(vocabulary int, head bool) ([]byte, error) {
	type entry struct {
		DType   string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets [2]int `json:"data_offsets"`
	}
	header, data := map[string]entry{}, []byte{}
	random := rand.New(rand.NewPCG(1, 2))
	add := func(name string, value func() float64, shape ...int) {
		begin, count := len(data), 1
		for _, n := range shape {
			count *= n
		}
		for range count {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(value())))
		}
		header[name] = entry{"F32", shape, [2]int{begin, len(data)}}
	}
	normal := func() float64 { return 0.2 * random.NormFloat64() }
	one, zero := func() float64 { return 1 }, func() float64 { return 0 }
	add("model.embed_tokens.weight", normal, vocabulary, hidden)
	add("model.norm.weight", one, hidden)
	for _, layer := range []string{"model.layers.0.", "model.layers.1."} {
		add(layer+"input_layernorm.weight", one, hidden)
		add(layer+"post_attention_layernorm.weight", one, hidden)
		for name, rows := range map[string]int{"q_proj": heads * headSize, "k_proj": kvHeads * headSize, "v_proj": kvHeads * headSize} {
			add(layer+"self_attn."+name+".bias", zero, rows)
		}
		add(layer+"self_attn.q_proj.weight", normal, heads*headSize, hidden)
		add(layer+"self_attn.k_proj.weight", normal, kvHeads*headSize, hidden)
		add(layer+"self_attn.v_proj.weight", normal, kvHeads*headSize, hidden)
		add(layer+"self_attn.o_proj.weight", normal, hidden, heads*headSize)
		add(layer+"mlp.gate_proj.weight", normal, intermediate, hidden)
		add(layer+"mlp.up_proj.weight", normal, intermediate, hidden)
		add(layer+"mlp.down_proj.weight", normal, hidden, intermediate)
	}
	if head {
		add("score.weight", normal, 2, hidden)
		add("score.bias", zero, 2)
	}
	text, err := json.Marshal(header)
	if err != nil {
		return nil, err
	}
	return append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...), data...), nil
}
