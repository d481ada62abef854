//go:build amd64 && !noasm

package cpu

import (
	"unsafe"

	"github.com/goprm/goprm/internal/engine"
)

// kernelsBF16 are the kernels whose operands are bf16. A weight that is stored as f32 is rounded first.
func kernelsBF16() map[string]compile {
	s, pairs := &scratchBF16{set: avx512Set, tile: gemm12x32BF16}, &scratch{set: avx512Pairs}
	attention := func(b *backend, c engine.Call) (engine.Launch, error) {
		if launch, err := pairs.attentionForward(b, c); launch != nil || err != nil {
			return launch, err
		}
		return portableAttentionBF16(b, c)
	}
	return map[string]compile{"linear": s.linear, "linear_dx": s.linearDX, "linear_dw": s.linearDW, "attention": attention,
		"linear_swiglu": s.linearSwiGLU,
		"swiglu":        swigluBF16, "add": addBF16}
}

// linear is x·wᵀ + b.
func (s *scratchBF16) linear(b *backend, c engine.Call) (engine.Launch, error) {
	x, w := c.In[0], c.In[1]
	k, n := w.Shape()[1], w.Shape()[0]
	return s.product(b, c, k, c.In[1:2], func(g *gemmBF16, rows int) {
		g.m, g.n, g.k = rows, n, k
		g.a = matrix{ptr: x.Ptr, ld: k, alongK: true, bf16: true}
		g.b[0].ld, g.b[0].alongK = k, true
		if len(c.In) > 2 {
			g.bias = (*float32)(c.In[2].Ptr)
		}
	})
}

// linearSwiGLU is swiglu(x·wᵀ, x·vᵀ), whose bits are those of the single ops.
func (s *scratchBF16) linearSwiGLU(b *backend, c engine.Call) (engine.Launch, error) {
	x, w := c.In[0], c.In[1]
	k, n := w.Shape()[1], w.Shape()[0]
	gate := s.set.gatesBF16(n)
	return s.product(b, c, k, c.In[1:], func(g *gemmBF16, rows int) {
		g.m, g.n, g.k, g.gate = rows, n, k, gate
		g.a = matrix{ptr: x.Ptr, ld: k, alongK: true, bf16: true}
		for i := range g.b {
			g.b[i].ld, g.b[i].alongK = k, true
		}
	})
}

// gatesBF16 is what swiglu's kernels do to rows of width elements.
func (s *instructionSet) gatesBF16(width int) func(w *workspaceBF16, c []engine.BF16) {
	if width%16 == 0 {
		return func(w *workspaceBF16, c []engine.BF16) {
			vecSwiGLUBF16((*uint16)(&c[0]), (*uint16)(&c[0]), (*uint16)(&w.row.up[0]), len(c)/16)
		}
	}
	wide := s.gates(width)
	return func(w *workspaceBF16, c []engine.BF16) {
		gate, up := w.row.wide[:len(c)], w.row.wide[columnTile/2:][:len(c)]
		widenBF16(gate, c)
		widenBF16(up, w.row.up[:len(c)])
		wide(&gate[0], &gate[0], &up[0], len(c))
		roundBF16(c, gate)
	}
}

// linearDX is dy·w.
func (s *scratchBF16) linearDX(b *backend, c engine.Call) (engine.Launch, error) {
	dy, w := c.In[0], c.In[1]
	k, n := w.Shape()[0], w.Shape()[1]
	return s.product(b, c, k, c.In[1:2], func(g *gemmBF16, rows int) {
		g.m, g.n, g.k = rows, n, k
		g.a = matrix{ptr: dy.Ptr, ld: k, alongK: true, bf16: true}
		g.b[0].ld = n
	})
}

// linearDW is dyᵀ·x: the sum runs over the live rows.
func (s *scratchBF16) linearDW(b *backend, c engine.Call) (engine.Launch, error) {
	dy, x := c.In[0], c.In[1]
	return s.product(b, c, dy.Shape()[0], c.In[1:], func(g *gemmBF16, rows int) {
		g.m, g.n, g.k = dy.Shape()[1], x.Shape()[1], rows
		g.a = matrix{ptr: dy.Ptr, ld: g.m, bf16: true}
		g.b[0].ld = g.n
	})
}

// product makes the launch of a product that is at most depth deep, with one right operand, or two.
func (s *scratchBF16) product(b *backend, c engine.Call, depth int, right []*engine.Tensor,
	set func(g *gemmBF16, rows int)) (engine.Launch, error) {
	g := newGEMMBF16(b.pool, s, depth)
	g.same, g.gated, g.b = c.SameFirst, len(right) > 1, make([]matrix, len(right))
	capacity := c.In[0].Shape()[0]
	var inBF16 []func() (unsafe.Pointer, error)
	for i, t := range right {
		inBF16 = append(inBF16, s.inBF16(b, i, t))
	}
	return func() error {
		rows, err := live(c, c.Rows, capacity)
		if err != nil {
			return err
		}
		for i, place := range inBF16 {
			ptr, err := place()
			if err != nil {
				return err
			}
			g.b[i] = matrix{ptr: ptr, bf16: true}
		}
		g.c, g.rounds = c.Out.Ptr, c.Out.Dtype() == engine.BFloat16
		set(g, rows)
		return g.run()
	}, nil
}

// inBF16 says where right operand i of a product lies as bf16; one that is stored as f32 is rounded each time.
func (s *scratchBF16) inBF16(b *backend, i int, t *engine.Tensor) func() (unsafe.Pointer, error) {
	if t.Dtype() != engine.F32 || t.Size() == 0 {
		return func() (unsafe.Pointer, error) { return t.Ptr, nil }
	}
	if len(s.rounded[i]) < t.Size() {
		s.rounded[i] = make([]engine.BF16, t.Size())
	}
	const piece = 1 << 15
	roundPiece := func(n int) {
		from, to := n*piece, min(t.Size(), (n+1)*piece)
		roundBF16(s.rounded[i][from:to], engine.Slice[float32](t)[from:to])
	}
	return func() (unsafe.Pointer, error) {
		err := b.pool.run(ceilDiv(t.Size(), piece), roundPiece)
		return unsafe.Pointer(unsafe.SliceData(s.rounded[i])), err
	}
}
