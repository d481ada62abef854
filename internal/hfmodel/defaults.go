package hfmodel

// classDefaults are what a config.json that lacks a key means: the defaults of transformers' configuration classes
// (models/*/configuration_*.py of 5.23.0). null is a value of its own there, and not the default.
var classDefaults = map[string]struct {
	keyValueHeads int // 0: as many as num_attention_heads
	positions     int
	slidingWindow int // 0: none
	headDim       int // 0: hidden_size/num_attention_heads, of null too
}{
	"qwen2":   {keyValueHeads: 32, positions: 32768, slidingWindow: 4096},
	"qwen3":   {keyValueHeads: 32, positions: 32768, slidingWindow: 4096, headDim: 128},
	"mistral": {keyValueHeads: 8, positions: 131072, slidingWindow: 4096},
	"llama":   {positions: 2048},
}

// notNull lists the keys for which transformers' classes refuse null.
var notNull = []string{
	"hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "max_position_embeddings", "rms_norm_eps",
	"rope_theta", "hidden_act", "max_window_layers",
}

// refuseNull refuses null where no class takes it.
func refuseNull(f *fields) {
	for _, key := range notNull {
		if f.isNull(key) {
			f.fail("%s is null; leave the key out for its default", key)
		}
	}
}

// readPositions reads what has a default of the class.
func (c *Config) readPositions(f *fields) {
	defaults := classDefaults[c.ModelType]
	keyValueHeads := defaults.keyValueHeads
	if keyValueHeads == 0 || f.isNull("num_key_value_heads") {
		keyValueHeads = c.NumAttentionHeads
	}
	c.NumKeyValueHeads = f.count("num_key_value_heads", keyValueHeads, maxHidden)
	c.MaxPositionEmbeddings = f.count("max_position_embeddings", defaults.positions, maxPositions)
}
