//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"errors"
	"fmt"
	"slices"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
)

// kernels/work.h: products of one launch, and the right operands that they have between them.
const gradientProducts, gradientRights = 7, 4

// gradients are the products of a launch of gemm_tn_hopper: the struct Gradients.
type gradients struct {
	products []gemm
	rights   []*engine.Tensor
	width    int // of a tile
}

// Groups is part of engine.Grouper: the gradients of a layer's weights.
func (b *backend) Groups() []engine.Group { return ops.Groups() }

// CompileGroup is part of engine.Grouper.
func (b *backend) CompileGroup(calls []engine.Call) (engine.Launch, error) {
	for _, c := range calls {
		if _, err := ops.Check(c); err != nil {
			return nil, err
		}
		if !slices.Contains(b.Groups(), engine.Group{Op: c.Op, DType: c.In[0].Dtype()}) || c.Rows != calls[0].Rows ||
			first(c.In[0]) != first(calls[0].In[0]) {
			return nil, fmt.Errorf("%s: the GPU has no launch of these several", c.Op)
		}
	}
	return b.compile(calls[0], engine.BFloat16, func(b *builder) ([]step, error) {
		p := b.plan()
		var together gradients
		for _, c := range calls {
			g := gradientOf(c)
			if !p.takesHopper(g) {
				p.multiply(g)
				continue
			}
			if !together.add(g) {
				p.do(p.gradients(together))
				together = gradients{}
				together.add(g)
			}
		}
		if len(together.products) > 0 {
			p.do(p.gradients(together))
		}
		return p.done()
	})
}

// gradientOf is the product of a call of linear_dw: out[n,k] = Σ_t dy[t,n]·x[t,k].
func gradientOf(c engine.Call) gemm {
	t, n, k := c.In[0].Shape()[0], c.In[0].Shape()[1], c.In[1].Shape()[1]
	return gemm{form: "tn", layout: layout{n, k, t, 1, 1, n, k, 1}, left: c.In[0], right: []any{c.In[1]}, more: []any{epilogue{}}, out: c.Out}
}

// add takes one more product, unless it does not fit in.
func (l *gradients) add(g gemm) bool {
	right := g.right[0].(*engine.Tensor)
	known := slices.Contains(l.rights, right)
	if len(l.products) == gradientProducts || !known && len(l.rights) == gradientRights {
		return false
	}
	if l.products = append(l.products, g); !known {
		l.rights = append(l.rights, right)
	}
	return true
}

// gradients is the launch of several products by the copy engine and wgmma.
func (p *plan) gradients(l gradients) (step, error) {
	width, tiles := hopperWidth(p.model.Multiprocessors, l.products...)
	l.width = width
	blocks := min(p.model.Multiprocessors, tiles)
	fast, err := p.kernel(fmt.Sprintf("gemm_tn_hopper_%d", width), blocks, 1, hopperThreads, hopperMemory(width, 4*width),
		l, bound{}, l.products[0].k, tiles, blocks)
	a := aligned{fast: fast}
	for _, g := range l.products {
		slow, failed := p.ampere(g, 64)
		a.slow, err = append(a.slow, slow), errors.Join(err, failed)
	}
	return a, err
}

// gradients adds the parameter's words and returns its size. Places of products that there are not are never read.
func (k *kernel) gradients(b *builder, l gradients) int {
	began := len(k.words)
	fill := func(from, maps int) { k.words = append(k.words, make([]uint64, 16*maps-(len(k.words)-from))...) }
	for _, g := range l.products {
		k.describe(part{g.out, 0}, g.m, g.n, panelRows, 4)
	}
	fill(began, gradientProducts)
	from := len(k.words)
	for _, g := range l.products {
		k.add(b, operand{g.left, g.k, g.m, hopperDepth})
	}
	fill(from, 2*gradientProducts)
	from = len(k.words)
	for _, r := range l.rights {
		k.add(b, operand{r, l.products[0].k, r.Shape()[1], hopperDepth})
	}
	fill(from, 2*gradientRights)
	end := 0
	for _, g := range l.products {
		end += g.tiles(l.width, b.model.Multiprocessors)
		k.tensor(g.out, 0)
		k.words = append(k.words, pair(g.m, g.n), pair(slices.Index(l.rights, g.right[0].(*engine.Tensor)), end))
	}
	k.words = append(k.words, make([]uint64, 3*(gradientProducts-len(l.products)))...)
	for (len(k.words)-began)%8 != 0 { // the struct is aligned as its maps are
		k.words = append(k.words, 0)
	}
	return 8 * (len(k.words) - began)
}
