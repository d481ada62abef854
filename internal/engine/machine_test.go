package engine_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"testing"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"github.com/goprm/goprm/internal/rng"
	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	_ "github.com/goprm/goprm/internal/cpu"
)

// sizes of the test graph; the packed segments cross the attention's key blocks.
const (
	hidden, heads, keyHeads, headDim, wide, vocab = 12, 3, 1, 4, 20, 17
)

// graph is a two-layer transformer with a head, built like the real one, with its inputs' values.
type graph struct {
	*ops.Builder
	dtype   tensor.Dtype
	tokens  int // capacity
	values  map[*gorgonia.Node]*engine.Tensor
	trained gorgonia.Nodes
	keep    gorgonia.Nodes
	loss    *gorgonia.Node
	grads   gorgonia.Nodes
}

// newGraph packs segments of the given lengths into a graph of larger capacity.
func newGraph(t testing.TB, dtype tensor.Dtype, lengths []int, spare int, oracle engine.Backend) *graph {
	g := &graph{Builder: ops.NewBuilder(oracle), dtype: dtype, values: map[*gorgonia.Node]*engine.Tensor{}}
	var ids, positions, reads, ranges []int32
	cu, offsets := []int32{0}, []int32{0}
	for s, n := range lengths {
		start := int32(len(ids))
		for i := range n {
			ids, positions = append(ids, int32((s*7+i*5)%vocab)), append(positions, int32(i))
		}
		cu, offsets = append(cu, int32(len(ids))), append(offsets, int32(s+1))
		ranges = append(ranges, ops.BufferBatch, start, int32(len(ids)), ops.MaskCausal, 0)
		reads = append(reads, start+int32(n/2), start+int32(n-1), start+int32(n-1)) // two read-outs meet one token
	}
	live := len(ids)
	garbage := func(x []int32, n int) []int32 {
		for range n {
			x = append(x, math.MinInt32)
		}
		return x
	}
	g.tokens = live + spare
	idsNode := g.ints("ids", garbage(ids, spare))
	positionsNode := g.ints("positions", garbage(positions, spare))
	readsNode := g.ints("reads", garbage(reads, spare))
	keys := ops.Keys{CuSeqlens: g.ints("cu", garbage(cu, spare)), RangeOffsets: g.ints("offsets", garbage(offsets, spare)),
		Ranges: g.ints("ranges", ranges, len(lengths), ops.RangeLen)}

	x := g.Embedding(g.weight("embed", vocab, hidden), idsNode, dtype, true)
	for l := range 2 {
		g.keep, g.Group = append(g.keep, x), l+1
		name := func(s string) string { return fmt.Sprintf("%d.%s", l, s) }
		linear := func(x *gorgonia.Node, s string, out, in int, bias bool) *gorgonia.Node {
			var b *gorgonia.Node
			if bias {
				b = g.weight(name(s+".bias"), out)
			}
			return g.Linear(engine.Tokens, x, g.weight(name(s), out, in), b, true, true)
		}
		h := g.RMSNorm(x, g.weight(name("norm"), hidden), 1e-6, true)
		rope := ops.RoPE{HeadDim: headDim, Theta: 1e4}
		q := g.RoPE(linear(h, "q", heads*headDim, hidden, true), positionsNode, rope)
		k := g.RoPE(linear(h, "k", keyHeads*headDim, hidden, true), positionsNode, rope)
		v := linear(h, "v", keyHeads*headDim, hidden, true)
		a := g.Attention(q, k, v, keys, ops.Attention{Heads: heads, KVHeads: keyHeads, HeadDim: headDim})
		x = g.Add(x, linear(a, "o", hidden, heads*headDim, false), 1)
		h = g.RMSNorm(x, g.weight(name("norm2"), hidden), 1e-6, true)
		x = g.Add(x, linear(g.SwiGLU(linear(h, "gate", wide, hidden, false), linear(h, "up", wide, hidden, false)), "down", hidden, wide, false),
			0.5)
	}
	g.Group = 0
	read := g.Gather(g.RMSNorm(x, g.weight("last", hidden), 1e-6, true), readsNode)
	p := g.Sigmoid(g.Linear(engine.Reads, read, g.weight("head", 1, hidden), g.weight("head.bias", 1), true, true))
	r := len(reads)
	target, weight := g.floats("target", r+spare, func(i int) float64 { return float64(i%3) / 2 }),
		g.floats("weight", r+spare, func(i int) float64 { return 0.1 + float64(i%2) })
	g.loss = g.SquaredError(p, target, weight)
	require.NoError(t, g.Err())
	grads, err := gorgonia.Grad(g.loss, g.trained...)
	require.NoError(t, err)
	require.NoError(t, g.Err())
	g.grads = grads
	return g
}

func (g *graph) input(name string, v *engine.Tensor) *gorgonia.Node {
	n := g.Input(name, v.Dtype(), v.Shape()...)
	g.values[n] = v
	return n
}

