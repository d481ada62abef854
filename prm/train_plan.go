package prm

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"

	"github.com/goprm/goprm/internal/cpu"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/ops"
	"github.com/goprm/goprm/loss"
)

// PlanOptions say what a training run would be.
type PlanOptions struct {
	Model        string // a folder with config.json; weights are not read
	Train        string // head, lora (default) or full; or score, which trains nothing
	Tokens       int    // of a micro-batch; 8192
	MicroBatches int    // of an optimizer step; batch.trajectories, 16; from 2 on their number changes nothing
	DType        string // bf16, f32 or f64; bf16 is the default of a GPU, f32 of a CPU
	LoRA         LoRAConfig
	Recompute    string // auto (default: none if that fits in Memory), layer or none
	Moments      string // f32 (default) or bf16
	Offload      bool   // moments lie in the host's memory
	Memory       int64  // bytes of the device; 0: not known
	// Device is "" for a GPU, whose memory is planned alone, or "cpu": the peak of the whole process (VmHWM).
	Device string
	// World is the number of ranks that share the run; 1. Tokens and memory are those of one rank, MicroBatches those of all.
	World     int
	Zero      int     // dist.zero; 1
	Bandwidth float64 // GB/s that a rank can send while it receives as much; 0: not known
	TFLOPS    float64 // that a rank sustains in products; 0: not known
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
	case o.Device == "cpu" && o.Offload:
		return fmt.Errorf("offload: moments lie in the host's memory already on a CPU")
	case o.DType == engine.Int8:
		return engine.ErrInt8Training
	}
	if err := o.validateRanks(); err != nil {
		return err
	}
	return oneOf(
		choice{"train", o.Train, []string{"", nnet.TrainHead, nnet.TrainLoRA, nnet.TrainFull, planScore}},
		choice{"recompute", o.Recompute, []string{"", "auto", "layer", "none"}},
		choice{"moments", o.Moments, []string{"", "f32", "bf16"}},
		choice{"dtype", o.DType, []string{"", "bf16", "f32", "f64"}},
		choice{"device", o.Device, []string{"", "cpu"}},
	)
}

// planScore is a plan of scoring.
const planScore = "score"

// PlanMemory is what the parts of a run take, in bytes.
type PlanMemory struct {
	Weights     int64 `json:"weights"`     // frozen, as stored, or trained, in the dtype of parameters
	Gradients   int64 `json:"gradients"`   // of trained parameters
	Moments     int64 `json:"moments"`     // of AdamW, unless they lie on the host
	Activations int64 `json:"activations"` // the arena of the largest batch, trained on or evaluated
	Rounded     int64 `json:"rounded"`     // bf16 copies of the trained matrices, where a GPU computes in bf16
	Scratch     int64 `json:"scratch"`     // what kernels of one op leave for each other at most, where a GPU computes in bf16
	Trained     int64 `json:"trained"`     // numbers that are trained, not bytes
	Host        int64 `json:"host"`        // page-locked memory of the host: moments that are offloaded
	// Streamed are bytes of frozen weights of layers that stay on the host and are brought to the device for each batch, where the model does
	// not fit otherwise; Weights then has room for two layers beside the rest.
	Streamed int64 `json:"streamed"`
}

// PlanReport is what a run would take on its device.
type PlanReport struct {
	Train  string `json:"train"`
	DType  string `json:"dtype"`
	Tokens int    `json:"tokens"`
	// Recompute is what was asked for, or what auto chooses: layer or none; "" with train: head, which keeps no activations.
	Recompute string       `json:"recompute,omitempty"`
	Choices   []PlanChoice `json:"choices"` // what auto chooses from, the fastest first; else the one setting
	PlanMemory
	Process    int64  `json:"process,omitempty"` // of a CPU's: program, graph, Go's heap, scratch of as many threads as Plan has
	Total      int64  `json:"total"`
	Device     int64  `json:"device,omitempty"` // bytes there are
	Fits       bool   `json:"fits"`             // false also when the device's memory is not known
	MostTokens int    `json:"most_tokens"`      // of a micro-batch that would fit
	Advice     string `json:"advice,omitempty"`
	// Ranks is nil for a single process whose TFLOPS are not given.
	Ranks *PlanRanks `json:"ranks,omitempty"`
}

