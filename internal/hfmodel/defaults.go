package hfmodel

import "slices"

// classDefaults are what a config.json that lacks a key means: the defaults of transformers' configuration classes
// (models/*/configuration_*.py of 5.23.0). null is a value of its own there, and not the default.
var classDefaults = map[string]struct {
	intermediate  int
	keyValueHeads int // 0: as many as num_attention_heads
	vocabulary    int
	positions     int
	slidingWindow int      // 0: none
	headDim       int      // 0: hidden_size/num_attention_heads
	notNull       []string // keys of the class that may not be null, besides those of notNull
}{
	"qwen2": {intermediate: 22016, keyValueHeads: 32, vocabulary: 151936, positions: 32768, slidingWindow: 4096,
		notNull: []string{"head_dim", "use_sliding_window", "max_window_layers", "attention_dropout"}},
	"qwen3": {intermediate: 22016, keyValueHeads: 32, vocabulary: 151936, positions: 32768, slidingWindow: 4096, headDim: 128,
		notNull: []string{"head_dim", "use_sliding_window", "max_window_layers", "attention_dropout", "attention_bias"}},
	"mistral": {intermediate: 14336, keyValueHeads: 8, vocabulary: 32000, positions: 131072, slidingWindow: 4096,
		notNull: []string{"num_key_value_heads", "attention_dropout"}},
	"llama": {intermediate: 11008, vocabulary: 32000, positions: 2048, notNull: []string{"attention_bias", "mlp_bias"}},
}

// Defaults that the four classes share.
const (
	defaultHidden = 4096
	defaultLayers = 32
	defaultHeads  = 32
)

// notNull lists the keys for which none of transformers' classes takes null.
var notNull = []string{
	"hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "max_position_embeddings", "rms_norm_eps",
	"hidden_act", "tie_word_embeddings", "num_labels", "initializer_range", "use_cache",
}

// refuseNull refuses null where the class takes none.
func (c *Config) refuseNull(f *fields) {
	for _, key := range slices.Concat(notNull, classDefaults[c.ModelType].notNull) {
		if f.isNull(key) {
			f.fail("%s is null; leave the key out for its default", key)
		}
	}
}

// readSizes reads what has a default of the class.
func (c *Config) readSizes(f *fields) {
	defaults := classDefaults[c.ModelType]
	c.HiddenSize = f.count("hidden_size", defaultHidden, maxHidden)
	c.IntermediateSize = f.count("intermediate_size", defaults.intermediate, 8*maxHidden)
	c.NumHiddenLayers = f.count("num_hidden_layers", defaultLayers, maxLayers)
	c.NumAttentionHeads = f.count("num_attention_heads", defaultHeads, maxHidden)
	c.VocabSize = f.count("vocab_size", defaults.vocabulary, maxVocab)
	keyValueHeads := defaults.keyValueHeads
	if keyValueHeads == 0 || f.isNull("num_key_value_heads") {
		keyValueHeads = c.NumAttentionHeads
	}
	c.NumKeyValueHeads = f.count("num_key_value_heads", keyValueHeads, maxHidden)
	c.MaxPositionEmbeddings = f.count("max_position_embeddings", defaults.positions, maxPositions)
}
