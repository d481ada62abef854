package ops

import (
	"github.com/goprm/goprm/internal/engine"
	"gorgonia.org/tensor"
)

// Rules are those of a backend that computes in bf16 as package cuda does.
func Rules() engine.Rules { return engine.Rules{Fusions: Fusions(), Groups: Groups()} }

// Groups are the ops of which such a backend makes several in one launch: products of which one alone does not keep a GPU busy.
func Groups() []engine.Group { return []engine.Group{{Op: "linear_dw", DType: engine.BFloat16}} }

// Fusions are the ops that backends which compute in bf16 have for a product and what is done with it: its element is
// rounded to bf16, as if it had been written, and taken on from there, so the bits are those of the single ops.
func Fusions() []engine.Fusion {
	once := func(attr any) bool { return attr.(engine.AddAttr).Scale == 1 } // then either side may come first
	return []engine.Fusion{
		{Kernel: "linear_add", Op: engine.AddKernel, Made: []string{"", "linear"}, DType: engine.BFloat16, Inputs: []int{3, 4}},
		{Kernel: "linear_add", Op: engine.AddKernel, Made: []string{"linear", ""}, If: once, DType: engine.BFloat16, Inputs: []int{3, 4}},
		{Kernel: "linear_dx_add", Op: engine.AddKernel, Made: []string{"", "linear_dx"}, DType: engine.BFloat16, Inputs: []int{3}},
		{Kernel: "linear_dx_add", Op: engine.AddKernel, Made: []string{"linear_dx", ""}, If: once, DType: engine.BFloat16, Inputs: []int{3}},
		Gated(engine.BFloat16),
	}
}

// Gated is the first half of an MLP, without the tensors of gates and of what they let through.
func Gated(dtype tensor.Dtype) engine.Fusion {
	return engine.Fusion{Kernel: "linear_swiglu", Op: "swiglu", Made: []string{"linear", "linear"}, DType: dtype, Inputs: []int{3}}
}
