package hfmodel

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
)

// BERTConfig is what config.json says about a BERT encoder, after checking. The fields' names are transformers' own.
type BERTConfig struct {
	HiddenSize            int
	IntermediateSize      int
	NumHiddenLayers       int
	NumAttentionHeads     int // divides HiddenSize
	MaxPositionEmbeddings int
	VocabSize             int
	TypeVocabSize         int
	LayerNormEps          float64
	HiddenAct             string // gelu, or gelu_new and gelu_pytorch_tanh, which are one function
}

// ReadBERTConfig reads dir/config.json. Errors name the file, the key and its value.
func ReadBERTConfig(dir string) (*BERTConfig, error) {
	path := filepath.Join(dir, ConfigName)
	text, err := readJSON(path)
	if err != nil {
		return nil, err
	}
	config, err := parseBERTConfig(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return config, nil
}

func parseBERTConfig(text []byte) (*BERTConfig, error) {
	f := &fields{}
	if err := json.Unmarshal(text, &f.values); err != nil {
		return nil, err
	}
	if kind := f.text("model_type", ""); kind != "bert" {
		f.fail("model_type %q is not supported as a sentence encoder; bert is", kind)
	}
	if f.err != nil { // of an unknown model the rest means nothing
		return nil, f.err
	}
	c := &BERTConfig{
		HiddenSize:            f.count("hidden_size", 0, maxHidden),
		IntermediateSize:      f.count("intermediate_size", 0, 8*maxHidden),
		NumHiddenLayers:       f.count("num_hidden_layers", 0, maxLayers),
		NumAttentionHeads:     f.count("num_attention_heads", 0, maxHidden),
		MaxPositionEmbeddings: f.count("max_position_embeddings", 0, maxPositions),
		VocabSize:             f.count("vocab_size", 0, maxVocab),
		TypeVocabSize:         f.count("type_vocab_size", 2, maxVocab),
		LayerNormEps:          f.number("layer_norm_eps", 1e-12),
		HiddenAct:             f.text("hidden_act", "gelu"),
	}
	if f.err != nil {
		return nil, f.err
	}
	if c.HiddenSize%c.NumAttentionHeads != 0 {
		f.fail("hidden_size %d is not divisible by num_attention_heads %d", c.HiddenSize, c.NumAttentionHeads)
	}
	if c.HiddenSize/c.NumAttentionHeads > maxHeadDim {
		f.fail("hidden_size %d over num_attention_heads %d is beyond %d", c.HiddenSize, c.NumAttentionHeads, maxHeadDim)
	}
	if !(c.LayerNormEps > 0 && c.LayerNormEps < 1) {
		f.fail("layer_norm_eps %g is not between 0 and 1", c.LayerNormEps)
	}
	if known := []string{"gelu", "gelu_new", "gelu_pytorch_tanh"}; !slices.Contains(known, c.HiddenAct) {
		f.fail("hidden_act %q is not supported; %v are", c.HiddenAct, known)
	}
	f.expect("position_embedding_type", "absolute")
	f.expect("is_decoder", false)
	f.expect("add_cross_attention", false)
	if f.has("quantization_config") {
		f.fail("quantised weights are not supported: quantization_config is %s", shorten(f.raw("quantization_config")))
	}
	if f.err != nil {
		return nil, f.err
	}
	return c, nil
}

// expect refuses a value other than the one that is implemented; absent is that one.
func (f *fields) expect(key string, want any) {
	if !f.has(key) {
		return
	}
	var got any
	if err := json.Unmarshal(f.raw(key), &got); err != nil || got != want {
		f.fail("%s %s is not supported; %v is", key, shorten(f.raw(key)), want)
	}
}
