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
		g.Hidden = g.backbone()
		g.Features = g.Gather(g.Hidden, g.Reads) // [R, D]
	}
	g.head()
	if g.Logits != nil && g.Spec.Expr == nil {
		g.objective()
	}
}

// network builds one graph: Qwen2's, as modeling_qwen2.py of transformers has it, of which Llama and Mistral are cases, or
// Qwen3's, which normalises queries and keys and has no biases.
type network struct {
	*nnet.Graph
}

// backbone is the model without its vocabulary head.
func (g *network) backbone() *gorgonia.Node {
	c := g.Spec.Config
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
	if c.SlidingWindow > 0 {
		g.Sliding = g.Keys
		g.Sliding.Ranges = g.Input("sliding_key_ranges", engine.I32, g.Cap.Ranges, ops.RangeLen)
	}
	full := g.Spec.Train == nnet.TrainFull
	table := g.Matrix("model.embed_tokens.weight", c.VocabSize, c.HiddenSize)
	x := g.Embedding(table, g.IDs, g.Spec.DType, full) // [T, D]
	var last int64
	for i := range c.NumHiddenLayers {
		if g.Err() != nil {
			return nil
		}
		g.Keep = append(g.Keep, x)
		last = x.ID()
		x = g.layer(i, x) // [T, D]
	}
	hidden := g.norm("model.norm", x, c.HiddenSize) // [T, D]
	if g.Err() != nil {
		return nil
	}
	// The backward pass starts in the last layer, whose activations are still in memory: they need no recomputation.
	for _, n := range g.Graph.Graph.AllNodes() {
		if n.ID() > last && n.Op() != nil {
			g.Keep = append(g.Keep, n)
		}
	}
	return hidden
}

// layer is one decoder layer: x + attention(norm(x)), then x + mlp(norm(x)).
func (g *network) layer(i int, x *gorgonia.Node) *gorgonia.Node {
	name, width := fmt.Sprintf("model.layers.%d", i), g.Spec.Config.HiddenSize
	x = g.Add(x, g.attention(i, g.norm(name+".input_layernorm", x, width)), 1)       // [T, D]
	return g.Add(x, g.mlp(i, g.norm(name+".post_attention_layernorm", x, width)), 1) // [T, D]
}

// attention is grouped-query attention with rotary positions.
func (g *network) attention(i int, x *gorgonia.Node) *gorgonia.Node {
	c := g.Spec.Config
	heads, groups := c.NumAttentionHeads*c.HeadDim, c.NumKeyValueHeads*c.HeadDim
	rope := ops.RoPE{HeadDim: c.HeadDim, Theta: c.RopeTheta, Scaling: ops.RoPEScaling(c.RopeScaling)}
	q := g.linear(i, "self_attn", "q_proj", x, heads, c.AttentionBias)  // [T, H·Dh]
	k := g.linear(i, "self_attn", "k_proj", x, groups, c.AttentionBias) // [T, G·Dh]
	v := g.linear(i, "self_attn", "v_proj", x, groups, c.AttentionBias) // [T, G·Dh]
	if c.QKNorm {
		name := fmt.Sprintf("model.layers.%d.self_attn", i)
		q, k = g.norm(name+".q_norm", q, c.HeadDim), g.norm(name+".k_norm", k, c.HeadDim)
	}
	q, k = g.RoPE(q, g.Positions, rope), g.RoPE(k, g.Positions, rope)
	keys := g.Keys
	if c.Window(i) > 0 {
		keys = g.Sliding
	}
	keys.CachedK, keys.CachedV = g.CachedKeysValues(i)
	g.KeysValues = append(g.KeysValues, k, v)
	a := g.Attention(q, k, v, keys, ops.Attention{Heads: c.NumAttentionHeads, KVHeads: c.NumKeyValueHeads, HeadDim: c.HeadDim}) // [T, H·Dh]
	return g.linear(i, "self_attn", "o_proj", a, c.HiddenSize, false)                                                           // [T, D]
}

// mlp is down(silu(gate(x)) · up(x)).
func (g *network) mlp(i int, x *gorgonia.Node) *gorgonia.Node {
	c := g.Spec.Config
	gate := g.linear(i, "mlp", "gate_proj", x, c.IntermediateSize, false)           // [T, F]
	up := g.linear(i, "mlp", "up_proj", x, c.IntermediateSize, false)               // [T, F]
	return g.linear(i, "mlp", "down_proj", g.SwiGLU(gate, up), c.HiddenSize, false) // [T, D]
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
	full, in := g.Spec.Train == nnet.TrainFull, x.Shape()[1]
	name := fmt.Sprintf("model.layers.%d.%s.%s", i, block, module)
	w := g.Matrix(name+".weight", out, in)
	var b *gorgonia.Node
	if bias {
		b = g.Vector(name+".bias", out)
	}
	y := g.Linear(engine.Tokens, x, w, b, full, full) // [T, out]
	if !g.Spec.Adapted(i, module) {
		return y
	}
	train, rank := g.Spec.Train == nnet.TrainLoRA, g.Spec.LoRA.Rank
	if g.DropKeys != nil {
		x = g.Dropout(x, g.DropKeys, ops.Dropout{P: g.Spec.LoRA.Dropout, Salt: rng.Hash(name)}) // [T, in]
	}
	a := g.Parameter(name+".lora_A.weight", train, false, rank, in)
	down := g.Linear(engine.Tokens, x, a, nil, train, false) // [T, r]
	up := g.Linear(engine.Tokens, down, g.Parameter(name+".lora_B.weight", train, false, out, rank), nil, train, false)
	return g.Add(y, up, g.Spec.LoRA.Alpha/float64(rank)) // [T, out]
}
