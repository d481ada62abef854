package cpu

import (
	"math"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"github.com/goprm/goprm/internal/rng"
)

// adamw is one update in PyTorch's order of operations: decay, first moment, second moment, step. Its scalars are
// computed in float64 and rounded to the compute dtype.
func adamw[T float](b *backend, c engine.Call) (engine.Launch, error) {
	return eachMoment(b, c, func(u update[T], from, to int) {
		param, grad, out := engine.Slice[T](c.In[0]), engine.Slice[T](c.In[1]), engine.Slice[T](c.Out)
		m, v := engine.Slice[T](c.In[2]), engine.Slice[T](c.In[3])
		for j := from; j < to; j++ {
			out[j], m[j], v[j] = u.of(param[j], grad[j], m[j], v[j])
		}
	}), nil
}

// adamwBy picks the kernel for moments in bf16.
func adamwBy(wide compile) compile {
	return func(b *backend, c engine.Call) (engine.Launch, error) {
		if c.In[2].Dtype() == engine.BFloat16 {
			return adamwNarrow(b, c)
		}
		return wide(b, c)
	}
}

// adamwNarrow is adamw with moments in bf16.
func adamwNarrow(b *backend, c engine.Call) (engine.Launch, error) {
	return eachMoment(b, c, func(u update[float32], from, to int) {
		param, grad, out := engine.Slice[float32](c.In[0]), engine.Slice[float32](c.In[1]), engine.Slice[float32](c.Out)
		m, v := engine.Slice[engine.BF16](c.In[2]), engine.Slice[engine.BF16](c.In[3])
		for j := from; j < to; j++ {
			var first, second float32
			out[j], first, second = u.of(param[j], grad[j], m[j].Float32(), v[j].Float32())
			noise := rng.Mix(u.salt + uint64(j))
			m[j], v[j] = dithered(first, uint16(noise)), dithered(second, uint16(noise>>16))
		}
	}), nil
}

// dithered rounds a finite number to one of its two neighbours, each in proportion to the other's distance.
func dithered(x float32, noise uint16) engine.BF16 {
	bits := math.Float32bits(x)
	if bits&0x7f800000 == 0x7f800000 {
		return engine.ToBF16(x)
	}
	return engine.BF16((bits + uint32(noise)) >> 16)
}

// update holds the scalars of adamw.
type update[T float] struct {
	keep, beta1, rest1, beta2, rest2, step, root, eps, scale T
	salt                                                     uint64
}

func (u *update[T]) of(param, grad, m, v T) (p, first, second T) {
	g := T(u.scale * grad)
	first = T(u.beta1*m) + T(u.rest1*g)
	second = T(u.beta2*v) + T(T(u.rest2*g)*g)
	return T(u.keep*param) - T(u.step*(first/(T(math.Sqrt(float64(second)))/u.root+u.eps))), first, second
}

func eachMoment[T float](b *backend, c engine.Call, run func(u update[T], from, to int)) engine.Launch {
	n := c.Out.Size()
	const chunk = 1 << 13
	var u update[T]
	task := func(i int) { run(u, i*chunk, min(n, (i+1)*chunk)) }
	return func() error {
		hyper, factor := engine.Slice[float64](c.In[4]), engine.Slice[float64](c.In[5])[ops.ClipFactor]
		if math.IsNaN(factor) {
			return nil
		}
		u = update[T]{
			keep:  T(1 - float64(hyper[ops.HyperLR]*hyper[ops.HyperWeightDecay])),
			beta1: T(hyper[ops.HyperBeta1]), rest1: T(1 - hyper[ops.HyperBeta1]),
			beta2: T(hyper[ops.HyperBeta2]), rest2: T(1 - hyper[ops.HyperBeta2]),
			step: T(hyper[ops.HyperLR] / hyper[ops.HyperCorrection1]), root: T(math.Sqrt(hyper[ops.HyperCorrection2])),
			eps: T(hyper[ops.HyperEps]), scale: T(factor), salt: uint64(hyper[ops.HyperSalt]),
		}
		return b.pool.run(ceilDiv(n, chunk), task)
	}
}

// sgd is one update with momentum in PyTorch's order of operations.
func sgd[T float](b *backend, c engine.Call) (engine.Launch, error) {
	n := c.Out.Size()
	const chunk = 1 << 13
	var rate, momentum, decay, scale T
	task := func(i int) {
		param, grad, out, velocity := engine.Slice[T](c.In[0]), engine.Slice[T](c.In[1]), engine.Slice[T](c.Out), engine.Slice[T](c.In[2])
		for j := i * chunk; j < min(n, (i+1)*chunk); j++ {
			g := T(scale*grad[j]) + T(decay*param[j])
			velocity[j] = T(momentum*velocity[j]) + g
			out[j] = param[j] - T(rate*velocity[j])
		}
	}
	return func() error {
		hyper, factor := engine.Slice[float64](c.In[3]), engine.Slice[float64](c.In[4])[ops.ClipFactor]
		if math.IsNaN(factor) {
			return nil
		}
		rate, momentum, decay, scale = T(hyper[ops.SGDLR]), T(hyper[ops.SGDMomentum]), T(hyper[ops.SGDWeightDecay]), T(factor)
		return b.pool.run(ceilDiv(n, chunk), task)
	}, nil
}

// clip computes in float64.
func clip(_ *backend, c engine.Call) (engine.Launch, error) {
	return func() error {
		bound, out := engine.Slice[float64](c.In[1])[0], engine.Slice[float64](c.Out)
		total, factor := 0.0, 1.0
		for _, s := range engine.Slice[float64](c.In[0]) {
			if math.IsNaN(s) || math.IsInf(s, 0) {
				out[ops.ClipNorm], out[ops.ClipFactor] = math.NaN(), math.NaN()
				return nil
			}
			total += s
		}
		norm := math.Sqrt(total)
		if bound > 0 {
			factor = min(1, bound/(norm+1e-6))
		}
		out[ops.ClipNorm], out[ops.ClipFactor] = norm, factor
		return nil
	}, nil
}

func sumSquares(b *backend, c engine.Call) (engine.Launch, error) {
	switch c.In[0].Dtype() {
	case engine.F32:
		return sumSquaresOf[float32](b, c)
	case engine.F64:
		return sumSquaresOf[float64](b, c)
	}
	return nil, errDtype(c.In[0].Dtype())
}

// sumSquaresOf sums blocks of fixed size upwards in float64, then the blocks' sums.
func sumSquaresOf[T float](b *backend, c engine.Call) (engine.Launch, error) {
	n := c.In[0].Size()
	const block = 1 << 12
	sums := make([]float64, ceilDiv(n, block))
	task := func(i int) {
		var s float64
		for _, v := range engine.Slice[T](c.In[0])[i*block : min(n, (i+1)*block)] {
			s += float64(float64(v) * float64(v))
		}
		sums[i] = s
	}
	return func() error {
		if err := b.pool.run(len(sums), task); err != nil {
			return err
		}
		var total float64
		for _, s := range sums {
			total += s
		}
		engine.Slice[float64](c.Out)[0] = total
		return nil
	}, nil
}
