package prm

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/bench"
	"github.com/goprm/goprm/internal/modelfolder"
	"github.com/goprm/goprm/internal/tokenshard"
	"github.com/goprm/goprm/loss"
)

// dataset is what a run trains and evaluates on, as tokens.
type dataset struct {
	train, eval []*data.Example
	about       map[*data.Example]about
	trainSum    string // SHA-256 over the trajectories' JSON lines
	evalSum     string // "" if evaluation is a share of the training data
	counts      Counts
	lambdaFinal float64
	parts       []string // what has labels that weigh something in training: thinking, response, trajectory
	warnings    []string

	epoch int     // the one that steps is of
	steps [][]int // see epochOf
}

// about is what the metrics ask of a trajectory besides its tokens.
type about struct {
	lengths []int32 // of each step, in code points
	subset  string  // of ProcessBench; "": it is none of its rows
}

// Counts says how much there is to train on, and what was left out.
type Counts struct {
	Trajectories     int `json:"trajectories"` // to train on
	EvalTrajectories int `json:"eval_trajectories"`
	Steps            int `json:"steps"`
	StepLabels       int `json:"step_labels"`
	TrajectoryLabels int `json:"trajectory_labels"`
	Tokens           int `json:"tokens"`
	Unlabelled       int `json:"unlabelled_trajectories"` // of Trajectories: they add nothing to the loss
	Overlap          int `json:"overlapping_problems"`

	Truncated               int `json:"truncated_trajectories"`
	Windowed                int `json:"windowed_trajectories"` // too long, and read in windows
	DroppedTrajectories     int `json:"dropped_trajectories"`
	DroppedSteps            int `json:"dropped_steps"`
	DroppedStepLabels       int `json:"dropped_step_labels"`
	DroppedTrajectoryLabels int `json:"dropped_trajectory_labels"`
	EvalTruncated           int `json:"eval_truncated_trajectories"`
	EvalDropped             int `json:"eval_dropped_trajectories"`
	LongestTokens           int `json:"longest_tokens"`
	// Skipped and EvalSkipped are the rows that data.on_bad: skip left out, by reason.
	Skipped     map[string]int `json:"skipped,omitempty"`
	EvalSkipped map[string]int `json:"eval_skipped,omitempty"`
}

// newRenderer opens what turns trajectories into tokens: the model's tokenizer and its text settings.
func newRenderer(f *modelfolder.Folder, opt data.TextOptions) (*data.Renderer, error) {
	tok, err := openTokenizer(f)
	if err != nil {
		return nil, err
	}
	files, err := data.ReadModelText(f.TextDir)
	if err != nil {
		return nil, err
	}
	files.MaxPositions = f.Config.MaxLength()
	r, err := data.NewRenderer(opt, tok, files)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.TextDir, err)
	}
	return r, nil
}

// examples is one side of the data.
type examples struct {
	list    []*data.Example
	about   []about
	dropped data.Dropped
	sum     hash.Hash // over the trajectories' JSON lines

	bad         badRows
	strayErrors strayErrors
}

// renderedRow is what became of one row.
type renderedRow struct {
	tokenshard.Row // without an Example if all of it was dropped
	line           []byte
	dropped        data.Dropped
	stray          string // see strayError
	reason         string // of err
	err            error
	skippable      bool // data.on_bad: skip may pass err over
}

// render turns a row, the n-th from 1, into tokens. It may run in any goroutine.
func (c *TrainConfig) render(t *data.Trajectory, err error, n int, r *data.Renderer) renderedRow {
	if err == nil && t == nil {
		err = errors.New("a trajectory is nil")
	}
	if err != nil {
		return renderedRow{reason: "unreadable rows", err: err, skippable: errors.As(err, new(*data.RowError))}
	}
	row := renderedRow{skippable: true}
	if row.err = c.checkLabels(t); row.err != nil {
		row.reason, row.err = "labels out of range", fmt.Errorf("%s: %w", describeTrajectory(t, n), row.err)
		return row
	}
	if row.line, row.err = t.MarshalJSON(); row.err != nil {
		row.reason, row.err = "texts that are no UTF-8 or numbers that are not finite", fmt.Errorf("%s: %w", describeTrajectory(t, n), row.err)
		return row
	}
	if row.Example, row.dropped, row.err = r.Render(t); row.err != nil {
		row.reason = renderReason(row.err)
		return row
	}
	if row.Example == nil {
		return row
	}
	row.Subset, row.stray = bench.SubsetOf(t), strayError(t)
	thinking, response := t.Cut(c.Text.Split)
	for _, step := range append(thinking.Steps[:len(thinking.Steps):len(thinking.Steps)], response.Steps...) {
		row.Lengths = append(row.Lengths, int32(utf8.RuneCountInString(step)))
	}
	return row
}