func (g *graph) ints(name string, v []int32, shape ...int) *gorgonia.Node {
	if shape == nil {
		shape = []int{len(v)}
	}
	return g.input(name, engine.FromSlice(v, shape...))
}

func (g *graph) floats(name string, n int, f func(int) float64, shape ...int) *gorgonia.Node {
	if shape == nil {
		shape = []int{n}
	}
	if g.dtype == engine.F64 {
		v := make([]float64, n)
		for i := range v {
			v[i] = f(i)
		}
		return g.input(name, engine.FromSlice(v, shape...))
	}
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(f(i))
	}
	return g.input(name, engine.FromSlice(v, shape...))
}

func (g *graph) weight(name string, shape ...int) *gorgonia.Node {
	n := 1
	for _, d := range shape {
		n *= d
	}
	stream := rng.New(3, name)
	w := g.floats(name, n, func(i int) float64 { return stream.Float64(uint64(i)) - 0.4 }, shape...)
	g.trained = append(g.trained, w)
	return w
}

// compile binds the inputs; spare counts are live when they are negative.
func (g *graph) compile(t testing.TB, keep gorgonia.Nodes, b engine.Backend) *engine.Machine {
	m, err := engine.Compile(engine.Plan{Outputs: append(gorgonia.Nodes{g.loss}, g.grads...), Loss: g.loss, Keep: keep}, b)
	require.NoError(t, err)
	for n, v := range g.values {
		require.NoError(t, m.Bind(n, v))
	}
	return m
}

// outputs are the bytes of the loss and of every gradient.
func (g *graph) outputs(m *engine.Machine) [][]byte {
	var all [][]byte
	for _, n := range append(gorgonia.Nodes{g.loss}, g.grads...) {
		all = append(all, append([]byte{}, m.Output(n).Bytes()...))
	}
	return all
}

