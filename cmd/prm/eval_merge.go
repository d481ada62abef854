package main

import "slices"

type evalMergeCommand struct {
	Shards []string `arg:"" help:"The outputs of all shards, in any order; each shard's OUT.shard.json lies beside it."`
	Data   []string `sep:"none" help:"Where the benchmark's files lie now; where they lay for the shards by default."`
	Tune   []string `sep:"none" help:"Where the data lie now that the threshold is tuned on."`
	evalOutputs
}

func (evalMergeCommand) Help() string {
	return "What is evaluated, and how, is what the shards were told. The result is that of one run without shards, byte for byte. " +
		"Example:\n\n  prm eval merge parts-*.jsonl --out result.json"
}

func (evalMergeCommand) watchesContext() {}

func (c evalMergeCommand) Run(p *program) error {
	if err := c.validate(); err != nil {
		return err
	}
	var plan evalPlan
	scores, err := mergedScores(c.Shards, "eval", &plan)
	if err != nil {
		return err
	}
	if len(c.Data) > 0 {
		plan.Data = c.Data
	}
	if len(c.Tune) > 0 {
		plan.Tune = c.Tune
	}
	if err := scores.of(slices.Concat(plan.Data, plan.Tune), "--data or --tune"); err != nil {
		return err
	}
	whole := evalCommand{plan.evalFlags, c.evalOutputs, shardFlag{}, scorerFlags{Model: scores.Name, OnBad: plan.OnBad, Scores: c.Shards}}
	sets, err := whole.read(p)
	if err != nil {
		return err
	}
	return whole.judge(p, sets, scores.read(), scores.info())
}
