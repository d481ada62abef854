package main

import (
	"github.com/goprm/goprm/internal/speed"
)

type benchCommand struct {
	Model     string `arg:"" optional:"" help:"Model folder; without one, random weights of --shape in memory."`
	Shape     string `default:"0.5b" enum:"${shapes}" help:"Shape of random weights: ${shapes}."`
	Mode      string `default:"score" enum:"score,head,lora,full" help:"What a step is: score, or a training step of head, lora or full."`
	DType     string `name:"dtype" default:"auto" help:"Arithmetic: auto, f32, f64, bf16 on a CPU with AVX512_BF16, or int8 for scoring."`
	Backend   string `default:"auto" help:"Which kernels: auto, portable, avx2, avx512 or avx512bf16."`
	Tokens    int    `default:"1024" help:"Tokens of the text that a step reads."`
	ReadEvery int    `default:"64" help:"Tokens from one read-out to the next."`
	Steps     int    `default:"3" help:"Steps that are timed, after --warmup others."`
	Warmup    int    `default:"1" help:"Steps before those that are timed."`
	Rank      int    `default:"16" help:"Of adapters."`
	Recompute bool   `default:"true" negatable:"" help:"Recompute activations layer by layer in a training step."`
	JSON      bool   `help:"Print JSON."`
}

func (benchCommand) Help() string {
	return "Times each op of scoring or of a training step on this CPU, and in the same run the machine's peak: what one instruction " +
		"reaches on registers alone, and what copies reach in memory. Executed operations are those that the launches computed; those " +
		"by definition count every matrix at every token and no recomputation. Other programs that run meanwhile make it slower. Example:\n\n" +
		"  prm bench --shape 0.5b --mode lora --tokens 1024"
}

// The command stops between two kernels when it is interrupted.
func (benchCommand) watchesContext() {}

func (c benchCommand) Run(p *program) error {
	o := speed.Options{
		Model: c.Model, Shape: c.Shape, Mode: c.Mode, DType: c.DType, Kernels: c.Backend, Threads: p.threads, Tokens: c.Tokens,
		ReadEvery: c.ReadEvery, Steps: c.Steps, Warmup: c.Warmup, Rank: c.Rank, Recompute: c.Recompute,
	}
	if err := o.Validate(); err != nil {
		return usageError(err.Error())
	}
	r, err := speed.Run(p.ctx, o)
	if err != nil {
		return err
	}
	if c.JSON {
		return p.printJSON(r)
	}
	return r.Write(p.stdout)
}
