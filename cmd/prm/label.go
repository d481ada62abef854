package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/internal/remote"
	"github.com/goprm/goprm/prm"
)

type labelCommand struct {
	Run    labelRunCommand    `cmd:"" name:"trajectories" default:"withargs" help:"Label trajectories, or go on with a run (the default)."`
	Status labelStatusCommand `cmd:"" help:"Say what an output folder holds, what is open and what was spent."`
	Report labelReportCommand `cmd:"" help:"Write a self-contained HTML report of an output folder."`
	Merge  labelMergeCommand  `cmd:"" help:"Join the output folders of all shards."`
	Repair labelRepairCommand `cmd:"" help:"Save what can be read of a damaged labels.db; the rest is asked for again."`
}

type labelRunCommand struct {
	Config string   `required:"" help:"YAML file."`
	In     []string `required:"" xor:"input" sep:"none" help:"Trajectories: JSON lines or parquet, files or folders; stdin is not taken."`
	Check  []string `required:"" xor:"input" sep:"none" help:"Rows with gold labels: print how the judge agrees and what it costs, and stop."`
	Out    string   `help:"Folder for labels.jsonl, labels.parquet, manifest.json, the card and the store; needed unless --plan or --check."`
	Plan   bool     `help:"Call nobody: print rows, steps, calls, tokens, cost and time, and stop."`
	planRates
	Shard string `default:"0/1" help:"Label shard i of n, counted from 0, as 3/16; prm label merge joins them."`
	OnBad string `enum:"error,skip" default:"error" help:"What a row that cannot be read does: error or skip."`
	JSON  bool   `help:"Print the result as JSON."`
}

func (labelRunCommand) Help() string {
	return "Every answer of a judge, an encoder or a policy is stored in OUT/labels.db as it comes, under a hash of all it " +
		"depends on, those of --check too if there is an OUT: run the same command again to go on. " +
		"What fails stays open, with its reason, and is asked again then; it is never a label. Example:\n\n" +
		"  prm label --config label.yaml --in open-thoughts/ --out labels/"
}

func (labelRunCommand) watchesContext() {}

func (c labelRunCommand) Run(p *program) error {
	shard, shards, err := parseShard(c.Shard)
	if err != nil {
		return usageError(err.Error())
	}
	if slices.Contains(c.In, "-") || slices.Contains(c.Check, "-") {
		return usageError("-: stdin cannot be read twice; write it to a file")
	}
	if err := c.planRates.validate(c.Plan); err != nil {
		return err
	}
	config, err := prm.LoadLabelConfig(c.Config)
	if err != nil {
		return err
	}
	if p.threads > 0 {
		config.Threads = p.threads
	}
	config.In, config.Shard, config.Shards, config.SkipBad = c.In, shard, shards, c.OnBad == "skip"
	switch {
	case len(c.Check) > 0 && (c.Plan || c.Shard != "0/1"):
		return usageError("--check goes with neither --plan nor --shard")
	case c.Plan:
		return c.plan(p, config)
	case c.Out == "" && len(c.Check) == 0:
		return usageError("--out is needed")
	}
	folder, err := p.openLabelFolder(c.Out)
	if err != nil {
		return err
	}
	config.Out = folder.local
	if len(c.Check) > 0 {
		return errors.Join(c.check(p, config), folder.keep(false))
	}
	p.watchLabels(&config, "label", countRows(c.In)/shards)
	report, err := prm.Label(p.ctx, config)
	p.console.Finish()
	kept := folder.keep(err == nil)
	if kept != nil {
		return errors.Join(err, kept)
	}
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted; run it again to go on, what was answered is stored")
	}
	if err != nil {
		return err
	}
	if c.JSON {
		err = p.printJSON(report)
	} else {
		err = writeLabelling(p.stdout, report, folder.object(label.LabelsFile))
	}
	return errors.Join(err, c.outcome(p, report))
}

// watchLabels sends warnings and progress of a labelling to the console.
func (p *program) watchLabels(config *prm.LabelConfig, what string, rows int) {
	var mu sync.Mutex
	config.Logger = slog.New(consoleHandler{mu: &mu, console: p.console})
	p.console.Start(what, 0, rows)
	config.Progress = func(s label.Summary) {
		mu.Lock()
		defer mu.Unlock()
		p.console.Update(s.Trajectories, fmt.Sprintf("%d steps, %d labels, %d open", s.Steps, s.StepLabels+s.TrajectoryLabels, s.OpenItems()))
	}
}

