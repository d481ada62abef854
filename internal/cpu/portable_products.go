package cpu

import "github.com/goprm/goprm/internal/engine"

// The matrix products. Every element of a result is summed in one accumulator of the compute dtype, from the first
// term to the last, whatever the blocking; blocks only decide in which order elements come to their next terms.
const (
	termBlock   = 256 // columns of weights that a task goes through at a time; bf16 is widened so many at a time
	tokenBlock  = 64  // rows of a result in one task
	weightBlock = 16  // weight rows of linear in one task
)

// linear: out[t,n] = Σ_k x[t,k]·w[n,k], then + bias[n].
func linear[T float](b *backend, c engine.Call) (engine.Launch, error) {
	capacity, k, n := c.In[0].Shape()[0], c.In[0].Shape()[1], c.In[1].Shape()[0]
	weightBlocks := ceilDiv(n, weightBlock)
	var rows int
	task := func(i int) {
		t0, n0 := i/weightBlocks*tokenBlock, i%weightBlocks*weightBlock
		linearTask[T](c, t0, min(rows, t0+tokenBlock), n0, min(n, n0+weightBlock), k, n)
	}
	return func() error {
		var err error
		if rows, err = live(c, c.Rows, capacity); err != nil {
			return err
		}
		return b.pool.run(ceilDiv(rows, tokenBlock)*weightBlocks, task)
	}, nil
}

func linearTask[T float](c engine.Call, t0, t1, n0, n1, k, ld int) {
	x, out := engine.Slice[T](c.In[0]), engine.Slice[T](c.Out)
	var wide [4][termBlock]T
	for n := n0; n < n1; n += 4 {
		var sums [2][4]T
		count := min(4, n1-n)
		for k0 := 0; k0 < k; k0 += termBlock {
			terms := min(termBlock, k-k0)
			var w [4][]T
			for j := range w {
				w[j] = weights(c.In[1], (n+min(j, count-1))*k+k0, terms, wide[j][:]) // past the end: once more the last
			}
			for t := t0; t < t1; t += 2 {
				pair := min(2, t1-t)
				if k0 == 0 {
					sums = [2][4]T{}
				} else {
					for r := range pair {
						copy(sums[r][:count], out[(t+r)*ld+n:])
					}
				}
				x0 := x[t*k+k0:][:terms]
				if pair == 2 {
					dot2x4(x0, x[(t+1)*k+k0:][:terms], w[0], w[1], w[2], w[3], &sums)
				} else {
					dot4(x0, w[0], w[1], w[2], w[3], &sums[0])
				}
				for r := range pair {
					copy(out[(t+r)*ld+n:][:count], sums[r][:])
				}
			}
		}
	}
	if len(c.In) < 3 {
		return
	}
	bias := engine.Slice[T](c.In[2])[n0:n1]
	for t := t0; t < t1; t++ {
		for j, v := range bias {
			out[t*ld+n0+j] += v
		}
	}
}

// linearDX: out[t,k] = Σ_n dy[t,n]·w[n,k].
func linearDX[T float](b *backend, c engine.Call) (engine.Launch, error) {
	capacity, n := c.In[0].Shape()[0], c.In[0].Shape()[1]
	m := &product[T]{out: c.Out, a: c.In[0], b: c.In[1], rowStep: n, termStep: 1, columns: c.Out.Shape()[1]}
	task := m.task
	return func() error {
		rows, err := live(c, c.Rows, capacity)
		if err != nil {
			return err
		}
		m.rows, m.terms = rows, n
		return b.pool.run(m.tasks(), task)
	}, nil
}

// linearDW: out[n,k] = Σ_t dy[t,n]·x[t,k].
func linearDW[T float](b *backend, c engine.Call) (engine.Launch, error) {
	capacity, n := c.In[0].Shape()[0], c.In[0].Shape()[1]
	m := &product[T]{out: c.Out, a: c.In[0], b: c.In[1], rowStep: 1, termStep: n, rows: n, columns: c.Out.Shape()[1]}
	task := m.task
	return func() error {
		var err error
		if m.terms, err = live(c, c.Rows, capacity); err != nil {
			return err
		}
		return b.pool.run(m.tasks(), task)
	}, nil
}

// product is out[r,k] = Σ_j a[r·rowStep + j·termStep]·b[j,k], j ascending.
type product[T float] struct {
	out, a, b         *engine.Tensor
	rowStep, termStep int
	rows, columns     int
	terms             int
}

func (m *product[T]) tasks() int { return ceilDiv(m.rows, tokenBlock) * ceilDiv(m.columns, termBlock) }

func (m *product[T]) task(i int) {
	strips := ceilDiv(m.columns, termBlock)
	r0, k0 := i/strips*tokenBlock, i%strips*termBlock
	r1, width := min(m.rows, r0+tokenBlock), min(termBlock, m.columns-k0)
	out, a := engine.Slice[T](m.out), engine.Slice[T](m.a)
	for r := r0; r < r1; r++ {
		clear(out[r*m.columns+k0:][:width])
	}
	var wide [4][termBlock]T
	var b [4][]T
	for j := 0; j < m.terms; j += 4 {
		count := min(4, m.terms-j)
		for l := range count {
			b[l] = weights(m.b, (j+l)*m.columns+k0, width, wide[l][:])
		}
		for r := r0; r < r1; r++ {
			row, at := out[r*m.columns+k0:][:width], r*m.rowStep+j*m.termStep
			if count == 4 {
				axpy4(row, a[at], a[at+m.termStep], a[at+2*m.termStep], a[at+3*m.termStep], b[0], b[1], b[2], b[3])
				continue
			}
			for l := range count {
				axpy(row, a[at+l*m.termStep], b[l])
			}
		}
	}
}

// linearDB: out[n] = Σ_t dy[t,n], in float64.
func linearDB[T float](b *backend, c engine.Call) (engine.Launch, error) {
	capacity, n := c.In[0].Shape()[0], c.In[0].Shape()[1]
	var rows int
	task := func(i int) {
		dy, from := engine.Slice[T](c.In[0]), i*columnBlock
		var sums [columnBlock]float64
		width := min(columnBlock, n-from)
		for t := range rows {
			for j, v := range dy[t*n+from:][:width] {
				sums[j] += float64(v)
			}
		}
		store(engine.Slice[T](c.Out)[from:], sums[:width])
	}
	return func() error {
		var err error
		if rows, err = live(c, c.Rows, capacity); err != nil {
			return err
		}
		return b.pool.run(ceilDiv(n, columnBlock), task)
	}, nil
}

// weights gives n elements of w from an offset on in the compute dtype: w's own memory, or widened into scratch.
func weights[T float](w *engine.Tensor, from, n int, scratch []T) []T {
	if w.Dtype() != engine.BFloat16 {
		return engine.Slice[T](w)[from : from+n]
	}
	scratch = scratch[:n]
	for i, v := range engine.Slice[engine.BF16](w)[from : from+n] {
		scratch[i] = T(v.Float32())
	}
	return scratch
}

// columnBlock is how many columns a task sums over all tokens, in float64.
const columnBlock = 64

func store[T float](out []T, sums []float64) {
	for j, v := range sums {
		out[j] = T(v)
	}
}
