package nn

import (
	"fmt"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"github.com/goprm/goprm/internal/rng"
	"github.com/goprm/goprm/loss"
	"gorgonia.org/gorgonia"
)

// Parameter is one tensor of the model, by its Hugging Face name.
type Parameter struct {
	Name    string
	Shape   []int
	Trained bool
	Head    bool // belongs to the value head: its own learning rate
	node    *gorgonia.Node
}

// Decays reports whether AdamW's weight decay applies: to matrices, not to biases and norms.
func (p *Parameter) Decays() bool { return len(p.Shape) >= 2 }

// model is the graph of one capacity. Weights are inputs; the network binds their memory.
type model struct {
	*ops.Builder
	spec   Spec
	cap    Capacity
	frozen map[string]bool // matrices stored as bf16 that stay so
	params []*Parameter

	ids, positions *gorgonia.Node // i32 [T]
	keys, sliding  ops.Keys       // of all layers; of those with a window, where some have one
	dropKeys       *gorgonia.Node // i32 [T, 2], nil without dropout
	cached         gorgonia.Nodes // [C, G·Dh], keys and values of each layer, where there is a cache
	keysValues     gorgonia.Nodes // [T, G·Dh], the batch's own, in the same order
	reads, column  *gorgonia.Node // i32 [R]; column is a head's own row, or the token that is the label
	target, weight *gorgonia.Node // [R]

	hidden   *gorgonia.Node // after the final norm [T, D]; nil when the graph starts at cached features
	features *gorgonia.Node // hidden at the read-outs [R, D]
	logits   *gorgonia.Node // [R, C]
	values   *gorgonia.Node // [R, 1]
	loss     *gorgonia.Node // scalar
	grads    gorgonia.Nodes // of the trained parameters, in order
	keep     gorgonia.Nodes // what the backward pass finds in memory
}

// newModel builds the graph. bf16 says whether a frozen matrix is stored, and so read, as bf16.
func newModel(spec Spec, capacity Capacity, bf16 func(name string) bool, oracle engine.Backend) (*model, error) {
	m := &model{Builder: ops.NewBuilder(oracle), spec: spec, cap: capacity, frozen: map[string]bool{}}
	m.reads = m.Input("reads", engine.I32, capacity.Reads)
	m.column = m.Input("column", engine.I32, capacity.Reads)
	m.target = m.Input("target", spec.params(), capacity.Reads)
	m.weight = m.Input("weight", spec.params(), capacity.Reads)
	if spec.Train == TrainHead {
		m.features = m.Input("features", spec.params(), capacity.Reads, spec.Config.HiddenSize) // [R, D]
	} else {
		m.hidden = m.trunk(bf16)
		m.features = m.Gather(m.hidden, m.reads) // [R, D]
	}
	m.head(bf16)
	m.objective()
	if err := m.Err(); err != nil {
		return nil, err
	}
	if spec.Train == TrainNothing {
		return m, nil
	}
	var trained gorgonia.Nodes
	for _, p := range m.params {
		if p.Trained {
			trained = append(trained, p.node)
		}
	}
	grads, err := gorgonia.Grad(m.loss, trained...)
	if err == nil {
		err = m.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("deriving the backward pass: %w", err)
	}
	m.grads = grads
	return m, nil
}

