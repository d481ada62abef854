package prm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/goprm/goprm/internal/checkpoint"
	"github.com/goprm/goprm/internal/dist"
	"github.com/goprm/goprm/internal/filelock"
	"github.com/goprm/goprm/internal/mmap"
	"github.com/goprm/goprm/internal/modelfolder"
)

// TrainResult is the outcome of a run.
type TrainResult struct {
	Out         string // the run folder
	Model       string // the model folder; "" if the run was interrupted
	Steps       int    // optimizer steps done, including earlier sessions
	TotalSteps  int    // of the whole run
	Tokens      int    // trained on, including earlier sessions
	ResumedFrom int    // the step that this session resumed from; 0 if it started the run
	// Interrupted: the context was cancelled. Completed steps are saved; resuming continues from there.
	Interrupted bool
	// AlreadyComplete: the run was complete before this session.
	AlreadyComplete bool
	Last            StepMetrics // the last optimizer step of this session
	Eval            *Evaluation // the last evaluation of this session; nil if there was none
	Best            *Best       // nil without evaluations
	Counts          Counts
	Threshold       float64 // saved with the model
	Warnings        []string
	Rank            int // of this process in a distributed run
	// Seeds has a result for each seed that was started, in the order of TrainConfig.Seeds; the other fields are those of the last one.
	Seeds []*TrainResult
	// Spread has the mean and standard deviation of each metric over the last evaluations of all seeds, if each of them defines it.
	Spread map[string]Spread
}

// Spread is a mean over runs and their sample standard deviation, which is 0 for one run.
type Spread struct {
	Mean      float64 `json:"mean"`
	Deviation float64 `json:"deviation"`
}

// Best is the best evaluation so far according to eval.best; its checkpoint is kept.
type Best struct {
	Step   int     `json:"step"`
	Metric string  `json:"metric"`
	Value  float64 `json:"value"`
}

// Train trains a model and writes it to the folder "model" in cfg.Out.
//
// The same configuration, data, version and backend give the same bits, for any number of threads and however often the run was
// interrupted and resumed. When ctx is cancelled, the current optimizer step is completed and checkpointed, and Interrupted is set. If
// anything is NaN or Inf, the step is not applied and the error names the tensor.
func Train(ctx context.Context, cfg TrainConfig) (*TrainResult, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := cfg.filled()
	if c.Distributed {
		return trainJoined(ctx, c)
	}
	if len(c.Seeds) > 0 {
		return trainSeeds(ctx, c)
	}
	state, lock, err := c.takeRun() // before anything expensive is opened
	if err != nil {
		return nil, errors.Join(err, releaseRun(lock))
	}
	var s *session
	err = mmap.Guard(func() (err error) {
		s, err = prepare(ctx, c, false)
		return err
	})
	if err = c.ranks.Agree(err); err == nil {
		err = s.sameOnAllRanks()
	}
	if err != nil && s != nil {
		err = errors.Join(err, s.Close())
	}
	if err != nil {
		return interruptedBefore(ctx, c, errors.Join(err, releaseRun(lock)))
	}
	s.lock = lock
	defer func() { _ = s.Close() }() // in case a callback ends the goroutine; otherwise it is closed by then
	var result *TrainResult
	err = mmap.Guard(func() (err error) {
		result, err = s.train(ctx, state)
		return err
	})
	if err := errors.Join(err, s.Close()); err != nil {
		return interruptedBefore(ctx, c, err)
	}
	return result, nil
}

// takeRun says on every rank what the run folder holds; if that is a run, rank 0 becomes its owner.
func (c *TrainConfig) takeRun() (state runState, lock *filelock.Lock, err error) {
	err = c.ranks.First(func() (err error) {
		if state, err = inspectRun(c.Out, c.Resume); err == nil && state == runBegun {
			lock, err = lockRun(c.Out)
		}
		return err
	})
	if err == nil {
		state, err = dist.Told(c.ranks, state)
	}
	return state, lock, err
}

// lockRun makes this process the owner of the run folder.
func lockRun(out string) (*filelock.Lock, error) {
	lock, err := filelock.Take(filepath.Join(out, lockName))
	if held := new(filelock.HeldError); errors.As(err, &held) {
		return nil, &InUseError{Dir: out, Process: held.Process}
	}
	return lock, err
}

func releaseRun(lock *filelock.Lock) error {
	if lock == nil {
		return nil
	}
	return lock.Release()
}

// interruptedBefore turns cancellation before the first step, of any rank, into an empty result.
func interruptedBefore(ctx context.Context, c TrainConfig, err error) (*TrainResult, error) {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) || c.ranks != nil && errors.Is(err, context.Canceled) {
		return &TrainResult{Out: c.Out, Interrupted: true}, nil
	}
	return nil, err
}

