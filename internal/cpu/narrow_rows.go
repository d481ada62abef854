package cpu

import "github.com/goprm/goprm/internal/engine"

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