func backend(t testing.TB) engine.Backend {
	b, err := engine.Open("cpu", engine.Options{Kernels: "portable", Workers: 2})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

var lengths = []int{1, 70, 9}

// The machine gives the bits of Gorgonia's tape machine, whatever it keeps, and from run to run.
func TestMachineEqualsTapeMachine(t *testing.T) {
	b := backend(t)
	for _, dtype := range []tensor.Dtype{engine.F32, engine.F64} {
		g := newGraph(t, dtype, lengths, 0, b)
		for n, v := range g.values {
			require.NoError(t, gorgonia.Let(n, v))
		}
		tape := gorgonia.NewTapeMachine(g.Graph)
		require.NoError(t, tape.RunAll())
		var want [][]byte
		for _, n := range append(gorgonia.Nodes{g.loss}, g.grads...) {
			v := n.Value()
			want = append(want, bytesOf(v))
		}
		require.NoError(t, tape.Close())
		for _, keep := range []gorgonia.Nodes{nil, g.keep, {}} {
			m := g.compile(t, keep, b)
			for range 2 {
				require.NoError(t, m.RunAll())
				require.Equal(t, want, g.outputs(m))
			}
		}
	}
}

// bytesOf copies the memory of one of gorgonia's values.
func bytesOf(v gorgonia.Value) []byte {
	var b bytes.Buffer
	switch v := v.(type) {
	case *gorgonia.F32:
		_ = binary.Write(&b, binary.NativeEndian, float32(*v)) // a buffer's Write never fails
	case *gorgonia.F64:
		_ = binary.Write(&b, binary.NativeEndian, float64(*v))
	case *tensor.Dense:
		if v.Dtype() == engine.F32 {
			_ = binary.Write(&b, binary.NativeEndian, v.Float32s())
		} else {
			_ = binary.Write(&b, binary.NativeEndian, v.Float64s())
		}
	}
	return b.Bytes()
}

func TestGradientsByCentralDifferences(t *testing.T) {
	g := newGraph(t, engine.F64, lengths, 0, nil)
	m := g.compile(t, g.keep, backend(t))
	run := func() float64 {
		require.NoError(t, m.RunAll())
		return engine.Slice[float64](m.Output(g.loss))[0]
	}
	for i, n := range g.trained {
		run()
		grad := append([]float64{}, engine.Slice[float64](m.Output(g.grads[i]))...)
		w := engine.Slice[float64](g.values[n])
		for _, j := range []int{0, len(w) / 3, len(w) - 1} {
			const h = 1e-4 // of a fourth-order difference
			at := w[j]
			moved := func(by float64) float64 {
				w[j] = at + by
				defer func() { w[j] = at }()
				return run()
			}
			want := (8*(moved(h)-moved(-h)) - (moved(2*h) - moved(-2*h))) / (12 * h)
			require.InDelta(t, want, grad[j], 1e-8+1e-6*math.Abs(want), "%s[%d]", n.Name(), j)
		}
	}
}

// Live counts below the capacity, with garbage behind them, give the bits of an exactly sized graph.
func TestCapacityChangesNoBit(t *testing.T) {
	b := backend(t)
	exact := newGraph(t, engine.F32, lengths, 0, nil)
	m := exact.compile(t, exact.keep, b)
	require.NoError(t, m.RunAll())
	large := newGraph(t, engine.F32, lengths, 11, nil)
	n := large.compile(t, large.keep, b)
	require.NoError(t, n.SetLive(80, 3, 9))
	require.NoError(t, n.RunAll())
	require.Equal(t, exact.outputs(m), large.outputs(n))
}

func TestRunsAllocateNothing(t *testing.T) {
	g := newGraph(t, engine.F32, lengths, 0, nil)
	m := g.compile(t, g.keep, backend(t))
	require.NoError(t, m.RunAll())
	require.Zero(t, testing.AllocsPerRun(5, func() { _ = m.RunAll() }))
}

// stopping is a backend whose launches are counted; the one numbered end ends the context.
type stopping struct {
	engine.Backend
	launches, end int
	cancel        context.CancelFunc
}

func (s *stopping) SharesHostMemory() {}

func (s *stopping) Compile(c engine.Call) (engine.Launch, error) {
	launch, err := s.Backend.Compile(c)
	return func() error {
		if s.launches++; s.launches == s.end {
			s.cancel()
		}
		return launch()
	}, err
}

// A run stops before the launch that follows the end of its context, and the next run has the bits of any.
func TestRunStopsBetweenLaunches(t *testing.T) {
	g := newGraph(t, engine.F32, lengths, 0, nil)
	ctx, cancel := context.WithCancel(context.Background())
	b := &stopping{Backend: backend(t), end: 3, cancel: cancel}
	m := g.compile(t, g.keep, b)
	require.ErrorIs(t, m.RunAllContext(ctx), context.Canceled)
	require.Equal(t, 3, b.launches)
	require.ErrorIs(t, m.RunAllContext(ctx), context.Canceled)
	require.Equal(t, 3, b.launches)
	require.NoError(t, m.RunAll())
	require.Equal(t, 3+m.Stats().Steps, b.launches)
	whole := g.compile(t, g.keep, backend(t))
	require.NoError(t, whole.RunAll())
	require.Equal(t, g.outputs(whole), g.outputs(m))
}

func TestRecomputationTradesMemoryForTime(t *testing.T) {
	g := newGraph(t, engine.F32, []int{300}, 0, nil)
	plan := engine.Plan{Outputs: append(gorgonia.Nodes{g.loss}, g.grads...), Loss: g.loss}
	kept, err := engine.Measure(plan, engine.Rules{})
	require.NoError(t, err)
	plan.Keep = g.keep
	recomputed, err := engine.Measure(plan, engine.Rules{})
	require.NoError(t, err)
	forward, err := engine.Measure(engine.Plan{Outputs: gorgonia.Nodes{g.loss}}, engine.Rules{})
	require.NoError(t, err)
	require.Zero(t, kept.Recomputed)
	require.Positive(t, recomputed.Recomputed)
	require.Less(t, recomputed.Arena, kept.Arena)
	require.Less(t, forward.Arena, recomputed.Arena)
	require.Less(t, kept.Arena, kept.Unshared)
	require.Less(t, forward.Steps, kept.Steps, "only what the loss needs is scheduled")
}

func TestMissingAndMisshapenInputsAreNamed(t *testing.T) {
	g := newGraph(t, engine.F32, lengths, 0, nil)
	m, err := engine.Compile(engine.Plan{Outputs: gorgonia.Nodes{g.loss}}, backend(t))
	require.NoError(t, err)
	require.ErrorContains(t, m.RunAll(), "has no memory")
	require.ErrorContains(t, m.Bind(g.trained[0], engine.FromDType(engine.F32, 2, 2)), "embed")
	require.ErrorContains(t, m.Upload(g.trained[0], make([]byte, 1<<20)), "embed")

	b := ops.NewBuilder(nil)
	b.Input("x", engine.F32, 2, 3)
	b.Input("x", engine.F32, 2, 3)
	require.ErrorContains(t, b.Err(), `"x": added twice`)
	b = ops.NewBuilder(nil)
	require.Nil(t, b.Add(b.Linear(engine.Tokens, b.Input("x", engine.F32, 2, 3), b.Input("w", engine.F32, 4, 5), nil, true, false), nil, 1))
	require.ErrorContains(t, b.Err(), "linear: w has shape [4 5], want [-1 3]")

	for device, want := range map[string]string{
		"tpu": "no such backend", "cuda:0": `import _ "github.com/goprm/goprm/cuda"`, "cpu:x": "not a number", "cpu:9": "cpu:9",
	} {
		_, err := engine.Open(device, engine.Options{})
		require.ErrorContains(t, err, want)
	}
}