// trunk is Qwen2 without its vocabulary head; see modeling_qwen2.py of transformers.
func (m *model) trunk(bf16 func(string) bool) *gorgonia.Node {
	c := m.spec.Config
	m.ids = m.Input("ids", engine.I32, m.cap.Tokens)
	m.positions = m.Input("positions", engine.I32, m.cap.Tokens)
	m.keys = ops.Keys{
		CuSeqlens:    m.Input("cu_seqlens", engine.I32, m.cap.Segments+1),
		RangeOffsets: m.Input("range_offsets", engine.I32, m.cap.Segments+1),
		Ranges:       m.Input("key_ranges", engine.I32, m.cap.Ranges, ops.RangeLen),
	}
	if m.spec.dropsOut() {
		m.dropKeys = m.Input("dropout_keys", engine.I32, m.cap.Tokens, 2)
	}
	if c.SlidingWindow > 0 {
		m.sliding = m.keys
		m.sliding.Ranges = m.Input("sliding_key_ranges", engine.I32, m.cap.Ranges, ops.RangeLen)
	}
	full := m.spec.Train == TrainFull
	table := m.matrix("model.embed_tokens.weight", bf16, c.VocabSize, c.HiddenSize)
	x := m.Embedding(table, m.ids, m.spec.DType, full) // [T, D]
	var last int64
	for i := range c.NumHiddenLayers {
		if m.Err() != nil {
			return nil
		}
		m.keep = append(m.keep, x)
		last = x.ID()
		x = m.layer(i, x, bf16) // [T, D]
	}
	hidden := m.RMSNorm(x, m.vector("model.norm.weight", c.HiddenSize), c.RMSNormEps, full) // [T, D]
	if m.Err() != nil {
		return nil
	}
	// The backward pass starts in the last layer, whose activations are still in memory: they need no recomputation.
	for _, n := range m.Graph.AllNodes() {
		if n.ID() > last && n.Op() != nil {
			m.keep = append(m.keep, n)
		}
	}
	return hidden
}

func (m *model) layer(i int, x *gorgonia.Node, bf16 func(string) bool) *gorgonia.Node {
	c, full := m.spec.Config, m.spec.Train == TrainFull
	name := func(s string) string { return fmt.Sprintf("model.layers.%d.%s", i, s) }
	heads, groups := c.NumAttentionHeads*c.HeadDim, c.NumKeyValueHeads*c.HeadDim
	rope := ops.RoPE{HeadDim: c.HeadDim, Theta: c.RopeTheta, Scaling: ops.RoPEScaling(c.RopeScaling)}

	h := m.RMSNorm(x, m.vector(name("input_layernorm.weight"), c.HiddenSize), c.RMSNormEps, full) // [T, D]
	q := m.linear(i, "self_attn", "q_proj", h, heads, c.AttentionBias, bf16)                      // [T, H·Dh]
	k := m.linear(i, "self_attn", "k_proj", h, groups, c.AttentionBias, bf16)                     // [T, G·Dh]
	v := m.linear(i, "self_attn", "v_proj", h, groups, c.AttentionBias, bf16)                     // [T, G·Dh]
	q, k = m.RoPE(q, m.positions, rope), m.RoPE(k, m.positions, rope)
	keys := m.keys
	if c.Window(i) > 0 {
		keys = m.sliding
	}
	keys.CachedK, keys.CachedV = m.cachedInputs(i)
	m.keysValues = append(m.keysValues, k, v)
	a := m.Attention(q, k, v, keys, ops.Attention{Heads: c.NumAttentionHeads, KVHeads: c.NumKeyValueHeads, HeadDim: c.HeadDim}) // [T, H·Dh]
	x = m.Add(x, m.linear(i, "self_attn", "o_proj", a, c.HiddenSize, false, bf16), 1)                                           // [T, D]

	h = m.RMSNorm(x, m.vector(name("post_attention_layernorm.weight"), c.HiddenSize), c.RMSNormEps, full) // [T, D]
	gate := m.linear(i, "mlp", "gate_proj", h, c.IntermediateSize, false, bf16)                           // [T, F]
	up := m.linear(i, "mlp", "up_proj", h, c.IntermediateSize, false, bf16)                               // [T, F]
	return m.Add(x, m.linear(i, "mlp", "down_proj", m.SwiGLU(gate, up), c.HiddenSize, false, bf16), 1)    // [T, D]
}

