package cpu

import (
	"slices"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"gorgonia.org/tensor"
)

// narrowCall is a call on whole tensors.
type narrowCall struct {
	b      *backend
	outer  engine.Call
	inner  engine.Call
	launch engine.Launch
	lse    int // log-sum-exps at the end of attention's packed result, which its backward pass reads

	// The conversion in work.
	floats []float32
	narrow []engine.BF16
	widen  func(i int)
	round  func(i int)
}

const convertAtATime = 1 << 15

func (b *backend) narrowWhole(c engine.Call) (engine.Launch, error) {
	n := &narrowCall{b: b, outer: c, inner: c}
	if a, ok := c.Attr.(ops.Attention); ok {
		n.lse = c.In[0].Shape()[0] * a.Heads
	}
	n.widen = func(i int) {
		from, to := i*convertAtATime, min(len(n.floats), (i+1)*convertAtATime)
		b.narrow.widen(n.floats[from:to], n.narrow[from:to])
	}
	n.round = func(i int) {
		from, to := i*convertAtATime, min(len(n.floats), (i+1)*convertAtATime)
		b.narrow.round(n.narrow[from:to], n.floats[from:to])
	}
	n.inner.In = slices.Clone(c.In)
	for i, t := range c.In {
		if !n.table(i) && t.Dtype() == engine.BFloat16 {
			n.inner.In[i] = n.wide(i, t, n.packed(i))
		}
	}
	if c.Out.Dtype() == engine.BFloat16 {
		n.inner.Out = n.wide(len(c.In), c.Out, false)
	}
	var err error
	if n.launch, err = b.compileWide(n.inner); err != nil {
		return nil, err
	}
	return n.run, nil
}

// table tells whether an operand is embedding's, which its kernel reads in any dtype.
func (n *narrowCall) table(i int) bool { return n.outer.Op == "embedding" && i == 0 }

// packed tells whether an operand of attention_backward is the result of attention.
func (n *narrowCall) packed(i int) bool {
	return n.outer.Op == "attention_backward" && i == len(n.outer.In)-2
}

// wide is a tensor's stand-in in f32, whose memory is a slot.
func (n *narrowCall) wide(slot int, t *engine.Tensor, packed bool) *engine.Tensor {
	shape := []int(t.Shape())
	if packed {
		shape = []int{t.Size() - ops.LSELen(engine.BFloat16, n.lse) + n.lse}
	}
	n.b.narrow.whole.reserve(slot, tensor.Shape(shape).TotalSize())
	return wide(shape...)
}

func (n *narrowCall) run() error {
	c := n.outer
	tokens, err := n.tokens()
	if err != nil {
		return err
	}
	for i, t := range c.In {
		if n.inner.In[i] == t {
			continue
		}
		x := n.b.narrow.whole.memory[i]
		n.inner.In[i].Ptr = pointer(x)
		if err := n.widenInput(i, x, tokens); err != nil {
			return err
		}
	}
	if n.inner.Out == c.Out {
		return n.launch()
	}
	y := n.b.narrow.whole.memory[len(c.In)]
	n.inner.Out.Ptr = pointer(y)
	if err := n.launch(); err != nil {
		return err
	}
	return n.roundResult(y, tokens)
}

// tokens is how many rows of tensors of a row for each token are live, −1 where that is not known.
func (n *narrowCall) tokens() (int, error) {
	if n.outer.Rows != engine.Tokens {
		return -1, nil
	}
	capacity, _ := leading(n.outer.In[0])
	if n.outer.Op == "embedding" {
		capacity = n.outer.In[1].Size()
	}
	return live(n.outer, engine.Tokens, capacity)
}

// widenInput widens what a launch may read of an operand: live rows, of a cache those that are keys of a segment.
func (n *narrowCall) widenInput(i int, x []float32, tokens int) error {
	t := n.outer.In[i]
	source, size := elementsBF16(t), t.Size()
	capacity, width := leading(t)
	switch rows, _ := leading(n.outer.In[0]); {
	case n.packed(i):
		body := n.outer.In[0].Size()
		copy(bytesF32(x[body:body+n.lse]), t.Bytes()[2*body:])
		if size = body; tokens >= 0 {
			size = body / max(1, rows) * tokens
		}
	case hasCache(n.outer) && n.lse > 0 && (i == 6 || i == 7):
		return n.widenCache(source, x, width)
	case tokens >= 0 && capacity == rows:
		size = tokens * width
	}
	n.floats, n.narrow = x[:size], source[:size]
	return n.b.pool.run(ceilDiv(size, convertAtATime), n.widen)
}

func (n *narrowCall) widenCache(source []engine.BF16, x []float32, width int) error {
	s, err := readSegments(n.outer)
	if err != nil {
		return err
	}
	for j := int(s.offsets[0]); j < int(s.offsets[s.count()]); j++ {
		if r := s.keys(j); r.buffer == ops.BufferCache {
			n.floats, n.narrow = x[r.start*width:r.end*width], source[r.start*width:r.end*width]
			if err := n.b.pool.run(ceilDiv(len(n.floats), convertAtATime), n.widen); err != nil {
				return err
			}
		}
	}
	return nil
}

func (n *narrowCall) roundResult(y []float32, tokens int) error {
	out := n.outer.Out
	size := out.Size()
	capacity, width := leading(out)
	if tokens >= 0 && n.outer.Op != "attention_backward" {
		size = min(tokens, capacity) * width
	}
	n.floats, n.narrow = y[:size], elementsBF16(out)[:size]
	return n.b.pool.run(ceilDiv(size, convertAtATime), n.round)
}
