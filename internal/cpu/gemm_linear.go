//go:build amd64 && !noasm

package cpu

import (
	"fmt"
	"unsafe"

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

// linearSwiGLU is swiglu(x·wᵀ, x·vᵀ), whose bits are those of the single ops.
func (s *scratch) linearSwiGLU(b *backend, c engine.Call) (engine.Launch, error) {
	if c.Out.Dtype() != engine.F32 {
		return nil, nil
	}
	x, w, v := c.In[0], c.In[1], c.In[2]
	capacity, k, n := x.Shape()[0], w.Shape()[1], w.Shape()[0]
	if s.set.mostGated(k) == 0 {
		return nil, fmt.Errorf("rows of %d elements: at most %d fit", k, packedRoom/s.set.mr)
	}
	s.reserveUp(b, min(capacity, s.set.mostGated(k)))
	gate := s.set.gates(n)
	return s.product(b, c, func(g *gemm, rows int) {
		g.m, g.n, g.k, g.gate = rows, n, k, gate
		g.a = matrix{ptr: x.Ptr, ld: k, alongK: true}
		g.b = matrix{ptr: w.Ptr, ld: k, alongK: true, bf16: w.Dtype() == engine.BFloat16}
		g.up = matrix{ptr: v.Ptr, ld: k, alongK: true, bf16: v.Dtype() == engine.BFloat16}
	})
}

// reserveUp makes room for the sums of tasks of so many rows.
func (s *scratch) reserveUp(b *backend, rows int) {
	for _, w := range s.spaces(b.pool.helpers + 1) {
		if len(w.up) < rows*columnTile/2 {
			w.up = alignedFloats(rows * columnTile / 2)
		}
	}
}

// gates is what swiglu's kernel of the set does to rows of width elements.
func (s *instructionSet) gates(width int) func(out, gate, up *float32, n int) {
	switch {
	case s == avx512Set && width%16 == 0:
		return func(out, gate, up *float32, n int) { vecSwiGLU16(out, gate, up, n/16) }
	case width%8 == 0:
		return func(out, gate, up *float32, n int) { vecSwiGLU(out, gate, up, n/8) }
	}
	return func(out, gate, up *float32, n int) {
		swigluRow(unsafe.Slice(out, n), unsafe.Slice(gate, n), unsafe.Slice(up, n))
	}
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
