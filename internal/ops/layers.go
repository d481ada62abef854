package ops

import (
	"github.com/goprm/goprm/internal/engine"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// RowsOf says what bounds the rows of a node: read-outs if its op makes rows of those, else tokens.
func RowsOf(x *gorgonia.Node) engine.Dim {
	if x != nil {
		if op, ok := x.Op().(*engine.Op); ok && op.Rows == engine.Reads {
			return engine.Reads
		}
	}
	return engine.Tokens
}

// Embedding looks up rows of table [V, K] for ids i32 [T]: [T, K] in dtype.
func (b *Builder) Embedding(table, ids *gorgonia.Node, dtype tensor.Dtype, train bool) *gorgonia.Node {
	if !b.hasShape("embedding", "table", table, -1, -1) || !b.hasShape("embedding", "ids", ids, -1) {
		return nil
	}
	op := &engine.Op{Kernel: "embedding", Rows: engine.Tokens, Differentiable: []bool{train, false}}
	op.Gradient = b.gradient(func(in gorgonia.Nodes, _, dy *gorgonia.Node) gorgonia.Nodes {
		if !train {
			return gorgonia.Nodes{nil, nil}
		}
		d := &engine.Op{Kernel: "embedding_dtable", Rows: engine.Tokens}
		return gorgonia.Nodes{b.apply(d, in[0].Dtype(), in[0].Shape(), dy, in[1]), nil}
	})
	return b.apply(op, dtype, tensor.Shape{ids.Shape()[0], table.Shape()[1]}, table, ids)
}

// RMSNorm normalises each head of x [T, H·D] and scales it by w [D]. With H = 1 it normalises whole rows.
func (b *Builder) RMSNorm(x, w *gorgonia.Node, eps float64, train bool) *gorgonia.Node {
	if !b.hasShape("rmsnorm", "x", x, -1, -1) || !b.hasShape("rmsnorm", "w", w, -1) {
		return nil
	}
	if d := w.Shape()[0]; d == 0 || x.Shape()[1]%d != 0 {
		return b.fail("rmsnorm: rows of %d are not heads of w's length %d", x.Shape()[1], d)
	}
	attr, rows := RMSNorm{Eps: eps}, RowsOf(x)
	op := &engine.Op{Kernel: "rmsnorm", Attr: attr, Rows: rows, Differentiable: []bool{true, train}}
	op.Gradient = b.gradient(func(in gorgonia.Nodes, _, dy *gorgonia.Node) gorgonia.Nodes {
		x, w := in[0], in[1]
		dx := b.apply(&engine.Op{Kernel: "rmsnorm_dx", Attr: attr, Rows: rows}, x.Dtype(), x.Shape(), x, w, dy)
		if !train {
			return gorgonia.Nodes{dx, nil}
		}
		dw := b.apply(&engine.Op{Kernel: "rmsnorm_dw", Attr: attr, Rows: rows}, w.Dtype(), w.Shape(), x, dy)
		return gorgonia.Nodes{dx, dw}
	})
	return b.apply(op, x.Dtype(), x.Shape(), x, w)
}

// Linear is x·wᵀ + bias for x [T, K], w [N, K] and bias [N] or nil; rows says what bounds T.
// A frozen w may be bf16; then its products are computed in x's dtype. A trained w has the dtype of parameters.
func (b *Builder) Linear(rows engine.Dim, x, w, bias *gorgonia.Node, trainW, trainBias bool) *gorgonia.Node {
	if !b.hasShape("linear", "x", x, -1, -1) || !b.hasShape("linear", "w", w, -1, x.Shape()[1]) {
		return nil
	}
	if trainW && w.Dtype() != ParamDType(x.Dtype()) {
		return b.fail("linear: trained weight %s is %v, the compute dtype is %v", w.Name(), w.Dtype(), x.Dtype())
	}
	in := gorgonia.Nodes{x, w}
	differentiable := []bool{true, trainW}
	if bias != nil {
		if !b.hasShape("linear", "bias", bias, w.Shape()[0]) {
			return nil
		}
		in, differentiable = append(in, bias), append(differentiable, trainBias)
	}
	op, group := &engine.Op{Kernel: "linear", Rows: rows, Differentiable: differentiable}, b.Group
	op.Gradient = b.gradient(func(in gorgonia.Nodes, _, dy *gorgonia.Node) gorgonia.Nodes {
		x, w := in[0], in[1]
		grads := make(gorgonia.Nodes, len(in))
		grads[0] = b.apply(&engine.Op{Kernel: "linear_dx", Rows: rows}, x.Dtype(), x.Shape(), dy, w)
		if trainW {
			grads[1] = b.apply(&engine.Op{Kernel: "linear_dw", Rows: rows, Group: group}, w.Dtype(), w.Shape(), dy, x)
		}
		if len(in) > 2 && trainBias {
			grads[2] = b.apply(&engine.Op{Kernel: "linear_db", Rows: rows}, in[2].Dtype(), in[2].Shape(), dy)
		}
		return grads
	})
	return b.apply(op, x.Dtype(), tensor.Shape{x.Shape()[0], w.Shape()[0]}, in...)
}

// Add is x + scale·y.
func (b *Builder) Add(x, y *gorgonia.Node, scale float64) *gorgonia.Node {
	if !b.hasShape("add", "x", x, -1, -1) || !b.hasShape("add", "y", y, x.Shape()...) {
		return nil
	}
	rows := RowsOf(x)
	op := &engine.Op{Kernel: engine.AddKernel, Attr: engine.AddAttr{Scale: scale}, Rows: rows, InPlace: true,
		Differentiable: []bool{true, true}}
	op.Gradient = b.gradient(func(_ gorgonia.Nodes, _, d *gorgonia.Node) gorgonia.Nodes {
		if scale == 1 {
			return gorgonia.Nodes{d, d}
		}
		scaled := &engine.Op{Kernel: "scale", Attr: engine.AddAttr{Scale: scale}, Rows: rows}
		return gorgonia.Nodes{d, b.apply(scaled, d.Dtype(), d.Shape(), d)}
	})
	return b.apply(op, x.Dtype(), x.Shape(), x, y)
}

// Dropout drops elements of x [T, K]; keys i32 [T, 2] say which, or that none is.
func (b *Builder) Dropout(x, keys *gorgonia.Node, attr Dropout) *gorgonia.Node {
	if !b.hasShape("dropout", "x", x, -1, -1) || !b.hasShape("dropout", "keys", keys, x.Shape()[0], 2) {
		return nil
	}
	op := &engine.Op{Kernel: "dropout", Attr: attr, Rows: engine.Tokens, InPlace: true, Differentiable: []bool{true, false}}
	op.Gradient = b.gradient(func(in gorgonia.Nodes, _, dy *gorgonia.Node) gorgonia.Nodes {
		return gorgonia.Nodes{b.Dropout(dy, in[1], attr), nil}
	})
	return b.apply(op, x.Dtype(), x.Shape(), x, keys)
}

// RoPE rotates the heads of x [T, H·D] to their positions i32 [T].
func (b *Builder) RoPE(x, positions *gorgonia.Node, attr RoPE) *gorgonia.Node {
	if !b.hasShape("rope", "x", x, -1, -1) || !b.hasShape("rope", "positions", positions, x.Shape()[0]) {
		return nil
	}
	if attr.HeadDim <= 0 || attr.HeadDim%2 != 0 || x.Shape()[1]%attr.HeadDim != 0 {
		return b.fail("rope: head dimension %d for rows of %d", attr.HeadDim, x.Shape()[1])
	}
	op := &engine.Op{Kernel: "rope", Attr: attr, Rows: engine.Tokens, InPlace: true, Differentiable: []bool{true, false}}
	op.Gradient = b.gradient(func(in gorgonia.Nodes, _, dy *gorgonia.Node) gorgonia.Nodes {
		back := attr
		back.Inverse = !attr.Inverse
		return gorgonia.Nodes{b.RoPE(dy, in[1], back), nil}
	})
	return b.apply(op, x.Dtype(), x.Shape(), x, positions)
}

// Keys says what each segment attends to: i32 cu_seqlens [S+1], range_offsets [S+1], key_ranges [n, RangeLen].
type Keys struct {
	CuSeqlens, RangeOffsets, Ranges *gorgonia.Node
	CachedK, CachedV                *gorgonia.Node // [C, G·D], or both nil
}

// CacheWrite brings rows of x [T, K] into cache [C, K], an input, whose memory is the result's: kept i32 [M, 2] says which token's goes
// into which row. What reads the cache in the same run must not read those rows.
func (b *Builder) CacheWrite(x, kept, cache *gorgonia.Node) *gorgonia.Node {
	if !b.hasShape("cache_write", "x", x, -1, -1) || !b.hasShape("cache_write", "kept", kept, -1, 2) ||
		!b.hasShape("cache_write", "cache", cache, -1, x.Shape()[1]) {
		return nil
	}
	op := &engine.Op{Kernel: "cache_write", Rows: engine.Tokens, Into: true}
	return b.apply(op, x.Dtype(), cache.Shape(), x, kept, cache)
}

// LinearInt8 is x·wᵀ + bias for x [T, K] in f32, w [N, K] in int8 with its scales, and bias [N] or nil. No gradient flows through it.
func (b *Builder) LinearInt8(rows engine.Dim, x, w, scales, bias *gorgonia.Node) *gorgonia.Node {
	if !b.hasShape("linear_int8", "x", x, -1, -1) || !b.hasShape("linear_int8", "w", w, -1, x.Shape()[1]) ||
		!b.hasShape("linear_int8", "scales", scales, w.Shape()[0], Int8Blocks(x.Shape()[1])) {
		return nil
	}
	in := gorgonia.Nodes{x, w, scales}
	if bias != nil {
		in = append(in, bias)
	}
	op := &engine.Op{Kernel: "linear_int8", Rows: rows}
	return b.apply(op, x.Dtype(), tensor.Shape{x.Shape()[0], w.Shape()[0]}, in...)
}

// Attention is grouped-query attention of q [T, H·D] over k and v [T, G·D]: [T, H·D].
func (b *Builder) Attention(q, k, v *gorgonia.Node, keys Keys, attr Attention) *gorgonia.Node {
	if !b.hasShape("attention", "q", q, -1, attr.Heads*attr.HeadDim) {
		return nil
	}
	tokens := q.Shape()[0]
	nq, nk := tokens*attr.Heads*attr.HeadDim, tokens*attr.KVHeads*attr.HeadDim
	if !b.hasShape("attention", "k", k, tokens, attr.KVHeads*attr.HeadDim) || !b.hasShape("attention", "v", v, tokens,
		attr.KVHeads*attr.HeadDim) {
		return nil
	}
	in := gorgonia.Nodes{q, k, v, keys.CuSeqlens, keys.RangeOffsets, keys.Ranges}
	differentiable := []bool{true, true, true, false, false, false}
	if keys.CachedK != nil {
		in, differentiable = append(in, keys.CachedK, keys.CachedV), append(differentiable, false, false)
	}
	op := &engine.Op{Kernel: "attention", Attr: attr, Rows: engine.Tokens, Differentiable: differentiable}
	op.Gradient = b.gradient(func(in gorgonia.Nodes, packed, dPacked *gorgonia.Node) gorgonia.Nodes {
		grads := make(gorgonia.Nodes, len(in))
		do, err := engine.Unpacked(dPacked)
		if err != nil {
			b.fail("attention: %w", err)
			return grads
		}
		back := &engine.Op{Kernel: "attention_backward", Attr: attr, Rows: engine.Tokens}
		d := b.apply(back, q.Dtype(), tensor.Shape{nq + 2*nk}, append(append(gorgonia.Nodes{}, in...), packed, do)...)
		grads[0] = b.view(d, 0, in[0].Shape(), false)
		grads[1] = b.view(d, nq, in[1].Shape(), false)
		grads[2] = b.view(d, nq+nk, in[2].Shape(), false)
		return grads
	})
	packed := b.apply(op, q.Dtype(), tensor.Shape{nq + LSELen(q.Dtype(), tokens*attr.Heads)}, in...)
	return b.view(packed, 0, q.Shape(), true)
}

// SwiGLU is silu(gate)·up, both [T, N].
func (b *Builder) SwiGLU(gate, up *gorgonia.Node) *gorgonia.Node {
	if !b.hasShape("swiglu", "gate", gate, -1, -1) || !b.hasShape("swiglu", "up", up, gate.Shape()...) {
		return nil
	}
	n, rows := gate.Shape().TotalSize(), RowsOf(gate)
	op := &engine.Op{Kernel: "swiglu", Rows: rows, Differentiable: []bool{true, true}}
	op.Gradient = b.gradient(func(in gorgonia.Nodes, _, dy *gorgonia.Node) gorgonia.Nodes {
		d := b.apply(&engine.Op{Kernel: "swiglu_backward", Rows: rows}, dy.Dtype(), tensor.Shape{2 * n}, in[0], in[1], dy)
		return gorgonia.Nodes{b.view(d, 0, in[0].Shape(), false), b.view(d, n, in[1].Shape(), false)}
	})
	return b.apply(op, gate.Dtype(), gate.Shape(), gate, up)
}
