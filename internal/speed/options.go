// Package speed times scoring and training steps of a model op by op, beside the peak of the machine measured in the same run.
package speed

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/nnet"
)

// Options say what is timed. [Defaults] is what prm bench does without flags.
type Options struct {
	Model     string // folder; "": random weights in memory, of Shape
	Shape     string // one of [Shapes]
	Mode      string // score, head, lora or full
	DType     string // of the arithmetic: auto, f32, f64, bf16, or int8 for mode score
	Kernels   string // of the CPU: auto, portable, avx2, avx512, avx512bf16
	Threads   int    // 0: as many as Go uses
	Tokens    int    // of the one text of a step
	ReadEvery int    // tokens from one read-out to the next
	Steps     int    // timed
	Warmup    int    // steps before them
	Rank      int    // of LoRA
	Recompute bool   // of activations in the backward pass, layer by layer
}

// Defaults are the options of a run without any.
func Defaults() Options {
	return Options{Shape: "0.5b", Mode: "score", DType: "auto", Kernels: "auto", Tokens: 1024, ReadEvery: 64, Steps: 3, Warmup: 1,
		Rank: 16, Recompute: true}
}

// Validate reports the first option that cannot be used.
func (o Options) Validate() error {
	switch {
	case o.Model == "" && shapes[o.Shape] == nil:
		return fmt.Errorf("shape: %q is none of %s", o.Shape, strings.Join(Shapes(), ", "))
	case modes[o.Mode] == nil:
		return fmt.Errorf("mode: %q is none of score, head, lora, full", o.Mode)
	case !slices.Contains([]string{"", "auto", "f32", "f64", "bf16", engine.Int8}, o.DType):
		return fmt.Errorf("dtype: %q is none of auto, f32, f64, bf16, int8", o.DType)
	case o.DType == engine.Int8 && o.Mode != "score":
		return engine.ErrInt8Training
	case o.Tokens < 1 || o.Tokens > 1<<20:
		return fmt.Errorf("tokens: %d is not from 1 to %d", o.Tokens, 1<<20)
	case o.ReadEvery < 1:
		return fmt.Errorf("read-every: %d is less than 1", o.ReadEvery)
	case o.Steps < 1 || o.Warmup < 0:
		return errors.New("steps: one at least; warm-up: none at least")
	case o.Threads < 0:
		return fmt.Errorf("threads: %d is negative", o.Threads)
	}
	return nil
}

// mode is what of a network is trained, and how many times the forward pass's multiplications a step takes by definition: those of
// frozen matrices, of attention, and of trained parameters. The backward pass of a product is two products, one where the matrix is
// frozen; that of attention is five where the forward pass is two.
type mode struct {
	train                      string
	frozen, attention, trained float64
}

var modes = map[string]*mode{
	"score": {nnet.TrainNothing, 1, 1, 0},
	"head":  {nnet.TrainHead, 1, 1, 0}, // hidden states are computed in each step, not cached
	"lora":  {nnet.TrainLoRA, 2, 3.5, 3},
	"full":  {nnet.TrainFull, 3, 3.5, 3},
}
