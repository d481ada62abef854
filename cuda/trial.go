//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"time"
	"unsafe"

	"github.com/goprm/goprm/cuda/internal/driver"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"github.com/goprm/goprm/internal/rng"
)

// trialLimit is how long an op of a trial may take on the device; all of them are some milliseconds of work.
const trialLimit = 20 * time.Second

// openTried is what auto opens on Hopper: the kernels sm90a, after they have done on this device what those of sm80 do, else
// sm80's.
func openTried(d Device) (*backend, error) {
	b, err := openWith(d, "sm90a")
	if err == nil {
		if err = b.trial(trialLimit); err == nil {
			return b, nil
		}
		err = fmt.Errorf("device %s (%s): kernels sm90a on trial: %w", d.Name, d.Model, err)
		if errors.Is(err, driver.ErrHung) {
			slog.Warn("the GPU is not usable in this process; a new one may take kernels sm80", "because", err)
			return nil, err
		}
		err = errors.Join(err, b.Close())
	}
	slog.Warn("kernels sm80 are taken", "because", err)
	b, failed := openWith(d, "sm80")
	if failed != nil { // as all does after some errors
		return nil, errors.Join(err, failed)
	}
	return b, nil
}

// trial runs every op that sm90a has kernels for with those and with sm80's, on tiles, stages and segments that end within
// their capacity, and compares. Their sums are in the same order, but the hardware's within 16 terms may not be. It makes products with
// the blocks of two multiprocessors, so that a block takes several tiles and its ring of stages comes around as with real sizes, and
// with those of all. Attention's blocks take one tile each, whatever the device.
func (b *backend) trial(limit time.Duration) error {
	t := &trial{b: b, limit: limit, stream: rng.New(1, "trial")}
	all := b.model.Multiprocessors
	defer func() {
		b.model.Multiprocessors = all
		if !errors.Is(t.failed, driver.ErrHung) {
			for _, p := range t.owned {
				b.Free(p)
			}
			b.calls = nil
		}
	}()
	for _, n := range slices.Compact([]int{min(fewMultiprocessors, all), all}) {
		b.model.Multiprocessors = n
		t.products(150, 139)
		if n <= fewMultiprocessors {
			t.products(100, 89)
		}
	}
	for _, dim := range []int{64, 128} {
		t.attention(dim, 150, []int32{0, 100, 139}, ops.BufferBatch, 0, 100, ops.MaskCausal, 0,
			ops.BufferCache, 7, 80, ops.MaskFull, 0, ops.BufferBatch, 10, 35, ops.MaskFull, 0, ops.BufferBatch, 100, 139, ops.MaskWindow, 20)
	}
	t.attention(128, 340, []int32{0, 330}, ops.BufferBatch, 0, 330, ops.MaskCausal, 0) // six blocks of keys for four stages
	return t.failed
}

// fewMultiprocessors are so few that blocks take several tiles of small products.
const fewMultiprocessors = 2

// products are of 2 × 2 tiles and more, which pairs of blocks take, or of one row of tiles, which single blocks take; of five stages
// for a ring of four, and of as many terms as an adapter has, where the copy engine's box of 64 columns is wider than the matrix.
func (t *trial) products(tokens, live int) {
	const terms, results, rank = 200, 264, 16
	t.live = t.integers(int32(live), 2, 1)
	x, w, v := t.rows(live, tokens, terms), t.random(results, terms), t.random(results, terms)
	y, a := t.rows(live, tokens, results), t.rows(live, tokens, results)
	few, up := t.rows(live, tokens, rank), t.random(results, rank)
	result := func(width int) *engine.Tensor { return t.zeros(engine.BFloat16, tokens, width) }
	t.compare("linear_add", engine.AddAttr{Scale: 0.5}, result(results), a, x, w)
	t.compare("linear_add", engine.AddAttr{Scale: 0.5}, result(results), a, few, up)
	t.compare("linear_dx", nil, result(terms), y, w)
	t.compare("linear_dw", nil, t.zeros(engine.F32, results, terms), y, x)
	t.compare("linear_swiglu", nil, result(results), x, w, v)
	t.together([2]*engine.Tensor{y, x}, [2]*engine.Tensor{x, y}, [2]*engine.Tensor{a, x})
	if t.b.model.Multiprocessors <= fewMultiprocessors { // with more, all of them are of the least width
		t.widths(live, x, y)
	}
}

// together are gradients of weights that come in one launch.
func (t *trial) together(products ...[2]*engine.Tensor) {
	families := []string{"sm80", "sm90a"}
	var calls [2][]engine.Call
	for _, in := range products {
		for i := range families {
			calls[i] = append(calls[i], engine.Call{Op: "linear_dw", Rows: engine.Tokens, Live: t.live, In: in[:],
				Out: t.zeros(engine.F32, in[0].Shape()[1], in[1].Shape()[1])})
		}
	}
	for i, kernels := range families {
		if t.failed == nil {
			t.failed = t.launch(kernels, "linear_dw", func() (engine.Launch, error) { return t.b.CompileGroup(calls[i]) })
		}
	}
	for i, c := range calls[0] {
		if t.failed == nil {
			t.failed = t.differs(c.Op, c.Out, calls[1][i].Out, c.Out.Size())
		}
	}
}

