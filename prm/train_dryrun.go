package prm

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/safetensors"
	"gorgonia.org/tensor"
)

// DryRunReport says what a run would do.
type DryRunReport struct {
	Texts         []DryRunText  `json:"texts"` // the first few
	Counts        Counts        `json:"counts"`
	Steps         int           `json:"steps"` // optimizer steps in all
	StepsPerEpoch int           `json:"steps_per_epoch"`
	StepTokens    float64       `json:"step_tokens"` // that an optimizer step computes, the mean of the first 64 or fewer
	Backend       string        `json:"backend"`
	DType         string        `json:"dtype"`
	LambdaFinal   float64       `json:"lambda_final"`
	Memory        DryRunMemory  `json:"memory"`
	Seconds       DryRunSeconds `json:"seconds"`
	Warnings      []string      `json:"warnings"`
}

// DryRunText is one trajectory as the model reads it.
type DryRunText struct {
	ID     string `json:"id"`
	Tokens int    `json:"tokens"`
	// Marked is the text with ⟦part index = target⟧ after each token that is read.
	Marked string `json:"marked"`
}

// DryRunMemory is in bytes.
type DryRunMemory struct {
	Weights int64 `json:"weights"` // files, mapped: the system may drop and read them again
	// Trained are values, gradient and both moments of what is trained.
	Trained int64 `json:"trained"`
	// Measured is what the run took beyond the files while it ran its first micro-batch, Trained included.
	Measured int64 `json:"measured"`
}

// DryRunSeconds is extrapolated from one micro-batch.
type DryRunSeconds struct {
	PerToken float64 `json:"per_token"`
	Training float64 `json:"training"` // evaluations and saving not included
	// Evaluation is of one evaluation, of which there are Evaluations.
	Evaluation  float64 `json:"evaluation"`
	Evaluations int     `json:"evaluations"`
}

// dryRunTexts is how many texts a report shows.
const dryRunTexts = 3

// DryRun opens the model and the data, runs one micro-batch, and says what Train would do. It writes nothing.
func DryRun(ctx context.Context, cfg TrainConfig) (*DryRunReport, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if len(cfg.Seeds) > 0 { // the other runs are like the first
		cfg.Seed, cfg.Seeds = &cfg.Seeds[0], nil
	}
	s, err := prepare(ctx, cfg.filled(), true)
	if err != nil {
		return nil, err
	}
	report, err := s.dryRun(ctx)
	if err := errors.Join(err, s.Close()); err != nil {
		return nil, err
	}
	return report, nil
}

func (s *session) dryRun(ctx context.Context) (*DryRunReport, error) {
	r := &DryRunReport{
		Counts: s.data.counts, Steps: s.newSteps, StepsPerEpoch: s.data.stepsPerEpoch(&s.c), Backend: s.backend.Name(), DType: s.c.DType,
		LambdaFinal: s.data.lambdaFinal, Warnings: append([]string{}, s.data.warnings...),
	}
	var err error
	if r.StepTokens, err = s.data.tokensPerStep(&s.c); err != nil {
		return nil, err
	}
	for _, e := range s.data.train[:min(dryRunTexts, len(s.data.train))] {
		marked, err := s.renderer.Marked(e)
		if err != nil {
			return nil, fmt.Errorf("trajectory %q: %w", e.ID, err)
		}
		r.Texts = append(r.Texts, DryRunText{ID: e.ID, Tokens: len(e.Tokens), Marked: marked})
	}
	for _, f := range s.folder.Root.Files() {
		r.Memory.Weights += f.Size()
	}
	return r, s.tryMicroBatch(ctx, r)
}

