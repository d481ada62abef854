package engine

import (
	"slices"

	"gorgonia.org/tensor"
)

// firstInputs are the calls whose first input has not been written to since.
type firstInputs []firstInput

// firstInput is an input with what chooses the kernel that reads it first.
type firstInput struct {
	step        *step
	kernel      string
	second, out tensor.Dtype
}

// take reports whether a step's call has the first input of one of them and the same kernel, and notes the call.
func (f *firstInputs) take(st *step) bool {
	same := false
	if len(st.inputs) > 1 && st.inputs[0].op != nil { // inputs of the graph may get other values or memory
		one := firstInput{st.inputs[0], st.op.Kernel, st.inputs[1].node.Dtype(), st.node.Dtype()}
		if same = slices.Contains(*f, one); !same {
			*f = append(*f, one)
		}
	}
	*f = slices.DeleteFunc(*f, func(one firstInput) bool { return one.step.tensor.overlaps(st.tensor) })
	return same
}

// overlaps reports whether two tensors share memory.
func (t *Tensor) overlaps(o *Tensor) bool {
	return uintptr(t.Ptr) < uintptr(o.Ptr)+o.MemSize() && uintptr(o.Ptr) < uintptr(t.Ptr)+t.MemSize()
}
