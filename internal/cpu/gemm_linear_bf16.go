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
		"swiglu": swigluBF16, "add": addBF16}
}

// linear is x·wᵀ + b.
func (s *scratchBF16) linear(b *backend, c engine.Call) (engine.Launch, error) {
	x, w := c.In[0], c.In[1]
	k, n := w.Shape()[1], w.Shape()[0]
	return s.product(b, c, k, w, func(g *gemmBF16, rows int) {
		g.m, g.n, g.k = rows, n, k
		g.a = matrix{ptr: x.Ptr, ld: k, alongK: true, bf16: true}
		g.b.ld, g.b.alongK = k, true
		if len(c.In) > 2 {
			g.bias = (*float32)(c.In[2].Ptr)
		}
	})
}

// linearDX is dy·w.
func (s *scratchBF16) linearDX(b *backend, c engine.Call) (engine.Launch, error) {
	dy, w := c.In[0], c.In[1]
	k, n := w.Shape()[0], w.Shape()[1]
	return s.product(b, c, k, w, func(g *gemmBF16, rows int) {
		g.m, g.n, g.k = rows, n, k
		g.a = matrix{ptr: dy.Ptr, ld: k, alongK: true, bf16: true}
		g.b.ld = n
	})
}

// linearDW is dyᵀ·x: the sum runs over the live rows.
func (s *scratchBF16) linearDW(b *backend, c engine.Call) (engine.Launch, error) {
	dy, x := c.In[0], c.In[1]
	return s.product(b, c, dy.Shape()[0], x, func(g *gemmBF16, rows int) {
		g.m, g.n, g.k = dy.Shape()[1], x.Shape()[1], rows
		g.a = matrix{ptr: dy.Ptr, ld: g.m, bf16: true}
		g.b.ld = g.n
	})
}

// product makes the launch of a product that is at most depth deep and whose right operand is right.
func (s *scratchBF16) product(b *backend, c engine.Call, depth int, right *engine.Tensor,
	set func(g *gemmBF16, rows int)) (engine.Launch, error) {
	g := newGEMMBF16(b.pool, s, depth)
	g.same = c.SameFirst
	capacity, stored := c.In[0].Shape()[0], right.Dtype() == engine.F32
	if stored && len(s.rounded) < right.Size() {
		s.rounded = make([]engine.BF16, right.Size())
	}
	const piece = 1 << 15
	roundPiece := func(i int) {
		from, to := i*piece, min(right.Size(), (i+1)*piece)
		roundBF16(s.rounded[from:to], engine.Slice[float32](right)[from:to])
	}
	return func() error {
		rows, err := live(c, c.Rows, capacity)
		if err != nil {
			return err
		}
		g.b = matrix{ptr: right.Ptr, bf16: true}
		if stored && right.Size() > 0 {
			if err := b.pool.run(ceilDiv(right.Size(), piece), roundPiece); err != nil {
				return err
			}
			g.b.ptr = unsafe.Pointer(unsafe.SliceData(s.rounded))
		}
		g.c, g.rounds = c.Out.Ptr, c.Out.Dtype() == engine.BFloat16
		set(g, rows)
		return g.run()
	}, nil
}
