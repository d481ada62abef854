package hfmodel

import (
	"encoding/json"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goprm/goprm/internal/shareddata"
	"github.com/stretchr/testify/require"
)

// tinyConfig is a small valid config.json in the published dialect; edits set keys to JSON values, "" removes one.
func tinyConfig(t testing.TB, edits map[string]string) []byte {
	t.Helper()
	values := map[string]json.RawMessage{}
	for key, value := range map[string]string{
		"architectures": `["Qwen2ForCausalLM"]`, "model_type": `"qwen2"`, "hidden_size": "8", "intermediate_size": "12",
		"num_hidden_layers": "2", "num_attention_heads": "4", "num_key_value_heads": "2", "vocab_size": "11",
		"max_position_embeddings": "4096", "rms_norm_eps": "1e-06", "rope_theta": "1000000.0", "hidden_act": `"silu"`,
		"tie_word_embeddings": "false", "torch_dtype": `"bfloat16"`, "sliding_window": "131072", "use_sliding_window": "false",
		"attention_dropout": "0.0",
	} {
		values[key] = json.RawMessage(value)
	}
	for key, value := range edits {
		if value == "" {
			delete(values, key)
		} else {
			values[key] = json.RawMessage(value)
		}
	}
	text, err := json.Marshal(values)
	require.NoError(t, err)
	return text
}

func TestGoldenConfigs(t *testing.T) {
	goldens := filepath.Join(shareddata.Dir(t), "data", "goldens")
	for folder, want := range map[string]Config{
		"D/bf16": {Architectures: []string{"Qwen2ForCausalLM"}, ModelType: "qwen2", HiddenSize: 80, IntermediateSize: 192, NumHiddenLayers: 2,
			NumAttentionHeads: 5, NumKeyValueHeads: 1, HeadDim: 16, RMSNormEps: 1e-6, RopeTheta: 1e6, MaxPositionEmbeddings: 4096, VocabSize: 320,
			HiddenAct: "silu", AttentionBias: true, NumLabels: 2, TorchDtype: "bfloat16"},
		"E/f32": {Architectures: []string{"Qwen2ForCausalLM"}, ModelType: "qwen2", HiddenSize: 64, IntermediateSize: 128, NumHiddenLayers: 3,
			NumAttentionHeads: 8, NumKeyValueHeads: 4, HeadDim: 8, RMSNormEps: 1e-5, RopeTheta: 1e4, MaxPositionEmbeddings: 4096, VocabSize: 256,
			TieWordEmbeddings: true, HiddenAct: "silu", AttentionBias: true, NumLabels: 2, TorchDtype: "float32"},
		"heads/math_shepherd_mistral": {Architectures: []string{"MistralForCausalLM"}, ModelType: "mistral", HiddenSize: 32, IntermediateSize: 80,
			NumHiddenLayers: 2, NumAttentionHeads: 4, NumKeyValueHeads: 2, HeadDim: 8, RMSNormEps: 1e-5, RopeTheta: 1e4,
			MaxPositionEmbeddings: 131072, VocabSize: 288, HiddenAct: "silu", NumLabels: 2, TorchDtype: "float32"},
		"heads/sequence_classification": {Architectures: []string{"Qwen2ForSequenceClassification"}, ModelType: "qwen2", HiddenSize: 32,
			IntermediateSize: 80, NumHiddenLayers: 2, NumAttentionHeads: 4, NumKeyValueHeads: 2, HeadDim: 8, RMSNormEps: 1e-6, RopeTheta: 1e4,
			MaxPositionEmbeddings: 4096, VocabSize: 288, HiddenAct: "silu", AttentionBias: true, NumLabels: 1, Labels: Labels{"LABEL_0"},
			TorchDtype: "bfloat16"},
	} {
		config, err := ReadConfig(filepath.Join(goldens, folder))
		require.NoError(t, err)
		text, err := os.ReadFile(filepath.Join(goldens, folder, ConfigName))
		require.NoError(t, err)
		require.Equal(t, string(text), string(config.Raw))
		config.Raw = nil
		require.Equal(t, want, *config, folder)
	}
}

