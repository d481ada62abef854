// Package hfmodel reads model folders as Hugging Face lays them out: config.json, safetensors weights (one file or shards with an
// index), tokenizer files. It checks that a folder holds a model whose trunk is Qwen2's or Qwen3's, or BERT's as
// sentence-transformers lays it out, and refuses by name whatever else would change the numbers; nothing of that kind is ignored.
package hfmodel

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// ConfigName is the configuration's file name in a model folder.
const ConfigName = "config.json"

// Config is what config.json says about the model, in either of its two dialects, after checking. The fields' names are
// transformers' own.
type Config struct {
	Architectures         []string // possibly empty
	ModelType             string   // "qwen2", "qwen3", "mistral" or "llama"
	HiddenSize            int
	IntermediateSize      int
	NumHiddenLayers       int
	NumAttentionHeads     int
	NumKeyValueHeads      int // divides NumAttentionHeads
	HeadDim               int // even; if absent hidden_size/num_attention_heads, for qwen3 128
	RMSNormEps            float64
	RopeTheta             float64
	RopeScaling           RopeScaling
	MaxPositionEmbeddings int // see MaxLength for the longest text
	VocabSize             int
	TieWordEmbeddings     bool
	HiddenAct             string // "silu"
	AttentionBias         bool   // q, k and v have biases: qwen2, and where llama and qwen3 say so
	OutputBias            bool   // o has a bias: where llama and qwen3 have attention_bias
	MLPBias               bool   // gate, up and down have biases: where llama says so
	QKNorm                bool   // each head of q and k is normalised before RoPE: qwen3 alone
	NumLabels             int    // of a classification head; transformers' default is 2
	Labels                Labels // what config.json calls the classes
	TorchDtype            string // as written: "bfloat16", "float32" ...; "" if absent
	SlidingWindow         int    // tokens that a token of a sliding layer attends to, itself included; 0: all layers attend to all
	slides                []bool // by layer, if SlidingWindow is not 0
	// Raw is the file's text, for writing back what is not read here.
	Raw json.RawMessage
}

// Upper bounds far beyond any published model, so that products of a few of them fit an int64.
const (
	maxHidden    = 1 << 18
	maxLayers    = 1 << 12
	maxVocab     = 1 << 26
	maxPositions = 1 << 30
	maxHeadDim   = 1 << 12
	maxLabels    = 1 << 20
	maxTheta     = 1e30
)

// families lists the accepted model types and the class names' beginning in "architectures".
var families = map[string]string{"qwen2": "Qwen2", "qwen3": "Qwen3", "mistral": "Mistral", "llama": "Llama"}

// Class is what the names of the model type's classes begin with: Qwen2, of Qwen2ForCausalLM.
func (c *Config) Class() string { return families[c.ModelType] }

// architectureEndings are the classes that have the plain trunk; only qwen2 has the last three.
var architectureEndings = []string{"ForCausalLM", "Model", "ForTokenClassification", "ForSequenceClassification",
	"ForProcessRewardModel", "ForRewardModel", "ForPrmModel"}

