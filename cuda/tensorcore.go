//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"fmt"
	"math"
	"slices"

	"github.com/goprm/goprm/internal/engine"
)

// Sizes that kernels/attention_sm80.cu and those of sm_90a know.
const (
	attentionThreads = 128
	tileRows         = 64
	keyNote          = 16 // bytes of a Key

	hopperThreads, hopperConsumers, ringPlace = 384, 256, 16 // hopper.h
	panelRows                                 = 16           // panels.h
	// attention_sm90.cu: rows of a tile, stages, bytes of the larger note
	hopperTile, hopperKeys, hopperNote    = 128, 4, 552
	hopperRows, hopperDepth, hopperStages = 128, 64, 4 // gemm_sm90.cu
)

// tensorProduct is a product of bf16 on tensor cores.
func (b *builder) tensorProduct(left, right *engine.Tensor, l layout, e epilogue) ([]step, error) {
	form := "nn"
	switch {
	case l.liveTerms == 1:
		form = "tn"
	case l.bk == 1:
		form = "nt"
	}
	p := b.plan()
	p.multiply(gemm{form, l, left, p.rounded(right), []any{e}, p.Out})
	return p.done()
}

// linearSwiGLU is the product with two weights of one shape, of which one is the gate.
func linearSwiGLU(b *builder) ([]step, error) {
	t, k, n := b.In[0].Shape()[0], b.In[0].Shape()[1], b.In[1].Shape()[0]
	p := b.plan()
	p.multiply(gemm{"gated", layout{m: t, n: n, k: k}, b.In[0], p.rounded(b.In[1], b.In[2]), nil, p.Out})
	return p.done()
}

// rounded are weights as tensor cores take them: f32 ones, which are those that are trained, by their bf16 copies.
func (p *plan) rounded(weights ...*engine.Tensor) []any {
	taken := make([]any, len(weights))
	for i, w := range weights {
		taken[i] = w
		if w.Dtype() == engine.F32 {
			r := roundedWeight{p.backend, w, nil}
			if p.copies[addressOf(w)] == nil {
				r.scratch = p.temporary(2 * w.Size())
			}
			k, err := p.kernel("round_bf16", ceilDiv(w.Size(), each), 1, eachThreads, 0, r, w, uint64(w.Size()))
			p.do(rounding{r, k}, err)
			taken[i] = r
		}
	}
	return taken
}

// A gemm is a product on tensor cores: form says how its operands lie, more are parameters between them and the sizes.
type gemm struct {
	form string
	layout
	left        *engine.Tensor
	right, more []any
	out         *engine.Tensor
}

// narrow products are those of adapters; what bounds them is the one large operand that they read once.
const narrow = 64

// slim products have a side that is that narrow.
func (g gemm) slim() bool { return g.form != "gated" && (g.n <= narrow || g.m <= narrow) }

// brought tells whether all rows begin at multiples of 16 bytes, as the copy engine wants them.
func (g gemm) brought() bool {
	switch g.form {
	case "tn":
		return g.m%8 == 0 && g.n%8 == 0
	case "nn":
		return g.k%8 == 0 && g.n%8 == 0
	}
	return g.k%8 == 0
}

// takesHopper tells whether the product is the copy engine's and wgmma's. The number of tokens has no say in it, as the bits may be others.
func (p *plan) takesHopper(g gemm) bool {
	return p.model.Kernels == "sm90a" && (!g.slim() || g.n > narrow && g.form != "tn") && g.brought()
}

func (p *plan) multiply(g gemm) {
	if p.takesHopper(g) {
		p.do(p.hopper(g))
		return
	}
	side := 128 // the bits are the same with each
	switch {
	case g.slim():
		side = 32
	case ceilDiv(g.m, side)*ceilDiv(g.n*len(g.right), side) < p.model.Multiprocessors: // smaller ones give more of them work
		side = 64
	}
	p.do(p.ampere(g, side))
}

// ampere is the product by the tile of gemm_sm80.cu with that side; all have 128 threads.
func (p *plan) ampere(g gemm, side int) (*kernel, error) {
	depth, stages := 32, 3
	if side == 32 {
		depth, stages = 64, 6
	}
	return p.kernel(fmt.Sprintf("gemm_%s_%d", g.form, side), ceilDiv(g.n*len(g.right), side), ceilDiv(g.m, side), 128, stages*2*side*depth*2,
		slices.Concat([]any{g.out, g.left}, g.right, g.more, []any{bound{}, g.m, g.n, g.k})...)
}

