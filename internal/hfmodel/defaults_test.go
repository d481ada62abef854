package hfmodel

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each key absent, null and given, for each architecture, against the configuration classes of transformers 5.23.0.
func TestConfigDefaultsOfTheClass(t *testing.T) {
	const refused = "refused"
	type values [3]string // absent, null, given
	show := map[string]func(*Config) any{
		"rope_theta": func(c *Config) any { return c.RopeTheta }, "rms_norm_eps": func(c *Config) any { return c.RMSNormEps },
		"head_dim": func(c *Config) any { return c.HeadDim }, "num_key_value_heads": func(c *Config) any { return c.NumKeyValueHeads },
		"tie_word_embeddings":     func(c *Config) any { return c.TieWordEmbeddings },
		"max_position_embeddings": func(c *Config) any { return c.MaxPositionEmbeddings },
		"sliding_window":          func(c *Config) any { return c.SlidingWindow },
		"max_window_layers":       func(c *Config) any { return fmt.Sprint(c.Window(27), c.Window(28)) },
		"hidden_act":              func(c *Config) any { return c.HiddenAct },
		"hidden_size":             func(c *Config) any { return c.HiddenSize },
		"use_sliding_window":      func(c *Config) any { return c.SlidingWindow },
		"num_hidden_layers":       func(c *Config) any { return c.NumHiddenLayers },
		"num_attention_heads":     func(c *Config) any { return c.NumAttentionHeads },
		"intermediate_size":       func(c *Config) any { return c.IntermediateSize },
		"vocab_size":              func(c *Config) any { return c.VocabSize },
		"attention_bias":          func(c *Config) any { return c.AttentionBias },
	}
	given := map[string]string{
		"rope_theta": "5000", "rms_norm_eps": "0.25", "head_dim": "6", "num_key_value_heads": "16", "tie_word_embeddings": "true",
		"max_position_embeddings": "777", "sliding_window": "33", "max_window_layers": "27", "hidden_act": `"silu"`,
		"use_sliding_window": "true", "num_hidden_layers": "29", "num_attention_heads": "128", "intermediate_size": "13", "vocab_size": "12",
		"hidden_size": "512", "attention_bias": "true",
	}
	for class, keys := range map[string]map[string]values{
		"qwen2": {
			"rope_theta": {"10000", refused, "5000"}, "rms_norm_eps": {"1e-06", refused, "0.25"}, "head_dim": {"4", refused, "6"},
			"num_key_value_heads": {"32", "64", "16"}, "tie_word_embeddings": {"false", refused, "true"},
			"max_position_embeddings": {"32768", refused, "777"}, "sliding_window": {"4096", "0", "33"},
			"max_window_layers": {"0 100", refused, "100 100"}, "hidden_act": {"silu", refused, "silu"},
			"use_sliding_window": {"0", refused, "100"}, "num_hidden_layers": {"32", refused, "29"},
			"num_attention_heads": {"32", refused, "128"}, "intermediate_size": {"22016", refused, "13"}, "vocab_size": {"151936", refused, "12"},
		},
		"qwen3": {
			"rope_theta": {"10000", refused, "5000"}, "rms_norm_eps": {"1e-06", refused, "0.25"}, "head_dim": {"128", refused, "6"},
			"num_key_value_heads": {"32", "64", "16"}, "tie_word_embeddings": {"false", refused, "true"},
			"max_position_embeddings": {"32768", refused, "777"}, "sliding_window": {"4096", "0", "33"},
			"max_window_layers": {"0 100", refused, "100 100"}, "hidden_act": {"silu", refused, "silu"},
			"use_sliding_window": {"0", refused, "100"}, "num_hidden_layers": {"32", refused, "29"},
			"num_attention_heads": {"32", refused, "128"}, "intermediate_size": {"22016", refused, "13"}, "vocab_size": {"151936", refused, "12"},
		},
		"mistral": {
			"rope_theta": {"10000", refused, "5000"}, "rms_norm_eps": {"1e-06", refused, "0.25"}, "head_dim": {"4", "4", "6"},
			"num_key_value_heads": {"8", refused, "16"}, "tie_word_embeddings": {"false", refused, "true"},
			"max_position_embeddings": {"131072", refused, "777"}, "sliding_window": {"4096", "0", "33"},
			"intermediate_size": {"14336", refused, "13"}, "vocab_size": {"32000", refused, "12"}, "hidden_size": {"4096", refused, "512"},
		},
		"llama": {
			"rope_theta": {"10000", refused, "5000"}, "rms_norm_eps": {"1e-06", refused, "0.25"}, "head_dim": {"4", "4", "6"},
			"num_key_value_heads": {"64", "64", "16"}, "tie_word_embeddings": {"false", refused, "true"},
			"max_position_embeddings": {"2048", refused, "777"}, "sliding_window": {"0", "0", "0"},
			"intermediate_size": {"11008", refused, "13"}, "vocab_size": {"32000", refused, "12"}, "attention_bias": {"false", refused, "true"},
		},
	} {
		for key, want := range keys {
			for i, value := range []string{"", "null", given[key]} {
				edits := map[string]string{
					"model_type": `"` + class + `"`, "architectures": "", "hidden_size": "256", "num_attention_heads": "64", "num_hidden_layers": "30",
					"max_position_embeddings": "200000", "sliding_window": "100", "use_sliding_window": "true",
				}
				edits[key] = value
				name := fmt.Sprintf("%s: %s: %s", class, key, []string{"absent", "null", "given"}[i])
				config, err := ParseConfig(tinyConfig(t, edits))
				if want[i] == refused {
					require.ErrorContains(t, err, key+" is null", name)
					continue
				}
				require.NoError(t, err, name)
				require.Equal(t, want[i], fmt.Sprint(show[key](config)), name)
			}
		}
	}
}

