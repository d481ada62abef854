package prm_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"log"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/prm"
)

// workspace is a new folder with a model in it.
func workspace() (dir, model string) {
	dir, err := os.MkdirTemp("", "goprm")
	if err != nil {
		log.Fatal(err)
	}
	model = filepath.Join(dir, "model")
	if err := writeModel(model); err != nil {
		log.Fatal(err)
	}
	return dir, model
}

// additions are labelled trajectories: the second step of every other one is wrong.
func additions() iter.Seq2[*data.Trajectory, error] {
	return func(yield func(*data.Trajectory, error) bool) {
		for i := range 40 {
			right := float64(1 - i%2)
			t := &data.Trajectory{
				ID: fmt.Sprint(i), Problem: fmt.Sprintf("What is %d+%d?", i, i),
				ResponseSteps: []string{"Add them.", fmt.Sprintf("It is %d.", 2*i+i%2)},
				Labels:        data.Labels{Steps: data.Floats(1, right), Trajectory: data.Float(right)},
			}
			if !yield(t, nil) {
				return
			}
		}
	}
}

// A program brings its own trajectories, trains on them and scores a new one.
func Example() {
	ctx := context.Background()
	dir, base := workspace() // a folder with config.json, model.safetensors and tokenizer.json
	defer func() { _ = os.RemoveAll(dir) }()
	result, err := prm.Train(ctx, prm.TrainConfig{
		Model: base, Out: filepath.Join(dir, "run"), Data: prm.DataConfig{Trajectories: additions()},
	})
	if err != nil {
		log.Fatal(err)
	}
	model, err := prm.Open(result.Model, prm.OpenOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = model.Close() }()
	score, err := model.Score(ctx, &data.Trajectory{ID: "new", Problem: "What is 2+2?", Response: "Add them.\n\nIt is 4."})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Steps, "steps,", len(score.Steps), "scores,", score.Trajectory != nil)
	// Output: 3 steps, 2 scores, true
}

// A run that is watched step by step, without weight decay, and stopped by the program; it is resumed later.
func ExampleTrain() {
	dir, base := workspace()
	defer func() { _ = os.RemoveAll(dir) }()
	ctx, stop := context.WithCancel(context.Background())
	config := prm.TrainConfig{
		Model: base, Out: filepath.Join(dir, "run"), Train: "head", Cache: filepath.Join(dir, "cache"),
		Data:   prm.DataConfig{Trajectories: additions()},
		Batch:  prm.Batch{Trajectories: 8},
		Optim:  prm.Optim{WeightDecay: new(0.0), Schedule: prm.ScheduleLinear, Epochs: 2}, // nil is the default, 0.01
		Eval:   prm.EvalConfig{Every: new(4)},
		OnStep: func(s prm.StepMetrics) { fmt.Printf("step %d: %d trajectories\n", s.Step, s.Trajectories) },
		OnEvaluate: func(e prm.Evaluation) {
			fmt.Printf("evaluation after step %d: %d step labels\n", e.Step, e.NStep)
			stop() // the step at work is saved
		},
		Logger: slog.New(slog.DiscardHandler),
	}
	result, err := prm.Train(ctx, config)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("interrupted:", result.Interrupted, "after", result.Steps, "of", result.TotalSteps)

	config.Resume, config.OnStep, config.OnEvaluate = true, nil, nil
	if result, err = prm.Train(context.Background(), config); err != nil {
		log.Fatal(err)
	}
	fmt.Println("resumed from", result.ResumedFrom, "and done:", result.Steps)
	// Output:
	// step 1: 8 trajectories
	// step 2: 8 trajectories
	// step 3: 8 trajectories
	// step 4: 8 trajectories
	// evaluation after step 4: 4 step labels
	// interrupted: true after 4 of 10
	// resumed from 4 and done: 10
}