// hopper is the product by the copy engine and wgmma.
func (p *plan) hopper(g gemm) (step, error) {
	if g.form == "tn" {
		l := gradients{}
		l.add(g)
		return p.gradients(l)
	}
	paired := g.paired(p.model.Multiprocessors)
	width, tiles := hopperWidth(p.model.Multiprocessors, g)
	operands := []any{operand{g.left, g.m, g.k, hopperRows}}
	for _, r := range g.right {
		o := operand{r, g.n, g.k, width / len(g.right)}
		if g.form == "nn" {
			o = operand{r, g.k, g.n, hopperDepth}
		}
		if paired && len(g.right) == 1 { // each block brings half, of two weights one
			o.box /= 2
		}
		operands = append(operands, o)
	}
	var addend *engine.Tensor
	for _, m := range g.more {
		if e, ok := m.(epilogue); ok {
			addend = e.addend
		}
	}
	blocks, name := min(p.model.Multiprocessors, tiles), fmt.Sprintf("gemm_%s_hopper_%d", g.form, width)
	if paired {
		blocks, name = blocks&^1, name+"_pair"
	}
	fast, err := p.kernel(name, blocks, 1, hopperThreads, hopperMemory(width, 2*width/len(g.right)),
		slices.Concat([]any{g.out, written{g.out, addend, g.m, g.n}}, operands, g.more, []any{bound{}, g.m, g.n, g.k, blocks})...)
	if err != nil {
		return nil, err
	}
	slow, err := p.ampere(g, 64)
	return aligned{fast, []*kernel{slow}}, err
}

// hopperMemory is the shared memory of a block whose tiles have so many columns, and results so many bytes a row.
func hopperMemory(width, bytes int) int {
	return hopperStages*((hopperRows+width)*hopperDepth*2+ringPlace) + panelMemory(bytes)
}

// panelMemory is what panels.h has of shared memory, for tiles of so many bytes a row.
func panelMemory(width int) int {
	held := 2
	if width == 3*128 {
		held = 3
	}
	return hopperConsumers / 32 * held * (panelRows*128 + 8)
}

// paired tells whether the blocks of the product's launch are clusters of two, which take tiles of rows that follow each other and bring
// half of the right operand's each, for both. Gradients of weights are not.
func (g gemm) paired(multiprocessors int) bool {
	return g.form != "tn" && g.m > hopperRows && multiprocessors > 1
}

// tiles is how many of such a width the product has; of pairs the last may be of no rows.
func (g gemm) tiles(width, multiprocessors int) int {
	if g.form == "gated" {
		width /= 2
	}
	rows := ceilDiv(g.m, hopperRows)
	if g.paired(multiprocessors) {
		rows += rows % 2
	}
	return ceilDiv(g.n, width) * rows
}

// hopperWidth is how many columns a tile of the products of a launch has, and how many tiles there are: as many columns as give the
// multiprocessors the least to do in turn. Narrow tiles read more of shared memory for a product, by the shares of time here. The terms of
// a sum are in the same order in each.
func hopperWidth(multiprocessors int, products ...gemm) (width, tiles int) {
	least, at := math.Inf(1), multiprocessors // at a time
	if products[0].paired(multiprocessors) {
		at -= at % 2
	}
	for _, w := range []struct {
		columns int
		cost    float64
	}{{256, 1}, {192, 1.03}, {128, 1.08}} {
		all := 0
		for _, g := range products {
			all += g.tiles(w.columns, multiprocessors)
		}
		if time := float64(ceilDiv(all, at)*w.columns) * w.cost; time < least {
			width, tiles, least = w.columns, all, time
		}
		if products[0].form == "gated" { // has tiles of one width
			break
		}
	}
	return width, tiles
}

// aligned takes the first kernel where its matrices lie as the copy engine wants them, as all do but views that nobody makes.
type aligned struct {
	fast *kernel
	slow []*kernel
}

func (a aligned) launch() error {
	for _, m := range a.fast.maps {
		if m.of.address()%16 == 0 {
			continue
		}
		for _, k := range a.slow {
			if err := k.launch(); err != nil {
				return err
			}
		}
		return nil
	}
	return a.fast.launch()
}

// tensorTiles is the kernels' instance for the head dimension, and the most tiles of queries that there can be.
func (a *attentionCall) tensorTiles() (dim, tiles int, err error) {
	tiles = ceilDiv(a.tokens, tileRows) + a.In[3].Size() - 1
	switch {
	case a.HeadDim%2 != 0 || a.HeadDim > 128:
		return 0, 0, fmt.Errorf("head dimension %d: in bf16 the GPU's kernels take even ones up to 128", a.HeadDim)
	case a.HeadDim <= 64:
		return 64, tiles, nil
	}
	return 128, tiles, nil
}

