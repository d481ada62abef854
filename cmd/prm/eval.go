package main

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"strings"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/bench"
	"github.com/goprm/goprm/prm"
)

type evalCommands struct {
	Run   evalCommand      `cmd:"" name:"benchmark" default:"withargs" help:"Run a model or stored scores against a benchmark (the default)."`
	Merge evalMergeCommand `cmd:"" help:"Compute the metrics of a benchmark that was scored in shards."`
}

type evalCommand struct {
	evalFlags
	evalOutputs
	shardFlag
	scorerFlags
}

// evalFlags say what is evaluated, and how.
type evalFlags struct {
	Bench     string   `required:"" help:"processbench, prmbench, deltabench, pairs or steps."`
	Data      []string `required:"" sep:"none" help:"Files of the benchmark as published, JSON lines; for steps: labelled trajectories."`
	Threshold *float64 `help:"A step that scores below it counts as wrong; by default the one saved with the model, else 0.5."`
	Tune      []string `sep:"none" help:"Other data of the same form, on which the threshold is chosen; --scores must cover them too."`
	LabelCut  float64  `default:"0.5" help:"A label of this or more means a good step."`
	Alpha     *float64 `help:"Weight of the trajectory's score in the reward, for pairs; the model's, else 1, by default."`
	Split     string   `default:"\n\n" help:"Cuts traces that are not in steps."`
	Seed      uint64   `default:"1" help:"Seed of the intervals."`
}

type evalOutputs struct {
	As       string `enum:"json,table,markdown,html" default:"json" help:"What is printed: json, table, markdown or html."`
	JSON     bool   `help:"Print JSON, as by default."`
	Out      string `help:"File for what is printed; stdout by default."`
	Markdown string `help:"File for the result as Markdown, besides."`
	HTML     string `name:"html" help:"File for the result as a page, besides."`
}

func (o evalOutputs) validate() error {
	if o.JSON && o.As != "json" {
		return usageError("--json and --as " + o.As + " exclude each other")
	}
	return nil
}

// evalPlan is what the shards of an evaluation must have in common.
type evalPlan struct {
	evalFlags
	OnBad string
}

func (evalCommand) Help() string {
	return "The metrics are the benchmark's own, each with a 95 % interval by bootstrap over the problems; beside them stand " +
		"the same metrics of what needs no model: a step's place and its length, each in both directions. " +
		"With --model, ids of what is scored are those of the rows (prmbench: class_idx, and correct_idx for unmodified processes; pairs: " +
		"id/better and id/worse); --scores is in any order. " +
		"A trajectory without scores is an error, or with --on-bad skip counts nowhere. Example:\n\n" +
		"  prm eval --bench processbench --data processbench/ --model runs/one/model --keep scores.jsonl --html report.html"
}

func (c evalCommand) validate() error {
	switch {
	case c.Model == "" && len(c.Scores) == 0:
		return usageError("--model or --scores is needed")
	case c.Threshold != nil && len(c.Tune) > 0:
		return usageError("--threshold and --tune exclude each other")
	case c.Threshold != nil && math.IsNaN(*c.Threshold):
		return usageError("--threshold is not a number")
	case math.IsNaN(c.LabelCut):
		return usageError("--label-cut is not a number")
	case c.Bench == "pairs" && (c.Threshold != nil || len(c.Tune) > 0):
		return usageError("pairs have no threshold")
	}
	shard, err := newShard(c.Shard)
	return errors.Join(err, c.evalOutputs.validate(), c.scorerFlags.validate(shard != nil))
}

func (c evalCommand) Run(p *program) error {
	if err := c.validate(); err != nil {
		return err
	}
	sets, err := c.read(p)
	if err != nil {
		return err
	}
	total := 0
	for _, s := range sets {
		total += len(s.Cases)
	}
	source := func() iter.Seq2[*data.Trajectory, error] {
		return func(yield func(*data.Trajectory, error) bool) {
			for _, s := range sets {
				for _, one := range s.Cases {
					if !yield(one.Trajectory, nil) {
						return
					}
				}
			}
		}
	}
	inputs := slices.Concat(c.Data, c.Tune)
	if shard, err := newShard(c.Shard); err != nil || shard != nil {
		if err == nil {
			one := scorerShard{shard, &c.scorerFlags, c.Out, inputs, inputs, source,
				c.Markdown != "" || c.HTML != "" || c.As != "json"}
			err = one.run(p, "eval", evalPlan{c.evalFlags, c.OnBad})
		}
		return err
	}
	return p.scored(&c.scorerFlags, c.Out, inputs, source, total,
		func(scores func() iter.Seq2[*prm.StoredScore, error], info *prm.ModelInfo) error {
			return c.judge(p, sets, scores(), info)
		})
}

