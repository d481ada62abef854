package engine

import "gorgonia.org/tensor"

// firstInputs are the first inputs of a sequence's calls so far. No step writes to the memory of one that is still going to be read, so
// a step that is there holds what it held then.
type firstInputs map[firstInput]bool

// firstInput is an input with what chooses the kernel that reads it first.
type firstInput struct {
	step        *step
	kernel      string
	second, out tensor.Dtype
}

// take reports whether a step's call has the first input of an earlier call of the same kernel, and notes the call.
func (f firstInputs) take(st *step) bool {
	if len(st.inputs) < 2 || st.inputs[0].op == nil { // inputs of the graph may get other values or memory
		return false
	}
	one := firstInput{st.inputs[0], st.op.Kernel, st.inputs[1].node.Dtype(), st.node.Dtype()}
	same := f[one]
	f[one] = true
	return same
}