// attend adds the kernel of attention_sm80.cu, or the one of attention_sm90.cu where the heads are what the copy engine
// brings. tiles is how many of 64 rows that one keeps in shared memory.
func (a *attentionCall) attend(slow *kernel, err error, name string, tiles int, params ...any) {
	if err != nil || !a.hopper() {
		a.do(slow, err)
		return
	}
	fast, err := a.kernel(fmt.Sprintf("%s_hopper_%d", name, a.HeadDim), a.Heads, ceilDiv(a.tokens, hopperTile)+a.In[3].Size()-1, hopperThreads,
		tiles*tileRows*a.HeadDim*2+2*hopperKeys*ringPlace+ringPlace+hopperKeys*hopperNote, params...)
	a.do(aligned{fast, []*kernel{slow}}, err)
}

// hopper tells whether the kernels of attention_sm90.cu are taken.
func (a *attentionCall) hopper() bool {
	return a.model.Kernels == "sm90a" && (a.HeadDim == 64 || a.HeadDim == 128)
}

// operands are an Inputs of attention_sm90.cu. What a call does not have is not read.
func (a *attentionCall) operands(dout any) []operand {
	cacheK, cacheV, cached := a.cacheK, a.cacheV, a.tokens
	if hasCache(a.Call) {
		cached = a.In[6].Shape()[0]
	} else {
		cacheK, cacheV = a.In[1], a.In[2]
	}
	of := func(where any, rows, heads int) operand { return operand{where, rows, heads * a.HeadDim, tileRows} }
	return []operand{of(a.In[0], a.tokens, a.Heads), of(dout, a.tokens, a.Heads), of(a.In[1], a.tokens, a.KVHeads),
		of(a.In[2], a.tokens, a.KVHeads),
		of(cacheK, cached, a.KVHeads), of(cacheV, cached, a.KVHeads)}
}

func (a *attentionCall) tensorForward() ([]step, error) {
	dim, tiles, err := a.tensorTiles()
	if err != nil {
		return nil, err
	}
	slow, err := a.kernel(fmt.Sprintf("attention_bf16_%d", dim), tiles, a.Heads, attentionThreads, 5*tileRows*dim*2+2*tileRows*keyNote,
		a.Out, a.In[0], a.In[1], a.In[2], a.cacheK, a.cacheV, keys{}, bound{}, a.heads, a.scale)
	a.attend(slow, err, "attention", 2+2*hopperKeys, a.Out, a.operands(a.In[0]), keys{}, bound{}, a.heads, a.scale)
	return a.done()
}

func (a *attentionCall) tensorBackward(packed, dout *engine.Tensor, dk, dv part) ([]step, error) {
	dim, tiles, err := a.tensorTiles()
	if err != nil {
		return nil, err
	}
	delta := a.temporary(4 * a.tokens * a.Heads)
	few := map[int]int{64: 32, 128: 16}[dim] // queries at a time of the gradient of keys
	a.add("attention_delta_bf16", a.tokens, 1, attentionThreads, 0, delta, packed, dout, keys{}, bound{}, a.heads)
	slow, err := a.kernel(fmt.Sprintf("attention_dq_bf16_%d", dim), tiles, a.Heads, attentionThreads, 4*tileRows*dim*2+tileRows*keyNote,
		a.Out, delta, packed, dout, a.In[0], a.In[1], a.In[2], a.cacheK, a.cacheV, keys{}, bound{}, a.heads, a.scale)
	a.attend(slow, err, "attention_dq", 4+2*hopperKeys, a.Out, delta, packed, a.operands(dout), keys{}, bound{}, a.heads, a.scale)
	memory := 2*tileRows*dim*2 + 2*few*dim*2 + 2*few*4
	sums := a.temporary(8 * a.tokens * a.Heads * a.HeadDim) // of the gradients of keys and values, by heads of queries
	slow, err = a.kernel(fmt.Sprintf("attention_dkv_bf16_%d", dim), tiles, a.Heads, attentionThreads, memory,
		sums, delta, packed, dout, a.In[0], a.In[1], a.In[2], keys{}, bound{}, a.heads, a.scale)
	a.attend(slow, err, "attention_dkv", 4+2*hopperKeys, sums, delta, packed, a.operands(dout), keys{}, bound{}, a.heads, a.scale)
	a.add("attention_dkv_sum", ceilDiv(a.tokens*a.KVHeads*a.HeadDim/2, eachThreads), 1, eachThreads, 0,
		dk, dv, sums, keys{}, bound{}, a.heads, a.scale)
	return a.done()
}
