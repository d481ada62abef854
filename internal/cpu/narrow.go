package cpu

import (
	"fmt"
	"slices"
	"unsafe"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"gorgonia.org/tensor"
)

// narrowing is what kernels need to compute in bf16: products of their own and the conversions. Every other op widens
// its operands, runs the f32 kernel and rounds the result, so its bits are those of f32 rounded once; attention too.
type narrowing struct {
	products map[string]compile
	widen    func(dst []float32, src []engine.BF16)
	round    func(dst []engine.BF16, src []float32)

	rows  []*slots // of each worker: a few rows of an op's operands and result
	whole slots    // operands and result of the op that runs
}

func portableNarrowing() *narrowing {
	return &narrowing{products: portableProductsBF16, widen: widenPortably, round: roundPortably}
}

// slots are f32 buffers by the place of an operand; launches follow one another, so all of them share one set. A launch
// looks its memory up each time, since a later op may need more.
type slots struct{ memory [][]float32 }

func (s *slots) reserve(slot, n int) {
	for len(s.memory) <= slot {
		s.memory = append(s.memory, nil)
	}
	if len(s.memory[slot]) < n || n == 0 {
		s.memory[slot] = alignedFloats(max(1, n))
	}
}

// byRow are the ops that treat each row by itself, whatever its place.
var byRow = []string{"add", "dropout", "rmsnorm", "rmsnorm_dx", "rope", "scale", "swiglu", "swiglu_backward"}

// compileNarrow prepares a call whose compute dtype is bf16.
func (b *backend) compileNarrow(c engine.Call) (engine.Launch, error) {
	switch {
	case portable[c.Op] == nil:
		return nil, fmt.Errorf("no kernel for %v", c.Out)
	case b.narrow.products[c.Op] != nil:
		return b.narrow.products[c.Op](b, c)
	case slices.Contains(byRow, c.Op):
		return b.narrowRows(c)
	}
	return b.narrowWhole(c)
}

// compileWide prepares a call in f32, which has been checked in its narrow form.
func (b *backend) compileWide(c engine.Call) (engine.Launch, error) {
	for _, table := range b.tables {
		if kernel := table[c.Op]; kernel != nil {
			if launch, err := kernel(b, c); launch != nil || err != nil {
				return launch, err
			}
		}
	}
	return nil, fmt.Errorf("no kernel for %v", c.Out)
}

func wide(shape ...int) *engine.Tensor { return engine.NewTensor(nil, engine.F32, shape, nil) }

// rowsWorker runs a call on some rows at a time.
type rowsWorker struct {
	call   engine.Call
	slots  *slots
	launch engine.Launch
}

// narrowRows treats rows a chunk at a time, each on one worker, so that what is widened stays in its caches.
func (b *backend) narrowRows(c engine.Call) (engine.Launch, error) {
	capacity, width := leading(c.In[0])
	chunk := min(rowChunk(width), max(1, capacity))
	var workers []*rowsWorker
	for i := range b.pool.helpers + 1 {
		if len(b.narrow.rows) <= i {
			b.narrow.rows = append(b.narrow.rows, &slots{})
		}
		w, err := b.newRowsWorker(c, b.narrow.rows[i], chunk)
		if err != nil {
			return nil, err
		}
		workers = append(workers, w)
	}
	var rows int
	work := func(worker, piece int) {
		from := piece * chunk
		b.narrowChunk(workers[worker], c, from, min(rows, from+chunk))
	}
	crew := newCrew(b.pool)
	return func() error {
		var err error
		if rows, err = live(c, c.Rows, capacity); err != nil {
			return err
		}
		return crew.run(ceilDiv(rows, chunk), work)
	}, nil
}

func (b *backend) newRowsWorker(c engine.Call, s *slots, chunk int) (*rowsWorker, error) {
	capacity, width := leading(c.In[0])
	w := &rowsWorker{call: c, slots: s}
	w.call.In, w.call.Rows = nil, engine.Tokens
	w.call.Live = engine.FromSlice(make([]int32, engine.NumDims), int(engine.NumDims))
	for i, t := range c.In {
		switch t.Dtype() {
		case engine.BFloat16:
			s.reserve(i, chunk*width)
			t = wide(chunk, width)
		case engine.I32:
			t = engine.NewTensor(nil, engine.I32, append([]int{chunk}, t.Shape()[1:]...), nil)
		}
		w.call.In = append(w.call.In, t)
	}
	s.reserve(len(c.In), chunk*c.Out.Size()/max(1, capacity))
	w.call.Out = wide(chunk, c.Out.Size()/max(1, capacity))
	var err error
	w.launch, err = (&backend{tables: b.tables, pool: newPool(1)}).compileWide(w.call)
	return w, err
}

// narrowChunk computes rows from to to. A result that is several matrices, as swiglu_backward's, has them one after the
// other, in the chunk and in the whole.
func (b *backend) narrowChunk(w *rowsWorker, c engine.Call, from, to int) {
	capacity, width := leading(c.In[0])
	n := (to - from) * width
	for i, t := range c.In {
		switch t.Dtype() {
		case engine.BFloat16:
			x := w.slots.memory[i]
			b.narrow.widen(x[:n], engine.Slice[engine.BF16](t)[from*width:][:n])
			w.call.In[i].Ptr = pointer(x)
		case engine.I32:
			w.call.In[i].Ptr = pointer(engine.Slice[int32](t)[from*t.Size()/capacity:])
		}
	}
	y := w.slots.memory[len(c.In)]
	w.call.Out.Ptr = pointer(y)
	counts := engine.Slice[int32](w.call.Live)
	for i := range counts {
		counts[i] = int32(to - from)
	}
	if err := w.launch(); err != nil {
		panic(err)
	}
	out, chunk := engine.Slice[engine.BF16](c.Out), w.call.Out.Shape()[0]
	for part := range len(out) / (capacity * width) {
		b.narrow.round(out[(part*capacity+from)*width:][:n], y[part*chunk*width:][:n])
	}
}

// narrowCall is a call on whole tensors.
type narrowCall struct {
	b      *backend
	outer  engine.Call
	inner  engine.Call
	launch engine.Launch
	lse    int // log-sum-exps at the end of attention's packed result

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
		n.inner.Out = n.wide(len(c.In), c.Out, c.Op == "attention")
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
	if n.outer.Op == "attention" {
		size = n.outer.In[0].Size()
		copy(out.Bytes()[2*size:], bytesF32(y[size:size+n.lse]))
		capacity, width = leading(n.outer.In[0])
	}
	if tokens >= 0 && n.outer.Op != "attention_backward" {
		size = min(tokens, capacity) * width
	}
	n.floats, n.narrow = y[:size], elementsBF16(out)[:size]
	return n.b.pool.run(ceilDiv(size, convertAtATime), n.round)
}

func elementsBF16(t *engine.Tensor) []engine.BF16 { return engine.Slice[engine.BF16](t) }

func bytesF32(x []float32) []byte {
	return unsafe.Slice((*byte)(pointer(x)), 4*len(x))
}

func pointer[T any](x []T) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(x)) }