// Plan says what memory a run takes, from the model's configuration alone. The driver's own few hundred MiB are not in it.
func Plan(opt PlanOptions) (PlanReport, error) {
	if err := opt.Validate(); err != nil {
		return PlanReport{}, err
	}
	defaults := DefaultTrainConfig()
	dtype := "bf16"
	if opt.Device == "cpu" {
		dtype = "f32"
	}
	for _, f := range []struct {
		field *string
		value string
	}{{&opt.Train, nnet.TrainLoRA}, {&opt.DType, dtype}, {&opt.Recompute, "auto"}} {
		if *f.field == "" {
			*f.field = f.value
		}
	}
	if opt.Tokens == 0 {
		opt.Tokens = defaults.Batch.Tokens
	}
	if opt.MicroBatches == 0 {
		opt.MicroBatches = defaults.Batch.Trajectories
	}
	if opt.LoRA.Rank == 0 {
		opt.LoRA = defaults.LoRA
	}
	opt.World, opt.Zero = max(1, opt.World), max(1, opt.Zero)
	dir, err := hfmodel.Resolve(opt.Model)
	if err != nil {
		return PlanReport{}, err
	}
	config, err := hfmodel.ReadConfig(dir)
	if err != nil {
		return PlanReport{}, err
	}
	compute, err := engine.ParseDType(opt.DType)
	if err != nil {
		return PlanReport{}, err
	}
	spec := nnet.Spec{
		Config: config, DType: compute, Train: opt.Train, Loss: loss.MSE,
		BF16Moments: opt.Moments == "bf16", Offload: opt.Offload,
		Head: nnet.HeadSpec{Kind: nnet.Scalar, Activation: "sigmoid", Final: "shared"},
		LoRA: nnet.LoRASpec{Rank: opt.LoRA.Rank, Alpha: opt.LoRA.Alpha, Targets: opt.LoRA.Targets, Layers: opt.LoRA.Layers},
	}
	if spec.Train == planScore {
		spec.Train = nnet.TrainNothing
	}
	if err := spec.Validate(); err != nil {
		return PlanReport{}, err
	}
	if spec.Train == nnet.TrainHead { // the trunk runs once, for the hidden states; the head after it takes next to nothing
		spec.Train = nnet.TrainNothing
	}
	room, share := usable(opt.Memory), sharing{opt.World, opt.Zero}
	microBatches := share.perRank(opt.MicroBatches)
	list, resident, err := settle(spec, share, opt.Recompute, opt.Tokens, microBatches, opt.Device, room) // as Open and Train do
	if err != nil {
		return PlanReport{}, err
	}
	c := choose(list)
	r := PlanReport{
		Train: opt.Train, DType: opt.DType, Tokens: opt.Tokens, Recompute: c.Recompute, PlanMemory: PlanMemory(c.memory), Process: c.process,
		Total: c.Total, Device: opt.Memory, Fits: c.Fits, MostTokens: c.MostTokens,
	}
	for _, c := range list {
		r.Choices, r.MostTokens = append(r.Choices, c.PlanChoice), max(r.MostTokens, c.MostTokens)
	}
	if opt.World > 1 || opt.TFLOPS > 0 {
		if r.Ranks, err = opt.ranks(c.spec, int64(spec.Params().Size())); err != nil {
			return PlanReport{}, err
		}
	}
	if opt.Train == nnet.TrainHead {
		r.Trained = int64(config.HiddenSize) + 1
	}
	switch {
	case c.spec.Streamed:
		r.Advice = withoutStreaming(resident)
	case opt.Memory > 0 && !r.Fits:
		r.Advice, err = advise(c.spec, share, opt.Tokens, microBatches, r.MostTokens, room-r.Process, opt.Device)
	}
	return r, err
}

// programPages are those of the program's own file that count as its memory. The system maps those around the ones that are touched too,
// if it holds them: 27 to 42 MiB were seen, the most where all of the file is held.
const programPages = 40 << 20

// processBytes is what a process that trains on a CPU has besides what is planned tensor by tensor: the pages of the program that it
// touches, what Go's runtime keeps outside of its heap, the operands that products pack, and the heap. The heap holds tables and texts,
// each thread's scratch, and the graph with its compiled launches, twice while it is built anew for a larger batch; as much again as all of
// it is garbage before it is collected (GOGC=100). The parts were measured one by one; TestPlanIsThePeakOfAProcess checks their sum.
func processBytes(c *hfmodel.Config, tokens, launches, threads int) int64 {
	const (
		goRuntime = 6 << 20
		base      = 3 << 20
		perThread = 650 << 10 // panels of products and blocks of attention
		perLaunch = 5 << 9    // nodes and kernels: the same for head, LoRA and full
	)
	packed := int64(cpu.PackedBytes(tokens, c.IntermediateSize))
	return programPages + goRuntime + packed + 2*int64(base+threads*perThread+2*launches*perLaunch)
}

// usable is what of a device's memory a run can have: the driver and the kernels take some.
func usable(memory int64) int64 { return memory / 100 * 97 }

