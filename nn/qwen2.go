package nn

import (
	"fmt"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/ops"
	"github.com/goprm/goprm/internal/rng"
	"gorgonia.org/gorgonia"
)

func init() { nnet.Register(nnet.Models{Build: build, Custom: newCustom}) }

// build adds the backbone, the head and the loss to a graph. Training the head alone starts at features that are given.
func build(graph *nnet.Graph) {
	g := &network{Graph: graph}
	if g.Spec.Train == nnet.TrainHead {
		g.Features = g.Input("features", g.Spec.Params(), g.Cap.Reads, g.Spec.Config.HiddenSize) // [R, D]
	} else {
		g.backbone()
	}
	g.head()
	if g.Logits != nil && g.Spec.Expr == nil {
		g.objective()
	}
}

// network builds one graph: Qwen2's, as modeling_qwen2.py of transformers has it, of which Llama and Mistral are cases, or
// Qwen3's, which normalises queries and keys. Which projections have biases is for the configuration to say.
type network struct {
	*nnet.Graph
}

// backbone is the model without its vocabulary head: the hidden states of all tokens, and those at the read-outs.
func (g *network) backbone() {
	c := g.Spec.Config
	g.inputs()
	full := g.Spec.Train == nnet.TrainFull
	table := g.Matrix("model.embed_tokens.weight", c.VocabSize, c.HiddenSize)
	x := g.Embedding(table, g.IDs, g.Spec.DType, full) // [T, D]
	for i := range c.NumHiddenLayers - 1 {
		if g.Err() != nil {
			return
		}
		g.Keep = append(g.Keep, x)
		x = g.output(i, x, g.attention(i, x)) // [T, D]
	}
	if g.Err() != nil {
		return
	}
	g.Keep = append(g.Keep, x)
	g.lastLayer(c.NumHiddenLayers-1, x)
}

// lastLayer computes what follows the last attention at the read-outs alone, which all else is read from: the bits of a row do not
// depend on the others. Where all else is bf16 they are float32 from here on, as the head is. The hidden states of all tokens are an
// output of their own, computed where it is asked for.
func (g *network) lastLayer(i int, x *gorgonia.Node) {
	before := x.ID()
	a := g.attention(i, x) // [T, H·Dh]
	hidden := func(x, a *gorgonia.Node) *gorgonia.Node {
		return g.norm("model.norm", g.output(i, x, a), g.Spec.Config.HiddenSize)
	}
	if g.readsAllTokens() {
		g.Hidden = hidden(x, a)                  // [T, D]
		g.Features = g.Gather(g.Hidden, g.Reads) // [R, D]
		g.keepAfter(before)
		return
	}
	g.Features = hidden(g.Gather(x, g.Reads), g.Gather(a, g.Reads)) // [R, D]
	g.keepAfter(before)
	g.Hidden = hidden(x, a) // [T, D]
}

// readsAllTokens says whether the last layer is computed for all tokens: for a custom head that reads them, for dropout, whose masks
// go by token, and where the backend would rather.
func (g *network) readsAllTokens() bool {
	return g.Spec.ReadsHidden() || g.DropKeys != nil || g.Spec.ComputesAllTokens()
}

// keepAfter keeps the activations of the last layer: the backward pass starts there, and they need no recomputation.
func (g *network) keepAfter(id int64) {
	if g.Err() != nil {
		return
	}
	for _, n := range g.Graph.Graph.AllNodes() {
		if n.ID() > id && n.Op() != nil {
			g.Keep = append(g.Keep, n)
		}
	}
}

// inputs are what a launch says of its tokens.
func (g *network) inputs() {
	g.IDs = g.Input("ids", engine.I32, g.Cap.Tokens)
	g.Positions = g.Input("positions", engine.I32, g.Cap.Tokens)
	g.Keys = ops.Keys{
		CuSeqlens:    g.Input("cu_seqlens", engine.I32, g.Cap.Segments+1),
		RangeOffsets: g.Input("range_offsets", engine.I32, g.Cap.Segments+1),
		Ranges:       g.Input("key_ranges", engine.I32, g.Cap.Ranges, ops.RangeLen),
	}
	if g.Spec.DropsOut() {
		g.DropKeys = g.Input("dropout_keys", engine.I32, g.Cap.Tokens, 2)
	}
	if g.Spec.Config.SlidingWindow > 0 {
		g.Sliding = g.Keys
		g.Sliding.Ranges = g.Input("sliding_key_ranges", engine.I32, g.Cap.Ranges, ops.RangeLen)
	}
}

