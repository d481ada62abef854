package main

import (
	"fmt"
	"math"
	"text/tabwriter"

	"github.com/goprm/goprm/cuda"
	"github.com/goprm/goprm/internal/mmap"
	"github.com/goprm/goprm/prm"
)

type planCommand struct {
	modelFlag
	Train        string  `default:"lora" help:"What is trained: head, lora or full; score: nothing."`
	Tokens       int     `default:"8192" help:"Tokens of a micro-batch."`
	MicroBatches int     `default:"16" help:"Micro-batches of an optimizer step; from 2 on their number changes nothing."`
	Recompute    string  `default:"auto" help:"auto (none if that fits), layer or none."`
	Moments      string  `default:"f32" help:"optim.moments: f32 or bf16."`
	Offload      bool    `help:"optim.offload: moments lie in the host's memory."`
	DType        string  `name:"dtype" help:"Compute dtype: bf16, f32 or f64; bf16 on a GPU and f32 on a CPU if it is not given."`
	Rank         int     `default:"16" help:"Of adapters."`
	Device       string  `default:"auto" help:"Whose memory it must fit: auto (the first GPU, if any), cuda:N, or cpu (what is free)."`
	Memory       float64 `help:"Memory of the device in GiB, for one that is elsewhere."`
	World        int     `default:"1" help:"Ranks that share the run; memory is that of the one with most, micro-batches are those of all."`
	Zero         int     `default:"1" help:"dist.zero: ZeRO stage of several ranks, 1 or 2."`
	Bandwidth    float64 `help:"GB/s that a rank sends while it receives as much: for the time of an optimizer step."`
	TFLOPS       float64 `name:"tflops" help:"TFLOP/s that a rank sustains in training: for the time of an optimizer step."`
	JSON         bool    `help:"Print JSON."`
}

func (planCommand) Help() string {
	return "Weights, gradients, AdamW's moments and the arena of one micro-batch, as they would be allocated. Exit 0 whether it fits " +
		"or not. Examples:\n\n  prm plan --model DIR --train lora --tokens 4096 --memory 80\n" +
		"  prm plan --model DIR --train full --memory 80 --world 8 --zero 2 --bandwidth 25 --tflops 300"
}

func (c planCommand) Run(p *program) error {
	if err := c.resolve(); err != nil {
		return err
	}
	memory, err := c.memory()
	if err != nil {
		return err
	}
	device := ""
	if c.Device == "cpu" {
		device = c.Device
	}
	lora := prm.DefaultTrainConfig().LoRA
	lora.Rank = c.Rank
	r, err := prm.Plan(prm.PlanOptions{
		Model: c.Model, Train: c.Train, Tokens: c.Tokens, MicroBatches: c.MicroBatches, Recompute: c.Recompute, DType: c.DType, LoRA: lora,
		Memory: memory, Device: device,
		Moments: c.Moments, Offload: c.Offload, World: c.World, Zero: c.Zero, Bandwidth: c.Bandwidth, TFLOPS: c.TFLOPS,
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return p.printJSON(r)
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	type row struct {
		what  string
		bytes int64
	}
	rows := []row{{"weights", r.Weights}, {"gradients", r.Gradients}, {"moments", r.Moments},
		{fmt.Sprintf("activations of %d tokens", r.Tokens), r.Activations},
		{"rounded weights", r.Rounded}, {"scratch of kernels", r.Scratch},
		{"the process itself", r.Process}, {"total", r.Total}, {"on the host, page-locked", r.Host}}
	if r.Streamed > 0 {
		rows = append(rows, row{"layers on the host, brought for each batch", r.Streamed})
	}
	for _, choice := range r.Choices {
		if len(r.Choices) > 1 {
			rows = append(rows, row{"total with recompute: " + choice.Recompute, choice.Total})
		}
	}
	for _, row := range rows {
		if _, err := fmt.Fprintf(w, "%s\t%.2f GiB\t\n", row.what, gib(row.bytes)); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	verdict := fmt.Sprintf("%s in %s trains %d numbers", r.Train, r.DType, r.Trained)
	if r.Train == "score" {
		verdict = fmt.Sprintf("scoring in %s", r.DType)
	}
	if r.Streamed > 0 {
		verdict += " with streamed layers, as all weights do not fit"
	}
	if r.Recompute != "" {
		verdict += "; recompute: " + r.Recompute
	}
	switch {
	case r.Fits:
		verdict += fmt.Sprintf("; fits in %.1f GiB, as would up to %d tokens", gib(r.Device), r.MostTokens)
		if r.Advice != "" {
			verdict += "; " + r.Advice
		}
	case r.Device > 0:
		verdict += fmt.Sprintf("; does not fit in %.1f GiB: %s", gib(r.Device), r.Advice)
	}
	if r.Ranks != nil {
		verdict += "\n" + describeRanks(r.Ranks)
	}
	_, err = fmt.Fprintln(p.stdout, verdict)
	return err
}

func describeRanks(r *prm.PlanRanks) string {
	text := fmt.Sprintf("each of %d ranks (ZeRO stage %d) has %d micro-batches a step and sends %.2f GiB", r.World, r.Zero, r.MicroBatches,
		gib(r.Bytes))
	if r.World == 1 {
		text = fmt.Sprintf("a step has %d micro-batches", r.MicroBatches)
	}
	if r.Communicating > 0 {
		text += fmt.Sprintf(" in %.2f s", r.Communicating)
	}
	if r.Computing > 0 {
		text += fmt.Sprintf("; computing takes %.2f s", r.Computing)
	}
	if r.Hidden > 0 {
		text += fmt.Sprintf(", beside which %.2f s of the communication go on", r.Hidden)
	}
	if r.Computing > 0 && r.Communicating > 0 {
		text += fmt.Sprintf(", %.0f %% of the step", 100*r.Efficiency)
	}
	return text
}

func gib(bytes int64) float64 { return float64(bytes) / (1 << 30) }

// memory is what was given, or what the named device has; 0 if there is none to ask.
func (c planCommand) memory() (int64, error) {
	if c.Memory < 0 || c.Memory > 1<<20 || math.IsNaN(c.Memory) {
		return 0, usageError(fmt.Sprintf("--memory %g is not a number of GiB", c.Memory))
	}
	if c.Memory > 0 {
		return int64(c.Memory * (1 << 30)), nil
	}
	if c.Device == "cpu" {
		return mmap.Available(), nil
	}
	found, err := cuda.Devices()
	for _, d := range found.Devices {
		if d.Name == c.Device || c.Device == "auto" {
			return int64(d.Memory), nil
		}
	}
	switch {
	case c.Device == "auto":
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("device %s: %w; give --memory for one that is elsewhere", c.Device, err)
	}
	return 0, fmt.Errorf("device %s: this machine has no such GPU; give --memory for one that is elsewhere", c.Device)
}
