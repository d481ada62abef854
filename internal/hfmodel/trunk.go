package hfmodel

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Trunk says how a folder's tensors make up the backbone.
type Trunk struct {
	Prefix     string // before the trunk's tensor names: "model.", or "" in base-model exports
	Parameters int64  // of the trunk; embeddings included, lm_head not
	HasLMHead  bool   // lm_head.weight is there; where it is not and embeddings are tied, the embedding takes its place
	// Extra are the tensors that belong to neither trunk nor lm_head, sorted: heads, and what nobody knows.
	Extra []string
}

// Spec is a tensor that a model must hold.
type Spec struct {
	Name  string // without the trunk's prefix
	Shape []int
}

const (
	embedding = "embed_tokens.weight"
	lmHead    = "lm_head.weight"
)

// rotaryBuffer matches what old exports store although it follows from the configuration.
var rotaryBuffer = regexp.MustCompile(`^layers\.\d+\.self_attn\.rotary_emb\.inv_freq$`)

// TrunkTensors lists the trunk's tensors, in the order of the forward pass.
func (c *Config) TrunkTensors() []Spec {
	queries, keys := c.NumAttentionHeads*c.HeadDim, c.NumKeyValueHeads*c.HeadDim
	specs := []Spec{{embedding, []int{c.VocabSize, c.HiddenSize}}}
	for layer := range c.NumHiddenLayers {
		add := func(name string, shape ...int) {
			specs = append(specs, Spec{fmt.Sprintf("layers.%d.%s", layer, name), shape})
		}
		add("input_layernorm.weight", c.HiddenSize)
		linear := func(name string, out, in int, bias bool) {
			add(name+".weight", out, in)
			if bias {
				add(name+".bias", out)
			}
		}
		linear("self_attn.q_proj", queries, c.HiddenSize, c.AttentionBias)
		linear("self_attn.k_proj", keys, c.HiddenSize, c.AttentionBias)
		linear("self_attn.v_proj", keys, c.HiddenSize, c.AttentionBias)
		if c.QKNorm {
			add("self_attn.q_norm.weight", c.HeadDim)
			add("self_attn.k_norm.weight", c.HeadDim)
		}
		linear("self_attn.o_proj", c.HiddenSize, queries, c.OutputBias)
		add("post_attention_layernorm.weight", c.HiddenSize)
		linear("mlp.gate_proj", c.IntermediateSize, c.HiddenSize, c.MLPBias)
		linear("mlp.up_proj", c.IntermediateSize, c.HiddenSize, c.MLPBias)
		linear("mlp.down_proj", c.HiddenSize, c.IntermediateSize, c.MLPBias)
	}
	return append(specs, Spec{"norm.weight", []int{c.HiddenSize}})
}

// CheckTrunk checks that every tensor of the trunk is there with the right shape and a floating-point type. The error names the first
// that is not, in the order of the forward pass. Tensors among the layers that the configuration knows nothing of (more layers,
// biases, q and k norms of a type without) are an error too: leaving them out would change the numbers.
func CheckTrunk(c *Config, w *Weights) (*Trunk, error) {
	trunk := &Trunk{Prefix: "model."}
	if !w.Has("model." + embedding) {
		if !w.Has(embedding) {
			return nil, fmt.Errorf("%s: tensor %q is missing", w.dir, "model."+embedding)
		}
		trunk.Prefix = ""
	} else if w.Has(embedding) {
		return nil, fmt.Errorf("%s: holds both %q and %q", w.dir, "model."+embedding, embedding)
	}
	known := map[string]bool{}
	for _, spec := range c.TrunkTensors() {
		name := trunk.Prefix + spec.Name
		if err := checkTensor(w, name, spec.Shape); err != nil {
			return nil, err
		}
		known[name] = true
		trunk.Parameters += elements(spec.Shape)
	}
	if w.Has(lmHead) {
		if err := checkTensor(w, lmHead, []int{c.VocabSize, c.HiddenSize}); err != nil {
			return nil, err
		}
		known[lmHead], trunk.HasLMHead = true, true
	}
	for _, name := range w.Names() {
		inner, inTrunk := strings.CutPrefix(name, trunk.Prefix)
		if known[name] || inTrunk && rotaryBuffer.MatchString(inner) {
			continue
		}
		if inTrunk && strings.HasPrefix(inner, "layers.") {
			return nil, fmt.Errorf("%s: tensor %q has no place in a %s of %d layers as config.json describes it",
				w.dir, name, c.ModelType, c.NumHiddenLayers)
		}
		trunk.Extra = append(trunk.Extra, name)
	}
	return trunk, nil
}

// checkTensor checks one tensor's presence, shape and type.
func checkTensor(w *Weights, name string, shape []int) error {
	tensor, found := w.Lookup(name)
	if !found {
		return fmt.Errorf("%s: tensor %q is missing", w.dir, name)
	}
	if !slices.Equal(tensor.Info.Shape, shape) {
		return fmt.Errorf("%s: tensor %q: shape %v, config.json asks for %v", tensor.File.Path(), name, tensor.Info.Shape, shape)
	}
	if !tensor.Info.DType.IsFloat() {
		return fmt.Errorf("%s: tensor %q: dtype %s is not one of F32, BF16, F16, F64", tensor.File.Path(), name, tensor.Info.DType)
	}
	return nil
}

func elements(shape []int) int64 {
	product := int64(1)
	for _, dim := range shape {
		product *= int64(dim)
	}
	return product
}
