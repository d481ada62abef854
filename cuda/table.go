//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"errors"
	"fmt"
	"math"
	"unsafe"

	"github.com/goprm/goprm/cuda/internal/driver"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
)

// Sizes that kernels/*.cu know by the same names.
const (
	each, eachThreads      = 1024, 256
	rowThreads             = 128
	columns, columnThreads = 32, 256
	sumBlock               = 4096
	productTile, tileDepth = 64, 16
	keyBlock               = 64
	maxDim                 = 256 // of a head
)

// table builds the steps of each op's call, whose signature holds (see ops.Check).
var table = map[string]func(b *builder) ([]step, error){
	"embedding":          embedding,
	"embedding_dtable":   func(b *builder) ([]step, error) { return b.scatter(0) },
	"gather":             gather,
	"gather_dx":          func(b *builder) ([]step, error) { return b.scatter(1) },
	"rmsnorm":            func(b *builder) ([]step, error) { return b.rmsnorm() },
	"rmsnorm_dx":         func(b *builder) ([]step, error) { return b.rmsnorm() },
	"rmsnorm_dw":         rmsnormDW,
	"linear":             linear,
	"linear_dx":          linearDX,
	"linear_dw":          linearDW,
	"linear_db":          linearDB,
	"linear_add":         linearAdd,
	"linear_dx_add":      linearDXAdd,
	"linear_swiglu":      linearSwiGLU,
	"rope":               rope,
	"attention":          attention,
	"attention_backward": attentionBackward,
	"cache_write":        cacheWrite,
	"swiglu":             func(b *builder) ([]step, error) { return b.mapped() },
	"swiglu_backward":    func(b *builder) ([]step, error) { return b.mapped() },
	"add":                func(b *builder) ([]step, error) { return b.mapped(b.factor()) },
	"scale":              func(b *builder) ([]step, error) { return b.mapped(b.factor()) },
	"sigmoid":            func(b *builder) ([]step, error) { return b.unary() },
	"sigmoid_dx":         func(b *builder) ([]step, error) { return b.elementwise() },
	"relu":               func(b *builder) ([]step, error) { return b.unary() },
	"relu_dx":            func(b *builder) ([]step, error) { return b.elementwise() },
	"positive_prob":      func(b *builder) ([]step, error) { return b.reads(b.In) },
	"positive_prob_dx":   func(b *builder) ([]step, error) { return b.reads(b.In) },
	"pick":               func(b *builder) ([]step, error) { return b.reads(b.In, b.In[0].Shape()[1]) },
	"pick_dx":            func(b *builder) ([]step, error) { return b.reads(b.In[:2], b.Out.Shape()[1]) },
	"squared_error":      objective,
	"squared_error_dy":   func(b *builder) ([]step, error) { return b.reads(b.In) },
	"bce":                objective,
	"bce_dz":             func(b *builder) ([]step, error) { return b.reads(b.In) },
	"ce":                 objective,
	"ce_dz":              func(b *builder) ([]step, error) { return b.reads(b.In) },
	"dropout":            dropout,
	"layernorm":          layernorm,
	"gelu":               gelu,
	"pool":               pool,
	"tanh":               func(b *builder) ([]step, error) { return b.unaryOf("hyperbolic_tangent") },
	"log_prob_block":     logProbBlock,
	"log_prob":           func(b *builder) ([]step, error) { return b.reads(b.In) },
	"adamw":              adamw,
	"sgd":                func(b *builder) ([]step, error) { return b.update("sgd" + suffix(b.compute)) },
	"clip":               clip,
	"sum_squares":        sumSquares,
}

// plan collects steps until one fails.
type plan struct {
	*builder
	steps  []step
	failed error
}

func (b *builder) plan() *plan { return &plan{builder: b} }

func (p *plan) do(s step, err error) {
	p.steps, p.failed = append(p.steps, s), errors.Join(p.failed, err)
}

// add appends a kernel.
func (p *plan) add(name string, gridX, gridY, threads, shared int, params ...any) {
	k, err := p.kernel(name, gridX, gridY, threads, shared, params...)
	p.do(k, err)
}

func (p *plan) done() ([]step, error) { return p.steps, p.failed }