func TestConfigDialectsAndDefaults(t *testing.T) {
	for name, c := range map[string]struct {
		edits map[string]string
		check func(*Config) bool
	}{
		"as published": {nil, func(c *Config) bool { return c.RopeTheta == 1e6 && c.TorchDtype == "bfloat16" }},
		"transformers 5": {map[string]string{"rope_theta": "", "torch_dtype": "", "dtype": `"float32"`,
			"rope_parameters": `{"rope_theta": 5000, "rope_type": "default"}`},
			func(c *Config) bool { return c.RopeTheta == 5000 && c.TorchDtype == "float32" }},
		"both dialects, agreeing": {map[string]string{"dtype": `"bfloat16"`, "rope_parameters": `{"rope_theta": 1e6, "rope_type": "default"}`},
			func(c *Config) bool { return c.RopeTheta == 1e6 }},
		"no base at all": {map[string]string{"rope_theta": ""}, func(c *Config) bool { return c.RopeTheta == 1e4 }},
		"scaling null":   {map[string]string{"rope_scaling": "null"}, func(c *Config) bool { return c.RopeTheta == 1e6 }},
		"scaling default": {map[string]string{"rope_scaling": `{"type": "default", "rope_type": "default"}`},
			func(c *Config) bool { return c.RopeTheta == 1e6 }},
		"no dtype":            {map[string]string{"torch_dtype": ""}, func(c *Config) bool { return c.TorchDtype == "" }},
		"labels by number":    {map[string]string{"num_labels": "3"}, func(c *Config) bool { return c.NumLabels == 3 }},
		"labels by name":      {map[string]string{"id2label": `{"0": "bad"}`}, func(c *Config) bool { return c.NumLabels == 1 }},
		"head_dim of its own": {map[string]string{"head_dim": "6"}, func(c *Config) bool { return c.HeadDim == 6 }},
		"no architectures":    {map[string]string{"architectures": ""}, func(c *Config) bool { return len(c.Architectures) == 0 }},
		"llama without groups": {map[string]string{"model_type": `"llama"`, "architectures": `["LlamaForCausalLM"]`, "num_key_value_heads": "",
			"sliding_window": "null"}, func(c *Config) bool { return c.NumKeyValueHeads == 4 && !c.AttentionBias }},
		"mistral, idle window": {map[string]string{"model_type": `"mistral"`, "architectures": `["MistralForCausalLM"]`,
			"sliding_window": "4096"}, func(c *Config) bool { return !c.AttentionBias }},
		"mistral, window": {map[string]string{"model_type": `"mistral"`, "architectures": `["MistralForCausalLM"]`, "sliding_window": "4095"},
			func(c *Config) bool { return c.Window(0) == 4095 && c.Window(1) == 4095 }},
		"some layers slide": {map[string]string{"use_sliding_window": "true", "sliding_window": "16", "max_window_layers": "1"},
			func(c *Config) bool { return c.Window(0) == 0 && c.Window(1) == 16 }},
		"layers slide by name": {map[string]string{"use_sliding_window": "true", "sliding_window": "16",
			"layer_types": `["sliding_attention","full_attention"]`},
			func(c *Config) bool { return c.Window(0) == 16 && c.Window(1) == 0 && c.SlidingWindow == 16 }},
		"too few layers to slide": {map[string]string{"use_sliding_window": "true", "sliding_window": "16"},
			func(c *Config) bool { return c.SlidingWindow == 0 }},
		"linear": {map[string]string{"rope_scaling": `{"type": "linear", "factor": 2.5}`},
			func(c *Config) bool { return c.RopeScaling == RopeScaling{Kind: "linear", Factor: 2.5} }},
		"llama3": {map[string]string{"rope_scaling": `{"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4, ` +
			`"original_max_position_embeddings": 8192}`},
			func(c *Config) bool {
				return c.RopeScaling == RopeScaling{Kind: "llama3", Factor: 8, LowFreq: 1, HighFreq: 4, Original: 8192}
			}},
		"yarn with defaults": {map[string]string{"rope_scaling": `{"type": "yarn", "factor": 4, "original_max_position_embeddings": 1024}`},
			func(c *Config) bool {
				return c.RopeScaling == RopeScaling{Kind: "yarn", Factor: 4, Original: 1024, BetaFast: 32, BetaSlow: 1, Attention: 0.1*math.Log(4) + 1}
			}},
		"yarn with nulls": {map[string]string{"rope_scaling": `{"type": "yarn", "factor": 4, "original_max_position_embeddings": 1024, ` +
			`"beta_fast": null, "attention_factor": null, "truncate": null}`},
			func(c *Config) bool {
				return c.RopeScaling == RopeScaling{Kind: "yarn", Factor: 4, Original: 1024, BetaFast: 32, BetaSlow: 1, Attention: 0.1*math.Log(4) + 1,
					FractionalDimension: true}
			}},
		"qwen3": {map[string]string{"model_type": `"qwen3"`, "architectures": `["Qwen3ForSequenceClassification"]`},
			func(c *Config) bool { return c.QKNorm && !c.AttentionBias && c.HeadDim == 128 && c.SlidingWindow == 0 }},
		"swish is silu": {map[string]string{"hidden_act": `"swish"`}, func(c *Config) bool { return c.HiddenAct == "silu" }},
		"biases of llama": {map[string]string{"model_type": `"llama"`, "architectures": "", "attention_bias": "true", "mlp_bias": "true"},
			func(c *Config) bool { return c.AttentionBias && c.OutputBias && c.MLPBias }},
		"biases of qwen3": {map[string]string{"model_type": `"qwen3"`, "architectures": "", "attention_bias": "true"},
			func(c *Config) bool { return c.AttentionBias && c.OutputBias && !c.MLPBias }},
		"base beside a null": {map[string]string{"rope_theta": "null", "rope_parameters": `{"rope_theta": 500, "rope_type": "default"}`},
			func(c *Config) bool { return c.RopeTheta == 500 }},
		"no head_dim, and a rest": {map[string]string{"hidden_size": "11"}, func(c *Config) bool { return c.HeadDim == 2 }},
		"all layers full": {map[string]string{"layer_types": `["full_attention","full_attention"]`},
			func(c *Config) bool { return true }},
	} {
		config, err := ParseConfig(tinyConfig(t, c.edits))
		require.NoError(t, err, name)
		require.True(t, c.check(config), "%s: %+v", name, config)
	}
}

