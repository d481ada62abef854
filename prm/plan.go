package prm

import (
	"fmt"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/loss"
	"github.com/goprm/goprm/nn"
)

// PlanOptions say what a training run would be.
type PlanOptions struct {
	Model        string // a folder with config.json; weights are not read
	Train        string // head, lora (default) or full
	Tokens       int    // of a micro-batch; 8192
	MicroBatches int    // of an optimiser step; 2, and more need little more
	DType        string // bf16 (default, as on a GPU), f32 or f64
	LoRA         LoRAConfig
	Recompute    string // layer (default) or none
	Memory       int64  // bytes of the device; 0: not known
}

// Validate reports the first thing that the options get wrong.
func (o PlanOptions) Validate() error {
	switch {
	case o.Model == "":
		return fmt.Errorf("model: no folder")
	case o.Tokens < 0 || o.Tokens > 1<<24:
		return fmt.Errorf("tokens: %d is outside 1..%d", o.Tokens, 1<<24)
	case o.MicroBatches < 0:
		return fmt.Errorf("micro-batches: %d is negative", o.MicroBatches)
	case o.Memory < 0:
		return fmt.Errorf("memory: %d is negative", o.Memory)
	}
	return oneOf(
		choice{"train", o.Train, []string{"", nn.TrainHead, nn.TrainLoRA, nn.TrainFull}},
		choice{"recompute", o.Recompute, []string{"", "layer", "none"}},
		choice{"dtype", o.DType, []string{"", "bf16", "f32", "f64"}},
	)
}

// PlanReport is what a run would take on its device.
type PlanReport struct {
	Train  string `json:"train"`
	DType  string `json:"dtype"`
	Tokens int    `json:"tokens"`
	nn.Memory
	Total      int64  `json:"total"`
	Device     int64  `json:"device,omitempty"` // bytes there are
	Fits       bool   `json:"fits"`             // false also when the device's memory is not known
	MostTokens int    `json:"most_tokens"`      // of a micro-batch that would fit
	Advice     string `json:"advice,omitempty"`
}

// Plan says what memory a run takes, from the model's configuration alone. The driver's own few hundred MiB are not in it.
func Plan(opt PlanOptions) (PlanReport, error) {
	if err := opt.Validate(); err != nil {
		return PlanReport{}, err
	}
	defaults := DefaultTrainConfig()
	for _, f := range []struct {
		field *string
		value string
	}{{&opt.Train, nn.TrainLoRA}, {&opt.DType, "bf16"}, {&opt.Recompute, "layer"}} {
		if *f.field == "" {
			*f.field = f.value
		}
	}
	if opt.Tokens == 0 {
		opt.Tokens = defaults.Batch.Tokens
	}
	if opt.MicroBatches == 0 {
		opt.MicroBatches = 2
	}
	if opt.LoRA.Rank == 0 {
		opt.LoRA = defaults.LoRA
	}
	config, err := hfmodel.ReadConfig(opt.Model)
	if err != nil {
		return PlanReport{}, err
	}
	dtype, err := engine.ParseDType(opt.DType)
	if err != nil {
		return PlanReport{}, err
	}
	spec := nn.Spec{
		Config: config, DType: dtype, Train: opt.Train, Bias: config.AttentionBias, Loss: loss.MSE, Recompute: opt.Recompute == "layer",
		Head: nn.HeadSpec{Kind: nn.Scalar, Activation: "sigmoid", Final: "shared"},
		LoRA: nn.LoRASpec{Rank: opt.LoRA.Rank, Alpha: opt.LoRA.Alpha, Targets: opt.LoRA.Targets, Layers: opt.LoRA.Layers},
	}
	if spec.Train == nn.TrainHead { // the trunk runs once, for the hidden states; the head after it takes next to nothing
		spec.Train = nn.TrainNothing
	}
	at := func(tokens int) (nn.Memory, error) {
		reads := max(1, tokens/16) // a step of sixteen tokens is a short one
		return nn.Measure(spec, nn.Capacity{Tokens: tokens, Segments: 64, Ranges: 64, Reads: reads}, true, opt.MicroBatches)
	}
	r := PlanReport{Train: opt.Train, DType: opt.DType, Tokens: opt.Tokens, Device: opt.Memory}
	if r.Memory, err = at(opt.Tokens); err != nil {
		return PlanReport{}, err
	}
	if opt.Train == nn.TrainHead {
		r.Trained = int64(config.HiddenSize) + 1
	}
	r.Total = r.Memory.Total()
	if opt.Memory == 0 {
		return r, nil
	}
	room := opt.Memory / 100 * 97 // the driver and the kernels take some
	r.Fits = r.Total <= room
	fixed := r.Total - r.Activations
	if fixed < room { // activations grow with the tokens
		r.MostTokens = int(float64(room-fixed) / float64(r.Activations) * float64(opt.Tokens))
	}
	switch {
	case r.Fits:
	case r.MostTokens >= 512:
		r.Advice = fmt.Sprintf("batch.tokens up to %d fit", r.MostTokens)
		if opt.Recompute == "none" {
			r.Advice += "; recompute: layer takes much less"
		}
	case opt.Train == nn.TrainFull:
		r.Advice = "weights, gradients and moments alone are too much: train: lora or head"
	default:
		r.Advice = "the weights alone are nearly too much: a smaller model, or a larger device"
	}
	return r, nil
}
