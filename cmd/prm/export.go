package main

import (
	"fmt"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/prm"
)

type exportCommand struct {
	modelFlag
	To        string   `required:"" enum:"hf-token-classification,vllm-process-reward,peft" help:"Layout: ${enum}."`
	Out       string   `required:"" help:"Folder to make."`
	Merge     bool     `help:"Add LoRA adapters to the weights."`
	StepsOnly bool     `help:"Leave out the trajectory's own score where the layout has no place for it."`
	Base      string   `help:"Where the base of an adapter or a head lies now; where it lay in training by default."`
	Check     []string `sep:"none" help:"Trajectories whose scores before and after are compared; two short ones by default."`
	JSON      bool     `help:"Print JSON."`
}

func (exportCommand) Help() string {
	return "Writes the model as transformers, vLLM or PEFT load it, with a model card, " +
		"and says how far its scores are from the original's. Example:\n\n" +
		"  prm export --model runs/one/model --to hf-token-classification --merge --out exported"
}

func (exportCommand) watchesContext() {}

func (c exportCommand) Run(p *program) error {
	if err := c.resolve(); err != nil {
		return err
	}
	options := prm.ExportOptions{Model: c.Model, Base: c.Base, To: c.To, Out: c.Out, Merge: c.Merge, StepsOnly: c.StepsOnly}
	if len(c.Check) > 0 {
		options.Sample = data.Read(c.Check, data.ReadOptions{})
	}
	if err := options.Validate(); err != nil {
		return usageError(err.Error())
	}
	result, err := prm.Export(p.ctx, options)
	if err != nil {
		return err
	}
	if c.JSON {
		return p.printJSON(result)
	}
	_, err = fmt.Fprintf(p.stdout, "%s: %s, %d adapters merged; %d scores differ from the original's by at most %.2g\n", result.Out, result.To,
		result.Merged, result.Compared, result.MaxDifference)
	return err
}
