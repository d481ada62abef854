//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"bytes"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"github.com/goprm/goprm/internal/rng"
	"github.com/stretchr/testify/require"
)

// randomNumbers are bf16 between −1 and 1 times a factor, of a stream.
func randomNumbers(stream uint64, n int, factor float64) []engine.BF16 {
	var table [1 << 12]engine.BF16
	for i := range table {
		table[i] = engine.ToBF16(float32(factor * (float64(2*i+1)/float64(len(table)) - 1)))
	}
	v := make([]engine.BF16, n)
	for i := range v {
		v[i] = table[rng.Mix(stream<<40+uint64(i))%uint64(len(table))]
	}
	return v
}

// shapeTest compares both families of kernels with each other and, at some of the results, with float64.
type shapeTest struct {
	*trial
	t       *testing.T
	streams uint64
	live    int
	all     int // multiprocessors
	inputs  map[*engine.Tensor][]engine.BF16
	seen
}

// matrix is a random input whose rows past the live ones are NaN.
func (s *shapeTest) matrix(live, rows, width int, factor float64) *engine.Tensor {
	s.streams++
	v := randomNumbers(s.streams, rows*width, factor)
	for i := live * width; i < len(v); i++ {
		v[i] = engine.ToBF16(float32(math.NaN()))
	}
	x := s.placed(engine.FromSlice(v, rows, width))
	s.inputs[x] = v
	return x
}

// result makes the call with both families and the blocks of few multiprocessors, where the results must agree, and then with those of
// all, which must give the bits that few gave. It returns sm90a's.
func (s *shapeTest) result(op string, attr any, out *engine.Tensor, in ...*engine.Tensor) []float64 {
	s.b.model.Multiprocessors = min(fewMultiprocessors, s.all)
	s.compare(op, attr, out, in...)
	require.NoError(s.t, s.failed)
	differing := 0
	for i, v := range s.want {
		if s.got[i] != v && !math.IsNaN(v) {
			differing++
		}
	}
	s.bits(op, len(s.want), differing)
	s.b.model.Multiprocessors = s.all
	again := s.zeros(out.Dtype(), out.Shape()...)
	require.NoError(s.t, s.run("sm90a", engine.Call{Op: op, Attr: attr, Rows: engine.Tokens, Live: s.trial.live, In: in, Out: again}))
	require.True(s.t, bytes.Equal(s.bytes(out), s.bytes(again)), "%s: the bits are others with the blocks of all multiprocessors", op)
	return s.got
}

func (s *shapeTest) bytes(x *engine.Tensor) []byte {
	raw := make([]byte, x.MemSize())
	require.NoError(s.t, s.b.Download(raw, x))
	return raw
}

// near demands a result to be as near to float64's as allowed.
func (s *shapeTest) near(op string, want, got, allowed float64) {
	s.t.Helper()
	share := math.Abs(got-want) / allowed
	require.LessOrEqual(s.t, share, 1.0, "%s is %g, by float64 %g, and %g is allowed", op, got, want, allowed)
	s.error(share)
}

// samples are rows and columns of a result: the corners of it, and others about tiles' edges and anywhere.
func samples(rows, columns int) (list [][2]int) {
	edge := func(stream uint64, n int) int {
		at := int(rng.Mix(stream) % uint64(n))
		switch stream % 3 {
		case 1:
			return at / 64 * 64
		case 2:
			return min(at|63, n-1)
		}
		return at
	}
	for i := range uint64(200) {
		list = append(list, [2]int{edge(2*i, rows), edge(2*i+1, columns)})
	}
	return append(list, [2]int{0, 0}, [2]int{0, columns - 1}, [2]int{rows - 1, 0}, [2]int{rows - 1, columns - 1})
}

// dot is the sum of n products, of numbers that lie a step apart.
func dot(a, b []engine.BF16, aStep, bStep, n int) (sum float64) {
	for i := range n {
		sum += float64(a[i*aStep].Float32()) * float64(b[i*bStep].Float32())
	}
	return sum
}