func (s *session) train(ctx context.Context, state runState) (*TrainResult, error) {
	for _, w := range s.data.warnings {
		s.log.warnf("%s", w)
	}
	var from *checkpoint.Checkpoint
	if state == runBegun {
		if err := s.continueRun(); err != nil {
			return nil, err
		}
		var err error
		if from, err = s.checkpointOfAll(); err != nil {
			return nil, err
		}
		if done, err := s.alreadyComplete(from); done != nil || err != nil {
			return done, err
		}
	}
	n := &s.data.counts
	s.log.infof("%s on %s, %s: %d trajectories with %d step and %d trajectory labels, %d tokens; %d to evaluate on; %d steps",
		s.c.Train, s.backend.Name(), s.c.DType, n.Trajectories, n.StepLabels, n.TrajectoryLabels, n.Tokens, n.EvalTrajectories, s.newSteps)
	network, err := s.network(ctx)
	if err := s.c.ranks.Agree(err); err != nil {
		return nil, err
	}
	if err := errors.Join(network.Join(s.c.ranks, s.c.Dist.Zero), network.Broadcast(s.c.ranks)); err != nil {
		return nil, err
	}
	if err := s.meet(network); err != nil {
		return nil, err
	}
	if err := s.beginRanks(from); err != nil {
		return nil, err
	}
	if state == runAbsent {
		err := s.c.ranks.First(func() (err error) {
			if err = s.createRun(); err == nil {
				s.lock, err = lockRun(s.c.Out)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if err := s.sharedOut(); err != nil {
		return nil, err
	}
	t := &trainer{session: s, network: network}
	if err := t.resume(from, state); err != nil {
		return nil, err
	}
	return t.run(ctx)
}

// checkpointOfAll is the checkpoint that rank 0 resumes from.
func (s *session) checkpointOfAll() (*checkpoint.Checkpoint, error) {
	g := s.c.ranks
	var from *checkpoint.Checkpoint
	step := 0
	err := g.First(func() (err error) {
		if from, err = s.newestCheckpoint(); from != nil {
			step = from.Step()
		}
		return err
	})
	if err == nil {
		step, err = dist.Told(g, step)
	}
	if err != nil || g.IsFirst() || step == 0 {
		return from, err
	}
	return checkpoint.Read(checkpoint.Dir(filepath.Join(s.c.Out, checkpointsName), step))
}

// newestCheckpoint is the checkpoint to resume from, nil if none is valid.
func (s *session) newestCheckpoint() (*checkpoint.Checkpoint, error) {
	root := filepath.Join(s.c.Out, checkpointsName)
	from, err := checkpoint.Newest(root, func(name, reason string) { s.log.noticef("skipped checkpoint %s: %s", name, reason) })
	if errors.Is(err, checkpoint.ErrNone) {
		s.log.noticef("no checkpoint to resume from: starting from step 0")
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if from.Step() > s.newSteps {
		return nil, fmt.Errorf("optim.steps: the run is at step %d already, beyond the %d steps that the configuration asks for", from.Step(),
			s.newSteps)
	}
	return from, nil
}

// missingOfModel describes what a complete run's model folder has lost; "" if it is intact.
func (s *session) missingOfModel() string {
	dir := filepath.Join(s.c.Out, modelName)
	have, err := filesOf(dir)
	if err != nil {
		return fmt.Sprintf("%s cannot be read (%v)", dir, err)
	}
	if _, ok := have[modelfolder.CardName]; !ok {
		return fmt.Sprintf("%s lacks %s", dir, modelfolder.CardName)
	}
	for _, name := range slices.Sorted(maps.Keys(s.record.ModelFiles)) {
		switch size, ok := have[name]; {
		case !ok:
			return fmt.Sprintf("%s lacks %s", dir, name)
		case size != s.record.ModelFiles[name]:
			return fmt.Sprintf("%s in %s has %d bytes, not %d", name, dir, size, s.record.ModelFiles[name])
		}
	}
	return ""
}

// alreadyComplete returns the result of a run that is complete, nil if steps are left.
func (s *session) alreadyComplete(from *checkpoint.Checkpoint) (*TrainResult, error) {
	if from == nil || !s.record.Complete || from.Step() != s.newSteps {
		return nil, nil
	}
	var meta checkpointMeta
	if err := from.Meta(&meta); err != nil {
		return nil, err
	}
	if missing := s.missingOfModel(); missing != "" {
		s.log.noticef("the run is complete, but %s: writing the model again", missing)
		return nil, nil
	}
	seen, err := readEvaluations(s.c.Out, from.Step())
	if err != nil {
		return nil, err
	}
	seen.applyTo(&meta, &s.c)
	s.log.noticef("the run is complete: %d steps are done", from.Step())
	return &TrainResult{
		Out: s.c.Out, Model: filepath.Join(s.c.Out, modelName), Steps: from.Step(), TotalSteps: s.newSteps, Tokens: meta.Tokens,
		ResumedFrom:     from.Step(),
		AlreadyComplete: true, Best: meta.Best, Counts: s.record.Counts, Threshold: meta.Threshold, Warnings: s.log.warnings,
	}, nil
}
