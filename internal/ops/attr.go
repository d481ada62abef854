package ops

// RMSNorm holds the epsilon added to the mean square.
type RMSNorm struct{ Eps float64 }

// Dropout zeroes an element with probability P and multiplies the others by 1/(1−P). Element j of a row with the key k is
// zeroed if the upper half of Mix(Mix(k XOR Salt) + j) is below P·2³², where Mix is internal/rng's; a row with the key 0
// stays as it is. So a row's mask depends on nothing but its key, whatever the packing.
type Dropout struct {
	P    float64
	Salt uint64 // tells the dropouts of one graph apart
}

// LayerNorm holds the epsilon added to the variance.
type LayerNorm struct{ Eps float64 }

// GELU is x·Φ(x); Tanh takes the approximation with tanh, Hugging Face's gelu_new.
type GELU struct{ Tanh bool }

// Pool says how a segment's rows become one: their mean, or each column's maximum.
type Pool struct{ Max bool }

// Attention is grouped-query attention: query head h reads key/value head h·KVHeads/Heads; scores are scaled by 1/√HeadDim. With Pairs
// tensors in f32 are multiplied as dtype bf16 does: queries, keys, values and probabilities are rounded to bf16, and the result is not;
// there is no gradient then.
type Attention struct {
	Heads, KVHeads, HeadDim int
	Pairs                   bool
}

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
	HyperSalt        // an integer that the rounding of bf16 moments follows from, below 2^53
	HyperCorrection1 // 1 − β₁^t
	HyperCorrection2 // 1 − β₂^t
	HyperLen
)

// Indices into sgd's hyper tensor.
const (
	SGDLR = iota
	SGDMomentum
	SGDWeightDecay // added to the gradient: decay·param
	SGDLen
)

// Indices into clip's result.
const (
	ClipNorm   = iota // the norm of all gradients
	ClipFactor        // what updates multiply gradients by
	ClipLen
)