// tryMicroBatch runs the first micro-batch twice, the second time by the clock. With train: head it is the trunk that
// takes the time, once over all examples.
func (s *session) tryMicroBatch(ctx context.Context, r *DryRunReport) error {
	before := heap()
	train := s.c.Train
	if train == nnet.TrainHead {
		train = nnet.TrainNothing
	}
	network, err := nnet.New(s.spec(train), s.backend, nnet.Weights{s.folder.Trunk})
	if err != nil {
		return err
	}
	batch, err := s.firstBatch()
	if err == nil {
		err = s.timeMicroBatch(ctx, r, network, batch)
	}
	r.Memory.Measured = max(0, heap()-before)
	if err == nil {
		r.Memory.Trained = s.trainedBytes(network)
	}
	return errors.Join(err, network.Close())
}

func (s *session) timeMicroBatch(ctx context.Context, r *DryRunReport, network *nnet.Network, batch *data.Batch) error {
	run := func() error {
		_, err := network.TrainStep(context.Background(), []nnet.MicroBatch{{Batch: batch}}, nnet.AdamW{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8})
		return err
	}
	tokens := 0
	if s.c.Train == nnet.TrainHead {
		run = func() error {
			_, err := network.Features(ctx, batch)
			return err
		}
		shared, err := packShared(append(append([]*data.Example{}, s.data.train...), s.data.eval...), s.c.Batch.Tokens, network.Spec().Config)
		if err != nil {
			return err
		}
		for _, b := range shared {
			tokens += len(b.Tokens)
		}
	} else {
		if err := network.InitHead(s.data.meanTarget(&s.c), *s.c.Seed); err != nil {
			return err
		}
		tokens = int(r.StepTokens * float64(s.newSteps))
	}
	var began time.Time
	for range 2 {
		began = time.Now()
		if err := run(); err != nil {
			return err
		}
	}
	r.Seconds.PerToken = time.Since(began).Seconds() / float64(len(batch.Tokens))
	r.Seconds.Training = r.Seconds.PerToken * float64(tokens)
	return s.timeEvaluation(ctx, r, network, batch)
}

// timeEvaluation scores the micro-batch by the clock. With train: head the hidden states of the evaluation data are part of the
// training's time already, and what is left is next to nothing.
func (s *session) timeEvaluation(ctx context.Context, r *DryRunReport, network *nnet.Network, batch *data.Batch) error {
	if len(s.data.eval) == 0 {
		return nil
	}
	r.Seconds.Evaluations = 1
	if every := *s.c.Eval.Every; every > 0 {
		r.Seconds.Evaluations = (s.newSteps + every - 1) / every
	}
	if s.c.Train == nnet.TrainHead {
		return nil
	}
	batches, err := packShared(s.data.eval, s.c.Batch.Tokens, network.Spec().Config)
	if err != nil {
		return err
	}
	tokens := 0
	for _, b := range batches {
		tokens += len(b.Tokens)
	}
	var began time.Time
	for range 2 { // the first compiles
		began = time.Now()
		if _, err := network.Score(ctx, nnet.MicroBatch{Batch: batch}); err != nil {
			return err
		}
	}
	r.Seconds.Evaluation = time.Since(began).Seconds() / float64(len(batch.Tokens)) * float64(tokens)
	return nil
}

// firstBatch is the first micro-batch that the run would take.
func (s *session) firstBatch() (*data.Batch, error) {
	list := s.data.batch(&s.c, 0)
	batches, err := data.Pack(list, s.data.pack(&s.c))
	if err == nil && len(batches) == 0 || s.c.Train == nnet.TrainHead {
		batches, err = data.PackAll(list, s.c.Batch.Tokens)
	}
	if err != nil {
		return nil, err
	}
	return batches[0], nil
}

// trainedBytes counts value, gradient and two moments of each trained number.
func (s *session) trainedBytes(network *nnet.Network) int64 {
	numbers := int64(0)
	for _, p := range network.Parameters() {
		if p.Trained || p.Head {
			numbers += int64(tensor.Shape(p.Shape).TotalSize())
		}
	}
	moment := storage(s.dtype).Size()
	if network.Spec().BF16Moments {
		moment = safetensors.BF16.Size()
	}
	return 2 * (storage(s.dtype).Size() + moment) * numbers
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
