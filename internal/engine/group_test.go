package engine_test

import (
	"testing"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
)

// grouping makes the calls of a group one by one, in one launch, and notes how many they were.
type grouping struct {
	engine.Backend
	groups []int
}

func (g *grouping) Groups() []engine.Group {
	return []engine.Group{{Op: "linear_dw", DType: engine.F32}}
}

func (g *grouping) CompileGroup(calls []engine.Call) (engine.Launch, error) {
	g.groups = append(g.groups, len(calls))
	var launches []engine.Launch
	for _, c := range calls {
		l, err := g.Compile(c)
		if err != nil {
			return nil, err
		}
		launches = append(launches, l)
	}
	return func() error {
		for _, l := range launches {
			if err := l(); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// A layer's gradients of weights come in one launch, from what their products have waited with: all bits are those of single launches,
// whatever is kept. No gradient is ready before the launch that writes it.
func TestGroupsChangeNoBit(t *testing.T) {
	b := backend(t)
	for _, spare := range []int{0, 11} {
		g := newGraph(t, engine.F32, lengths, spare, nil)
		for _, keep := range []gorgonia.Nodes{nil, g.keep, {}} {
			grouped := &grouping{Backend: b}
			plain, m := g.compile(t, keep, b), g.compile(t, keep, grouped)
			require.Equal(t, []int{7, 7}, grouped.groups)
			require.Equal(t, plain.Stats().Steps-2*6, m.Stats().Steps)
			for _, machine := range []*engine.Machine{plain, m} {
				if spare > 0 {
					require.NoError(t, machine.SetLive(80, 3, 9))
				}
				require.NoError(t, machine.RunAll())
			}
			want := g.outputs(plain)
			require.Equal(t, want, g.outputs(m))
			require.NoError(t, m.RunAll())
			require.Equal(t, want, g.outputs(m), "again")
			readyWhenWritten(t, g, m, want)
		}
	}
}

// readyWhenWritten looks at every gradient at the place where the machine says that it is done.
func readyWhenWritten(t *testing.T, g *graph, m *engine.Machine, want [][]byte) {
	for _, n := range g.grads {
		clear(m.Output(n).Bytes())
	}
	var inserts []engine.Insert
	for i, n := range g.grads {
		inserts = append(inserts, engine.Insert{After: m.Ready(n), Launch: func() error {
			require.Equal(t, want[1+i], m.Output(n).Bytes(), "gradient %d", i)
			return nil
		}})
	}
	s, err := m.Interleave(inserts)
	require.NoError(t, err)
	require.NoError(t, m.RunInterleaved(t.Context(), s))
}

// A gradient that something else reads does not wait, nor does one without others.
func TestGroupsLeaveAlone(t *testing.T) {
	for name, c := range map[string]struct {
		twice, read bool
		group       int
		want        []int
	}{"two weights": {false, false, 1, []int{2}}, "a weight of two products": {true, false, 1, nil}, "no group": {false, false, 0, nil},
		"their sum is an output too": {false, true, 1, nil}} {
		grouped := &grouping{Backend: backend(t)}
		b := ops.NewBuilder(nil)
		b.Group = c.group
		x, w, v := b.Input("x", engine.F32, 5, 4), b.Input("w", engine.F32, 4, 4), b.Input("v", engine.F32, 4, 4)
		second := v
		if c.twice {
			second = w
		}
		y := b.Linear(engine.Tokens, b.Linear(engine.Tokens, x, w, nil, true, false), second, nil, true, false)
		column := b.Linear(engine.Tokens, y, b.Input("u", engine.F32, 1, 4), nil, false, false)
		loss := b.SquaredError(column, b.Input("target", engine.F32, 5), b.Input("weight", engine.F32, 5))
		require.NoError(t, b.Err())
		trained := gorgonia.Nodes{w}
		if !c.twice {
			trained = append(trained, v)
		}
		grads, err := gorgonia.Grad(loss, trained...)
		require.NoError(t, err)
		outputs := append(gorgonia.Nodes{loss}, grads...)
		if c.read {
			outputs = append(outputs, b.Add(grads[0], grads[1], 1))
		}
		m, err := engine.Compile(engine.Plan{Outputs: outputs, Loss: loss}, grouped)
		require.NoError(t, err)
		require.Equal(t, c.want, grouped.groups, name)
		require.NoError(t, m.Close())
	}
}
