package speed

import (
	"fmt"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/ops"
)

// attentionProducts is how many products of a query's and a key's vectors a pair of them takes: scores and outputs; and in the backward
// pass scores again, their slopes, and the gradients of queries, keys and values.
var attentionProducts = map[string]float64{"attention": 2, "attention_backward": 5}

// executed is what a launch computes and moves at the live counts of the moment: operations, a multiplication and an addition counting
// as two, and bytes of what it reads and writes, each once. Padding of tiles counts as nothing.
func executed(c engine.Call) (flops, bytes float64) {
	rows := live(c, c.Rows, rowsOf(c.In[0]))
	switch c.Op {
	case "linear", "linear_int8", "linear_dx":
		flops = 2 * float64(rows) * float64(c.In[1].Size())
	case "linear_swiglu":
		flops = 4 * float64(rows) * float64(c.In[1].Size())
	case "linear_dw":
		flops = 2 * float64(rows) * float64(c.Out.Size())
	case "attention", "attention_backward":
		a := c.Attr.(ops.Attention)
		flops = 2 * attentionProducts[c.Op] * pairs(c) * float64(a.Heads*a.HeadDim)
	case "embedding":
		return 0, 2 * touched(c.Out, live(c, c.Rows, rowsOf(c.Out)), rowsOf(c.Out))
	}
	capacity := rowsOf(c.In[0])
	for _, t := range append([]*engine.Tensor{c.Out}, c.In...) {
		bytes += touched(t, rows, capacity)
	}
	return flops, bytes
}

// touched are the bytes of a tensor's live rows, if it has a row for each of the capacity.
func touched(t *engine.Tensor, rows, capacity int) float64 {
	if rowsOf(t) == capacity && capacity > 0 {
		return float64(t.MemSize()) / float64(capacity) * float64(rows)
	}
	return float64(t.MemSize())
}

func rowsOf(t *engine.Tensor) int {
	if len(t.Shape()) == 0 {
		return 1
	}
	return t.Shape()[0]
}

func live(c engine.Call, dim engine.Dim, capacity int) int {
	if dim == engine.Fixed {
		return capacity
	}
	if n := int(engine.Slice[int32](c.Live)[dim]); n >= 0 {
		return n
	}
	return capacity
}

// pairs counts the queries and keys that see each other.
func pairs(c engine.Call) float64 {
	starts, offsets, ranges := engine.Slice[int32](c.In[3]), engine.Slice[int32](c.In[4]), engine.Slice[int32](c.In[5])
	total := 0
	for s := range live(c, engine.Segments, len(starts)-1) {
		queries := int(starts[s+1] - starts[s])
		for j := offsets[s]; j < offsets[s+1]; j++ {
			r := ranges[int(j)*ops.RangeLen:][:ops.RangeLen]
			keys := int(r[2] - r[1])
			for i := range queries {
				switch r[3] {
				case ops.MaskFull:
					total += keys
				case ops.MaskCausal:
					total += min(keys, i+1)
				default:
					total += min(keys, i+1) - max(0, min(keys, i+1-int(r[4])))
				}
			}
		}
	}
	return float64(total)
}

// nominal are the operations of a step by definition: every matrix of the trunk at every token and causal attention, whatever an
// implementation leaves out or computes again.
func (m *mode) nominal(c *hfmodel.Config, lora nnet.LoRASpec, tokens int) float64 {
	t, matrices, adapters := float64(tokens), 0.0, 0.0
	for _, s := range c.TrunkTensors() {
		if len(s.Shape) == 2 && s.Name != "embed_tokens.weight" {
			matrices += float64(s.Shape[0]) * float64(s.Shape[1])
			adapters += float64(lora.Rank * (s.Shape[0] + s.Shape[1]))
		}
	}
	if m.train != nnet.TrainLoRA {
		adapters = 0
	}
	seen := t * (t + 1) / 2 * float64(c.NumHiddenLayers*c.NumAttentionHeads*c.HeadDim)
	return 2*t*(m.frozen*matrices+m.trained*adapters) + 4*m.attention*seen
}

// label names a launch's op, and of products the matrix.
func label(c engine.Call) string {
	switch c.Op {
	case "linear", "linear_int8", "linear_dx", "linear_swiglu":
		return fmt.Sprintf("%s %d×%d", c.Op, c.In[1].Shape()[0], c.In[1].Shape()[1])
	case "linear_dw":
		return fmt.Sprintf("%s %d×%d", c.Op, c.Out.Shape()[0], c.Out.Shape()[1])
	}
	return c.Op
}

// products is the dtype of an op's products. Attention's backward pass computes in f32 where other products are of bf16.
func products(c engine.Call) string {
	attention, _ := c.Attr.(ops.Attention)
	switch {
	case c.Op == "linear_int8":
		return engine.Int8
	case attention.Pairs:
		return "bf16"
	case c.Op == "attention_backward" && c.Out.Dtype() == engine.BFloat16:
		return "f32"
	}
	return engine.DTypeName(c.In[0].Dtype())
}

// Nominal is how many GFLOP a step of the options' shape takes by definition.
func (o Options) Nominal() (float64, error) {
	if err := o.Validate(); err != nil {
		return 0, err
	}
	config, err := parseShape(o.Shape)
	if err != nil {
		return 0, err
	}
	return modes[o.Mode].nominal(config, o.lora(), o.Tokens) / 1e9, nil
}

// Size is what a shape's memory comes from.
type Size struct{ Parameters, Layers, Hidden, Intermediate int }

// SizeOf is the size of one of [Shapes], its embedding included.
func SizeOf(shape string) (Size, error) {
	config, err := parseShape(shape)
	if err != nil {
		return Size{}, err
	}
	s := Size{Layers: config.NumHiddenLayers, Hidden: config.HiddenSize, Intermediate: config.IntermediateSize}
	for _, t := range config.TrunkTensors() {
		n := 1
		for _, d := range t.Shape {
			n *= d
		}
		s.Parameters += n
	}
	return s, nil
}