// linear is one projection of layer i, with its adapter where there is one: W·x + b + (alpha/rank)·B·(A·dropout(x)).
func (m *model) linear(i int, block, module string, x *gorgonia.Node, out int, bias bool, bf16 func(string) bool) *gorgonia.Node {
	if m.Err() != nil {
		return nil
	}
	full, in := m.spec.Train == TrainFull, x.Shape()[1]
	name := fmt.Sprintf("model.layers.%d.%s.%s", i, block, module)
	w := m.matrix(name+".weight", bf16, out, in)
	var b *gorgonia.Node
	if bias {
		b = m.vector(name+".bias", out)
	}
	y := m.Linear(engine.Tokens, x, w, b, full, full) // [T, out]
	if !m.spec.adapted(i, module) {
		return y
	}
	train, rank := m.spec.Train == TrainLoRA, m.spec.LoRA.Rank
	if m.dropKeys != nil {
		x = m.Dropout(x, m.dropKeys, ops.Dropout{P: m.spec.LoRA.Dropout, Salt: rng.Hash(name)}) // [T, in]
	}
	down := m.Linear(engine.Tokens, x, m.input(name+".lora_A.weight", train, false, rank, in), nil, train, false)                                               // [T, r]
	return m.Add(y, m.Linear(engine.Tokens, down, m.input(name+".lora_B.weight", train, false, out, rank), nil, train, false), m.spec.LoRA.Alpha/float64(rank)) // [T, out]
}

func (m *model) head(bf16 func(name string) bool) {
	if m.Err() != nil {
		return
	}
	train, hidden := m.spec.Train != TrainNothing, m.spec.Config.HiddenSize
	linear := func(x *gorgonia.Node, name string, out int) *gorgonia.Node {
		return m.Linear(engine.Reads, x, m.input(name+".weight", train, true, out, hidden), m.input(name+".bias", train, true, out), train, train)
	}
	switch m.spec.Head.Kind {
	case Scalar:
		if m.spec.Head.Final == "own" {
			m.logits = m.Pick(linear(m.features, "score", 2), m.column) // [R, 1]
		} else {
			m.logits = linear(m.features, "score", 1) // [R, 1]
		}
		m.values = m.logits
		if m.spec.Head.Activation == "sigmoid" {
			m.values = m.Sigmoid(m.logits) // [R, 1]
		}
	case LinearTwoClass:
		m.logits = linear(m.features, "score", 2) // [R, 2]
		m.values = m.Good(m.logits)               // [R, 1]
	case TwoClassMLP:
		m.logits = linear(m.ReLU(linear(m.features, "score.0", hidden)), "score.2", 2) // [R, 2]
		m.values = m.Good(m.logits)                                                    // [R, 1]
	case TokenLogProb:
		m.logits = m.logProb(bf16) // [R, 1]
		m.values = m.logits
	}
}

func (m *model) objective() {
	switch m.spec.Loss {
	case loss.BCE:
		m.loss = m.BCE(m.logits, m.target, m.weight)
	case loss.CE:
		m.loss = m.CE(m.logits, m.target, m.weight)
	default:
		m.loss = m.SquaredError(m.values, m.target, m.weight)
	}
}

// matrix is a trunk matrix: trained in the dtype of parameters, or frozen as stored.
func (m *model) matrix(name string, bf16 func(string) bool, shape ...int) *gorgonia.Node {
	if m.spec.Train != TrainFull && bf16(name) {
		n := m.Input(name, engine.BFloat16, shape...)
		m.params = append(m.params, &Parameter{Name: name, Shape: shape, node: n})
		return n
	}
	return m.input(name, m.spec.Train == TrainFull, false, shape...)
}

// vector is a trunk bias or norm: always in the dtype of parameters.
func (m *model) vector(name string, n int) *gorgonia.Node {
	return m.input(name, m.spec.Train == TrainFull, false, n)
}

func (m *model) input(name string, trained, head bool, shape ...int) *gorgonia.Node {
	n := m.Input(name, m.spec.params(), shape...)
	m.params = append(m.params, &Parameter{Name: name, Shape: shape, Trained: trained, Head: head, node: n})
	return n
}