// A mistral with layer_types is a ministral to transformers' AutoConfig: layers slide one by one, and head_dim must be there.
func TestMistralLayerByLayer(t *testing.T) {
	edits := map[string]string{"model_type": `"mistral"`, "architectures": "", "sliding_window": "100",
		"layer_types": `["sliding_attention","full_attention"]`}
	_, err := ParseConfig(tinyConfig(t, edits))
	require.ErrorContains(t, err, "layer_types: a mistral that has it is read as a ministral, which needs head_dim too")
	edits["head_dim"] = "4"
	config, err := ParseConfig(tinyConfig(t, edits))
	require.NoError(t, err)
	require.Equal(t, []int{100, 0}, []int{config.Window(0), config.Window(1)})
	edits["layer_types"] = "null"
	config, err = ParseConfig(tinyConfig(t, edits))
	require.NoError(t, err)
	require.Equal(t, []int{100, 100}, []int{config.Window(0), config.Window(1)})
}

// The length that a configuration means, in both dialects: vLLM's derived_max_model_len, and no less than max_position_embeddings.
func TestMaxLength(t *testing.T) {
	for _, c := range []struct {
		positions, scaling string
		want               int
	}{
		{"4096", `"factor":4.0,"original_max_position_embeddings":4096,"KIND":"yarn"`, 16384},
		{"16384", `"factor":4.0,"original_max_position_embeddings":4096,"KIND":"yarn"`, 16384}, // already the product
		{"4096", `"factor":2.5,"original_max_position_embeddings":4096,"KIND":"yarn"`, 10240},
		{"40960", `"factor":4.0,"original_max_position_embeddings":32768,"KIND":"yarn"`, 131072},
		{"32768", `"factor":4.0,"KIND":"yarn"`, 131072},
		{"8192", `"factor":null,"original_max_position_embeddings":4096,"KIND":"yarn"`, 8192}, // the factor is the ratio
		{"131072", `"factor":2.0,"original_max_position_embeddings":32768,"KIND":"yarn"`, 131072},
		{"4096", `"factor":4.0,"KIND":"linear"`, 16384},
		{"4096", `"factor":2.0,"KIND":"dynamic"`, 4096},
		{"131072", `"factor":8.0,"low_freq_factor":1,"high_freq_factor":4,"original_max_position_embeddings":8192,"KIND":"llama3"`, 131072},
		{"4096", `"KIND":"default"`, 4096},
	} {
		for _, dialect := range [][2]string{{"rope_scaling", "type"}, {"rope_scaling", "rope_type"}, {"rope_parameters", "rope_type"},
			{"rope_parameters", "type"}} {
			scaling := "{" + strings.ReplaceAll(c.scaling, "KIND", dialect[1]) + "}"
			config, err := ParseConfig(tinyConfig(t, map[string]string{"max_position_embeddings": c.positions, dialect[0]: scaling}))
			require.NoError(t, err, scaling)
			require.Equal(t, c.want, config.MaxLength(), scaling)
		}
	}
}

// A window that is narrower than the stretched length slides, though it is as wide as the trained one.
func TestWindowOfAStretchedModel(t *testing.T) {
	edits := map[string]string{"model_type": `"mistral"`, "architectures": "", "sliding_window": "4096",
		"rope_scaling": `{"type":"yarn","factor":4.0,"original_max_position_embeddings":4096}`}
	config, err := ParseConfig(tinyConfig(t, edits))
	require.NoError(t, err)
	require.Equal(t, 4096, config.Window(0))
}
