package main

import "io"

type scoreMergeCommand struct {
	Shards []string `arg:"" help:"The outputs of all shards, in any order; each shard's OUT.shard.json lies beside it."`
	Out    string   `required:"" help:"File for all scores."`
}

func (scoreMergeCommand) Help() string {
	return "The result is what one run without shards gives, byte for byte. Example:\n\n  prm score merge scores-*.jsonl --out scores.jsonl"
}

func (c scoreMergeCommand) Run(p *program) error {
	target, err := outputTarget(c.Out, c.Shards)
	if err != nil {
		return err
	}
	parts, err := readShards(c.Shards)
	if err != nil {
		return err
	}
	scored, skipped := 0, 0
	err = writeTarget(target, func(w io.Writer) error {
		for _, part := range parts {
			scored, skipped = scored+part.Scored, skipped+part.Skipped
			if err := part.copyTo(w); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	p.console.Infof("%d trajectories scored, %d skipped", scored, skipped)
	return nil
}
