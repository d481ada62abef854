package prm_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/metrics"
	"github.com/goprm/goprm/internal/shareddata"
	"github.com/goprm/goprm/prm"
	"github.com/stretchr/testify/require"
)

// target is the part of prm800k_target.json that the test compares with: PyTorch's results on the same rows.
type target struct {
	Train, Val [][]int
	Ridge      struct{ Val result }
	Head       struct {
		BySeed map[string]result `json:"val_by_seed"`
	}
}

type result struct{ AUC, MSE float64 }

// TestLearnReal trains heads on a real backbone (SmolLM2-135M in Qwen2 layout, `make learn-real` converts it) and real
// step labels (PRM800K) and lands where PyTorch does: the ridge regression, which is deterministic, within 0.002, and the
// trained head inside the range of PyTorch's seeds ± 0.01.
func TestLearnReal(t *testing.T) {
	model := os.Getenv("GOPRM_SMOLLM2")
	if model == "" {
		t.Skip("GOPRM_SMOLLM2 is not set: `make learn-real` does")
	}
	want, config, val := realTarget(t, model)

	ridge := config
	ridge.Out = filepath.Join(t.TempDir(), "ridge")
	ridge.Head.Init, ridge.Head.Activation, ridge.Head.Ridge = "ridge", "identity", new(3.0)
	ridge.Optim.HeadLR, ridge.Optim.LR, ridge.Optim.Steps, ridge.Optim.WeightDecay = new(0.0), new(0.0), 1, new(0.0)
	got := learn(t, ridge, val)
	fmt.Printf("ridge: AUC %.4f (PyTorch %.4f), MSE %.4f (PyTorch %.4f)\n", got.AUC, want.Ridge.Val.AUC, got.MSE, want.Ridge.Val.MSE)
	require.InDelta(t, want.Ridge.Val.AUC, got.AUC, 0.002)
	require.InDelta(t, want.Ridge.Val.MSE, got.MSE, 0.002)

	head := config
	head.Out = filepath.Join(t.TempDir(), "head")
	head.Optim = headOptim(config.Optim)
	got = learn(t, head, val)
	low, high := 1.0, 0.0
	for _, r := range want.Head.BySeed {
		low, high = min(low, r.AUC), max(high, r.AUC)
	}
	fmt.Printf("head: AUC %.4f (PyTorch's seeds %.4f to %.4f), MSE %.4f\n", got.AUC, low, high, got.MSE)
	require.GreaterOrEqual(t, got.AUC, low-0.01)
	require.LessOrEqual(t, got.AUC, high+0.01)
}

