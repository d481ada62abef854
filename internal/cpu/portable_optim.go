package cpu

import (
	"math"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
)

// adamw is one update in PyTorch's order of operations: decay, first moment, second moment, step. Its scalars are
// computed in float64 and rounded to the compute dtype.
func adamw[T float](b *backend, c engine.Call) (engine.Launch, error) {
	n := c.Out.Size()
	const chunk = 1 << 13
	task := func(i int) {
		hyper := engine.Slice[float64](c.In[4])
		keep := T(1 - float64(hyper[ops.HyperLR]*hyper[ops.HyperWeightDecay]))
		beta1, rest1 := T(hyper[ops.HyperBeta1]), T(1-hyper[ops.HyperBeta1])
		beta2, rest2 := T(hyper[ops.HyperBeta2]), T(1-hyper[ops.HyperBeta2])
		step, root, eps := T(hyper[ops.HyperLR]/hyper[ops.HyperCorrection1]), T(math.Sqrt(hyper[ops.HyperCorrection2])), T(hyper[ops.HyperEps])
		gradScale := T(hyper[ops.HyperGradScale])
		param, grad, out := engine.Slice[T](c.In[0]), engine.Slice[T](c.In[1]), engine.Slice[T](c.Out)
		m, v := engine.Slice[T](c.In[2]), engine.Slice[T](c.In[3])
		for j := i * chunk; j < min(n, (i+1)*chunk); j++ {
			g := T(gradScale * grad[j])
			p := T(keep * param[j])
			m[j] = T(beta1*m[j]) + T(rest1*g)
			v[j] = T(beta2*v[j]) + T(T(rest2*g)*g)
			out[j] = p - T(step*(m[j]/(T(math.Sqrt(float64(v[j])))/root+eps)))
		}
	}
	return func() error { return b.pool.run(ceilDiv(n, chunk), task) }, nil
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