// take adds a row. Every trajectory counts for the hash, whatever becomes of it.
func (x *examples) take(row renderedRow, c *TrainConfig) error {
	if row.line != nil {
		_, _ = x.sum.Write(append(row.line, '\n')) // a hash's Write never fails
	}
	switch {
	case row.err != nil && row.skippable && c.Data.OnBad == "skip":
		x.bad.add(row.reason, row.err.Error())
		return nil
	case row.err != nil:
		return row.err
	}
	x.dropped.Add(row.dropped)
	x.strayErrors.add(row.stray)
	if row.Example != nil {
		x.list, x.about = append(x.list, row.Example), append(x.about, about{row.Lengths, row.Subset})
	}
	return nil
}

func renderReason(err error) string {
	long, end := new(data.TooLongError), new(data.StepEndError)
	switch {
	case errors.As(err, &long):
		return "too long"
	case errors.As(err, &end):
		return "a token across a step's end"
	}
	return "cannot be rendered"
}

func describeTrajectory(t *data.Trajectory, n int) string {
	switch {
	case t.Where != "":
		return fmt.Sprintf("%s: trajectory %q", t.Where, t.ID)
	case t.ID != "":
		return fmt.Sprintf("trajectory %q", t.ID)
	}
	return fmt.Sprintf("trajectory %d", n)
}

// readDataset reads, renders and splits the data of a run.
func readDataset(ctx context.Context, c *TrainConfig, r *data.Renderer, tokens *tokenCache) (*dataset, error) {
	train, err := tokens.get(ctx, c.Data.Trajectories, c.Data.Train, r, c)
	if err != nil {
		return nil, err
	}
	d := &dataset{train: train.list, trainSum: hex.EncodeToString(train.sum.Sum(nil)), about: map[*data.Example]about{}}
	d.warnings = append(train.bad.warnings("data.train"), train.strayErrors.warning("data.train")...)
	d.counts.Skipped = train.bad.Count
	if len(train.list) == 0 {
		return nil, errors.New("data.train: no trajectory is left to train on")
	}
	if err := d.addEval(ctx, c, r, tokens); err != nil {
		return nil, err
	}
	d.limitEval(c)
	for i, e := range train.list {
		d.about[e] = train.about[i]
	}
	d.count(train.dropped)
	if d.counts.StepLabels+d.counts.TrajectoryLabels == 0 {
		return nil, errors.New("data.train: not one label in it: nothing could be learnt")
	}
	d.setLambda(c)
	if err := d.checkObjective(c); err != nil {
		return nil, err
	}
	if err := d.checkBest(c); err != nil {
		return nil, err
	}
	d.warn(c, r)
	return d, nil
}

// addEval reads the evaluation data, or holds out a share of the problems.
func (d *dataset) addEval(ctx context.Context, c *TrainConfig, r *data.Renderer, tokens *tokenCache) error {
	if c.Data.EvalTrajectories == nil && len(c.Data.Eval) == 0 {
		if *c.Data.EvalShare == 0 {
			return nil
		}
		var err error
		d.train, d.eval, err = data.SplitByProblem(d.train, *c.Data.EvalShare, *c.Seed)
		if err != nil {
			return fmt.Errorf("data.eval_share: %w; give data.eval, or set eval_share: 0 to train without evaluation", err)
		}
		return nil
	}
	eval, err := tokens.get(ctx, c.Data.EvalTrajectories, c.Data.Eval, r, c)
	if err != nil {
		return err
	}
	d.warnings = append(d.warnings, append(eval.bad.warnings("data.eval"), eval.strayErrors.warning("data.eval")...)...)
	d.counts.EvalSkipped = eval.bad.Count
	if len(eval.list) == 0 {
		return errors.New("data.eval: no trajectory is left to evaluate on")
	}
	d.eval, d.evalSum = eval.list, hex.EncodeToString(eval.sum.Sum(nil))
	d.counts.EvalTruncated, d.counts.EvalDropped = eval.dropped.Truncated, eval.dropped.Trajectories
	for i, e := range eval.list {
		d.about[e] = eval.about[i]
	}
	problems, ids := data.Overlap(d.train, d.eval)
	d.counts.Overlap = problems
	if problems == 0 {
		return nil
	}
	what := fmt.Sprintf("%d problems are in the training data too (%s)", problems, strings.Join(ids, ", "))
	if !c.Data.AllowOverlap {
		return fmt.Errorf("data.eval: %s; remove them, or set data.allow_overlap: true", what)
	}
	d.warnings = append(d.warnings, "data.eval: "+what+": the evaluation says less than it seems to")
	return nil
}

