package ops

import (
	"github.com/goprm/goprm/internal/engine"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Ops of sentence encoders, which only infer: no gradient flows through them.

// LayerNorm centres and normalises rows of x [T, K], scales them by w [K] and adds bias [K].
func (b *Builder) LayerNorm(x, w, bias *gorgonia.Node, eps float64) *gorgonia.Node {
	if !b.hasShape("layernorm", "x", x, -1, -1) || !b.hasShape("layernorm", "w", w, x.Shape()[1]) ||
		!b.hasShape("layernorm", "bias", bias, x.Shape()[1]) {
		return nil
	}
	return b.apply(&engine.Op{Kernel: "layernorm", Attr: LayerNorm{Eps: eps}, Rows: engine.Tokens}, x.Dtype(), x.Shape(), x, w, bias)
}

// GELU, elementwise over [T, N].
func (b *Builder) GELU(x *gorgonia.Node, attr GELU) *gorgonia.Node {
	if !b.hasShape("gelu", "x", x, -1, -1) {
		return nil
	}
	return b.apply(&engine.Op{Kernel: "gelu", Attr: attr, Rows: engine.Tokens}, x.Dtype(), x.Shape(), x)
}

// Pool makes one row of each segment's rows of x [T, K]: [S, K] for cu_seqlens i32 [S+1].
func (b *Builder) Pool(x, cuSeqlens *gorgonia.Node, attr Pool) *gorgonia.Node {
	if !b.hasShape("pool", "x", x, -1, -1) || !b.hasShape("pool", "cu_seqlens", cuSeqlens, -1) {
		return nil
	}
	return b.apply(&engine.Op{Kernel: "pool", Attr: attr, Rows: engine.Segments}, x.Dtype(),
		tensor.Shape{cuSeqlens.Shape()[0] - 1, x.Shape()[1]}, x, cuSeqlens)
}

// Tanh, elementwise over [R, C].
func (b *Builder) Tanh(x *gorgonia.Node) *gorgonia.Node {
	if !b.hasShape("tanh", "x", x, -1, -1) {
		return nil
	}
	return b.apply(&engine.Op{Kernel: "tanh", Rows: engine.Reads}, x.Dtype(), x.Shape(), x)
}
