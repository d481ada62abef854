package nn

import "github.com/goprm/goprm/internal/hfmodel"

// Config is what a model's config.json says of its architecture, checked. The fields' names are Hugging Face's.
type Config struct {
	Architectures         []string
	ModelType             string // qwen2, qwen3, llama or mistral
	HiddenSize            int
	IntermediateSize      int
	NumHiddenLayers       int
	NumAttentionHeads     int
	NumKeyValueHeads      int
	HeadDim               int
	RMSNormEps            float64
	RopeTheta             float64
	RopeScaling           RopeScaling
	MaxPositionEmbeddings int
	VocabSize             int
	TieWordEmbeddings     bool
	HiddenAct             string
	AttentionBias         bool   // q, k and v projections have biases
	OutputBias            bool   // the attention's o projection has a bias
	MLPBias               bool   // gate, up and down projections have biases
	NumLabels             int    // of a classification head
	TorchDtype            string // as written: "bfloat16", "float32", ...; "" if absent
	SlidingWindow         int    // tokens that a token of a sliding layer attends to, itself included; 0: all
}

// RopeScaling says how rotary positions are stretched.
type RopeScaling struct {
	RopeType                      string // "", linear, llama3, yarn or dynamic
	Factor                        float64
	OriginalMaxPositionEmbeddings float64
	LowFreqFactor, HighFreqFactor float64 // llama3
	BetaSlow, BetaFast            float64 // yarn
	AttentionFactor               float64 // yarn
	Truncate                      bool    // yarn: bounds of the ramp are rounded to whole dimensions
}

func configOf(c *hfmodel.Config) Config {
	r := c.RopeScaling
	return Config{
		Architectures: append([]string{}, c.Architectures...), ModelType: c.ModelType, HiddenSize: c.HiddenSize,
		IntermediateSize: c.IntermediateSize, NumHiddenLayers: c.NumHiddenLayers, NumAttentionHeads: c.NumAttentionHeads,
		NumKeyValueHeads: c.NumKeyValueHeads, HeadDim: c.HeadDim, RMSNormEps: c.RMSNormEps, RopeTheta: c.RopeTheta,
		RopeScaling: RopeScaling{
			RopeType: r.Kind, Factor: r.Factor, OriginalMaxPositionEmbeddings: r.Original, LowFreqFactor: r.LowFreq,
			HighFreqFactor: r.HighFreq, BetaSlow: r.BetaSlow, BetaFast: r.BetaFast, AttentionFactor: r.Attention,
			Truncate: !r.FractionalDimension,
		},
		MaxPositionEmbeddings: c.MaxPositionEmbeddings, VocabSize: c.VocabSize, TieWordEmbeddings: c.TieWordEmbeddings,
		HiddenAct: c.HiddenAct, AttentionBias: c.AttentionBias, OutputBias: c.OutputBias, MLPBias: c.MLPBias, NumLabels: c.NumLabels,
		TorchDtype: c.TorchDtype, SlidingWindow: c.SlidingWindow,
	}
}
