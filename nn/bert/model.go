package bert

import (
	"fmt"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/ops"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// model is the graph of one capacity: T tokens in S segments, one a text. Weights are inputs; the network binds their memory.
type model struct {
	*ops.Builder
	config *hfmodel.BERTConfig
	dtype  tensor.Dtype
	params []parameter

	ids, positions, types *gorgonia.Node // i32 [T]
	keys                  ops.Keys
	starts                *gorgonia.Node // i32 [S], of the segments; nil unless the pooling is cls
	embeddings            *gorgonia.Node // [S, Dim], before the normalisation
}

type parameter struct {
	source int // 0: the trunk; 1 and on: dense layers
	name   string
	shape  []int
	node   *gorgonia.Node
}

func newModel(s *hfmodel.Sentence, dtype tensor.Dtype, tokens, segments int) (*model, error) {
	m := &model{Builder: ops.NewBuilder(nil), config: s.Config, dtype: dtype}
	m.keys = ops.Keys{
		CuSeqlens:    m.Input("cu_seqlens", engine.I32, segments+1),
		RangeOffsets: m.Input("range_offsets", engine.I32, segments+1),
		Ranges:       m.Input("key_ranges", engine.I32, segments, ops.RangeLen),
	}
	x := m.trunk(tokens) // [T, D]
	switch s.Pooling {
	case hfmodel.PoolCLS:
		m.starts = m.Input("starts", engine.I32, segments)
		x = m.Gather(x, m.starts) // [S, D]
	default:
		x = m.Pool(x, m.keys.CuSeqlens, ops.Pool{Max: s.Pooling == hfmodel.PoolMax}) // [S, D]
	}
	for i, d := range s.Dense {
		x = m.linear(engine.Reads, i+1, x, "linear", d.In, d.Out, d.Bias) // [S, Out]
		if d.Tanh {
			x = m.Tanh(x) // [S, Out]
		}
	}
	m.embeddings = x
	return m, m.Err()
}

// trunk is BertModel without its pooler; see modeling_bert.py of transformers.
func (m *model) trunk(tokens int) *gorgonia.Node {
	c := m.config
	table := func(name string, rows int, ids *gorgonia.Node) *gorgonia.Node {
		return m.Embedding(m.input(0, "embeddings."+name+".weight", rows, c.HiddenSize), ids, m.dtype, false) // [T, D]
	}
	m.ids = m.Input("ids", engine.I32, tokens)
	m.positions = m.Input("positions", engine.I32, tokens)
	m.types = m.Input("types", engine.I32, tokens)
	x := m.Add(table("word_embeddings", c.VocabSize, m.ids), table("token_type_embeddings", c.TypeVocabSize, m.types), 1)
	x = m.norm("embeddings.LayerNorm", m.Add(x, table("position_embeddings", c.MaxPositionEmbeddings, m.positions), 1)) // [T, D]
	for i := range c.NumHiddenLayers {
		x = m.layer(fmt.Sprintf("encoder.layer.%d.", i), x) // [T, D]
	}
	return x
}

func (m *model) layer(name string, x *gorgonia.Node) *gorgonia.Node {
	c := m.config
	project := func(module string, x *gorgonia.Node, in, out int) *gorgonia.Node {
		return m.linear(engine.Tokens, 0, x, name+module, in, out, true)
	}
	q := project("attention.self.query", x, c.HiddenSize, c.HiddenSize) // [T, D]
	k := project("attention.self.key", x, c.HiddenSize, c.HiddenSize)   // [T, D]
	v := project("attention.self.value", x, c.HiddenSize, c.HiddenSize) // [T, D]
	heads := ops.Attention{Heads: c.NumAttentionHeads, KVHeads: c.NumAttentionHeads, HeadDim: c.HiddenSize / c.NumAttentionHeads}
	a := project("attention.output.dense", m.Attention(q, k, v, m.keys, heads), c.HiddenSize, c.HiddenSize) // [T, D]
	x = m.norm(name+"attention.output.LayerNorm", m.Add(a, x, 1))                                           // [T, D]

	h := m.GELU(project("intermediate.dense", x, c.HiddenSize, c.IntermediateSize), ops.GELU{Tanh: c.HiddenAct != "gelu"}) // [T, F]
	return m.norm(name+"output.LayerNorm", m.Add(project("output.dense", h, c.IntermediateSize, c.HiddenSize), x, 1))      // [T, D]
}

func (m *model) norm(name string, x *gorgonia.Node) *gorgonia.Node {
	return m.LayerNorm(x, m.input(0, name+".weight", m.config.HiddenSize), m.input(0, name+".bias", m.config.HiddenSize),
		m.config.LayerNormEps)
}

func (m *model) linear(rows engine.Dim, source int, x *gorgonia.Node, name string, in, out int, bias bool) *gorgonia.Node {
	w := m.input(source, name+".weight", out, in)
	var b *gorgonia.Node
	if bias {
		b = m.input(source, name+".bias", out)
	}
	return m.Linear(rows, x, w, b, false, false)
}

func (m *model) input(source int, name string, shape ...int) *gorgonia.Node {
	n := m.Input(fmt.Sprintf("%d.%s", source, name), m.dtype, shape...)
	m.params = append(m.params, parameter{source, name, shape, n})
	return n
}
