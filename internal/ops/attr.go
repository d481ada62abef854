package ops

// RMSNorm holds the epsilon added to the mean square.
type RMSNorm struct{ Eps float64 }

// LayerNorm holds the epsilon added to the variance.
type LayerNorm struct{ Eps float64 }

// GELU is x·Φ(x); Tanh takes the approximation with tanh, Hugging Face's gelu_new.
type GELU struct{ Tanh bool }

// Pool says how a segment's rows become one: their mean, or each column's maximum.
type Pool struct{ Max bool }

// RoPE rotates each head's halves by positions·Theta^(−2i/HeadDim); Inverse rotates back (the gradient).
type RoPE struct {
	HeadDim int
	Theta   float64
	Inverse bool
}

// Attention is grouped-query attention: query head h reads key/value head h·KVHeads/Heads; scores are scaled by 1/√HeadDim.
type Attention struct{ Heads, KVHeads, HeadDim int }

// Fields of a key range, see the package comment.
const (
	BufferBatch = 0
	BufferCache = 1

	MaskFull   = 0
	MaskCausal = 1
	MaskWindow = 2

	RangeLen = 5 // int32 per range: buffer, start, end, mask, window
)

// Indices into adamw's hyper tensor.
const (
	HyperLR          = iota
	HyperBeta1       // β₁
	HyperBeta2       // β₂
	HyperEps         // added to the root of the corrected second moment
	HyperWeightDecay // decoupled: param·(1 − lr·decay)
	HyperGradScale   // the clip factor, multiplied into the gradient
	HyperCorrection1 // 1 − β₁^t
	HyperCorrection2 // 1 − β₂^t
	HyperLen
)