// outcome is an error where the calls ended early or nothing at all could be labelled; what is open otherwise is a warning.
func (c labelRunCommand) outcome(p *program, r label.Report) error {
	open := r.OpenItems()
	if r.Stopped != "" {
		return fmt.Errorf("the calls ended early: %s; %d items are open, the labels made so far are in %s", r.Stopped, open, c.Out)
	}
	if r.StepLabels+r.TrajectoryLabels == 0 && (open > 0 || len(r.None) > 0) {
		return fmt.Errorf("not one item could be labelled: %s", topReasons(r.Open, r.None))
	}
	if open > 0 {
		p.console.Warnf("%d items are open: %s; the same command asks for them again", open, topReasons(r.Open))
	}
	return nil
}

// topReasons counts items by reason in one line, the most frequent first.
func topReasons(of ...map[string]map[string]int) string {
	counts := map[string]int{}
	for _, parts := range of {
		for part, reasons := range parts {
			for reason, n := range reasons {
				counts[part+": "+reason] += n
			}
		}
	}
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	const most = 5
	var b strings.Builder
	for i, name := range names[:min(most, len(names))] {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%d of %s", counts[name], name)
	}
	if len(names) > most {
		fmt.Fprintf(&b, ", and %d more reasons", len(names)-most)
	}
	return b.String()
}

func parseShard(text string) (shard, shards int, err error) {
	i, n, found := strings.Cut(text, "/")
	shard, errI := strconv.Atoi(i)
	shards, errN := strconv.Atoi(n)
	if !found || errI != nil || errN != nil || shards < 1 || shard < 0 || shard >= shards {
		return 0, 0, fmt.Errorf("--shard %q is not of the form i/n with 0 ≤ i < n", text)
	}
	return shard, shards, nil
}

func writeLabelling(w io.Writer, r label.Report, labels string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%d trajectories, %d thinking steps: %d step labels, %d trajectory labels\n", r.Trajectories, r.Steps, r.StepLabels,
		r.TrajectoryLabels)
	for _, stage := range sortedKeys(r.Asked, r.Stored) {
		fmt.Fprintf(&b, "%s: %d asked, %d from the store\n", stage, r.Asked[stage], r.Stored[stage])
	}
	if r.Bad > 0 {
		fmt.Fprintf(&b, "%d rows could not be read\n", r.Bad)
	}
	for _, what := range slices.Sorted(maps.Keys(r.Mended)) {
		fmt.Fprintf(&b, "mended: %d verdicts: %s\n", r.Mended[what], what)
	}
	for _, what := range slices.Sorted(maps.Keys(r.Unread)) {
		fmt.Fprintf(&b, "unread: %d answers, which count as wrong: %s\n", r.Unread[what], what)
	}
	writeReasons(&b, "open", r.Open)
	writeReasons(&b, "none", r.None)
	fmt.Fprintf(&b, "labels: %s\n", labels)
	_, err := io.WriteString(w, b.String())
	return err
}

// mostReasons is how many reasons of a part are printed; manifest.json has all.
const mostReasons = 20

func writeReasons(b *strings.Builder, title string, parts map[string]map[string]int) {
	for _, part := range slices.Sorted(maps.Keys(parts)) {
		reasons := slices.Sorted(maps.Keys(parts[part]))
		for _, reason := range reasons[:min(mostReasons, len(reasons))] {
			fmt.Fprintf(b, "%s: %s of %d: %s\n", title, part, parts[part][reason], reason)
		}
		if more := len(reasons) - mostReasons; more > 0 {
			fmt.Fprintf(b, "%s: %s for %d more reasons, as manifest.json has them\n", title, part, more)
		}
	}
}

func sortedKeys(of ...map[string]int) []string {
	all := map[string]bool{}
	for _, m := range of {
		for k := range m {
			all[k] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

type labelMergeCommand struct {
	Shards []string `arg:"" help:"The output folders of all shards."`
	Out    string   `required:"" help:"Folder for the whole."`
}

func (labelMergeCommand) Help() string {
	return "The result is what one run without shards gives, byte for byte, and the store has the answers of all. Example:\n\n" +
		"  prm label merge labels-*/ --out labels/"
}

func (labelMergeCommand) watchesContext() {}

func (c labelMergeCommand) Run(p *program) error {
	folders, err := labelFolders(c.Shards)
	if err != nil {
		return err
	}
	out := labelFolder{local: c.Out}
	if remote.Is(c.Out) {
		out.url = strings.TrimSuffix(c.Out, "/")
		if out.local, err = scratchFile(out.url); err != nil {
			return err
		}
	}
	m, err := label.Merge(p.ctx, folders, out.local)
	if err == nil {
		err = out.keep(true)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "%d trajectories, %d step labels, %d trajectory labels\n", m.Summary.Trajectories, m.Summary.StepLabels,
		m.Summary.TrajectoryLabels)
	return err
}