func (b *builder) one(name string, gridX, gridY, threads, shared int, params ...any) ([]step, error) {
	p := b.plan()
	p.add(name, gridX, gridY, threads, shared, params...)
	return p.done()
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// leading is the capacity of a call's rows.
func leading(c engine.Call) int { return first(c.In[0]) }

func first(t *engine.Tensor) int {
	if len(t.Shape()) == 0 {
		return 1
	}
	return t.Shape()[0]
}

func params(tensors []*engine.Tensor, more ...any) []any {
	var all []any
	for _, t := range tensors {
		all = append(all, t)
	}
	return append(all, more...)
}

func (b *builder) outAndIn(in []*engine.Tensor, more ...any) []any {
	return append([]any{b.Out}, params(in, more...)...)
}

func embedding(b *builder) ([]step, error) {
	vocabulary, width, capacity := b.In[0].Shape()[0], b.In[0].Shape()[1], b.In[1].Size()
	return b.one("embedding"+suffix(b.compute, b.In[0].Dtype()), capacity, 1, rowThreads, 0, b.Out, b.In[0], b.In[1], bound{}, capacity, width,
		vocabulary)
}

func gather(b *builder) ([]step, error) {
	tokens, width, capacity := b.In[0].Shape()[0], b.In[0].Shape()[1], b.In[1].Size()
	return b.one("gather"+suffix(b.compute), capacity, 1, rowThreads, 0, b.Out, b.In[0], b.In[1], bound{}, capacity, width, tokens)
}

// scatter adds rows to rows of zeros; live: only live tokens are targets.
func (b *builder) scatter(live int) ([]step, error) {
	capacity, width, targets := b.In[0].Shape()[0], b.In[0].Shape()[1], b.Out.Shape()[0]
	p := b.plan()
	p.do(p.clear(b.Out), nil)
	p.add("scatter"+suffix(b.In[0].Dtype(), b.Out.Dtype()), capacity, 1, rowThreads, 4, b.Out, b.In[0], b.In[1], bound{}, capacity, width,
		targets, live)
	return p.done()
}

func (b *builder) rmsnorm() ([]step, error) {
	capacity, width := b.In[0].Shape()[0], b.In[1].Size()
	heads := b.In[0].Shape()[1] / width
	return b.one(b.Op+suffix(b.compute), capacity*heads, 1, rowThreads, 2*8*rowThreads/32,
		b.outAndIn(b.In, bound{}, capacity, heads, width, b.Attr.(ops.RMSNorm).Eps)...)
}

func rmsnormDW(b *builder) ([]step, error) {
	capacity, width := b.In[0].Shape()[0], b.Out.Size()
	heads := b.In[0].Shape()[1] / width
	p := b.plan()
	inverse, parts := p.temporary(8*capacity*heads), p.temporary(8*heads*width) // numbers of each head, and of each of a row's features
	p.add("inverse_rms"+suffix(b.compute), capacity*heads, 1, rowThreads, 8*rowThreads/32,
		inverse, b.In[0], bound{}, capacity, heads, width, b.Attr.(ops.RMSNorm).Eps)
	p.add("rmsnorm_dw"+suffix(b.compute), ceilDiv(heads*width, columns), 1, columnThreads, 8*columnThreads,
		parts, b.In[0], b.In[1], inverse, bound{}, capacity, heads, width)
	p.add("sum_heads"+suffix(b.compute), ceilDiv(width, each), 1, eachThreads, 0, b.Out, parts, heads, width)
	return p.done()
}

func linearDB(b *builder) ([]step, error) {
	capacity, width := b.In[0].Shape()[0], b.In[0].Shape()[1]
	return b.one("column_sums"+suffix(b.compute), ceilDiv(width, columns), 1, columnThreads, 8*columnThreads,
		b.Out, b.In[0], bound{}, capacity, width)
}

// linear: out[t,n] = Σ_k x[t,k]·w[n,k] (+ bias[n]).
func linear(b *builder) ([]step, error) { return b.linear(b.In, epilogue{}) }

func (b *builder) linear(in []*engine.Tensor, e epilogue) ([]step, error) {
	if len(in) > 2 {
		e.bias = in[2]
	}
	t, k, n := in[0].Shape()[0], in[0].Shape()[1], in[1].Shape()[0]
	return b.product(in[0], in[1], layout{t, n, k, 0, k, 1, 1, k}, e)
}

// linearDX: out[t,k] = Σ_n dy[t,n]·w[n,k].
func linearDX(b *builder) ([]step, error) { return b.linearDX(b.In, epilogue{}) }

func (b *builder) linearDX(in []*engine.Tensor, e epilogue) ([]step, error) {
	t, n, k := in[0].Shape()[0], in[0].Shape()[1], in[1].Shape()[1]
	return b.product(in[0], in[1], layout{t, k, n, 0, n, 1, k, 1}, e)
}

// linearDW: out[n,k] = Σ_t dy[t,n]·x[t,k].
func linearDW(b *builder) ([]step, error) {
	return b.product(b.In[0], b.In[1], gradientOf(b.Call).layout, epilogue{})
}

// The products with what is done to them, see ops.Fusions.
func linearAdd(b *builder) ([]step, error)   { return b.linear(b.In[1:], b.added()) }
func linearDXAdd(b *builder) ([]step, error) { return b.linearDX(b.In[1:], b.added()) }

func (b *builder) added() epilogue { return epilogue{addend: b.In[0], factor: float32(b.factor())} }

// layout is a product's m, n and k, whether the live count bounds k (1) or m (0), and the steps of a along m and k and of
// b along k and n.
type layout struct{ m, n, k, liveTerms, am, ak, bk, bn int }

// product is left times right.
func (b *builder) product(left, right *engine.Tensor, l layout, e epilogue) ([]step, error) {
	if b.compute == engine.BFloat16 {
		return b.tensorProduct(left, right, l, e)
	}
	size := int(b.compute.Size())
	return b.one("product"+suffix(b.compute, right.Dtype()), ceilDiv(l.n, productTile), ceilDiv(l.m, productTile), 256,
		2*tileDepth*(productTile+1)*size,
		b.Out, left, right, optional(e.bias), bound{}, l.m, l.n, l.k, l.liveTerms, uint64(l.am), uint64(l.ak), uint64(l.bk), uint64(l.bn))
}

// rope's frequencies are computed on the host, by the same function as the CPU's.
func rope(b *builder) ([]step, error) {
	a := b.Attr.(ops.RoPE)
	capacity, half := b.In[0].Shape()[0], a.HeadDim/2
	table, amplitude, err := b.frequencies(a)
	if err != nil {
		return nil, err
	}
	inverse := 0
	if a.Inverse {
		inverse = 1
	}
	return b.one("rope"+suffix(b.compute), ceilDiv(capacity*half, each), 1, eachThreads, 0,
		b.Out, b.In[0], b.In[1], table, bound{}, capacity, b.In[0].Shape()[1]/a.HeadDim, half, inverse, amplitude)
}

// frequencies is where a rotation's table lies, and the factor of the rotated vectors.
func (b *backend) frequencies(a ops.RoPE) (table driver.Ptr, amplitude float64, err error) {
	a.Inverse = false
	f, amplitude := a.Frequencies()
	if p, ok := b.tables[a]; ok {
		return p, amplitude, nil
	}
	p, err := b.take(8 * len(f))
	if err != nil {
		return 0, 0, err
	}
	b.tables[a] = p
	return p, amplitude, driver.Upload(p, unsafe.Slice((*byte)(unsafe.Pointer(&f[0])), 8*len(f)), b.stream)
}

// elementwise kernels take every live row's elements by themselves.
func (b *builder) elementwise(more ...any) ([]step, error) { return b.perElement(each, more) }

// mapped kernels (chunks.h) are elementwise, with 16 bytes of each operand a thread: of bf16 8 numbers.
func (b *builder) mapped(more ...any) ([]step, error) {
	return b.perElement(max(each, 16/int(b.compute.Size())*eachThreads), more)
}

func (b *builder) perElement(block int, more []any) ([]step, error) {
	capacity := leading(b.Call)
	width := b.In[0].Size() / max(1, capacity)
	return b.one(b.Op+suffix(b.compute), ceilDiv(b.In[0].Size(), block), 1, eachThreads, 0,
		b.outAndIn(b.In, append([]any{bound{}, capacity, width}, more...)...)...)
}

// unary kernels share the form of binary ones.
func (b *builder) unary() ([]step, error) {
	b.In = []*engine.Tensor{b.In[0], b.In[0]}
	return b.elementwise()
}

// factor is AddAttr's scale, rounded as the compute dtype's arithmetic takes it.
func (b *builder) factor() float64 {
	f := b.Attr.(engine.AddAttr).Scale
	if b.compute != engine.F64 {
		f = float64(float32(f))
	}
	return f
}

// reads kernels take a read-out each.
func (b *builder) reads(in []*engine.Tensor, more ...any) ([]step, error) {
	capacity := leading(b.Call)
	return b.one(b.Op+suffix(b.compute), ceilDiv(capacity, each), 1, eachThreads, 0,
		b.outAndIn(in, append([]any{bound{}, capacity}, more...)...)...)
}

func objective(b *builder) ([]step, error) {
	return b.one(b.Op+suffix(b.compute), 1, 1, eachThreads, 8*eachThreads, b.outAndIn(b.In, bound{}, leading(b.Call))...)
}

func adamw(b *builder) ([]step, error) {
	name := "adamw" + suffix(b.compute)
	if moments := b.In[2].Dtype(); moments != b.compute {
		name += suffix(moments)
	}
	return b.update(name)
}

// update kernels take each element of a parameter by itself.
func (b *builder) update(name string) ([]step, error) {
	n := b.Out.Size()
	return b.one(name, ceilDiv(n, each), 1, eachThreads, 0, b.outAndIn(b.In, uint64(n), roundedCopy{b.backend, b.Out})...)
}

func clip(b *builder) ([]step, error) {
	return b.one("clip", 1, 1, 32, 0, b.outAndIn(b.In, b.In[0].Size())...)
}

func sumSquares(b *builder) ([]step, error) {
	n := b.In[0].Size()
	blocks := ceilDiv(n, sumBlock)
	p := b.plan()
	parts := p.temporary(8 * blocks)
	p.add("square_sums"+suffix(b.compute), blocks, 1, eachThreads, 8*eachThreads/32, parts, b.In[0], uint64(n))
	p.add("sum_parts", 1, 1, eachThreads, 8*eachThreads/32, b.Out, parts, blocks)
	return p.done()
}

// hasCache tells whether an attention call has cached keys and values: its inputs 6 and 7. The backward op has two more
// inputs than the forward one.
func hasCache(c engine.Call) bool {
	if c.Op == "attention" {
		return len(c.In) == 8
	}
	return len(c.In) == 10
}

// attentionCall is what the attention kernels share.
type attentionCall struct {
	*plan
	ops.Attention
	tokens         int // capacity
	cacheK, cacheV any
	heads          heads
	scale          float64
}

// attention starts the plan of an attention op with the check of its segments and ranges.
func (b *builder) attention() (*attentionCall, error) {
	a := &attentionCall{plan: b.plan(), Attention: b.Attr.(ops.Attention), tokens: b.In[0].Shape()[0]}
	if limit := maxDim; a.HeadDim > limit {
		return nil, fmt.Errorf("head dimension %d: the GPU's kernels take up to %d", a.HeadDim, limit)
	}
	a.heads, a.scale = heads{a.Heads, a.KVHeads, a.HeadDim}, 1/math.Sqrt(float64(a.HeadDim))
	cache := 0
	if hasCache(b.Call) {
		a.cacheK, a.cacheV, cache = b.In[6], b.In[7], b.In[6].Shape()[0]
	}
	a.add("check_segments", 1, 1, 256, 0, keys{}, bound{}, b.In[5].Shape()[0], cache)
	return a, nil
}

func attention(b *builder) ([]step, error) {
	a, err := b.attention()
	if err != nil {
		return nil, err
	}
	if b.compute == engine.BFloat16 {
		return a.tensorForward()
	}
	a.add("attention"+suffix(b.compute), a.tokens, a.Heads, keyBlock, keyBlock*(int(b.compute.Size())+4),
		b.Out, b.In[0], b.In[1], b.In[2], a.cacheK, a.cacheV, keys{}, bound{}, a.heads, a.scale)
	return a.done()
}

func attentionBackward(b *builder) ([]step, error) {
	a, err := b.attention()
	if err != nil {
		return nil, err
	}
	n := len(b.In)
	packed, dout := b.In[n-2], b.In[n-1]
	size := int(b.compute.Size())
	dk := part{b.Out, size * b.In[0].Size()}
	dv := part{b.Out, size * (b.In[0].Size() + b.In[1].Size())}
	if b.compute == engine.BFloat16 {
		return a.tensorBackward(packed, dout, dk, dv)
	}
	delta := a.temporary(8 * a.tokens * a.Heads)
	a.add("attention_dq"+suffix(b.compute), a.tokens, a.Heads, keyBlock, keyBlock*(size+4),
		b.Out, delta, packed, dout, b.In[0], b.In[1], b.In[2], a.cacheK, a.cacheV, keys{}, bound{}, a.heads, a.scale)
	a.add("attention_dkv"+suffix(b.compute), a.tokens, a.KVHeads, keyBlock, keyBlock*2*size,
		dk, dv, delta, packed, dout, b.In[0], b.In[1], b.In[2], keys{}, bound{}, a.heads, a.scale)
	return a.done()
}