// limitEval keeps at most eval.max trajectories to evaluate on, in their order; the seed draws them.
func (d *dataset) limitEval(c *TrainConfig) {
	most := c.Eval.Max
	if most == 0 || len(d.eval) <= most {
		return
	}
	drawn := data.Order(*c.Seed, 0, len(d.eval))[:most]
	slices.Sort(drawn)
	kept := make([]*data.Example, most)
	for i, from := range drawn {
		kept[i] = d.eval[from]
	}
	d.eval = kept
}

// checkLabels refuses targets that the head cannot give.
func (c *TrainConfig) checkLabels(t *data.Trajectory) error {
	if c.anyLabel() {
		return nil
	}
	wrong := func(v *float64) bool { return v != nil && !(*v >= 0 && *v <= 1) }
	for i, v := range t.Labels.Steps {
		if wrong(v) {
			return fmt.Errorf("labels.steps[%d]: %v is not in [0, 1]; head.activation: identity takes any number", i, *v)
		}
	}
	if v := t.Labels.Trajectory; wrong(v) {
		return fmt.Errorf("labels.trajectory: %v is not in [0, 1]; head.activation: identity takes any number", *v)
	}
	return nil
}

func (d *dataset) count(dropped data.Dropped) {
	c := &d.counts
	c.Trajectories, c.EvalTrajectories = len(d.train), len(d.eval)
	c.Truncated, c.DroppedTrajectories = dropped.Truncated, dropped.Trajectories
	c.DroppedSteps, c.DroppedStepLabels, c.DroppedTrajectoryLabels = dropped.Steps, dropped.StepLabels, dropped.TrajectoryLabels
	labelled, weighing := map[data.Part]int{}, map[data.Part]int{}
	for _, e := range d.train {
		c.Tokens += len(e.Tokens)
		c.LongestTokens = max(c.LongestTokens, e.Longest())
		if e.Windows != nil {
			c.Windowed++
		}
		labels := 0
		for _, read := range e.Reads {
			if read.Kind == data.KindStep {
				c.Steps++
			}
			if read.HasTarget {
				labelled[read.Part]++
			}
			if read.Weighs() {
				labels++
				weighing[read.Part]++
			}
		}
		if labels == 0 {
			c.Unlabelled++
		}
	}
	c.StepLabels, c.TrajectoryLabels = labelled[data.PartThinking]+labelled[data.PartResponse], labelled[data.PartTrajectory]
	for _, p := range []struct {
		part data.Part
		name string
	}{{data.PartThinking, modelfolder.PartThinking}, {data.PartResponse, modelfolder.PartResponse},
		{data.PartTrajectory, modelfolder.PartTrajectory}} {
		if weighing[p.part] > 0 {
			d.parts = append(d.parts, p.name)
		}
	}
}

func (d *dataset) setLambda(c *TrainConfig) {
	d.lambdaFinal = c.Loss.LambdaFinal.Value
	if c.Loss.LambdaFinal.Balanced {
		d.lambdaFinal = data.Balanced(d.train)
		if d.lambdaFinal == 0 {
			d.warnings = append(d.warnings, "loss.lambda_final: balanced is 0 here: no training trajectory has a trajectory label")
		}
	}
	if d.lambdaFinal == 0 {
		d.parts = without(d.parts, modelfolder.PartTrajectory)
	}
	if *c.Loss.LambdaStep == 0 {
		d.parts = without(without(d.parts, modelfolder.PartThinking), modelfolder.PartResponse)
	}
}

func without(list []string, name string) []string {
	var left []string
	for _, s := range list {
		if s != name {
			left = append(left, s)
		}
	}
	return left
}

func (d *dataset) warn(c *TrainConfig, r *data.Renderer) {
	if c.Head.Final != "own" {
		d.warnings = append(d.warnings, r.Warnings(append(slices.Clip(d.train), d.eval...))...)
	}
	n := &d.counts
	if n.Truncated+n.DroppedTrajectories > 0 {
		d.warnings = append(d.warnings, fmt.Sprintf("text.long: %d trajectories were cut and %d dropped, with %d step labels and %d "+
			"trajectory labels",
			n.Truncated, n.DroppedTrajectories, n.DroppedStepLabels, n.DroppedTrajectoryLabels))
	}
	if n.EvalTruncated+n.EvalDropped > 0 {
		d.warnings = append(d.warnings,
			fmt.Sprintf("text.long: of the evaluation data %d trajectories were cut and %d dropped", n.EvalTruncated, n.EvalDropped))
	}
	if n.Unlabelled > 0 {
		d.warnings = append(d.warnings,
			fmt.Sprintf("data.train: %d trajectories have no label that weighs anything, and add nothing", n.Unlabelled))
	}
}

// weights are the numbers that weigh labels in the loss of n trajectories.
func (d *dataset) weights(c *TrainConfig, n int) loss.WeightOptions {
	return loss.WeightOptions{Trajectories: n, LambdaStep: *c.Loss.LambdaStep, LambdaFinal: d.lambdaFinal}
}