// mostTokens is how many tokens of a micro-batch fit into room, of a run that takes m with so many: activations grow with them.
func mostTokens(m nnet.Memory, room int64, tokens int) int {
	growing := m.Activations + m.Scratch
	left := room - (m.Total() - growing)
	return int(float64(max(0, left)) / float64(growing) * float64(tokens))
}

func measure(spec nnet.Spec, share sharing, tokens, microBatches int, device string) (nnet.Memory, int, error) {
	reads := max(1, tokens/16) // a step of sixteen tokens is a short one
	stored := spec.Config.TorchDtype
	rules := ops.Rules()
	if device == "cpu" {
		rules = cpu.Rules(engine.DTypeName(spec.DType))
	}
	m, launches, err := nnet.Measure(spec, nnet.Capacity{Tokens: tokens, Segments: 64, Ranges: 64, Reads: reads},
		stored == "" || stored == "bfloat16", microBatches, share.world > 1 && share.zero == 2, rules)
	if err == nil {
		m, err = share.of(spec, m, microBatches)
	}
	if device == "cpu" { // which rounds weights while it packs them; its scratch is the process's
		m.Rounded, m.Scratch = 0, 0
	}
	return m, launches, err
}

// advise says which settings would make a run fit, most of whose tokens fit as it is: each was measured.
func advise(spec nnet.Spec, share sharing, tokens, microBatches, mostTokens int, room int64, device string) (string, error) {
	type change struct {
		say  string
		open bool // it is not made yet
		make func(*nnet.Spec, *int)
	}
	var changes []change
	trains := spec.Train == nnet.TrainLoRA || spec.Train == nnet.TrainFull
	for _, c := range []change{
		{"recompute: layer", trains && !spec.Recompute, func(s *nnet.Spec, _ *int) { s.Recompute = true }},
		{"optim.moments: bf16", trains && !spec.BF16Moments && spec.DType != engine.F64, func(s *nnet.Spec, _ *int) { s.BF16Moments = true }},
		{"optim.offload: true", trains && !spec.Offload && device != "cpu", func(s *nnet.Spec, _ *int) { s.Offload = true }},
		{"one micro-batch a step (fewer batch.trajectories)", trains && microBatches > 1, func(_ *nnet.Spec, n *int) { *n = 1 }},
	} {
		if c.open {
			changes = append(changes, c)
		}
	}
	var fit []string
	if mostTokens >= 512 {
		fit = append(fit, fmt.Sprintf("batch.tokens up to %d fit", mostTokens))
	}
	for count := 1; count <= len(changes) && (count == 1 || len(fit) == 0); count++ {
		for set := range 1 << len(changes) {
			if bits.OnesCount(uint(set)) != count {
				continue
			}
			changed, micros, say, host := spec, microBatches, []string{}, ""
			for i, c := range changes {
				if set>>i&1 == 1 {
					c.make(&changed, &micros)
					say = append(say, c.say)
				}
			}
			m, _, err := measure(changed, share, tokens, micros, device)
			if err != nil {
				return "", err
			}
			if m.Host > 0 {
				host = fmt.Sprintf(" and %s on the host", bytesText(m.Host))
			}
			if m.Total() <= room {
				fit = append(fit, fmt.Sprintf("%s fits, with %s%s", strings.Join(say, " with "), bytesText(m.Total()), host))
			}
		}
	}
	switch {
	case len(fit) > 0:
		return strings.Join(fit, "; "), nil
	case spec.Train == nnet.TrainFull:
		return "weights, gradients and moments alone are too much: train: lora or head", nil
	}
	return "the weights alone are nearly too much: a smaller model, or a larger device", nil
}

func bytesText(bytes int64) string {
	if bytes < 1<<30 {
		return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
	}
	return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30))
}

// explain adds to a device's want of memory what was planned and which setting would fit.
func (s *session) explain(err error, tokens, microBatches int) error {
	var short *engine.MemoryError
	if !errors.As(err, &short) {
		return err
	}
	spec := s.spec(s.c.Train)
	if spec.Train == nnet.TrainHead {
		spec.Train = nnet.TrainNothing
	}
	share := sharing{s.c.ranks.Size(), s.c.Dist.Zero}
	m, _, failed := measure(spec, share, tokens, microBatches, s.c.Device)
	if failed != nil {
		return err
	}
	room := usable(int64(short.Free) + int64(short.Held))
	advice, failed := advise(spec, share, tokens, microBatches, min(mostTokens(m, room, tokens), tokens/2), room, s.c.Device)
	if failed != nil {
		return err
	}
	return fmt.Errorf("%w; planned for micro-batches of %d tokens: weights %s, gradients %s, moments %s, activations %s, "+
		"rounded weights %s; %s", err, tokens, bytesText(m.Weights), bytesText(m.Gradients), bytesText(m.Moments),
		bytesText(m.Activations), bytesText(m.Rounded), advice)
}
