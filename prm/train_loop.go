package prm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/checkpoint"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/runlog"
	"github.com/goprm/goprm/internal/safetensors"
)

// trainer is the state of a training run: that of the network, and checkpointMeta. Everything else follows from the configuration and
// the step.
type trainer struct {
	*session
	network *nnet.Network
	meta    checkpointMeta
	saved   int // the step of the newest checkpoint

	metrics *runlog.Metrics
	events  *runlog.Events
	mlflow  *runlog.MLflow // nil: not tracked
	last    StepMetrics
	eval    *Evaluation
	from    int

	evaluated   int  // the step of the newest evaluation; 0: there is none
	interrupted bool // by the context
	work        rankWork
}

// checkpointMeta is the content of a checkpoint besides tensors.
type checkpointMeta struct {
	Step      int     `json:"step"`    // optimizer steps done
	Updates   int     `json:"updates"` // as AdamW counts them
	Seed      uint64  `json:"seed"`
	Tokens    int     `json:"tokens"` // trained on so far
	Threshold float64 `json:"threshold"`
	Best      *Best   `json:"best"`
	NonFinite int     `json:"nonfinite,omitempty"` // steps passed over
}

// resume restores a checkpoint, or starts from step 0 if from is nil, and opens the run's logs.
func (t *trainer) resume(from *checkpoint.Checkpoint, state runState) error {
	t.meta = checkpointMeta{Seed: *t.c.Seed, Threshold: t.c.Threshold.Value}
	if t.c.Threshold.Auto {
		t.meta.Threshold = 0.5
	}
	if from != nil {
		if err := t.restore(from); err != nil {
			return err
		}
		t.from, t.saved = t.meta.Step, t.meta.Step
		t.log.noticef("resumed from step %d", t.meta.Step)
	}
	if err := t.c.ranks.First(func() error { return t.openLogs(state) }); err != nil {
		return err
	}
	return t.tellState()
}

// openLogs cuts what was logged after the checkpoint, completes the state by what was logged before, and opens the logs.
func (t *trainer) openLogs(state runState) error {
	out := t.c.Out
	if state == runBegun {
		if _, err := runlog.CutAfter(filepath.Join(out, metricsName), t.meta.Step); err != nil {
			return err
		}
		seen, err := readEvaluations(out, t.meta.Step)
		if err != nil {
			return err
		}
		t.evaluated = seen.applyTo(&t.meta, &t.c)
		if t.newSteps != t.record.Steps || len(t.rates) > 0 {
			t.record.History = append(t.record.History, extension{FromStep: t.meta.Step, Steps: t.newSteps, Before: t.record.Steps, Changed: t.rates,
				Time: now()})
		}
		if t.newSteps != t.record.Steps {
			t.record.Steps = t.newSteps
			t.log.noticef("the run has %d steps now", t.newSteps)
		}
		for _, r := range t.rates {
			t.log.noticef("%s is %s from step %d on (it was %s)", r.Key, r.Now, t.meta.Step+1, r.Before)
		}
		t.record.Complete = false
		if err := t.saveDescriptions(); err != nil {
			return err
		}
	}
	var err error
	if t.metrics, err = runlog.OpenMetrics(filepath.Join(out, metricsName), false); err != nil {
		return err
	}
	if t.events, err = runlog.OpenEvents(filepath.Join(out, eventsName), t.meta.Step); err != nil {
		return err
	}
	if err := t.track(); err != nil {
		return errors.Join(err, t.metrics.Close(), t.events.Close())
	}
	return nil
}

func (t *trainer) restore(from *checkpoint.Checkpoint) error {
	if err := from.Meta(&t.meta); err != nil {
		return err
	}
	if t.meta.Step != from.Step() || t.meta.Seed != *t.c.Seed {
		return fmt.Errorf("%s: its manifest is of step %d, its content of step %d with seed %d", from.Dir(), from.Step(), t.meta.Step,
			t.meta.Seed)
	}
	if b := t.meta.Best; b != nil && b.Metric != t.c.Eval.Best {
		t.meta.Best = nil
	}
	return t.restoreWeights(from, t.meta.Updates)
}

