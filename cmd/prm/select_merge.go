package main

import (
	"iter"
	"slices"

	"github.com/goprm/goprm/data"
)

type selectMergeCommand struct {
	Shards        []string `arg:"" help:"The outputs of all shards, in any order; each shard's OUT.shard.json lies beside it."`
	In            []string `sep:"none" help:"Where the pool lies now; where it lay for the shards by default."`
	Decontaminate []string `sep:"none" help:"Where the benchmark files lie now."`
	selectOutputs
}

func (selectMergeCommand) Help() string {
	return "What is kept, and how, is what the shards were told. The result is that of one run without shards, byte for byte. Example:\n\n" +
		"  prm select merge parts-*.jsonl --out selected.jsonl"
}

func (c selectMergeCommand) Run(p *program) error {
	var plan selectPlan
	scores, err := mergedScores(c.Shards, "select", &plan)
	if err != nil {
		return err
	}
	if len(c.In) > 0 {
		plan.In = c.In
	}
	if len(c.Decontaminate) > 0 {
		plan.Decontaminate = c.Decontaminate
	}
	if err := scores.of(plan.In, "--in"); err != nil {
		return err
	}
	whole := selectCommand{plan.selectFlags, c.selectOutputs, shardFlag{}, scorerFlags{Model: scores.Name, OnBad: plan.OnBad}}
	inputs := slices.Concat(plan.In, c.Shards, plan.Decontaminate)
	for _, path := range []string{c.Out, c.Card, c.Report} {
		if _, err := outputTarget(path, inputs); err != nil {
			return err
		}
	}
	pool := func() iter.Seq2[*data.Trajectory, error] { return data.Read(plan.In, data.ReadOptions{}) }
	return whole.pick(p, inputs, pool, func(_ int, use scoresUse) error { return use(scores.read, scores.info()) })
}