// products of x [tokens, k] and w [n, k], and their gradients.
func (s *shapeTest) products(tokens, k, n int) {
	unit := 3 / math.Sqrt(float64(k)) // of weights, so that results are of order one
	x, y, w, gate := s.matrix(s.live, tokens, k, 1), s.matrix(s.live, tokens, n, 1), s.matrix(n, n, k, unit), s.matrix(n, n, k, unit)
	xs, ys, ws, gates := s.inputs[x], s.inputs[y], s.inputs[w], s.inputs[gate]
	const half = 1.0 / 256 // of a unit in the last place
	bf16 := func(v float64) float64 { return float64(engine.ToBF16(float32(v)).Float32()) }
	out := func(width int) *engine.Tensor { return s.zeros(engine.BFloat16, tokens, width) }
	linear, added := s.result("linear", nil, out(n), x, w), s.result("linear_add", engine.AddAttr{Scale: 1}, out(n), y, x, w)
	gated := s.result("linear_swiglu", nil, out(n), x, gate, w)
	for _, at := range samples(s.live, n) {
		i := at[0]*n + at[1]
		v, g := dot(xs[at[0]*k:], ws[at[1]*k:], 1, 1, k), dot(xs[at[0]*k:], gates[at[1]*k:], 1, 1, k)
		s.near("linear", v, linear[i], 1e-3+half*math.Abs(v))
		sum := float64(ys[i].Float32()) + bf16(v)
		s.near("linear_add", sum, added[i], 1e-3+2*half*math.Abs(v)+half*math.Abs(sum))
		silu := g / (1 + math.Exp(-g))
		s.near("linear_swiglu", silu*v, gated[i], 2e-3+4*half*(math.Abs(g*v)+math.Abs(v)))
	}
	dx, dw := s.result("linear_dx", nil, out(k), y, w), s.result("linear_dw", nil, s.zeros(engine.F32, n, k), y, x)
	for _, at := range samples(s.live, k) {
		v := dot(ys[at[0]*n:], ws[at[1]:], 1, k, n)
		s.near("linear_dx", v, dx[at[0]*k+at[1]], 1e-3*unit*math.Sqrt(float64(n))+half*math.Abs(v))
	}
	for _, at := range samples(n, k) {
		v := dot(ys[at[0]:], xs[at[1]:], n, k, s.live)
		s.near("linear_dw", v, dw[at[0]*k+at[1]], 1e-3*math.Sqrt(float64(s.live)))
	}
}

// Both kernel families on random numbers at the shapes of real models, where blocks take several tiles and indices grow large.
func TestGPUShapes(t *testing.T) {
	require.NoError(t, openFamily(t, "sm90a").Close())
	tokens, live, list, heads := 4096, 4001, shapes, attentions
	if standIn {
		tokens, live, heads = 300, 290, heads[:1]
	}
	test := func(name string, f func(s *shapeTest)) {
		t.Run(name, func(t *testing.T) {
			b := openFamily(t, "sm90a").(*backend)
			defer func() { require.NoError(t, b.Close()) }()
			s := &shapeTest{trial: &trial{b: b, limit: time.Minute}, t: t, live: live, all: b.model.Multiprocessors,
				inputs: map[*engine.Tensor][]engine.BF16{}}
			s.trial.live = s.integers(int32(live), 2, 1)
			defer s.tell(t)
			f(s)
		})
	}
	for _, shape := range list {
		if standIn {
			shape.k, shape.n = 72, 520
		}
		test(shape.name, func(s *shapeTest) { s.products(tokens, shape.k, shape.n) })
	}
	for _, l := range layerShapes {
		if standIn {
			l.width, l.inner, l.heads, l.keyHeads = 72, 264, 1, 1
		}
		test(l.name, func(s *shapeTest) { s.layer(tokens, l) })
	}
	for _, a := range heads {
		test(fmt.Sprintf("attention/%dx%d", a.Heads, a.HeadDim), func(s *shapeTest) { s.attention(tokens, a) })
	}
}

// attentions are those of Qwen2.5 of 1.5B, 7B and 0.5B.
var attentions = []ops.Attention{{Heads: 12, KVHeads: 2, HeadDim: 128}, {Heads: 28, KVHeads: 4, HeadDim: 128},
	{Heads: 14, KVHeads: 2, HeadDim: 64}}