// restoreWeights restores the weights and optimizer state of a checkpoint, not the step.
func (t *trainer) restoreWeights(from *checkpoint.Checkpoint, updates int) (err error) {
	var files []*safetensors.File // of all ranks that saved it
	defer func() {
		for _, file := range files {
			err = errors.Join(err, file.Close())
		}
	}()
	for _, name := range slices.Sorted(maps.Keys(from.Files())) {
		if !strings.HasSuffix(name, ".safetensors") {
			continue
		}
		path, err := from.Path(name)
		if err != nil {
			return err
		}
		file, err := safetensors.Open(path)
		if err != nil {
			return err
		}
		files = append(files, file)
	}
	return t.network.Restore(func(name string) (nnet.StoredTensor, bool) {
		for _, file := range files {
			if info, ok := file.Info(name); ok {
				return nnet.StoredTensor{File: file.Path(), Info: info, Data: file.Bytes(name)}, true
			}
		}
		return nnet.StoredTensor{}, false
	}, updates)
}

// run takes the remaining steps, then writes the model.
func (t *trainer) run(ctx context.Context) (*TrainResult, error) {
	err := t.steps(ctx)
	t.log.console.Finish()
	if t.metrics != nil {
		err = errors.Join(err, t.metrics.Close())
	}
	if t.events != nil {
		err = errors.Join(err, t.events.Close())
	}
	t.endTracking(err)
	if err != nil {
		return nil, err
	}
	result := &TrainResult{
		Out: t.c.Out, Steps: t.meta.Step, TotalSteps: t.newSteps, Tokens: t.meta.Tokens, ResumedFrom: t.from,
		Last: t.last, Eval: t.eval, Best: t.meta.Best, Counts: t.record.Counts, Threshold: t.meta.Threshold,
	}
	if err := t.endRanks(); err != nil {
		return nil, err
	}
	if t.interrupted {
		t.log.noticef("interrupted: saved at step %d of %d", t.meta.Step, t.newSteps)
		result.Interrupted, result.Warnings = true, t.log.warnings
		return result, nil
	}
	if err := t.chooseWeights(); err != nil {
		return nil, err
	}
	result.Model, result.Threshold = filepath.Join(t.c.Out, modelName), t.meta.Threshold
	result.Warnings = t.log.warnings
	return result, t.c.ranks.First(func() error { return t.complete(result.Model) })
}

// complete writes the model, and that the run is complete.
func (t *trainer) complete(model string) error {
	err := t.saveModel(model)
	if err != nil {
		return err
	}
	if t.record.ModelFiles, err = filesOf(model); err != nil {
		return err
	}
	t.record.Complete, t.record.Warnings = true, append([]string{}, t.log.warnings...)
	return t.saveDescriptions()
}

// steps trains until the run is complete or the context is cancelled; either way the last step is saved. A step is saved before it is
// evaluated, so that cancelling the evaluation loses nothing: a resumed run catches up on it.
func (t *trainer) steps(ctx context.Context) error {
	t.log.console.Start("train", t.meta.Step, t.newSteps)
	if t.meta.Step > t.evaluated && t.evaluates() {
		if err := t.evaluate(ctx); err != nil || t.interrupted {
			return err
		}
	}
	for t.meta.Step < t.newSteps {
		var err error
		if t.interrupted, err = t.stopped(ctx); err != nil {
			return err
		}
		if t.interrupted {
			return t.save()
		}
		if err := t.step(); err != nil {
			return err
		}
		if err := t.tellStep(); err != nil {
			return err
		}
		if t.evaluates() || t.meta.Step == t.newSteps || isMultiple(t.meta.Step, *t.c.Checkpoint.Every) {
			if err := t.save(); err != nil {
				return err
			}
		}
		if t.evaluates() {
			if err := t.evaluate(ctx); err != nil || t.interrupted {
				return err
			}
		}
	}
	return nil
}

