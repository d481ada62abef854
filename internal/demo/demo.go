package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/atomicfile"
	"github.com/goprm/goprm/internal/metrics"
	"github.com/goprm/goprm/internal/runlog"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/goprm/goprm/prm"
)

// Options of a demonstration; the zero value is what `prm demo` runs.
type Options struct {
	Out      string    // folder for everything that is made; must not exist
	Seed     uint64    // 1
	Threads  int       // 0: as many as Go uses
	Quick    bool      // a quarter of the training and one control, for tests: nothing is learned to the end
	Progress io.Writer // nil: nobody is told
	Quiet    bool
}

// Result is the outcome of the demonstration; its JSON form is what `prm demo --json` prints.
type Result struct {
	StepAUROC     metrics.Float            `json:"step_auroc"`   // on unseen problems
	WithinAUROC   metrics.Float            `json:"within_auroc"` // pairs of steps of one trajectory
	Controls      map[string]metrics.Float `json:"controls"`     // the better of both AUROCs from depth or length alone
	ShuffledAUROC metrics.Float            `json:"shuffled_auroc"`
	BestOf8       metrics.Float            `json:"bestof8"`
	Random        metrics.Float            `json:"random"`
	Majority      metrics.Float            `json:"majority"`
	Oracle        metrics.Float            `json:"oracle"`
	Seconds       float64                  `json:"seconds"`

	Shortest     metrics.Float `json:"shortest"`
	FirstErrorF1 metrics.Float `json:"first_error_f1"`
	StepECE      metrics.Float `json:"step_ece"`
	Trajectory   metrics.Float `json:"trajectory_spearman"` // of the whole's score and the share of right steps
	Passed       bool          `json:"passed"`
	Out          string        `json:"out"`

	shuffles int // trainings behind ShuffledAUROC
}

// Sizes of the demonstration.
const (
	trainProblems  = 750 // eight trajectories each
	evalProblems   = 96
	bestOfProblems = 150
	bestOf         = 8
	shuffles       = 3
)

// session is one demonstration under way.
type session struct {
	Options
	console     *runlog.Console
	train, eval []*data.Trajectory
	answers     [][]*data.Trajectory
	scores      map[string]*prm.Score
	result      Result
}

