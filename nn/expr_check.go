package nn

import (
	"fmt"
	"math"
	"slices"

	"github.com/goprm/goprm/internal/nnet"
	"gorgonia.org/tensor"
)

// compareExpr compares the gradients of an expression's loss with central differences of it. It computes in float64; an
// expression with float32 constants of its own is checked in float32, whose differences are coarse.
func compareExpr(c custom, outer *nnet.Outer) error {
	wide, err := inDType(outer, tensor.Float64)
	if err != nil {
		return err
	}
	check := difference{custom: c, outer: wide, dtype: tensor.Float64, step: 1e-5, tolerance: 1e-5}
	out, err := check.run(true)
	if err != nil && outer.DType == tensor.Float32 {
		narrow, err := inDType(outer, tensor.Float32)
		if err != nil {
			return err
		}
		check = difference{custom: c, outer: narrow, dtype: tensor.Float32, step: 2e-2, tolerance: 2e-2}
		if out, err = check.run(true); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	return check.compare(out)
}

// difference varies what an expression reads, one number at a time.
type difference struct {
	custom          custom
	outer           *nnet.Outer
	dtype           tensor.Dtype
	step, tolerance float64
}

func (d *difference) run(backward bool) (*nnet.Outcome, error) {
	e, err := d.custom.build(d.outer, d.dtype)
	if err != nil {
		return nil, err
	}
	return e.evaluate(backward)
}

// compare holds each gradient of an outcome against differences of the loss.
func (d *difference) compare(out *nnet.Outcome) error {
	hidden, err := d.outer.Hidden()
	if err != nil {
		hidden = nil // not asked for
	}
	inputs := []struct {
		name        string
		value, grad *tensor.Dense
	}{{"features", d.outer.Features, out.DFeatures}, {"logits", d.outer.Logits, out.DLogits}, {"hidden states", hidden, out.DHidden}}
	var names []string
	for name := range out.DParameters {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		value, err := d.outer.Parameter(name[len("score."):], nil)
		if err != nil {
			return err
		}
		inputs = append(inputs, struct {
			name        string
			value, grad *tensor.Dense
		}{name, value, out.DParameters[name]})
	}
	for _, in := range inputs {
		if in.value == nil || in.grad == nil {
			continue
		}
		if err := d.compareOne(in.name, in.value, in.grad); err != nil {
			return err
		}
	}
	return nil
}

// compareOne varies at most 200 numbers of an input, spread evenly.
func (d *difference) compareOne(name string, value, grad *tensor.Dense) error {
	want, err := widen(grad)
	if err != nil {
		return err
	}
	stride := 1 + (len(want)-1)/200
	for i := 0; i < len(want); i += stride {
		var loss [2]float64
		for side, h := range []float64{d.step, -d.step} {
			restore := add(value, i, h)
			out, err := d.run(false)
			restore()
			if err != nil {
				return err
			}
			loss[side] = out.Loss
		}
		got := (loss[0] - loss[1]) / (2 * d.step)
		if !(math.Abs(got-want[i]) <= d.tolerance*(1+math.Abs(want[i]))) {
			return fmt.Errorf("the gradient by %s, element %d of shape %v, is %.9g; central differences of the loss give %.9g",
				name, i, value.Shape(), want[i], got)
		}
	}
	return nil
}

// add changes a number in place and returns what undoes that.
func add(t *tensor.Dense, i int, h float64) (undo func()) {
	if v, ok := t.Data().([]float64); ok {
		old := v[i]
		v[i] += h
		return func() { v[i] = old }
	}
	v := t.Data().([]float32)
	old := v[i]
	v[i] += float32(h)
	return func() { v[i] = old }
}

// inDType gives what an expression reads in another dtype, in memory that may be varied: parameters keep what is varied in them.
func inDType(o *nnet.Outer, dtype tensor.Dtype) (*nnet.Outer, error) {
	c := *o
	c.DType, c.Backward = dtype, true
	for _, t := range []**tensor.Dense{&c.Features, &c.Logits} {
		if *t == nil {
			continue
		}
		converted, err := toDense(*t, dtype)
		if err != nil {
			return nil, err
		}
		*t = converted
	}
	var hidden *tensor.Dense
	c.Hidden = func() (*tensor.Dense, error) {
		if hidden != nil {
			return hidden, nil
		}
		h, err := o.Hidden()
		if err == nil {
			hidden, err = toDense(h, dtype)
		}
		return hidden, err
	}
	parameters := map[string]*tensor.Dense{}
	c.Parameter = func(name string, init *tensor.Dense) (*tensor.Dense, error) {
		if p, ok := parameters[name]; ok {
			return p, nil
		}
		p, err := o.Parameter(name, init)
		if err == nil {
			parameters[name], err = toDense(p, dtype)
		}
		return parameters[name], err
	}
	return &c, nil
}