// evaluates reports whether the current step is to be evaluated.
func (t *trainer) evaluates() bool {
	return len(t.data.eval) > 0 && (t.meta.Step == t.newSteps || isMultiple(t.meta.Step, *t.c.Eval.Every))
}

// isMultiple reports whether something that happens every so many steps is due; 0: never.
func isMultiple(step, every int) bool { return every > 0 && step%every == 0 }

// step takes one optimizer step.
func (t *trainer) step() error {
	began := time.Now()
	c, s := &t.c, t.meta.Step
	list := t.data.batch(c, s)
	micros, err := t.micros(list)
	if err != nil {
		return err
	}
	rates, err := c.Optim.options(t.newSteps)
	if err != nil {
		return err
	}
	h := nnet.AdamW{
		LR: rates.Rate(*c.Optim.LR, s), HeadLR: rates.Rate(*c.Optim.HeadLR, s), Beta1: c.Optim.Betas[0], Beta2: c.Optim.Betas[1],
		Eps: *c.Optim.Eps, WeightDecay: *c.Optim.WeightDecay, Clip: *c.Optim.Clip, Seed: *c.Seed,
	}
	r, err := t.network.TrainStep(context.Background(), micros, h)
	bad := new(nnet.NonFiniteError)
	switch {
	case errors.As(err, &bad):
		if err := t.passOver(s+1, bad, micros); err != nil {
			return err
		}
		r = nnet.StepResult{Loss: math.NaN(), LossStep: math.NaN(), LossFinal: math.NaN(), GradNorm: math.NaN()}
	case err != nil:
		longest := c.Batch.Tokens
		for _, m := range micros {
			longest = max(longest, len(m.Tokens))
		}
		return t.stepError(s+1, t.explain(err, longest, len(micros)))
	}
	tokens, err := t.countTokens(micros)
	if err != nil {
		return err
	}
	t.meta.Step, t.meta.Tokens = s+1, t.meta.Tokens+tokens
	t.last = StepMetrics{
		Step: s + 1, Tokens: tokens, Trajectories: len(list), NStep: r.NumStep, NFinal: r.NumFinal,
		Loss: r.Loss, LossStep: r.LossStep, LossFinal: r.LossFinal, GradNorm: r.GradNorm,
		NonFinite: bad.Tensor, LR: h.LR, TokensPerS: math.Round(float64(tokens)/time.Since(began).Seconds()*10) / 10, Time: now(),
	}
	if !t.c.ranks.IsFirst() {
		return nil
	}
	t.log.console.Update(s+1, fmt.Sprintf("loss %.4f", r.Loss))
	if err := t.metrics.Write(t.last); err != nil {
		return err
	}
	if bad.Tensor != "" {
		return nil
	}
	return t.scalars(s+1, map[string]float64{
		"train/loss": r.Loss, "train/loss_step": r.LossStep, "train/loss_final": r.LossFinal, "train/grad_norm": r.GradNorm, "train/lr": h.LR,
		"train/tokens_per_s": t.last.TokensPerS,
	})
}

// stepError says at which step a run failed and which checkpoint it can be resumed from.
func (t *trainer) stepError(step int, err error) error {
	left := "there is no checkpoint yet"
	if t.saved > 0 {
		left = fmt.Sprintf("the checkpoint of step %d is intact", t.saved)
	}
	return fmt.Errorf("step %d: %w; %s", step, err, left)
}