// Run makes the data, trains, judges and writes the report.
func Run(ctx context.Context, o Options) (*Result, error) {
	began := time.Now()
	if o.Seed == 0 {
		o.Seed = 1
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	if err := os.MkdirAll(filepath.Dir(filepath.Clean(o.Out)), 0o777); err != nil {
		return nil, fmt.Errorf("the demonstration's folder: %w", err)
	}
	if err := os.Mkdir(o.Out, 0o777); err != nil {
		return nil, fmt.Errorf("the demonstration's folder: %w; name a new one", err)
	}
	s := &session{Options: o, console: runlog.NewConsole(o.Progress, o.Quiet)}
	for _, part := range []func(context.Context) error{s.makeData, s.learn, s.judge, s.control} {
		if err := part(ctx); err != nil {
			return nil, err
		}
	}
	s.result.Seconds = time.Since(began).Seconds()
	s.result.Out = o.Out
	s.result.Passed = s.result.passed()
	return &s.result, s.writePage()
}

func (s *session) path(names ...string) string {
	return filepath.Join(append([]string{s.Out}, names...)...)
}

func (s *session) makeData(context.Context) error {
	seen := map[string]bool{}
	s.train = set(newDice(s.Seed, "train"), trainProblems, "train", seen)
	s.eval = set(newDice(s.Seed, "eval"), evalProblems, "eval", seen)
	s.answers = samples(newDice(s.Seed, "answers"), bestOfProblems, bestOf, seen)
	var answers []*data.Trajectory
	for _, list := range s.answers {
		answers = append(answers, list...)
	}
	for name, list := range map[string][]*data.Trajectory{"train.jsonl": s.train, "eval.jsonl": s.eval, "answers.jsonl": answers} {
		err := atomicfile.WriteFile(s.path(name), func(w io.Writer) error {
			for _, t := range list {
				if err := t.Write(w); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	s.console.Infof("made %d trajectories of %d problems to train on, %d of %d others to judge by, and %d answers to each of %d more",
		len(s.train), trainProblems, len(s.eval), evalProblems, bestOf, bestOfProblems)
	// Frequencies of rotation for texts of a hundred tokens (theta 50): with Qwen2's, which serve thousands, neighbours look
	// alike to a small head, and it learns several times more slowly.
	return tinymodel.Write(s.path("untrained"), tinymodel.Options{Hidden: 64, Intermediate: 160, Layers: 2, Heads: 4, KVHeads: 2,
		MaxPositions: 512, RopeTheta: 50, Merges: merges(vocabulary), Scale: 0.1, Seed: s.Seed})
}

// config is the training of one model.
func (s *session) config(name string, train []*data.Trajectory, epochs int) prm.TrainConfig {
	c := prm.DefaultTrainConfig()
	c.Model, c.Train, c.Out = s.path("untrained"), "full", s.path(name)
	c.Data.Trajectories, c.Data.EvalTrajectories = prm.Slice(train), prm.Slice(s.eval)
	c.Text.Template, c.Text.Separator, c.Text.ThinkTags = "{problem}\n", "\n", []string{"<think>\n", "</think>\n"}
	c.Text.Final = "last_token" // the answer's last token; the template has none that closes the turn
	c.Head.Final = "own"
	c.Loss.LambdaFinal = &prm.Lambda{Value: 0.5} // one read-out against many: the steps are to lead
	c.Batch.Trajectories = 16
	c.Optim.LR, c.Optim.HeadLR, c.Optim.Betas, c.Optim.Warmup, c.Optim.Epochs = new(2e-3), new(2e-3), []float64{0.9, 0.99}, new(0.1), epochs
	c.Eval.Every, c.Checkpoint.Every = new(500), new(1000000)
	c.Checkpoint.Keep = new(1)
	c.Recompute = "none"
	c.Seed, c.Threads = new(s.Seed), s.Threads
	c.Progress, c.Quiet, c.Logger = s.Progress, s.Quiet, slog.New(slog.DiscardHandler)
	return c
}

func (s *session) learn(ctx context.Context) error {
	epochs := 10
	if s.Quick {
		epochs = 2
	}
	c := s.config("run", s.train, epochs)
	c.Version = "demo"
	r, err := prm.Train(ctx, c)
	if err != nil {
		return err
	}
	if r.Interrupted {
		return ctx.Err()
	}
	e := r.Eval
	s.result.StepAUROC, s.result.WithinAUROC = metrics.Float(e.StepAUROC), metrics.Float(e.WithinAUROC)
	s.result.FirstErrorF1 = metrics.Float(e.FirstErrorF1)
	s.result.StepECE, s.result.Trajectory = metrics.Float(e.StepECE), metrics.Float(e.TrajectorySpearman)
	s.result.Controls = map[string]metrics.Float{}
	for name, c := range e.Controls {
		s.result.Controls[name] = metrics.Float(max(c.StepAUROC, c.WithinAUROC))
	}
	return nil
}

// judge scores what the report shows and picks the best of eight answers.
func (s *session) judge(ctx context.Context) error {
	model, err := prm.Open(s.path("run", "model"), prm.OpenOptions{Threads: s.Threads})
	if err != nil {
		return err
	}
	defer func() { _ = model.Close() }()
	s.scores = map[string]*prm.Score{}
	all := append([]*data.Trajectory{}, s.eval...)
	for _, list := range s.answers {
		all = append(all, list...)
	}
	err = atomicfile.WriteFile(s.path("scores.jsonl"), func(w io.Writer) error {
		lines := json.NewEncoder(w)
		for score, err := range model.ScoreAll(ctx, prm.Slice(all), prm.ScoreOptions{}) {
			if err != nil {
				return err
			}
			s.scores[score.ID] = score
			if err := lines.Encode(score); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	var problems [][]metrics.Sample
	for _, list := range s.answers {
		var samples []metrics.Sample
		for _, t := range list {
			length := 0
			for _, step := range append(append([]string{}, t.Steps...), t.ResponseSteps...) {
				length += len(step)
			}
			samples = append(samples, metrics.Sample{Answer: string(t.Meta["pred"]), Correct: solved(t), Score: s.scores[t.ID].Reward,
				Length: length, Steps: len(t.Steps)})
		}
		problems = append(problems, samples)
	}
	picked := metrics.BestOfN(problems)
	s.result.BestOf8, s.result.Random, s.result.Majority = picked.Best, picked.Random, picked.Majority
	s.result.Oracle, s.result.Shortest = picked.Oracle, picked.Shortest
	return nil
}

// control trains once over the data on labels shuffled over all steps: what it finds then was not in the labels. More
// epochs would only learn the shuffled labels by heart; one over the true labels comes to 0.70 at seed 1.
func (s *session) control(ctx context.Context) error {
	sum, times, train := metrics.Float(0), shuffles, s.train
	if s.Quick {
		times, train = 1, s.train[:len(s.train)/3]
	}
	for i := range times {
		s.console.Infof("control %d of %d: the same on shuffled labels", i+1, times)
		c := s.config(fmt.Sprintf("shuffled-%d", i+1), shuffled(train, s.Seed+uint64(i)), 1)
		c.Seed = new(s.Seed + uint64(i))
		c.Progress = nil
		r, err := prm.Train(ctx, c)
		if err != nil {
			return err
		}
		if r.Interrupted {
			return ctx.Err()
		}
		sum += metrics.Float(r.Eval.StepAUROC)
	}
	s.result.ShuffledAUROC, s.result.shuffles = sum/metrics.Float(times), times
	return nil
}

// shuffled permutes the step labels over all steps of all trajectories, and the trajectory labels over the trajectories.
func shuffled(list []*data.Trajectory, seed uint64) []*data.Trajectory {
	var steps, finals []*float64
	for _, t := range list {
		steps, finals = append(steps, t.Labels.Steps...), append(finals, t.Labels.Trajectory)
	}
	stepOrder, finalOrder := data.Order(seed, 0, len(steps)), data.Order(seed, 1, len(finals))
	var out []*data.Trajectory
	for i, t := range list {
		copied := *t
		copied.Labels.Trajectory = finals[finalOrder[i]]
		copied.Labels.Steps = nil
		for range t.Labels.Steps {
			copied.Labels.Steps = append(copied.Labels.Steps, steps[stepOrder[0]])
			stepOrder = stepOrder[1:]
		}
		out = append(out, &copied)
	}
	return out
}
