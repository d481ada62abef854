// Package ops holds the ops of goprm's graphs: their names, attributes, result shapes and symbolic gradients.
// Kernels are the backends'; this page is what they implement, and internal/compliance checks it against float64.
//
// Shapes: T tokens, R read-outs, S segments, K and N features, H query heads, G key/value heads, D head dimension.
// Floats are of the graph's compute dtype (f32 or f64) save where bf16 is named; sums inside a kernel may be wider. Where
// the compute dtype is bf16, parameters (norms, biases, trained weights and their gradients), log-sum-exps and everything
// from gather's result on are f32, and only those ops that the signatures allow have it.
// "rows" names the live count that bounds the leading dimension (engine.Call.Rows; T ops have Tokens, R ops have Reads).
//
//	op                 attr           in → out
//	embedding                         table [V, K] (float or bf16), ids i32 [T] → [T, K]
//	embedding_dtable                  dy [T, K], ids i32 [T] → [V, K], rows of absent ids are 0
//	rmsnorm            RMSNorm        x [T, H·D], w [D] → x·w/√(mean(x²)+eps), the mean over D; H = 1 normalises whole rows
//	rmsnorm_dx         RMSNorm        x, w, dy → [T, H·D]
//	rmsnorm_dw         RMSNorm        x, dy → [D], summed over tokens and heads
//	layernorm          LayerNorm      x [T, K], w [K], b [K] → (x − mean(x))/√(variance(x)+eps)·w + b; variance over K, not K−1
//	gelu               GELU           x [T, N] → x·Φ(x), or x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³)))
//	linear                            x [T, K], w [N, K] (float or bf16) [, b [N]] → x·wᵀ + b [T, N]
//	linear_int8                       x [T, K], w i8 [N, K], scales [N, ⌈K/128⌉] [, b [N]] → x·wᵀ + b [T, N], see RoundInt8
//	linear_dx                         dy [T, N], w [N, K] (float or bf16) → dy·w [T, K]
//	linear_dw                         dy [T, N], x [T, K] → dyᵀ·x [N, K]
//	linear_db                         dy [T, N] → Σ_t dy [N]
//	rope               RoPE           x [T, H·D], positions i32 [T] → rotated, halves (i, i+D/2) form the pairs
//	attention          Attention      q [T, H·D], k [T, G·D], v [T, G·D], cu_seqlens i32 [S+1], range_offsets i32 [S+1],
//	                                  key_ranges i32 [n, 5] [, cached k [C, G·D], cached v [C, G·D]]
//	                                  → packed [T·H·D | T·H]: output, then log-sum-exp of each row
//	attention_backward Attention      the same six (or eight), packed, do [T, H·D] → packed [T·H·D | T·G·D | T·G·D]: dq, dk, dv
//	cache_write                       x [T, K], kept i32 [M, 2] → [C, K]: of each pair of kept, a token and a row, the row becomes the
//	                                  token's; a token of −1 is none, no row stands twice, and other rows stay what they were
//	swiglu                            gate [T, N], up [T, N] → silu(gate)·up
//	swiglu_backward                   gate, up, dy → packed [T·N | T·N]: dgate, dup
//	dropout            Dropout        x [T, K], keys i32 [T, 2] (halves of a 64-bit key, the lower first) → [T, K]; may overwrite x
//	add                engine.AddAttr a, b → a + Scale·b; may overwrite a
//	scale              engine.AddAttr a → Scale·a
//	gather                            x [T, K], reads i32 [R] → [R, K]
//	gather_dx                         dy [R, K], reads i32 [R] → [T, K], rows that nobody reads are 0, rows read twice add up
//	pool               Pool           x [T, K], cu_seqlens i32 [S+1] → [S, K], rows of empty segments are 0
//	tanh                              x [R, C] → same shape
//	sigmoid, relu                     x [R, C] → same shape
//	sigmoid_dx, relu_dx               y (the op's result), dy → same shape
//	positive_prob                     logits [R, 2] → softmax(logits)[1] [R, 1]
//	positive_prob_dx                  y [R, 1], dy [R, 1] → [R, 2]
//	pick                              x [R, C], column i32 [R] → [R, 1]
//	pick_dx                           dy [R, 1], column i32 [R], x [R, C] (for its shape) → [R, C], 0 elsewhere
//	squared_error                     y [R, 1], target [R], weight [R] → Σ weight·(y − target)²
//	squared_error_dy                  y, target, weight, dL scalar → [R, 1]
//	bce                               z [R, 1] logits, target, weight → Σ weight·(softplus(z) − target·z)
//	bce_dz                            z, target, weight, dL → [R, 1]
//	ce                                z [R, 2] logits, target, weight → the same on z1 − z0
//	ce_dz                             z, target, weight, dL → [R, 2]
//	log_prob_block     LogProbBlock   logits [R, N] of one block of the vocabulary, labels i32 [R] [, state [R, 3]] → [R, 3]: the largest
//	                                  logit of the blocks so far, Σ e^(logit − largest), and the label's logit
//	log_prob                          state [R, 3] → [R, 1]: the label's logit − largest − ln Σ
//
// Where a backend says so (engine.Fuser), in bf16 or f32, three more do what two or three do, to the bit:
//
//	linear_add         engine.AddAttr a [T, N], x, w [, b] → a + Scale·linear(x, w, b); may overwrite a
//	linear_dx_add      engine.AddAttr a [T, K], dy, w → a + Scale·linear_dx(dy, w); may overwrite a
//	linear_swiglu                     x [T, K], w [N, K], v [N, K] → swiglu(linear(x, w), linear(x, v))
//
// linear_int8 computes in f32 alone, and not on every backend. It rounds x to int8 in blocks of a row, each with a scale of its own,
// and w was rounded so before; a block's products are added as integers, exactly, then multiplied by x's scale and by w's, and the
// blocks are added to the bias from the first to the last, each operation rounded to f32. Every backend gives the same bits.
//
// layernorm, gelu, pool and tanh belong to encoders that only infer, log_prob_block and log_prob to scoring: no gradient flows through
// them.
//
// A segment s holds the tokens cu_seqlens[s] to cu_seqlens[s+1]; its keys are the logical sequence made by laying the
// ranges range_offsets[s] to range_offsets[s+1] end to end. A range is {buffer, start, end, mask, window}: tokens of this
// batch (BufferBatch) or of the cache (BufferCache; its keys get no gradient), and what of them the query at offset i of
// its segment sees: MaskFull all, MaskCausal those with (key − start) ≤ i, MaskWindow those with 0 ≤ i − (key − start) < window.
// A query that sees no key gets output 0 and log-sum-exp −Inf.
// Softmax runs blockwise along the logical sequence, with blocks cut at fixed logical positions, so a row's result
// depends neither on packing nor on how its keys are divided into ranges.
//
// Outside graphs, for the optimizer (rows Fixed, whole tensors, no attributes):
//
//	sum_squares   x [n] → f64 [1], in a fixed order
//	clip          squares f64 [N], bound f64 [1] → f64 [ClipLen]: the norm √Σ squares, added from the first to the last, and the
//	              factor min(1, bound/(norm + 1e-6)), or 1 for a bound of 0; both NaN if a square is NaN or Inf
//	adamw         param, grad, m, v [n], hyper f64 [HyperLen], clip's result → param; m and v are updated too. A factor of NaN
//	              changes nothing
//	sgd           param, grad, velocity [n], hyper f64 [SGDLen], clip's result → param: g = factor·grad + decay·param, velocity =
//	              momentum·velocity + g, which is updated too, param − lr·velocity. A factor of NaN changes nothing
//
// m and v may be bf16 where the rest is f32: then the update takes them before they are rounded, and they are rounded up or
// down at random, so that many small changes add up as they would in f32 (v's is a thousandth of it, bf16's last place some
// hundredths). Of Mix(salt + i), for element i, the lower 16 bits are added below m's last place before it is cut, the next
// 16 below v's.
package ops