// read reads the data, and what the threshold is tuned on.
func (c evalCommand) read(p *program) ([]*bench.Set, error) {
	set, err := bench.Read(c.Bench, c.Data, c.readOptions(p))
	if err != nil || len(c.Tune) == 0 {
		return []*bench.Set{set}, err
	}
	tune, err := c.readTune(p, set)
	return []*bench.Set{set, tune}, err
}

func (c evalCommand) readOptions(p *program) bench.ReadOptions {
	return bench.ReadOptions{ReadOptions: data.ReadOptions{Stdin: p.stdin}, Split: c.Split}
}

// readTune reads the tuning data, which must be other data.
func (c evalCommand) readTune(p *program, set *bench.Set) (*bench.Set, error) {
	tune, err := bench.Read(c.Bench, c.Tune, c.readOptions(p))
	if err != nil {
		return nil, err
	}
	if id := tune.SharedID(set); id != "" {
		return nil, fmt.Errorf("--tune: its trajectory %q is among the evaluated ones: a threshold tuned on them would flatter", id)
	}
	if n := tune.SharedProblems(set); n > 0 {
		p.console.Warnf("%d problems of --tune are among the evaluated ones", n)
	}
	return tune, nil
}

// judge computes and writes the result; sets are the evaluated one and maybe the tuning one.
func (c evalCommand) judge(p *program, sets []*bench.Set, scores iter.Seq2[*prm.StoredScore, error], info *prm.ModelInfo) error {
	alpha := 1.0
	switch {
	case c.Alpha != nil:
		alpha = *c.Alpha
	case info != nil:
		alpha = info.Alpha
	}
	collected, err := c.collect(p, sets, scores, alpha)
	if err != nil {
		return err
	}
	opt := bench.Options{Threshold: 0.5, ThresholdFrom: "the default", Cut: c.LabelCut, Seed: c.Seed}
	switch {
	case c.Bench == "pairs":
		opt.Threshold, opt.ThresholdFrom = math.NaN(), ""
	case c.Threshold != nil:
		opt.Threshold, opt.ThresholdFrom = *c.Threshold, "as given"
	case len(c.Tune) > 0:
		opt.Tune = sets[1]
		opt.Threshold, opt.ThresholdFrom = sets[1].BestThreshold(collected[1], c.LabelCut), "tuned on "+strings.Join(c.Tune, ", ")
	case info != nil:
		opt.Threshold, opt.ThresholdFrom = info.Threshold, "saved with the model"
	}
	result, err := sets[0].Evaluate(collected[0], opt)
	if err != nil {
		return err
	}
	for _, w := range result.Warnings {
		p.console.Warnf("%s", w)
	}
	return c.write(p, result)
}

// collect brings the scores, in any order, into that of the sets' cases.
func (c evalCommand) collect(p *program, sets []*bench.Set, scores iter.Seq2[*prm.StoredScore, error],
	alpha float64) ([]bench.Scores, error) {
	places := map[string][2]int{}
	all := make([]bench.Scores, len(sets))
	missing := 0
	for k, s := range sets {
		all[k] = bench.NewScores(len(s.Cases))
		for i, one := range s.Cases {
			places[one.ID] = [2]int{k, i}
		}
		missing += len(s.Cases)
	}
	others := 0
	var readOut prm.ReadOut
	for s, err := range scores {
		if err != nil {
			return nil, err
		}
		at, ok := places[s.ID]
		if !ok {
			others++
			continue
		}
		if all[at[0]].Steps[at[1]] != nil {
			return nil, fmt.Errorf("%s: a second line of scores for %q", s.Where, s.ID)
		}
		if c.Bench == "pairs" {
			if err := readOut.Check(s.Trajectory != nil, s.Where); err != nil {
				return nil, err
			}
		}
		all[at[0]].Steps[at[1]] = append([]float64{}, s.Steps...)
		all[at[0]].Rewards[at[1]] = s.Reward(alpha)
		missing--
	}
	if missing > 0 && c.OnBad == "error" {
		return nil, fmt.Errorf("%d trajectories have no scores, such as %q; --on-bad skip leaves them out", missing, firstWithout(sets, all))
	}
	if missing > 0 {
		p.console.Warnf("%d trajectories have no scores and count nowhere", missing)
	}
	if others > 0 {
		p.console.Warnf("%d lines of scores belong to no trajectory of the data", others)
	}
	return all, nil
}

func firstWithout(sets []*bench.Set, scores []bench.Scores) string {
	for k, s := range sets {
		for i, one := range s.Cases {
			if scores[k].Steps[i] == nil {
				return one.ID
			}
		}
	}
	return ""
}

func (c evalCommand) write(p *program, r *bench.Result) error {
	return p.outputs(c.Out, append(c.Data, c.Scores...), map[string]func(io.Writer) error{
		"json":     func(w io.Writer) error { return indentedJSON(w).Encode(r) },
		"table":    r.WriteTable,
		"markdown": r.WriteMarkdown,
		"html":     r.WriteHTML,
	}[c.As], side{c.Markdown, r.WriteMarkdown}, side{c.HTML, r.WriteHTML})
}