// The two best of a pool by stored scores, one for a problem. Scores of a model come from prm.Stored(model.ScoreAll(…)),
// those of a file from prm.ReadScores.
func ExampleSelect() {
	pool := func() iter.Seq2[*data.Trajectory, error] {
		return prm.Slice([]*data.Trajectory{
			{ID: "a", Problem: "1+1?", Response: "2"}, {ID: "b", Problem: "1+1?", Response: "It is 2."},
			{ID: "c", Problem: "2+2?", Response: "5"}, {ID: "d", Problem: "3+3?", Response: "6"},
		})
	}
	scores := func() iter.Seq2[*prm.StoredScore, error] {
		return func(yield func(*prm.StoredScore, error) bool) {
			for i, mean := range []float64{0.8, 0.9, 0.1, 0.7} { // in the pool's order
				if !yield(&prm.StoredScore{ID: string("abcd"[i]), Steps: []float64{mean}, Mean: mean}, nil) {
					return
				}
			}
		}
	}
	selection, err := prm.Select(context.Background(), pool, scores, prm.SelectOptions{Top: 2, Unique: "exact"})
	if err != nil {
		log.Fatal(err)
	}
	for _, row := range selection.Rows {
		fmt.Println(row.Rank, row.Trajectory.ID, row.Reward)
	}
	// Output:
	// 1 b 0.9
	// 2 d 0.7
}

// How often does picking the best-scored of several answers find a right one? The middle of three is right here.
func ExampleBestOfN() {
	answer := func(text string, right bool, scores ...float64) data.Sample {
		return data.Sample{Text: text, Pred: &text, Correct: &right, Scores: scores}
	}
	problems := func(yield func(*data.SampledProblem, error) bool) {
		yield(&data.SampledProblem{Problem: "6·7?", Samples: []data.Sample{
			answer("41", false, 0.9, 0.2), answer("42", true, 0.8, 0.7), answer("43", false, 0.3, 0.4)}}, nil)
	}
	result, err := prm.BestOfN(context.Background(), problems, prm.BestOfNOptions{N: []int{1, 3}, Aggregations: []prm.Aggregation{prm.Min}})
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range result.Results {
		if r.Method == "best" || r.Method == "random" {
			fmt.Printf("n = %d, %s: %.2f\n", r.N, r.Method, r.Accuracy)
		}
	}
	// Output:
	// n = 1, best: 0.33
	// n = 1, random: 0.33
	// n = 3, best: 1.00
	// n = 3, random: 0.33
}

// Rewards for GRPO: the outcome, right or wrong, mixed with the process reward of each sample, then compared within a prompt.
func ExampleBlend() {
	outcomes, processes := []float64{1, 0, 0}, []float64{0.9, 0.6, 0.3}
	var rewards []float64
	for i, outcome := range outcomes {
		r, err := prm.Blend(outcome, processes[i], prm.BlendOptions{Beta: new(0.5)})
		if err != nil {
			log.Fatal(err)
		}
		rewards = append(rewards, r)
	}
	advantages, err := prm.GroupAdvantages(rewards, []string{"prompt", "prompt", "prompt"}, prm.AdvantageOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%.2f\n%.2f\n", rewards, advantages)
	// Output:
	// [0.95 0.30 0.15]
	// [1.14 -0.39 -0.74]
}

// The configuration of prm train, from Go: a file, and what the flag --set changes.
func ExampleLoadTrainConfig() {
	dir, err := os.MkdirTemp("", "goprm")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "run.yaml")
	if err := os.WriteFile(path, []byte("model: Qwen2.5-1.5B-Instruct\ndata: {train: [labelled.jsonl]}\nout: runs/one\n"), 0o666); err != nil {
		log.Fatal(err)
	}
	config, err := prm.LoadTrainConfig(path, []string{"optim.lr=2e-5", "optim.weight_decay=0"})
	if err != nil {
		log.Fatal(err)
	}
	config.Progress = io.Discard // or os.Stderr
	fmt.Println(*config.Optim.LR, *config.Optim.WeightDecay, config.Optim.Schedule)
	// Output: 2e-05 0 cosine
}

// A trained model as transformers loads it: the head becomes one of two classes, whose softmax is the score.
func ExampleExport() {
	dir, base := workspace()
	defer func() { _ = os.RemoveAll(dir) }()
	ctx := context.Background()
	result, err := prm.Train(ctx, prm.TrainConfig{
		Model: base, Out: filepath.Join(dir, "run"), Data: prm.DataConfig{Trajectories: additions()}, Optim: prm.Optim{Steps: 2},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}
	exported, err := prm.Export(ctx, prm.ExportOptions{
		Model: result.Model, To: prm.ToTokenClassification, Merge: true, Out: filepath.Join(dir, "exported"),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(exported.Merged, "adapters merged")
	// Output: 14 adapters merged
}