// attention is the first half of layer i: grouped-query attention of norm(x) with rotary positions, before its projection.
func (g *network) attention(i int, x *gorgonia.Node) *gorgonia.Node {
	c := g.Spec.Config
	name := fmt.Sprintf("model.layers.%d", i)
	heads, groups := c.NumAttentionHeads*c.HeadDim, c.NumKeyValueHeads*c.HeadDim
	rope := ops.RoPE{HeadDim: c.HeadDim, Theta: c.RopeTheta, Scaling: ops.RoPEScaling(c.RopeScaling)}
	x = g.norm(name+".input_layernorm", x, c.HiddenSize)
	q := g.linear(i, "self_attn", "q_proj", x, heads, c.AttentionBias)  // [T, H·Dh]
	k := g.linear(i, "self_attn", "k_proj", x, groups, c.AttentionBias) // [T, G·Dh]
	v := g.linear(i, "self_attn", "v_proj", x, groups, c.AttentionBias) // [T, G·Dh]
	if c.QKNorm {
		q, k = g.norm(name+".self_attn.q_norm", q, c.HeadDim), g.norm(name+".self_attn.k_norm", k, c.HeadDim)
	}
	q, k = g.RoPE(q, g.Positions, rope), g.RoPE(k, g.Positions, rope)
	keys := g.Keys
	if c.Window(i) > 0 {
		keys = g.Sliding
	}
	keys.CachedK, keys.CachedV = g.CacheKeysValues(i, k, v)
	return g.Attention(q, k, v, keys, ops.Attention{Heads: c.NumAttentionHeads, KVHeads: c.NumKeyValueHeads, HeadDim: c.HeadDim,
		Pairs: g.Spec.AttendsInBF16()}) // [T, H·Dh]
}

// output is the second half of layer i: x + o_proj(a), then x + mlp(norm(x)). Rows are tokens or read-outs.
func (g *network) output(i int, x, a *gorgonia.Node) *gorgonia.Node {
	c := g.Spec.Config
	x = g.Add(x, g.linear(i, "self_attn", "o_proj", a, c.HiddenSize, c.OutputBias), 1) // [T, D]
	norm := g.norm(fmt.Sprintf("model.layers.%d.post_attention_layernorm", i), x, c.HiddenSize)
	return g.Add(x, g.mlp(i, norm), 1) // [T, D]
}

// mlp is down(silu(gate(x)) · up(x)).
func (g *network) mlp(i int, x *gorgonia.Node) *gorgonia.Node {
	c := g.Spec.Config
	gate := g.linear(i, "mlp", "gate_proj", x, c.IntermediateSize, c.MLPBias)           // [T, F]
	up := g.linear(i, "mlp", "up_proj", x, c.IntermediateSize, c.MLPBias)               // [T, F]
	return g.linear(i, "mlp", "down_proj", g.SwiGLU(gate, up), c.HiddenSize, c.MLPBias) // [T, D]
}

// norm is RMSNorm over groups of width features: a whole row, or each head of it.
func (g *network) norm(name string, x *gorgonia.Node, width int) *gorgonia.Node {
	return g.RMSNorm(x, g.Vector(name+".weight", width), g.Spec.Config.RMSNormEps, g.Spec.Train == nnet.TrainFull)
}

// linear is one projection of layer i, with its adapter where there is one: W·x + b + (alpha/rank)·B·(A·dropout(x)).
func (g *network) linear(i int, block, module string, x *gorgonia.Node, out int, bias bool) *gorgonia.Node {
	if g.Err() != nil {
		return nil
	}
	full, in, rows := g.Spec.Train == nnet.TrainFull, x.Shape()[1], ops.RowsOf(x)
	name := fmt.Sprintf("model.layers.%d.%s.%s", i, block, module)
	var b, y *gorgonia.Node
	if bias {
		b = g.Vector(name+".bias", out)
	}
	if g.Spec.Int8 {
		w, scales := g.Int8Matrix(name+".weight", out, in)
		y = g.LinearInt8(rows, x, w, scales, b) // [T, out]
	} else {
		// The gradients of a layer's weights come together.
		g.Group = i + 1
		y = g.Linear(rows, x, g.Matrix(name+".weight", out, in), b, full, full) // [T, out]
		g.Group = 0
	}
	if !g.Spec.Adapted(i, module) {
		return y
	}
	train, rank := g.Spec.Train == nnet.TrainLoRA, g.Spec.LoRA.Rank
	if g.DropKeys != nil {
		x = g.Dropout(x, g.DropKeys, ops.Dropout{P: g.Spec.LoRA.Dropout, Salt: rng.Hash(name)}) // [T, in]
	}
	a := g.Parameter(name+".lora_A.weight", train, false, rank, in)
	down := g.Linear(rows, x, a, nil, train, false) // [T, r]
	up := g.Linear(rows, down, g.Parameter(name+".lora_B.weight", train, false, out, rank), nil, train, false)
	return g.Add(y, up, g.Spec.LoRA.Alpha/float64(rank)) // [T, out]
}
