package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/goprm/goprm/internal/dist"
	"github.com/goprm/goprm/internal/runlog"
	"github.com/goprm/goprm/prm"
)

type trainCommand struct {
	File   string `arg:"" optional:"" help:"YAML file, as --config; a run folder stands for its config.yaml."`
	Config string `help:"YAML file: docs/configuration.md has every key. Flags win over it."`
	trainKeys
	Set         []string `sep:"none" help:"Override a key, as optim.head_lr=1e-4; it wins over flags."`
	Base        string   `help:"Where the base of the model lies now, if that is an adapter or a head; where it lay in training by default."`
	Resume      bool     `help:"Go on from the newest checkpoint of the run folder that verifies."`
	DryRun      bool     `help:"Show rendered text with its read-outs, counts, memory and time, and stop."`
	PrintConfig bool     `help:"Print the configuration with every default in place, as YAML, and stop."`
	JSON        bool     `help:"Print the result as JSON."`
}

func (trainCommand) Help() string {
	return "The run folder gets config.yaml (with everything resolved), run.json, metrics.jsonl, checkpoints/ and model/. " +
		"SIGINT and SIGTERM save a checkpoint and exit 0 (see --signal-exit). Examples:\n\n" +
		"  prm train --model Qwen2.5-1.5B-Instruct --data labelled.jsonl --out runs/one\n" +
		"  prm train --config run.yaml --lr 5e-5 --set optim.head_lr=2e-3"
}

func (c trainCommand) Run(p *program) error {
	launch, err := dist.FromEnv(os.Getenv)
	if err != nil {
		return err
	}
	if launch.Rank > 0 { // rank 0 speaks for all
		if c.PrintConfig || c.DryRun {
			return nil
		}
		p.console = runlog.NewConsole(p.stderr, true)
	}
	config, err := c.config(p)
	if err != nil {
		return err
	}
	if c.PrintConfig {
		text, err := config.YAML()
		if err == nil {
			_, err = p.stdout.Write(text)
		}
		return err
	}
	if c.Base != "" {
		config.Base = c.Base
	}
	config.Resume, config.Progress, config.Quiet = c.Resume, p.stderr, p.quiet
	config.Version, _ = programVersion()
	if p.threads > 0 {
		config.Threads = p.threads
	}
	if c.DryRun {
		report, err := prm.DryRun(p.ctx, config)
		if err != nil {
			return err
		}
		for _, w := range report.Warnings {
			p.console.Warnf("%s", w)
		}
		if c.JSON {
			return p.printJSON(report)
		}
		return writeDryRun(p, report)
	}
	config.Distributed = true // of one rank where no launcher says otherwise
	result, err := prm.Train(p.ctx, config)
	if err != nil || result.Rank > 0 {
		return err
	}
	if c.JSON {
		return p.printJSON(result)
	}
	return writeTraining(p, result)
}

func writeTraining(p *program, r *prm.TrainResult) error {
	var b strings.Builder
	switch {
	case r.AlreadyComplete:
		fmt.Fprintf(&b, "%s is complete: %d steps\n", r.Out, r.Steps)
	case r.Interrupted && r.TotalSteps == 0:
		b.WriteString("interrupted before the first step; start it again: hidden states that were computed are kept\n")
	case r.Interrupted:
		fmt.Fprintf(&b, "interrupted at step %d of %d; go on with --resume\n", r.Steps, r.TotalSteps)
	default:
		fmt.Fprintf(&b, "trained %d steps, %d tokens\n", r.Steps, r.Tokens)
	}
	if e := r.Eval; e != nil {
		fmt.Fprintf(&b, "unseen problems: %s\n", e)
	}
	if n := r.Counts; n.DroppedTrajectories+n.Truncated > 0 {
		fmt.Fprintf(&b, "too long: %d trajectories dropped, %d truncated; %d step labels and %d trajectory labels lost\n",
			n.DroppedTrajectories, n.Truncated, n.DroppedStepLabels, n.DroppedTrajectoryLabels)
	}
	if len(r.Seeds) > 0 && !r.Interrupted {
		fmt.Fprintf(&b, "%d seeds, mean ± standard deviation of the last evaluation:\n", len(r.Seeds))
		for _, name := range slices.Sorted(maps.Keys(r.Spread)) {
			fmt.Fprintf(&b, "  %-20s %.4f ± %.4f\n", name, r.Spread[name].Mean, r.Spread[name].Deviation)
		}
		for _, one := range r.Seeds {
			fmt.Fprintf(&b, "model: %s\n", one.Model)
		}
	} else if r.Model != "" {
		fmt.Fprintf(&b, "model: %s\n", r.Model)
	}
	_, err := fmt.Fprint(p.stdout, b.String())
	return err
}

func writeDryRun(p *program, r *prm.DryRunReport) error {
	var b strings.Builder
	for _, t := range r.Texts {
		fmt.Fprintf(&b, "--- %s, %d tokens; read after each ⟦⟧\n%s\n", t.ID, t.Tokens, t.Marked)
	}
	n := r.Counts
	fmt.Fprintf(&b, "---\n%d trajectories, %d steps, %d step and %d trajectory labels, %d tokens (longest %d); %d to evaluate on\n",
		n.Trajectories, n.Steps, n.StepLabels, n.TrajectoryLabels, n.Tokens, n.LongestTokens, n.EvalTrajectories)
	fmt.Fprintf(&b, "too long: %d truncated, %d dropped; %d step labels and %d trajectory labels lost\n",
		n.Truncated, n.DroppedTrajectories, n.DroppedStepLabels, n.DroppedTrajectoryLabels)
	fmt.Fprintf(&b, "%d optimizer steps (%d an epoch, of about %.0f tokens), lambda_final %g, %s in %s\n",
		r.Steps, r.StepsPerEpoch, r.StepTokens, r.LambdaFinal, r.Backend, r.DType)
	fmt.Fprintf(&b, "memory: %d MB of weights, mapped; %d MB beyond them, of which %d MB are trained values, gradients and moments\n",
		r.Memory.Weights>>20, r.Memory.Measured>>20, r.Memory.Trained>>20)
	fmt.Fprintf(&b, "time: about %.0f s of training here (%.0f tokens a second), and %d evaluations of %.0f s, from one micro-batch\n",
		r.Seconds.Training, 1/r.Seconds.PerToken, r.Seconds.Evaluations, r.Seconds.Evaluation)
	_, err := fmt.Fprint(p.stdout, b.String())
	return err
}
