package engine

import (
	"slices"

	"gorgonia.org/tensor"
)

// Fusion says that an op and those that made its inputs may be one launch, where nothing else reads what they made.
// The launch takes the inputs that stay, and then those of the ops that made the others, each once.
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

// fusionsOf are those that the backend has.
func fusionsOf(b Backend) []Fusion {
	if f, ok := b.(Fuser); ok {
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
		i := slices.IndexFunc(fusions, func(f Fusion) bool { return f.fits(st, readers) })
		if i < 0 {
			continue
		}
		f := fusions[i]
		op := *st.op
		op.Kernel = f.Kernel
		stay, rest := []*step{}, []*step{}
		for i, in := range st.inputs {
			if f.Made[i] == "" {
				stay = append(stay, in)
				continue
			}
			op.Rows, gone[in] = in.op.Rows, true
			rest = append(rest, in.inputs...)
		}
		st.op, st.inputs = &op, distinct(append(stay, rest...))
	}
	s.steps = slices.DeleteFunc(s.steps, func(st *step) bool { return gone[st] })
	for i, st := range s.steps {
		st.at = i
	}
}

func (f Fusion) fits(st *step, readers map[*step]int) bool {
	if st.op.Kernel != f.Op || len(st.inputs) != len(f.Made) || st.node.Dtype() != f.DType || f.If != nil && !f.If(st.op.Attr) {
		return false
	}
	var inputs []*step
	rows := st.op.Rows
	for i, in := range st.inputs {
		if f.Made[i] == "" {
			inputs = append(inputs, in)
			continue
		}
		if in.op == nil || in.op.Kernel != f.Made[i] || readers[in] != 1 || in.pinned || in.root != in {
			return false
		}
		if rows == Fixed { // all rows, of which those past the live count are garbage before and after
			rows = in.op.Rows
		}
		if in.op.Rows != rows {
			return false
		}
		inputs = append(inputs, in.inputs...)
	}
	return slices.Contains(f.Inputs, len(distinct(inputs)))
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