func TestConfigRefusals(t *testing.T) {
	mistral := map[string]string{"model_type": `"mistral"`, "architectures": `["MistralForCausalLM"]`}
	qwen3 := map[string]string{"model_type": `"qwen3"`, "architectures": `["Qwen3ForCausalLM"]`}
	with := func(base map[string]string, key, value string) map[string]string {
		merged := map[string]string{}
		maps.Copy(merged, base)
		merged[key] = value
		return merged
	}
	set := func(key, value string) map[string]string { return with(nil, key, value) }
	for _, c := range []struct {
		edits   map[string]string
		message string
	}{
		{set("rope_scaling", `{"rope_type":"llama3","factor":8.0}`), `RoPE scaling: rope_scaling: low_freq_factor is missing`},
		{set("rope_scaling", `{"rope_type":"llama3","factor":8,"low_freq_factor":4,"high_freq_factor":4}`),
			`high_freq_factor 4 is not above low_freq_factor 4`},
		{set("rope_scaling", `{"type":"longrope","factor":4.0,"original_max_position_embeddings":32768}`), `kind "longrope" is not supported`},
		{set("rope_scaling", `{"type":"linear"}`), `factor is missing or not a positive number`},
		{set("rope_scaling", `{"type":"dynamic","factor":-2.0}`), `factor is missing or not a positive number`},
		{set("rope_scaling", `{"type":"linear","factor":2.0,"beta_fast":32}`), "beta_fast 32 is not supported"},
		{set("rope_scaling", `{"type":"yarn","original_max_position_embeddings":1024}`), "rope_scaling: factor is missing"},
		{set("rope_parameters", `{"rope_type":"yarn","rope_theta":1000000.0,"factor":"4"}`), `rope_parameters: factor is "4", not a number`},
		{with(set("rope_parameters", `{"rope_type":"linear","factor":2}`), "rope_scaling", `{"type":"linear","factor":3}`),
			"it differs from rope_parameters"},
		{set("rope_scaling", `{"factor":2.0}`), "factor 2.0 is not supported"},
		{set("rope_parameters", `{"full_attention":{"rope_type":"default"}}`), `full_attention {"rope_type":"default"} is not supported`},
		{set("rope_parameters", `{"rope_type":"default","rope_theta":10000}`), "rope_theta is 10000, but 1e+06 beside it"},
		{set("rope_scaling", `"yarn"`), `rope_scaling is "yarn", not an object`},
		{set("rope_theta", "0"), "rope_theta 0 is not a positive number"},
		{set("rope_theta", "-1"), "rope_theta -1"},
		{set("partial_rotary_factor", "0.5"), "partial_rotary_factor 0.5"},
		{set("dtype", `"float32"`), `torch_dtype is "bfloat16" but dtype is "float32"`},
		{set("layer_types", `["full_attention","sliding_attention"]`),
			`layer_types: layer 1 is "sliding_attention", but no sliding_window is in use`},
		{set("layer_types", `["full_attention","chunked_attention"]`), `layer 1 is "chunked_attention"`},
		{set("layer_types", `["full_attention"]`), `1 entries for 2 layers`},
		{with(mistral, "sliding_window", "0"), "sliding_window is 0, not from 1"},
		{set("model_type", `"qwen3_moe"`), `model_type "qwen3_moe" is not supported; qwen2, qwen3,`},
		{set("model_type", `"qwen3"`), `architecture "Qwen2ForCausalLM" of model_type "qwen3"`},
		{with(qwen3, "architectures", `["Qwen3MoeForCausalLM"]`), `architecture "Qwen3MoeForCausalLM"`},
		{with(qwen3, "architectures", `["Qwen3ForProcessRewardModel"]`), `"Qwen3ForProcessRewardModel"`}, // Fin-PRM's own code
		{with(qwen3, "num_key_value_heads", ""), "num_attention_heads 4 is not a multiple of num_key_value_heads 32"},
		{set("model_type", `"gpt2"`), `model_type "gpt2" is not supported`},
		{set("model_type", ""), "model_type is missing"},
		{set("architectures", `["Qwen2MoeForCausalLM"]`), `architecture "Qwen2MoeForCausalLM"`},
		{set("architectures", `["MistralForCausalLM"]`), `architecture "MistralForCausalLM" of model_type "qwen2"`},
		{with(mistral, "architectures", `["MistralForProcessRewardModel"]`), `"MistralForProcessRewardModel"`},
		{set("architectures", `"Qwen2ForCausalLM"`), "not a list of names"},
		{set("hidden_act", `"gelu"`), `hidden_act "gelu" is not supported`},
		{set("attention_bias", "false"), `attention_bias false is not supported for model_type "qwen2"`},
		{with(mistral, "attention_bias", "true"), "attention_bias true"},
		{set("mlp_bias", "true"), "mlp_bias true"},
		{with(qwen3, "mlp_bias", "true"), `mlp_bias true is not supported for model_type "qwen3"`},
		{set("use_qk_norm", "true"), "use_qk_norm true"},
		{set("quantization_config", `{"quant_method":"gptq"}`), `quantization_config is {"quant_method":"gptq"}`},
		{with(with(set("model_type", `"llama"`), "architectures", ""), "hidden_size", "9"),
			"hidden_size 9 is not divisible by num_attention_heads 4"},
		{set("hidden_size", "3"), "hidden_size 3 is less than num_attention_heads 4"},
		{set("hidden_size", "12"), "head_dim 3 is odd"},
		{set("head_dim", "3"), "head_dim 3 is odd"},
		{set("head_dim", "0"), "head_dim is 0"},
		{set("num_key_value_heads", "3"), "4 is not a multiple of num_key_value_heads 3"},
		{set("num_key_value_heads", ""), "num_attention_heads 4 is not a multiple of num_key_value_heads 32"}, // the class's default
		{set("num_attention_heads", "0"), "num_attention_heads is 0, not from 1"},
		{set("num_hidden_layers", "-2"), "num_hidden_layers is -2"},
		{set("num_hidden_layers", "1000000000"), "num_hidden_layers is 1000000000"},
		{set("vocab_size", "1e3"), "vocab_size is 1e3, not a whole number"},
		{set("vocab_size", "11.5"), "vocab_size is 11.5"},
		{set("vocab_size", `"11"`), `vocab_size is "11"`},
		{set("vocab_size", "99999999999999999999"), "vocab_size is 99999999999999999999"},
		{set("intermediate_size", "null"), "intermediate_size is null"},
		{set("rms_norm_eps", "0"), "rms_norm_eps is 0, a whole number"},
		{set("torch_dtype", `"fp16"`), `torch_dtype "fp16" is none`},
		{set("id2label", `{}`), "id2label names no class"},
		{set("rms_norm_eps", "-1e-6"), "rms_norm_eps -1e-06"},
		{set("id2label", `["a"]`), "id2label"},
		{set("num_labels", "0"), "num_labels is 0"},
	} {
		_, err := ParseConfig(tinyConfig(t, c.edits))
		require.ErrorContains(t, err, c.message, "%v", c.edits)
	}
}

func TestReadConfigFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, ConfigName)
	_, err := ReadConfig(dir)
	require.ErrorIs(t, err, os.ErrNotExist)
	for content, message := range map[string]string{
		"":                                  "the file is empty",
		"{\"hidden_size\": 8":               "not JSON: unexpected end of JSON input at offset 17",
		"[1]":                               "not a JSON object",
		" null":                             "not a JSON object",
		"{}":                                "model_type is missing",
		`{"model_type":7}`:                  "model_type is 7, not a text",
		strings.Repeat("[", 100_000) + "{}": "not JSON",
	} {
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
		_, err := ReadConfig(dir)
		require.ErrorContains(t, err, path+": ")
		require.ErrorContains(t, err, message)
	}
	require.NoError(t, os.Truncate(path, maxJSONBytes+1))
	_, err = ReadConfig(dir)
	require.ErrorContains(t, err, "beyond the limit")
}

func FuzzParseConfig(f *testing.F) {
	f.Add(tinyConfig(f, nil))
	f.Add(tinyConfig(f, map[string]string{"rope_parameters": `{"rope_theta": 1e6, "rope_type": "default"}`, "head_dim": "4"}))
	f.Add(tinyConfig(f, map[string]string{"model_type": `"qwen3"`, "architectures": "", "head_dim": ""}))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ParseConfig(text)
		if err != nil {
			return
		}
		require.Positive(t, c.HeadDim)
		require.Zero(t, c.HeadDim%2)
		require.Zero(t, c.NumAttentionHeads%c.NumKeyValueHeads)
		require.Positive(t, elements([]int{c.VocabSize, c.HiddenSize}))
		require.Positive(t, elements([]int{c.HeadDim * c.NumAttentionHeads, c.HiddenSize}))
	})
}
