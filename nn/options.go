package nn

import (
	"fmt"
	"slices"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/loss"
)

// Train says which parameters are trained.
type Train string

// What can be trained. A value head, or the parameters of [Options].Expr, are trained in every mode but None.
const (
	None Train = ""     // nothing: scoring only
	Head Train = "head" // the head alone, on the frozen trunk's features
	LoRA Train = "lora" // low-rank adapters and the head
	Full Train = "full" // every parameter
)

// Kinds of value head.
const (
	Scalar         = nnet.Scalar         // one linear layer to 1 (2 rows with Final "own")
	LinearTwoClass = nnet.LinearTwoClass // one linear layer to 2 logits
	TwoClassMLP    = nnet.TwoClassMLP    // linear, ReLU, linear to 2 logits, as Qwen2.5-Math-PRM has it
)

// HeadSpec describes a value head.
type HeadSpec struct {
	// Kind is Scalar, LinearTwoClass or TwoClassMLP. "" takes the folder's own head, or Scalar where it has none; with
	// Options.Expr it means no head.
	Kind string
	// Activation of a Scalar head: "sigmoid" (default) or "identity".
	Activation string
	// Final is "shared" (default), or "own": a second row of a Scalar head reads the trajectory.
	Final string
}

// LoRASpec describes adapters, y = W·x + (Alpha/Rank)·B·A·dropout(x), as PEFT initialises them: A uniform in ±1/√in, B zero.
type LoRASpec struct {
	Rank    int      // 0: 16
	Alpha   float64  // 0: 32
	Dropout float64  // in [0, 1)
	Targets []string // module names such as "q_proj"; nil: all seven projections
	Layers  []int    // nil: all
}

// Options configure [Open]. The zero value opens a network for scoring on the best device.
type Options struct {
	Device  string // auto (default), cpu, cuda:0; a GPU needs import _ "github.com/goprm/goprm/cuda"
	Backend string // kernels: auto (default), portable, avx2, avx512, avx512bf16, ...
	DType   string // of the arithmetic: auto (default: f32, bf16 on a GPU), f32, f64, or bf16 on a GPU or a CPU with AVX512_BF16
	Threads int    // 0: as many as Go uses; results do not depend on it
	Base    string // where the base of an adapter or head lies now; "": where it lay in training
	Train   Train
	Head    HeadSpec
	LoRA    LoRASpec  // for LoRA
	Loss    loss.Kind // of the head; MSE by default
	// Expr, if set, is called for each batch and takes the place of Loss: see [Expr].
	Expr func(*Expr) error
	// Recompute keeps the residual stream between layers alone and computes the rest again in the backward pass: less
	// memory, more time, the same bits.
	Recompute bool
	Seed      uint64 // of adapters, heads and dropout
	// Text says how trajectories become tokens. It is saved with the model; nil takes the folder's own, or data.DefaultText.
	Text *data.TextOptions
}

// Validate reports the first option that is wrong on its own. Open checks the rest against the model.
func (o Options) Validate() error {
	if !slices.Contains([]Train{None, Head, LoRA, Full}, o.Train) {
		return fmt.Errorf("train: %q is none of head, lora, full", string(o.Train))
	}
	if o.Threads < 0 {
		return fmt.Errorf("threads: %d is negative", o.Threads)
	}
	if o.Head.Kind != "" && !slices.Contains([]string{Scalar, LinearTwoClass, TwoClassMLP}, o.Head.Kind) {
		return fmt.Errorf("head.kind: %q is none of %s, %s, %s", o.Head.Kind, Scalar, LinearTwoClass, TwoClassMLP)
	}
	if o.Text != nil {
		if err := o.Text.Validate(); err != nil {
			return fmt.Errorf("text.%w", err)
		}
	}
	return nil
}

// filled puts defaults in place.
func (h HeadSpec) filled() nnet.HeadSpec {
	spec := nnet.HeadSpec(h)
	if spec.Kind == Scalar && spec.Activation == "" {
		spec.Activation = "sigmoid"
	}
	if spec.Final == "" {
		spec.Final = "shared"
	}
	return spec
}

func (l LoRASpec) filled() nnet.LoRASpec {
	spec := nnet.LoRASpec(l)
	if spec.Rank == 0 {
		spec.Rank = 16
	}
	if spec.Alpha == 0 {
		spec.Alpha = 32
	}
	if spec.Targets == nil {
		spec.Targets = []string{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
	}
	return spec
}