// ReadConfig reads dir/config.json. Errors name the file, the key and its value.
func ReadConfig(dir string) (*Config, error) {
	path := filepath.Join(dir, ConfigName)
	text, err := readJSON(path)
	if err != nil {
		return nil, err
	}
	config, err := ParseConfig(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return config, nil
}

// ParseConfig reads a config.json's text.
func ParseConfig(text []byte) (*Config, error) {
	f := &fields{}
	if err := json.Unmarshal(text, &f.values); err != nil {
		return nil, err
	}
	c := &Config{Raw: text, ModelType: f.text("model_type", "")}
	c.Architectures = read(f, "architectures", "a list of names", []string(nil))
	c.checkFamily(f)
	if f.err != nil { // of an unknown model the rest means nothing
		return nil, f.err
	}
	c.refuseNull(f)
	c.readSizes(f)
	c.readEpsilon(f)
	c.TieWordEmbeddings = f.flag("tie_word_embeddings")
	c.HiddenAct = f.text("hidden_act", "silu")
	c.readBiases(f)
	c.QKNorm = c.ModelType == "qwen3"
	c.readDtype(f)
	c.readLabels(f)
	c.readHeadDim(f)
	c.readRope(f)
	c.readWindow(f)
	c.checkNumbers(f)
	c.refuse(f)
	if f.err != nil {
		return nil, f.err
	}
	return c, nil
}

func (c *Config) checkFamily(f *fields) {
	if c.ModelType == "" {
		f.fail("model_type is missing")
		return
	}
	if families[c.ModelType] == "" {
		f.fail("model_type %q is not supported; qwen2, qwen3, mistral and llama are", c.ModelType)
		return
	}
	for _, architecture := range c.Architectures {
		ending, ok := strings.CutPrefix(architecture, c.Class())
		at := slices.Index(architectureEndings, ending)
		if !ok || at < 0 || at >= 4 && c.ModelType != "qwen2" {
			f.fail("architecture %q of model_type %q is not supported", architecture, c.ModelType)
		}
	}
}

// oneOf reads a text that two dialects keep under different keys.
func oneOf(f *fields, older, newer string) string {
	a, b := f.text(older, ""), f.text(newer, "")
	if a != "" && b != "" && a != b {
		f.fail("%s is %q but %s is %q", older, a, newer, b)
	}
	if b != "" {
		return b
	}
	return a
}

func (c *Config) readHeadDim(f *fields) {
	if c.ModelType == "llama" && f.err == nil && c.HiddenSize%c.NumAttentionHeads != 0 { // of its class alone
		f.fail("hidden_size %d is not divisible by num_attention_heads %d", c.HiddenSize, c.NumAttentionHeads)
	}
	own := classDefaults[c.ModelType].headDim
	if own == 0 && f.err == nil {
		own = c.HiddenSize / c.NumAttentionHeads
	}
	if own == 0 && !f.has("head_dim") {
		f.fail("hidden_size %d is less than num_attention_heads %d", c.HiddenSize, c.NumAttentionHeads)
	}
	c.HeadDim = f.count("head_dim", own, maxHeadDim)
}

// readEpsilon reads a number that transformers' classes take with a point or an exponent alone.
func (c *Config) readEpsilon(f *fields) {
	c.RMSNormEps = f.number("rms_norm_eps", 1e-6)
	if !strings.ContainsAny(string(f.raw("rms_norm_eps")), ".eE") && f.has("rms_norm_eps") {
		f.fail("rms_norm_eps is %s, a whole number, which transformers refuses", shorten(f.raw("rms_norm_eps")))
	}
	if !(c.RMSNormEps >= 0 && c.RMSNormEps <= maxTheta) {
		f.fail("rms_norm_eps %g is not at least 0", c.RMSNormEps)
	}
}

// readBiases reads which projections have biases. attention_bias is a key of llama's and qwen3's classes, mlp_bias of llama's: elsewhere
// transformers passes them over, so that only what the class has anyway may be said.
func (c *Config) readBiases(f *fields) {
	attention, mlp := read(f, "attention_bias", "true or false", c.ModelType == "qwen2"), f.flag("mlp_bias")
	c.AttentionBias = attention
	switch c.ModelType {
	case "llama":
		c.OutputBias, c.MLPBias = attention, mlp
		return
	case "qwen3":
		c.OutputBias = attention
	default:
		if attention != (c.ModelType == "qwen2") {
			f.fail("attention_bias %t is not supported for model_type %q", attention, c.ModelType)
		}
	}
	if mlp {
		f.fail("mlp_bias true is not supported for model_type %q", c.ModelType)
	}
}

// dtypes are the names that transformers finds in torch.
var dtypes = []string{"", "float16", "half", "bfloat16", "float32", "float", "float64", "double"}

func (c *Config) readDtype(f *fields) {
	c.TorchDtype = oneOf(f, "torch_dtype", "dtype")
	if !slices.Contains(dtypes, c.TorchDtype) {
		f.fail("torch_dtype %q is none of torch's names of a dtype that weights may have", c.TorchDtype)
	}
}

func (c *Config) checkNumbers(f *fields) {
	if f.err != nil {
		return
	}
	switch {
	case c.NumAttentionHeads%c.NumKeyValueHeads != 0:
		f.fail("num_attention_heads %d is not a multiple of num_key_value_heads %d", c.NumAttentionHeads, c.NumKeyValueHeads)
	case c.HeadDim%2 != 0:
		f.fail("head_dim %d is odd; rotary embedding turns pairs", c.HeadDim)
	case c.HeadDim > maxHeadDim:
		f.fail("head_dim %d is beyond %d", c.HeadDim, maxHeadDim)
	case c.HeadDim*c.NumAttentionHeads > maxHidden:
		f.fail("num_attention_heads %d times head_dim %d is beyond %d", c.NumAttentionHeads, c.HeadDim, maxHidden)
	case !(c.RopeTheta > 0 && c.RopeTheta <= maxTheta):
		f.fail("rope_theta %g is not a positive number", c.RopeTheta)
	}
}

// refuse names what would change the numbers and is no part of such a trunk.
func (c *Config) refuse(f *fields) {
	if c.HiddenAct == "swish" { // transformers' other name of it
		c.HiddenAct = "silu"
	}
	if c.HiddenAct != "silu" {
		f.fail("hidden_act %q is not supported; silu is", c.HiddenAct)
	}
	for _, key := range []string{"qk_norm", "use_qk_norm", "qk_layernorm"} {
		if f.flag(key) {
			f.fail("%s true is not supported", key)
		}
	}
	if f.has("quantization_config") {
		f.fail("quantised weights are not supported: quantization_config is %s", shorten(f.raw("quantization_config")))
	}
}