// widths are products of x and of y that tiles of each width suit best, see hopperWidth, with tiles inside of the result, and gradients of
// weights with some of those.
func (t *trial) widths(live int, x, y *engine.Tensor) {
	tokens, terms, results := x.Shape()[0], x.Shape()[1], y.Shape()[1]
	for _, columns := range []int{128, 384, 512} {
		sum, right := t.rows(live, tokens, columns), t.random(columns, terms)
		out := func() *engine.Tensor { return t.zeros(engine.BFloat16, tokens, columns) }
		t.compare("linear", nil, out(), x, right, t.bias(columns))
		t.compare("linear_add", engine.AddAttr{Scale: 0.5}, out(), sum, x, right)
		t.compare("linear_dx", nil, out(), y, t.random(results, columns))
		t.compare("linear_dw", nil, t.zeros(engine.F32, results, columns), y, sum)
	}
}

// attention is forward and backward of two heads; the segments begin and end at cu, and the first of several takes the first key
// range alone.
func (t *trial) attention(dim, tokens int, cu []int32, ranges ...int32) {
	const cached = 90
	segments, live := len(cu)-1, int(cu[len(cu)-1])
	t.live = t.integers(int32(live), int32(segments), 1)
	attr := ops.Attention{Heads: 2, KVHeads: 1, HeadDim: dim}
	q, k, v, do := t.rows(live, tokens, 2*dim), t.rows(live, tokens, dim), t.rows(live, tokens, dim), t.rows(live, tokens, 2*dim)
	count := len(ranges) / ops.RangeLen
	offsets := []int32{0, int32(count)}
	if segments > 1 {
		offsets = []int32{0, 1, int32(count)}
	}
	in := []*engine.Tensor{q, k, v, t.integers(cu...), t.integers(offsets...),
		engine.NewTensor(t.integers(ranges...).Ptr, engine.I32, []int{count, ops.RangeLen}, nil), t.random(cached, dim), t.random(cached, dim)}
	packed := t.compare("attention", attr, t.zeros(engine.BFloat16, tokens*2*dim+ops.LSELen(engine.BFloat16, tokens*2)), in...)
	t.compare("attention_backward", attr, t.zeros(engine.BFloat16, tokens*4*dim), append(in, packed, do)...)
}

// trial launches, waits and compares; the first error sticks.
type trial struct {
	b      *backend
	limit  time.Duration // of an op
	stream rng.Stream
	drawn  uint64
	live   *engine.Tensor
	owned  []unsafe.Pointer
	failed error

	want, got []float64 // what the last comparison read
}

// compare launches the call with both families and returns sm80's result; got has zeros where nothing is written.
func (t *trial) compare(op string, attr any, got *engine.Tensor, in ...*engine.Tensor) *engine.Tensor {
	want := t.zeros(got.Dtype(), got.Shape()...)
	for _, c := range []struct {
		kernels string
		out     *engine.Tensor
	}{{"sm80", want}, {"sm90a", got}} {
		if t.failed == nil {
			t.failed = t.run(c.kernels, engine.Call{Op: op, Attr: attr, Rows: engine.Tokens, Live: t.live, In: in, Out: c.out})
		}
	}
	count := got.Size()
	if op == "attention" { // without the log-sum-exps behind it, which are f32; the backward pass reads sm80's
		count = in[0].Size()
	}
	if t.failed == nil {
		t.failed = t.differs(op, want, got, count)
	}
	return want
}

// run makes a call with one family, and waits.
func (t *trial) run(kernels string, c engine.Call) error {
	return t.launch(kernels, c.Op, func() (engine.Launch, error) { return t.b.Compile(c) })
}

func (t *trial) launch(kernels, op string, compile func() (engine.Launch, error)) error {
	family, usual := t.b.model.Kernels, t.b.limit
	t.b.model.Kernels, t.b.limit = kernels, t.limit
	defer func() { t.b.model.Kernels, t.b.limit = family, usual }()
	launch, err := compile()
	if err == nil {
		err = launch()
	}
	if err == nil {
		err = t.b.Sync()
	}
	if err != nil {
		return fmt.Errorf("%s by kernels %s: %w", op, kernels, err)
	}
	return nil
}

// differs allows four units in the last place of bf16, of an element or of what elements are like, there or on the whole: weights
// that are rounded otherwise show in every element of a gradient's row alike.
func (t *trial) differs(op string, x, y *engine.Tensor, count int) error {
	var err error
	if t.want, err = t.numbers(x); err != nil {
		return err
	}
	if t.got, err = t.numbers(y); err != nil {
		return err
	}
	want, got := t.want[:count], t.got
	overall := rootMeanSquare(want)
	for at := 0; at < count; at += nearby {
		near := want[at:min(at+nearby, count)]
		typical := max(overall, rootMeanSquare(near))
		for i, v := range near {
			if d := math.Abs(got[at+i] - v); !(d <= (math.Abs(v)+typical)/64) {
				return fmt.Errorf("%s > %v: element %d is %g, by sm80's kernels %g", op, y.Shape(), at+i, got[at+i], v)
			}
		}
	}
	return nil
}

// nearby elements are of one row: a head's, or a part of one.
const nearby = 64

func rootMeanSquare(x []float64) float64 {
	squares := 0.0
	for _, v := range x {
		squares += v * v
	}
	return math.Sqrt(squares / float64(len(x)))
}

// numbers reads a result.
func (t *trial) numbers(x *engine.Tensor) ([]float64, error) {
	host := engine.FromDType(x.Dtype(), x.Shape()...)
	if err := t.b.Download(host.Bytes(), x); err != nil {
		return nil, err
	}
	v := make([]float64, x.Size())
	if x.Dtype() == engine.F32 {
		for i, n := range engine.Slice[float32](host) {
			v[i] = float64(n)
		}
		return v, nil
	}
	for i, n := range engine.Slice[engine.BF16](host) {
		v[i] = float64(n.Float32())
	}
	return v, nil
}