// micros packs this rank's share of a batch. Where that has no label it runs the batch's first trajectory with weight 0, so that the
// optimizer updates (weight decay, moments) as in any other step.
func (t *trainer) micros(list []*data.Example) ([]nnet.MicroBatch, error) {
	opt := t.data.pack(&t.c)
	if t.features != nil {
		opt.Tokens, opt.Tree = 0, false // no tokens are run
	}
	share, err := t.data.share(&t.c, list)
	if err != nil {
		return nil, err
	}
	batches, err := data.Pack(pick(list, share), opt)
	if err != nil {
		return nil, err
	}
	for _, b := range batches { // dropout and hidden states go by the place in the whole batch
		for i, at := range b.Trajectory {
			b.Trajectory[i] = int32(share[at])
		}
	}
	idle := len(batches) == 0
	if idle {
		if batches, err = data.PackAll(list[:1], 0); err != nil {
			return nil, err
		}
	}
	micros, err := t.withFeatures(batches, list)
	if err != nil {
		return nil, err
	}
	micros[0].Idle = idle
	if c := &t.c; c.Train == nnet.TrainLoRA && c.LoRA.Dropout > 0 {
		keys := nnet.DropoutKeys
		if opt.Tree {
			keys = nnet.PrefixDropoutKeys
		}
		for i, b := range batches {
			micros[i].DropoutKeys = keys(b, *c.Seed, t.meta.Step)
		}
	}
	return micros, nil
}

// withFeatures makes micro-batches of batches of the listed examples.
func (t *trainer) withFeatures(batches []*data.Batch, list []*data.Example) ([]nnet.MicroBatch, error) {
	micros := make([]nnet.MicroBatch, len(batches))
	for i, b := range batches {
		if micros[i] = (nnet.MicroBatch{Batch: b}); t.features != nil {
			var err error
			if micros[i], err = t.features.micro(b, list); err != nil {
				return nil, err
			}
		}
	}
	return micros, nil
}

// evaluate scores the evaluation data and reports the metrics. If the context is cancelled, it stops and the run is interrupted.
func (t *trainer) evaluate(ctx context.Context) error {
	share := t.c.share(t.data.eval)
	part, err := t.scoreAll(ctx, pick(t.data.eval, share))
	var failed error
	if t.interrupted, failed = t.stopped(ctx); failed != nil || t.interrupted {
		return failed
	}
	var scores *readScores
	if err = t.c.ranks.Agree(err); err == nil {
		scores, err = t.joinScores(part)
	}
	if err != nil {
		return fmt.Errorf("evaluation after step %d: %w", t.meta.Step, err)
	}
	if t.eval, err = evaluate(&t.c, t.data, t.data.eval, scores); err != nil {
		return err
	}
	t.eval.Step, t.meta.Threshold, t.evaluated = t.meta.Step, t.eval.Threshold, t.meta.Step
	t.meta.Best = t.eval.orBetter(t.meta.Best, t.c.Eval.Best)
	if !t.c.ranks.IsFirst() {
		return nil
	}
	if err := t.metrics.Write(runlog.Eval{Step: t.meta.Step, Eval: t.eval}); err != nil {
		return err
	}
	if err := t.scalars(t.meta.Step, t.eval.scalars()); err != nil {
		return err
	}
	t.log.infof("step %d: unseen problems: %s", t.meta.Step, t.eval)
	return t.tellEvaluation()
}

// scoreChunk is how many examples are scored at a time.
const scoreChunk = 256

// scoreAll evaluates the head at every read-out of the examples. It returns the context's error soon after cancellation.
func (t *trainer) scoreAll(ctx context.Context, list []*data.Example) (*readScores, error) {
	scores := newReadScores(list)
	for lo := 0; lo < len(list); lo += scoreChunk {
		chunk := list[lo:min(lo+scoreChunk, len(list))]
		batches, err := packShared(chunk, t.c.Batch.Tokens, t.network.Spec().Config)
		if err != nil {
			return nil, err
		}
		micros, err := t.withFeatures(batches, chunk)
		if err != nil {
			return nil, err
		}
		for _, m := range micros {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			s, err := t.network.Score(ctx, m)
			if err != nil {
				return nil, err
			}
			scores.put(m.Batch, s, lo)
		}
	}
	return scores, nil
}
