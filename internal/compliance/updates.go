package compliance

import (
	"math"
	"slices"
	"testing"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"github.com/goprm/goprm/internal/rng"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

// updateRule is an op that updates a parameter, with its formulas in float64.
type updateRule struct {
	op, name string
	state    []tensor.Dtype                            // of the tensors that it keeps of a parameter, 0 at first
	hyper    func(step int) []float64                  // steps are counted from 1
	apply    func(step int, grad float64, x []float64) // updates an element of the parameter, x[0], and of each state
}

// updateFactor is what updates multiply gradients by.
const updateFactor = 0.25

func updateRules(dtype tensor.Dtype) []updateRule {
	rules := []updateRule{adamw("adamw", dtype), sgd(dtype)}
	if dtype == engine.F32 {
		rules = append(rules, adamw("adamw/bf16 moments", engine.BFloat16))
	}
	return rules
}

// adamw has the formulas of Loshchilov and Hutter, Decoupled Weight Decay Regularization, as PyTorch words them.
func adamw(name string, moments tensor.Dtype) updateRule {
	const lr, b1, b2, eps, decay = 1e-2, 0.9, 0.999, 1e-8, 0.1
	corrections := func(step int) (c1, c2 float64) {
		return 1 - math.Pow(b1, float64(step)), 1 - math.Pow(b2, float64(step))
	}
	return updateRule{op: "adamw", name: name, state: []tensor.Dtype{moments, moments},
		hyper: func(step int) []float64 {
			c1, c2 := corrections(step)
			return []float64{lr, b1, b2, eps, decay, float64(step) * (1<<50 + 1), c1, c2}
		},
		apply: func(step int, g float64, x []float64) {
			c1, c2 := corrections(step)
			x[1] = b1*x[1] + (1-b1)*g
			x[2] = b2*x[2] + (1-b2)*g*g
			x[0] = x[0]*(1-lr*decay) - lr*(x[1]/c1)/(math.Sqrt(x[2]/c2)+eps)
		}}
}

// sgd has the formulas of torch.optim.SGD with momentum and weight decay, without dampening, Nesterov's form or maximizing.
func sgd(dtype tensor.Dtype) updateRule {
	const lr, momentum, decay = 1e-2, 0.9, 0.1
	return updateRule{op: "sgd", name: "sgd", state: []tensor.Dtype{dtype},
		hyper: func(int) []float64 { return []float64{lr, momentum, decay} },
		apply: func(_ int, g float64, x []float64) {
			x[1] = momentum*x[1] + (g + decay*x[0])
			x[0] -= lr * x[1]
		}}
}

// checkUpdate runs three updates against the formulas, and compares one worker with three. State in bf16 is followed as it is
// kept: each number must be one of the two neighbours of what the formulas make of the one before. Then a factor of NaN, which must
// change nothing.
func checkUpdate(t *testing.T, one, three device, dtype tensor.Dtype, rule updateRule) {
	for _, n := range []int{1, 3, 17, 20001} {
		if testing.Short() && n > shortElements {
			continue
		}
		m := newMaker(uint64(n), 0, dtype)
		u := newUpdates(t, []device{one, three}, m, rule, n)
		for step := 1; step <= 3; step++ {
			grad := m.fixed(dtype, 1, n)
			u.run(t, updateFactor, rule.hyper(step), grad)
			u.follow(step, grad.floats)
			u.compare(t, dtype)
		}
		for _, launch := range u.launches {
			if !raceDetector { // which allocates itself
				require.Zero(t, testing.AllocsPerRun(2, func() { _ = launch() }), "a launch allocates")
			}
		}
		before := u.read(t, 0)
		u.run(t, math.NaN(), rule.hyper(4), m.fixed(dtype, 1, n))
		for i, got := range u.read(t, 0) {
			requireSameBits(t, "a step that is not applied", before[i], got)
		}
	}
}

// updates are those of one parameter, on several devices.
type updates struct {
	rule     updateRule
	devices  []device
	calls    []engine.Call
	launches []engine.Launch
	want     []value // the parameter, then the states
}

func newUpdates(t *testing.T, devices []device, m *maker, rule updateRule, n int) *updates {
	u := &updates{rule: rule, devices: devices, want: []value{m.fixed(m.dtype, 1, n)}}
	for _, dtype := range rule.state {
		u.want = append(u.want, value{dtype: dtype, shape: []int{n}, floats: make([]float64, n)})
	}
	scalars := func(n int) value { return value{dtype: engine.F64, shape: []int{n}, floats: make([]float64, n)} }
	in := slices.Concat(u.want[:1], []value{m.result(n)}, u.want[1:], []value{scalars(len(rule.hyper(1))), scalars(ops.ClipLen)})
	in[1].floats = unspecified(n) // the gradient of no step yet
	for _, d := range devices {
		launch, call := d.prepare(t, &call{op: rule.op, rows: engine.Fixed, in: in, inPlace: true}, placement{inPlace: true})
		u.launches, u.calls = append(u.launches, launch), append(u.calls, call)
	}
	return u
}

// run applies one update on each device.
func (u *updates) run(t *testing.T, factor float64, hyper []float64, grad value) {
	for i, d := range u.devices {
		in := u.calls[i].In
		require.NoError(t, d.Upload(in[1], encode(grad)))
		require.NoError(t, d.Upload(in[len(in)-2], bytesOf(hyper)))
		require.NoError(t, d.Upload(in[len(in)-1], bytesOf([]float64{3, factor})))
		require.NoError(t, u.launches[i]())
	}
}

// follow applies the formulas.
func (u *updates) follow(step int, grad []float64) {
	x := make([]float64, len(u.want))
	for i, g := range grad {
		for j, w := range u.want {
			x[j] = w.floats[i]
		}
		u.rule.apply(step, updateFactor*g, x)
		for j, w := range u.want {
			w.floats[i] = x[j]
		}
	}
}

// read gives the parameter and the states of a device.
func (u *updates) read(t *testing.T, of int) [][]float64 {
	in := u.calls[of].In
	var all [][]float64
	for _, x := range append([]*engine.Tensor{in[0]}, in[2:len(in)-2]...) {
		all = append(all, u.devices[of].read(t, x, 0))
	}
	return all
}

func (u *updates) compare(t *testing.T, dtype tensor.Dtype) {
	first := u.read(t, 0)
	for of := 1; of < len(u.devices); of++ {
		for i, got := range u.read(t, of) {
			requireSameBits(t, "workers", first[i], got)
		}
	}
	for i, got := range first {
		want := u.want[i]
		if want.dtype != engine.BFloat16 {
			requireClose(t, u.rule.op, dtype, want.floats, got)
			continue
		}
		for j, w := range want.floats {
			require.LessOrEqual(t, math.Abs(got[j]-w), 1.001*2*half*math.Abs(w)+1e-30, "state %d: %g, not a neighbour of %g", i, got[j], w)
		}
		copy(want.floats, got)
	}
}

// dithering: moments in bf16 follow those in float64 where each step changes them by less than half their last place, and the
// rounding is that of internal/ops' description.
func dithering(t *testing.T, d device) {
	const n, steps = 2000, 60
	m := newMaker(1, 0, engine.F32)
	ones := value{dtype: engine.F32, shape: []int{n}, floats: make([]float64, n)}
	for i := range ones.floats {
		ones.floats[i] = 1
	}
	moment := ones
	moment.dtype = engine.BFloat16
	hyper := value{dtype: engine.F64, shape: []int{ops.HyperLen}, floats: make([]float64, ops.HyperLen)}
	clip := value{dtype: engine.F64, shape: []int{ops.ClipLen}, floats: []float64{2, 2}}
	in := []value{m.fixed(engine.F32, 1, n), ones, moment, moment, hyper, clip}
	c := &call{op: "adamw", rows: engine.Fixed, in: in, inPlace: true}
	launch, ec := d.prepare(t, c, placement{inPlace: true})
	want := 1.0
	for s := range steps {
		salt := float64(s) * 1e9
		require.NoError(t, d.Upload(ec.In[4], encode(value{dtype: engine.F64, floats: []float64{1e-3, 0.999, 0.999, 1e-8, 0, salt, 1, 1}})))
		before := d.read(t, ec.In[3], 0)
		require.NoError(t, launch())
		want = 0.999*want + 0.001*4
		for i, got := range d.read(t, ec.In[3], 0) {
			exact := float32(0.999)*float32(before[i]) + float32(float32(1-0.999)*2)*2
			noise := uint16(rng.Mix(uint64(salt)+uint64(i)) >> 16)
			require.Equal(t, float64(engine.BF16((math.Float32bits(exact)+uint32(noise))>>16).Float32()), got, "step %d, element %d", s, i)
		}
	}
	sum, sum1, means := 0.0, 0.0, d.read(t, ec.In[2], 0)
	for i, v := range d.read(t, ec.In[3], 0) {
		sum += v
		sum1 += means[i]
	}
	// A rounding's deviation is at most half a last place, 2^-8 from 1 to 2; of 60 and 2000 elements, five deviations of the mean.
	bound := 5 * math.Sqrt(steps) / 256 / math.Sqrt(n)
	require.InDelta(t, want, sum/n, bound)
	require.InDelta(t, 1+(1-math.Pow(0.999, steps)), sum1/n, bound) // towards 2, the gradient
}
