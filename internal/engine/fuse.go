package engine

import (
	"slices"

	"gorgonia.org/tensor"
)

// Fusion describes ops that a backend can run as one launch: Op and the producers of some of its inputs, if nothing else reads those
// intermediates. The fused launch takes Op's remaining inputs, then the producers' inputs, without duplicates.
type Fusion struct {
	Kernel string         // what computes it, with the attribute of Op
	Op     string         // the last op
	Made   []string       // which op must have made each of its inputs; "": the input stays
	If     func(any) bool // of the last op's attribute; nil: always
	DType  tensor.Dtype   // of the result
	Inputs []int          // how many the launch may take, which tells those with a bias or without a common input apart
}

// Fuser is a backend with kernels for fusions.
type Fuser interface{ Fusions() []Fusion }

// FusionsOf are a backend's, if it has any: those of one that wraps another are the other's.
func FusionsOf(b Backend) []Fusion {
	if f, ok := As[Fuser](b); ok {
		return f.Fusions()
	}
	return nil
}

// fuse makes one step of those that a fusion takes, at the place of the last.
func (s *scheduler) fuse(fusions []Fusion) {
	readers := map[*step]int{}
	for _, st := range s.steps {
		for _, in := range st.inputs {
			readers[in]++
		}
	}
	gone := map[*step]bool{}
	for _, st := range s.steps {
		for _, f := range fusions {
			if op, inputs, made := f.take(st, readers); op != nil {
				st.op, st.inputs = op, inputs
				for _, in := range made {
					gone[in] = true
				}
				break
			}
		}
	}
	s.steps = slices.DeleteFunc(s.steps, func(st *step) bool { return gone[st] })
	for i, st := range s.steps {
		st.at = i
	}
}

// take gives the op of the fused launch, its inputs, and the steps that vanish; no op where the fusion does not fit.
func (f Fusion) take(st *step, readers map[*step]int) (op *Op, inputs, made []*step) {
	if st.op.Kernel != f.Op || len(st.inputs) != len(f.Made) || st.node.Dtype() != f.DType || f.If != nil && !f.If(st.op.Attr) {
		return nil, nil, nil
	}
	fused := *st.op
	fused.Kernel = f.Kernel
	var stay, read []*step
	for i, in := range st.inputs {
		if f.Made[i] == "" {
			stay = append(stay, in)
			continue
		}
		if in.op == nil || in.op.Kernel != f.Made[i] || readers[in] != 1 || in.pinned {
			return nil, nil, nil
		}
		if fused.Rows == Fixed { // all rows, of which those past the live count are garbage before and after
			fused.Rows = in.op.Rows
		}
		if in.op.Rows != fused.Rows {
			return nil, nil, nil
		}
		made, read = append(made, in), append(read, in.inputs...)
	}
	for _, in := range stay { // the launch may write where it lies, while other rows are read
		if slices.Contains(read, in) {
			return nil, nil, nil
		}
	}
	if inputs = distinct(append(stay, read...)); !slices.Contains(f.Inputs, len(inputs)) {
		return nil, nil, nil
	}
	return &fused, inputs, made
}

// distinct leaves out what has come before.
func distinct(steps []*step) []*step {
	var once []*step
	for _, st := range steps {
		if !slices.Contains(once, st) {
			once = append(once, st)
		}
	}
	return once
}
