package main

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/prm"
)

type selectCommands struct {
	Run   selectCommand      `cmd:"" name:"pool" default:"withargs" help:"Keep the best trajectories of a pool (the default)."`
	Merge selectMergeCommand `cmd:"" help:"Select from a pool that was scored in shards."`
}

type selectCommand struct {
	selectFlags
	selectOutputs
	shardFlag
	scorerFlags
}

// selectFlags say what is kept.
type selectFlags struct {
	In            []string `required:"" sep:"none" help:"Pool of trajectories: files or folders of any kind that prm train reads."`
	Top           int      `required:"" help:"How many to keep."`
	Alpha         *float64 `help:"Weight of the trajectory's score in the reward; the model's, else 1, by default."`
	To            string   `enum:"goprm,openthoughts,s1k,sharegpt,chat" default:"goprm" help:"Form of the output: ${enum}."`
	Licence       string   `help:"Licence that the card names; that of the pool is not known here."`
	PerDomain     int      `help:"Most trajectories of one domain (the row's domain, else its source); 0: no limit."`
	Unique        string   `enum:"exact,near," default:"" help:"Drop problems that repeat a better one: exact (by words) or near (MinHash)."`
	Similarity    float64  `default:"0.8" help:"Share of common runs of three words from which on --unique near sees a repetition."`
	Decontaminate []string `sep:"none" help:"Benchmark files: drop problems equal to one by words, or sharing 8 words in a row."`
}

type selectOutputs struct {
	Out    string `help:"File for the selected trajectories, best first, one a line; stdout by default."`
	Card   string `help:"File for a data set card; OUT.card.md by default."`
	Report string `help:"File for the counts and the dropped ids, JSON; OUT.report.json by default."`
}

// selectPlan is what the shards of a selection must have in common.
type selectPlan struct {
	selectFlags
	OnBad string
}

func (selectCommand) Help() string {
	return "Keeps the trajectories with the highest reward, ties by id. The pool is read several times and never held in memory. " +
		"prm bestofn --alpha 0,0.5,1 tells which alpha picks best. Example:\n\n" +
		"  prm select --in pool.jsonl --model runs/one/model --keep scores.jsonl --top 1000 --unique near " +
		"--decontaminate math500.jsonl --to chat --out selected.jsonl"
}

func (selectCommand) watchesContext()      {}
func (selectMergeCommand) watchesContext() {}

func (c selectCommand) options() prm.SelectOptions {
	return prm.SelectOptions{Top: c.Top, Alpha: c.Alpha, PerDomain: c.PerDomain, Unique: c.Unique, Similarity: c.Similarity}
}

func (c selectCommand) validate() error {
	switch {
	case c.Model == "" && len(c.Scores) == 0:
		return usageError("--model or --scores is needed")
	case slices.Contains(c.In, "-") || slices.Contains(c.Scores, "-"):
		return usageError("the input is read more than once: it must be a file, not -")
	}
	if err := c.options().Validate(); err != nil {
		return usageError(err.Error())
	}
	shard, err := newShard(c.Shard)
	return errors.Join(err, c.scorerFlags.validate(shard != nil))
}

func (c selectCommand) Run(p *program) error {
	if err := c.validate(); err != nil {
		return err
	}
	inputs := slices.Concat(c.In, c.Scores, c.Decontaminate)
	for _, path := range []string{c.Out, c.Card, c.Report} {
		if _, err := outputTarget(path, inputs); err != nil {
			return err
		}
	}
	pool := func() iter.Seq2[*data.Trajectory, error] { return data.Read(c.In, data.ReadOptions{}) }
	if shard, err := newShard(c.Shard); err != nil || shard != nil {
		if err == nil {
			one := scorerShard{shard, &c.scorerFlags, c.Out, c.In, inputs, pool, c.Card != "" || c.Report != ""}
			err = one.run(p, "select", selectPlan{c.selectFlags, c.OnBad})
		}
		return err
	}
	return c.pick(p, inputs, pool, func(rows int, use scoresUse) error {
		return p.scored(&c.scorerFlags, c.Out, inputs, pool, rows, use)
	})
}

// pick selects by the scores that scored hands on.
func (c selectCommand) pick(p *program, inputs []string, pool func() iter.Seq2[*data.Trajectory, error],
	scored func(rows int, use scoresUse) error) error {
	opt := c.options()
	if len(c.Decontaminate) > 0 {
		held, err := prm.ReadContamination(c.Decontaminate)
		if err != nil {
			return err
		}
		p.console.Infof("%d benchmark problems to keep out", held.Texts())
		opt.Contamination = held
	}
	rows := 0
	if !p.quiet {
		rows = countRows(c.In)
	}
	return scored(rows, func(scores func() iter.Seq2[*prm.StoredScore, error], info *prm.ModelInfo) error {
		if info != nil && info.HasTrajectory && opt.Alpha == nil {
			opt.Alpha = &info.Alpha
		}
		if c.OnBad == "skip" {
			opt.OnBad = func(error) error { return nil }
		}
		opt.OnRow = func(pass, row int) {
			if row == 0 {
				p.console.Start(fmt.Sprintf("select, pass %d", pass), 0, rows)
			}
			p.console.Update(row+1, "")
		}
		selection, err := prm.Select(p.ctx, pool, scores, opt)
		p.console.Finish()
		if err != nil {
			return err
		}
		return c.write(p, selection, opt, inputs)
	})
}

func (c selectCommand) write(p *program, s *prm.Selection, opt prm.SelectOptions, inputs []string) error {
	if s.Bad > 0 {
		p.console.Warnf("%d rows could not be read", s.Bad)
	}
	if s.Unscored > 0 {
		p.console.Warnf("%d rows have no score and cannot be kept: %d are not among the scores, %d have no step or trajectory score that counts",
			s.Unscored, s.Missing, s.Unscored-s.Missing)
	}
	if s.Kept < c.Top {
		p.console.Warnf("%d were to be kept, but only %d are left", c.Top, s.Kept)
	}
	scorer := c.Model
	if scorer == "" {
		scorer = strings.Join(c.Scores, ", ")
	}
	v, commit := programVersion()
	card := prm.DataCard{Title: "Selected reasoning trajectories", Form: c.To, Pool: c.In, Scorer: scorer, Against: c.Decontaminate,
		Licence: c.Licence,
		Options: opt, Report: s.SelectionReport, Versions: fmt.Sprintf("prm %s, commit %s", v, commit)}
	if toFile := c.Out != "" && c.Out != "-"; toFile && c.Card == "" {
		c.Card = c.Out + ".card.md"
	}
	if toFile := c.Out != "" && c.Out != "-"; toFile && c.Report == "" {
		c.Report = c.Out + ".report.json"
	}
	p.console.Infof("%d of %d kept, rewards %.4f to %.4f; %d contaminated, %d repeated, %d over their domain's quota",
		s.Kept, s.Pool, s.Highest, s.Lowest, s.Contaminated, s.Duplicates, s.OverQuota)
	return p.outputs(c.Out, inputs, func(w io.Writer) error {
		for _, one := range s.Rows {
			line, err := one.Export(c.To)
			if err != nil {
				return err
			}
			if _, err := w.Write(append(line, '\n')); err != nil {
				return err
			}
		}
		return nil
	}, side{c.Card, card.Write}, side{c.Report, func(w io.Writer) error { return indentedJSON(w).Encode(s.SelectionReport) }})
}
