package engine_test

import (
	"testing"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
)

// fusing computes the ops of ops.Fusions one by one, which a graph must not notice, and counts them.
type fusing struct {
	engine.Backend
	fused map[string]int
}

func (f *fusing) Fusions() []engine.Fusion {
	rules := ops.Fusions()
	for i := range rules {
		rules[i].DType = engine.F32
	}
	return rules
}

func (f *fusing) Compile(c engine.Call) (engine.Launch, error) {
	last, product := c, "linear"
	switch c.Op {
	case "linear_add", "linear_dx_add":
		last.Op, product = "add", c.Op[:len(c.Op)-len("_add")]
		sum, err := f.made(c, product, c.In[1:])
		last.In = []*engine.Tensor{c.In[0], sum.out}
		return f.all(c, last, err, sum)
	case "linear_swiglu":
		gate, err := f.made(c, product, c.In[:2])
		if err != nil {
			return nil, err
		}
		up, err := f.made(c, product, []*engine.Tensor{c.In[0], c.In[2]})
		last.Op, last.In = "swiglu", []*engine.Tensor{gate.out, up.out}
		return f.all(c, last, err, gate, up)
	}
	return f.Backend.Compile(c)
}

type made struct {
	out    *engine.Tensor
	launch engine.Launch
}

func (f *fusing) made(c engine.Call, op string, in []*engine.Tensor) (made, error) {
	p, err := f.Alloc(int(c.Out.MemSize()))
	if err != nil {
		return made{}, err
	}
	m := made{out: engine.NewTensor(p, c.Out.Dtype(), c.Out.Shape(), nil)}
	m.launch, err = f.Backend.Compile(engine.Call{Op: op, Rows: c.Rows, In: in, Out: m.out, Live: c.Live})
	return m, err
}

func (f *fusing) all(c, last engine.Call, failed error, first ...made) (engine.Launch, error) {
	if failed != nil {
		return nil, failed
	}
	f.fused[c.Op]++
	end, err := f.Backend.Compile(last)
	return func() error {
		for _, m := range first {
			if err := m.launch(); err != nil {
				return err
			}
		}
		return end()
	}, err
}

// A backend that fuses gets every op of the graph that can be, in one launch each, and gives the same bits whatever is kept
// and however much of the capacity is live.
func TestFusionChangesNoBit(t *testing.T) {
	b := backend(t)
	for _, spare := range []int{0, 11} {
		g := newGraph(t, engine.F32, lengths, spare, nil)
		for _, c := range []struct {
			keep gorgonia.Nodes
			want map[string]int
		}{
			// Two residual sums a layer, and of the gradients that meet at a norm's result, three of q, k and v and two of gate and
			// up, all but the first. Gates are read again by the backward pass.
			{nil, map[string]int{"linear_add": 4, "linear_dx_add": 6}},
			// All but the first layer's last sum, which is kept, are done again; gates are fused the first time.
			{g.keep, map[string]int{"linear_add": 7, "linear_dx_add": 6, "linear_swiglu": 2}},
		} {
			plain, f := g.compile(t, c.keep, b), &fusing{b, map[string]int{}}
			m := g.compile(t, c.keep, f)
			for _, machine := range []*engine.Machine{plain, m} {
				if spare > 0 {
					require.NoError(t, machine.SetLive(80, 3, 9))
				}
				require.NoError(t, machine.RunAll())
			}
			require.Equal(t, g.outputs(plain), g.outputs(m))
			require.Equal(t, c.want, f.fused)
			require.Equal(t, plain.Stats().Steps-m.Stats().Steps, f.fused["linear_add"]+f.fused["linear_dx_add"]+2*f.fused["linear_swiglu"])
		}
	}
}

// What a fused kernel could not do stays as it is: Measure tells the number of launches.
func TestFusionLeavesAlone(t *testing.T) {
	for name, c := range map[string]struct {
		build        func(b *ops.Builder, in operands) gorgonia.Nodes
		alone, fused int
	}{
		"a sum": {func(b *ops.Builder, in operands) gorgonia.Nodes {
			return gorgonia.Nodes{b.Add(in.y, linear(b, in.x, in.w, in.bias), 2)}
		}, 2, 1},
		"either order": {func(b *ops.Builder, in operands) gorgonia.Nodes {
			return gorgonia.Nodes{b.Add(linear(b, in.x, in.w, nil), in.y, 1)}
		}, 2, 1},
		"gates": {func(b *ops.Builder, in operands) gorgonia.Nodes {
			return gorgonia.Nodes{b.SwiGLU(linear(b, in.x, in.w, nil), linear(b, in.x, in.v, nil))}
		}, 3, 1},
		"a factor of the other": {func(b *ops.Builder, in operands) gorgonia.Nodes {
			return gorgonia.Nodes{b.Add(linear(b, in.x, in.w, nil), in.y, 2)}
		}, 2, 2},
		"read twice": {func(b *ops.Builder, in operands) gorgonia.Nodes {
			p := linear(b, in.x, in.w, nil)
			return gorgonia.Nodes{b.SwiGLU(b.Add(in.y, p, 1), p)}
		}, 3, 3},
		"an output": {func(b *ops.Builder, in operands) gorgonia.Nodes {
			p := linear(b, in.x, in.w, nil)
			return gorgonia.Nodes{p, b.Add(in.y, p, 1)}
		}, 2, 2},
		"what the product reads": {func(b *ops.Builder, in operands) gorgonia.Nodes {
			return gorgonia.Nodes{b.Add(in.x, linear(b, in.x, in.w, nil), 1)}
		}, 2, 2},
		"what the product reads, with a bias": {func(b *ops.Builder, in operands) gorgonia.Nodes {
			return gorgonia.Nodes{b.Add(in.x, linear(b, in.x, in.w, in.bias), 1)}
		}, 2, 2},
		"gates of two": {func(b *ops.Builder, in operands) gorgonia.Nodes {
			return gorgonia.Nodes{b.SwiGLU(linear(b, in.x, in.w, nil), linear(b, in.y, in.v, nil))}
		}, 3, 3},
		"a gate with a bias": {func(b *ops.Builder, in operands) gorgonia.Nodes {
			return gorgonia.Nodes{b.SwiGLU(linear(b, in.x, in.w, in.bias), linear(b, in.x, in.v, nil))}
		}, 3, 3},
		"other rows": {func(b *ops.Builder, in operands) gorgonia.Nodes {
			return gorgonia.Nodes{b.Add(in.y, b.Linear(engine.Reads, in.x, in.w, nil, false, false), 1)}
		}, 2, 2},
	} {
		b := ops.NewBuilder(nil)
		node := func(name string, shape ...int) *gorgonia.Node { return b.Input(name, engine.F32, shape...) }
		outputs := c.build(b, operands{node("x", 6, 4), node("y", 6, 4), node("w", 4, 4), node("v", 4, 4), node("bias", 4)})
		require.NoError(t, b.Err())
		for want, rules := range map[int][]engine.Fusion{c.alone: nil, c.fused: (&fusing{}).Fusions()} {
			stats, err := engine.Measure(engine.Plan{Outputs: outputs}, engine.Rules{Fusions: rules})
			require.NoError(t, err)
			require.Equal(t, want, stats.Steps, name)
		}
	}
}

type operands struct{ x, y, w, v, bias *gorgonia.Node }

func linear(b *ops.Builder, x, w, bias *gorgonia.Node) *gorgonia.Node {
	return b.Linear(engine.Tokens, x, w, bias, false, false)
}
