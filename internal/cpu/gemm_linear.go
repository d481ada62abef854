//go:build amd64 && !noasm

package cpu

import (
	"github.com/goprm/goprm/internal/engine"
)

// linear is x·wᵀ + b: both operands lie along the summed dimension.
func (s *scratch) linear(b *backend, c engine.Call) (engine.Launch, error) {
	if c.Out.Dtype() != engine.F32 {
		return nil, nil
	}
	x, w := c.In[0], c.In[1]
	return s.product(b, c, func(g *gemm, rows int) {
		g.m, g.n, g.k = rows, w.Shape()[0], w.Shape()[1]
		g.a = matrix{ptr: x.Ptr, ld: g.k, alongK: true}
		g.b = matrix{ptr: w.Ptr, ld: g.k, alongK: true, bf16: w.Dtype() == engine.BFloat16}
		if len(c.In) > 2 {
			g.bias = (*float32)(c.In[2].Ptr)
		}
	})
}

// linearDX is dy·w.
func (s *scratch) linearDX(b *backend, c engine.Call) (engine.Launch, error) {
	if c.Out.Dtype() != engine.F32 {
		return nil, nil
	}
	dy, w := c.In[0], c.In[1]
	return s.product(b, c, func(g *gemm, rows int) {
		g.m, g.k, g.n = rows, w.Shape()[0], w.Shape()[1]
		g.a = matrix{ptr: dy.Ptr, ld: g.k, alongK: true}
		g.b = matrix{ptr: w.Ptr, ld: g.n, bf16: w.Dtype() == engine.BFloat16}
	})
}

// linearDW is dyᵀ·x: the sum runs over the live rows, cut into blocks at fixed places.
func (s *scratch) linearDW(b *backend, c engine.Call) (engine.Launch, error) {
	if c.Out.Dtype() != engine.F32 {
		return nil, nil
	}
	dy, x := c.In[0], c.In[1]
	return s.product(b, c, func(g *gemm, rows int) {
		g.k, g.m, g.n = rows, dy.Shape()[1], x.Shape()[1]
		g.a = matrix{ptr: dy.Ptr, ld: g.m}
		g.b = matrix{ptr: x.Ptr, ld: g.n}
	})
}

// product makes the launch of a product whose operands set describes for a number of live rows.
func (s *scratch) product(b *backend, c engine.Call, set func(g *gemm, rows int)) (engine.Launch, error) {
	packed, err := s.packedA(b)
	if err != nil {
		return nil, err
	}
	g := newGEMM(b.pool, s, packed)
	g.same = c.SameFirst
	capacity := c.In[0].Shape()[0]
	return func() error {
		rows, err := live(c, c.Rows, capacity)
		if err != nil {
			return err
		}
		g.c = (*float32)(c.Out.Ptr)
		set(g, rows)
		return g.run()
	}, nil
}
