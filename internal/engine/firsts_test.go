package engine_test

import (
	"testing"
	"unsafe"

	"github.com/goprm/goprm/internal/engine"
	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
)

// listening is a backend that knows every call that was compiled.
type listening struct {
	engine.Backend
	calls []engine.Call
}

func (l *listening) Compile(c engine.Call) (engine.Launch, error) {
	l.calls = append(l.calls, c)
	return l.Backend.Compile(c)
}

func overlap(a, b *engine.Tensor) bool {
	from, to := uintptr(a.Ptr), uintptr(b.Ptr)
	return from < to+b.MemSize() && to < from+a.MemSize()
}

// A call is told that its first input is unchanged where an earlier call of the same kernel read it first and nothing wrote to it since,
// in the arena or in place, also when layers are computed again.
func TestCallsKnowUnchangedFirstInputs(t *testing.T) {
	for _, recompute := range []bool{false, true} {
		b := &listening{Backend: backend(t)}
		g := newGraph(t, engine.F32, lengths, 0, b)
		plan := engine.Plan{Outputs: append(gorgonia.Nodes{g.loss}, g.grads...), Loss: g.loss}
		if recompute {
			plan.Keep = gorgonia.Nodes{}
		}
		inputs := map[unsafe.Pointer]bool{}
		for _, v := range g.values {
			inputs[v.Ptr] = true
		}
		plan.Bound = g.values
		m, err := engine.Compile(plan, b)
		require.NoError(t, err)
		told := 0
		for i, c := range b.calls {
			want := false
			for _, before := range b.calls[:i] {
				if want && overlap(before.Out, c.In[0]) {
					want = false
				}
				same := len(before.In) > 1 && len(c.In) > 1 && before.Op == c.Op && before.Out.Dtype() == c.Out.Dtype() &&
					before.In[1].Dtype() == c.In[1].Dtype()
				if same && before.In[0] == c.In[0] && !overlap(before.Out, c.In[0]) && !inputs[c.In[0].Ptr] {
					want = true
				}
			}
			require.Equal(t, want, c.SameFirst, "call %d, %s", i, c.Op)
			if want {
				told++
			}
		}
		require.Greater(t, told, 3)
		require.NoError(t, m.Close())
	}
}