// realTarget is the small real target, a configuration that trains heads on it, and the file of its validation rows.
func realTarget(t *testing.T, model string) (want target, config prm.TrainConfig, val string) {
	shared := shareddata.Dir(t)
	raw, err := os.ReadFile(filepath.Join(shared, "bench", "prm800k_target.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &want))
	dir := t.TempDir()
	rows := filepath.Join(shared, "data", "steps", "prm800k", "phase1_train_plus_steps.jsonl.gz")
	train, val := filepath.Join(dir, "train.jsonl"), filepath.Join(dir, "val.jsonl")
	pick(t, rows, map[string][][]int{train: want.Train, val: want.Val})

	config = prm.DefaultTrainConfig()
	config.Model, config.Train, config.Cache = model, "head", filepath.Join(dir, "cache")
	config.Data.Train, config.Data.Eval = []string{train}, []string{val}
	config.Text.Template = "<|im_start|>user\n{problem}<|im_end|>\n<|im_start|>assistant\n"
	config.Text.ThinkTags, config.Text.Tokenize = []string{}, "pieces"
	config.Batch.Trajectories = 64
	config.Progress = os.Stderr
	return want, config, val
}

// headOptim is how PyTorch trained the target's heads.
func headOptim(defaults prm.Optim) prm.Optim {
	return prm.Optim{
		HeadLR: new(0.003), WeightDecay: new(0.0), Clip: new(0.0), Warmup: new(0.0), Epochs: 10, Schedule: prm.ScheduleLinear,
		Betas: defaults.Betas, Moments: defaults.Moments,
	}
}

// TestLearnGrouped compares the orders of batch.group on the same target: tokens, what heads of three seeds learn, and with
// GOPRM_GROUPED=lora what an epoch of LoRA learns and takes.
func TestLearnGrouped(t *testing.T) {
	model, how := os.Getenv("GOPRM_SMOLLM2"), os.Getenv("GOPRM_GROUPED")
	if model == "" || how == "" {
		t.Skip("GOPRM_SMOLLM2 and GOPRM_GROUPED are not set: `make learn-grouped` does")
	}
	_, config, val := realTarget(t, model)
	for _, group := range []string{"none", "problem"} {
		config.Batch.Group = group
		lora := config
		lora.Train, lora.LoRA.Rank, lora.Out = "lora", 16, filepath.Join(t.TempDir(), "lora")
		plan, err := prm.DryRun(t.Context(), lora)
		require.NoError(t, err)
		tokens := int(math.Round(plan.StepTokens * float64(plan.StepsPerEpoch)))
		fmt.Printf("%s: %d steps an epoch, %d tokens of %d\n", group, plan.StepsPerEpoch, tokens, plan.Counts.Tokens)
		if group == "problem" {
			require.LessOrEqual(t, tokens, 66_225, "as many as trees of all problems have")
		}
		lora.Optim.HeadLR = new(0.003)
		head := config
		head.Optim = headOptim(config.Optim)
		for seed := range uint64(3) {
			head.Out, head.Seed = filepath.Join(t.TempDir(), "head"), new(seed+1)
			got := learn(t, head, val)
			fmt.Printf("%s: head, seed %d: AUC %.4f, MSE %.4f\n", group, seed+1, got.AUC, got.MSE)
		}
		if how != "lora" {
			continue
		}
		for seed := range uint64(3) {
			lora.Out, lora.Seed = filepath.Join(t.TempDir(), "lora"), new(seed+1)
			began := time.Now()
			got := learn(t, lora, val)
			fmt.Printf("%s: LoRA, an epoch, seed %d: AUC %.4f, MSE %.4f, %.0f s\n", group, seed+1, got.AUC, got.MSE, time.Since(began).Seconds())
		}
	}
}

// learn trains, opens the result and scores the validation rows: AUC of rating 1 against −1, squared error of all.
func learn(t *testing.T, config prm.TrainConfig, val string) result {
	ctx := context.Background()
	_, err := prm.Train(ctx, config)
	require.NoError(t, err)
	model, err := prm.Open(filepath.Join(config.Out, "model"), prm.OpenOptions{})
	require.NoError(t, err)
	defer func() { require.NoError(t, model.Close()) }()
	var labels []float64
	for tr, err := range data.Read([]string{val}, data.ReadOptions{}) {
		require.NoError(t, err)
		labels = append(labels, *tr.Labels.Steps[len(tr.Labels.Steps)-1])
	}
	var scores, sided, sides []float64
	var squared float64
	for s, err := range model.ScoreAll(ctx, data.Read([]string{val}, data.ReadOptions{}), prm.ScoreOptions{}) {
		require.NoError(t, err)
		score, label := min(1, max(0, s.Steps[len(s.Steps)-1].Score)), labels[len(scores)]
		scores = append(scores, score)
		squared += (score - label) * (score - label)
		if label != 0.5 {
			sided, sides = append(sided, score), append(sides, label)
		}
	}
	require.Len(t, scores, len(labels))
	return result{AUC: float64(metrics.AUROC(sided, sides)), MSE: squared / float64(len(scores))}
}

// pick writes the rows of the groups, by 0-based line number, to each file.
func pick(t *testing.T, rows string, groups map[string][][]int) {
	files, of := map[string]*os.File{}, map[int]*os.File{}
	for path, list := range groups {
		f, err := os.Create(path)
		require.NoError(t, err)
		files[path] = f
		for _, group := range list {
			for _, line := range group {
				of[line] = f
			}
		}
	}
	in, err := os.Open(rows)
	require.NoError(t, err)
	defer func() { require.NoError(t, in.Close()) }()
	unzipped, err := gzip.NewReader(in)
	require.NoError(t, err)
	lines := bufio.NewScanner(unzipped)
	lines.Buffer(nil, 1<<20)
	for i := 0; lines.Scan(); i++ {
		if f := of[i]; f != nil {
			_, err := f.Write(append(lines.Bytes(), '\n'))
			require.NoError(t, err)
		}
	}
	require.NoError(t, lines.Err())
	for _, f := range files {
		require.NoError(t, f.Close())
	}
}
