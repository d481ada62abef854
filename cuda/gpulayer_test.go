//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"bytes"
	"fmt"

	"github.com/goprm/goprm/internal/engine"
	"github.com/stretchr/testify/require"
)

// A weight of n × k, and which of the layer's inputs its product has.
type weight struct{ n, k, input int }

// A layerShape is a model whose layers' weights have their gradients in one launch.
type layerShape struct {
	name                          string
	width, inner, heads, keyHeads int
}

var layerShapes = []layerShape{{"1.5B/layer", 1536, 8960, 12, 2}, {"7B/layer", 3584, 18944, 28, 4}}

// weights in the order in which the backward pass comes to them: down, gate, up, o, q, k, v.
func (l layerShape) weights() []weight {
	q, kv := 128*l.heads, 128*l.keyHeads
	return []weight{{l.width, l.inner, 0}, {l.inner, l.width, 1}, {l.inner, l.width, 1}, {l.width, q, 2}, {q, l.width, 3}, {kv, l.width, 3},
		{kv, l.width, 3}}
}

// gradientCalls are those of the weights, one behind the other, with inputs that matrix makes.
func gradientCalls(list []weight, matrix func(width int) *engine.Tensor, out func(n, k int) *engine.Tensor) (calls []engine.Call) {
	inputs := map[int]*engine.Tensor{}
	for _, w := range list {
		if inputs[w.input] == nil {
			inputs[w.input] = matrix(w.k)
		}
		in := []*engine.Tensor{matrix(w.n), inputs[w.input]}
		calls = append(calls, engine.Call{Op: "linear_dw", Rows: engine.Fixed, In: in, Out: out(w.n, w.k)})
	}
	return calls
}

// layer demands of a layer's gradients in one launch the bits that single launches give, which products compares with float64.
func (s *shapeTest) layer(tokens int, l layerShape) {
	calls := gradientCalls(l.weights(), func(width int) *engine.Tensor { return s.matrix(s.live, tokens, width, 1) },
		func(n, k int) *engine.Tensor { return s.zeros(engine.F32, n, k) })
	for i := range calls {
		calls[i].Rows, calls[i].Live = engine.Tokens, s.trial.live
	}
	require.NoError(s.t, s.failed)
	for _, count := range []int{min(fewMultiprocessors, s.all), s.all} {
		s.b.model.Multiprocessors = count
		require.NoError(s.t, s.launch("sm90a", "linear_dw", func() (engine.Launch, error) { return s.b.CompileGroup(calls) }))
		for i, c := range calls {
			together := c.Out
			c.Out = s.zeros(engine.F32, together.Shape()...)
			require.NoError(s.t, s.run("sm90a", c))
			require.True(s.t, bytes.Equal(s.bytes(c.Out), s.bytes(together)), "product %d has other bits with others, %d multiprocessors", i, count)
			s.b.Free(c.Out.Ptr)
			require.NoError(s.t, s.b.do(func() error { return (&builder{backend: s.b}).clear(together).launch() }))
		}
	}
}

// layers reports a layer's gradients of weights in one launch, beside seven of cuBLASLt.
func (s *bench) layers(tokens int, list []layerShape, beside *cublas) {
	for _, l := range list {
		var ours, theirs []func() error
		flops, numbers := 0.0, 0
		for _, w := range l.weights() {
			flops += 2 * float64(tokens) * float64(w.n) * float64(w.k)
			numbers += tokens*(w.n+w.k) + 2*w.n*w.k
		}
		for range s.sets(2 * numbers) {
			calls := gradientCalls(l.weights(), func(width int) *engine.Tensor { return s.bf16(tokens, width) },
				func(n, k int) *engine.Tensor { return s.tensor(engine.F32, n, k) })
			launch, err := s.gpu.CompileGroup(calls)
			require.NoError(s, err)
			ours = append(ours, launch)
			if beside == nil {
				continue
			}
			var all []func() error
			for _, c := range calls {
				one, err := beside.product(s.gpu, product{c.Out, c.In[0], c.In[1], true, false})
				require.NoError(s, err)
				all = append(all, one)
			}
			theirs = append(theirs, func() error {
				for _, one := range all {
					if err := one(); err != nil {
						return err
					}
				}
				return nil
			})
		}
		s.measure(fmt.Sprintf("%s/linear_dw/%s", s.family, l.name), ours, flops, "TFLOP/s", s.peak.flops)
		if beside != nil {
			s.measure(fmt.Sprintf("cuBLASLt/linear_dw/%s", l.name), theirs, flops, "TFLOP/s", s.peak.flops)
		}
		s.gpu.freeAll()
	}
}
