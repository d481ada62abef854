package prm

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/modelfolder"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

// stopAfter is a context that ends once a run's metrics hold so many optimizer steps.
type stopAfter struct {
	context.Context
	out   string
	steps int
}

func (s stopAfter) Err() error {
	text, _ := os.ReadFile(filepath.Join(s.out, metricsName)) // no file: no steps
	if strings.Count(string(text), `"loss_step":`)-strings.Count(string(text), `"eval":`) >= s.steps {
		return context.Canceled
	}
	return nil
}

func interrupt(t *testing.T, c TrainConfig, steps int) {
	t.Helper()
	r, err := Train(stopAfter{context.Background(), c.Out, steps}, c)
	require.NoError(t, err)
	require.True(t, r.Interrupted)
	require.Equal(t, steps, r.Steps)
	require.Empty(t, r.Model)
}

func checkpoints(t *testing.T, out string) []string {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(out, checkpointsName, "*"))
	require.NoError(t, err)
	for i, d := range dirs {
		dirs[i] = filepath.Base(d)
	}
	return dirs
}

func again(c TrainConfig) TrainConfig {
	c.Resume, c.Progress = true, &bytes.Buffer{}
	return c
}

// A run that was stopped at any step and resumed has the bits of one that was not: weights, metrics, evaluations.
func TestResumeEqualsUninterrupted(t *testing.T) {
	base := tiny(t, tinymodel.Options{})
	for _, mode := range []string{"full", "lora", "head"} {
		whole := config(t, base)
		whole.Train, whole.LoRA.Dropout = mode, 0.1
		if mode == "lora" {
			whole.Optim.Moments = "bf16"
		}
		r := train(t, whole)
		require.Equal(t, 14, r.Steps)
		best := r.Best
		stops := []int{1, 4, 7, 9, 13} // within epochs, between them, before and after checkpoints and evaluations
		if mode != "full" {
			stops = []int{4, 9}
		}
		for i, k := range stops {
			c := config(t, base)
			c.Train, c.Threads, c.Cache, c.LoRA.Dropout, c.Optim.Moments = mode, 1+i%2, whole.Cache, 0.1, whole.Optim.Moments
			interrupt(t, c, k)
			c = again(c)
			c.Threads = 2 - i%2
			r := train(t, c)
			require.Equal(t, k, r.ResumedFrom)
			require.Contains(t, said(c), fmt.Sprintf("resumed from step %d\n", k))
			require.Equal(t, rows(t, whole.Out), rows(t, c.Out), "%s stopped at %d", mode, k)
			require.Equal(t, weights(t, whole.Out), weights(t, c.Out), "%s stopped at %d", mode, k)
			require.Equal(t, best, r.Best)
		}
	}
}

// A run that was killed goes on from its newest checkpoint that verifies, and says what it passed over.
func TestResumeAfterKill(t *testing.T) {
	base := tiny(t, tinymodel.Options{})
	whole := config(t, base)
	train(t, whole)

	c := config(t, base)
	interrupt(t, c, 8)
	require.NoError(t, os.RemoveAll(filepath.Join(c.Out, checkpointsName, "step-00000008"))) // as if it had died there
	newest := filepath.Join(c.Out, checkpointsName, "step-00000006")
	info, err := os.Stat(filepath.Join(newest, modelfolder.StateName))
	require.NoError(t, err)
	require.NoError(t, os.Truncate(filepath.Join(newest, modelfolder.StateName), info.Size()-7))
	unfinished := filepath.Join(c.Out, checkpointsName, ".step-00000007.tmp-1")
	require.NoError(t, os.Mkdir(unfinished, 0o777))
	metrics, err := os.OpenFile(filepath.Join(c.Out, metricsName), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = metrics.WriteString(`{"step":9,"los`) // torn
	require.NoError(t, err)
	require.NoError(t, metrics.Close())

	c = again(c)
	r := train(t, c)
	require.Equal(t, 5, r.ResumedFrom, "the best one, of step 5, is the newest whole one")
	require.Regexp(t, `(?m)^skipped checkpoint step-00000006: state.safetensors: \d+ bytes, the manifest says \d+$`, said(c))
	require.Equal(t, rows(t, whole.Out), rows(t, c.Out))
	require.Equal(t, weights(t, whole.Out), weights(t, c.Out))

	// Nothing left that verifies: from the beginning.
	c = config(t, base)
	interrupt(t, c, 4)
	require.NoError(t, os.RemoveAll(filepath.Join(c.Out, checkpointsName)))
	c = again(c)
	require.Equal(t, 0, train(t, c).ResumedFrom)
	require.NotContains(t, said(c), "resumed from step")
	require.Equal(t, rows(t, whole.Out), rows(t, c.Out))
	require.Equal(t, weights(t, whole.Out), weights(t, c.Out))
}

func TestResumeOfACompleteRun(t *testing.T) {
	c := config(t, tiny(t, tinymodel.Options{}))
	fresh := c
	fresh.Resume = true // nothing there yet: it begins
	train(t, fresh)
	before := weights(t, c.Out)
	_, err := Train(context.Background(), c)
	require.ErrorContains(t, err, "is there already")

	c = again(c)
	r := train(t, c)
	require.True(t, r.AlreadyComplete)
	require.Contains(t, said(c), "the run is complete: 14 steps are done")
	require.Equal(t, before, weights(t, c.Out))

	// A model that was not written any more is written now.
	require.NoError(t, os.RemoveAll(filepath.Join(c.Out, modelName)))
	record, err := readRecord(filepath.Join(c.Out, recordName))
	require.NoError(t, err)
	record.Complete = false
	text, err := json.Marshal(record)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(c.Out, recordName), text, 0o666))
	c = again(c)
	require.False(t, train(t, c).AlreadyComplete)
	require.Equal(t, before, weights(t, c.Out))
}

// Longer: the one change allowed. The steps after the resumed one have the new length's learning rates.
func TestExtension(t *testing.T) {
	c := config(t, tiny(t, tinymodel.Options{}))
	train(t, c)
	short := rows(t, c.Out)
	c = again(c)
	c.Optim.Steps = 18
	r := train(t, c)
	require.Equal(t, 14, r.ResumedFrom)
	require.Equal(t, 18, r.Steps)
	long := rows(t, c.Out)
	require.Equal(t, short, long[:len(short)])
	var row struct{ LR float64 }
	require.NoError(t, json.Unmarshal([]byte(long[len(short)]), &row))
	// W = ceil(0.05·18) = 1; update 14 (from 0) of 18 on the cosine: 1e-3·(1+cos(π·13/17))/2.
	require.InDelta(t, 1.304955e-4, row.LR, 1e-9)
	record, err := readRecord(filepath.Join(c.Out, recordName))
	require.NoError(t, err)
	require.Len(t, record.History, 1)
	require.Equal(t, extension{FromStep: 14, Steps: 18, Before: 14, Time: record.History[0].Time}, record.History[0])
	kept, err := LoadTrainConfig(filepath.Join(c.Out, configName), []string{"data.train=[x]"})
	require.NoError(t, err)
	require.Equal(t, 18, kept.Optim.Steps)

	c = again(c)
	c.Optim.Steps = 16
	_, err = Train(context.Background(), c)
	require.ErrorContains(t, err, "optim.steps: the run is at step 18 already")
}

func TestResumeRefusesOtherNumbers(t *testing.T) {
	base := tiny(t, tinymodel.Options{})
	c := config(t, base)
	c.Optim.Steps = 3
	interrupt(t, c, 2)
	before, err := os.ReadFile(filepath.Join(c.Out, metricsName))
	require.NoError(t, err)
	for key, change := range map[string]func(c *TrainConfig){
		"seed":                func(c *TrainConfig) { c.Seed = new(uint64(4)) },
		"optim.betas":         func(c *TrainConfig) { c.Optim.Betas = []float64{0.9, 0.99} },
		"batch.tokens":        func(c *TrainConfig) { c.Batch.Tokens = 119 },
		"batch.group":         func(c *TrainConfig) { c.Batch.Group = "problem" },
		"text.separator":      func(c *TrainConfig) { c.Text.Separator = "\n\n" },
		"text.join":           func(c *TrainConfig) { c.Text.Join = "  " },
		"loss.lambda_final":   func(c *TrainConfig) { c.Loss.LambdaFinal = &Lambda{Balanced: true} },
		"dtype":               func(c *TrainConfig) { c.DType = "f64" },
		"train":               func(c *TrainConfig) { c.Train = "lora" },
		"lora.layers":         func(c *TrainConfig) { c.LoRA.Layers = Layers{0} },
		"data.train":          func(c *TrainConfig) { c.Data.Trajectories = Slice(sums(28, 6)) },
		"model":               func(c *TrainConfig) { c.Model = tiny(t, tinymodel.Options{Seed: 9}) },
		"model (its tokeniz":  func(c *TrainConfig) { c.Model = otherTokenizer(t, base) },
		"data.eval":           func(c *TrainConfig) { c.Data.EvalTrajectories = Slice(elsewhere(sums(4, 8))) },
		"threshold":           func(c *TrainConfig) { c.Threshold = &Threshold{Value: 0.7} },
		"data.eval_share":     func(c *TrainConfig) { c.Data.EvalShare = new(0.1) },
		"backend":             func(c *TrainConfig) { c.Backend = "avx2" },
		"head.activation":     func(c *TrainConfig) { c.Head.Activation = "identity" },
		"reward.over":         func(c *TrainConfig) { c.Reward.Over = "all" },
		"optim.schedule":      func(c *TrainConfig) { c.Optim.Schedule = "linear" },
		"data.allow_overlap ": func(c *TrainConfig) { c.Data.AllowOverlap = true },
	} {
		if b, err := openBackend("cpu", "avx2", "", 1); key == "backend" && err != nil {
			continue // only one kind of kernels here
		} else if err == nil {
			require.NoError(t, b.Close())
		}
		other := again(c)
		change(&other)
		_, err := Train(context.Background(), other)
		require.ErrorContains(t, err, "cannot be resumed with another", key)
		require.ErrorContains(t, err, key)
	}
	after, err := os.ReadFile(filepath.Join(c.Out, metricsName))
	require.NoError(t, err)
	require.Equal(t, before, after, "a refused run was changed")

	// What changes no number may change.
	c = again(c)
	c.Checkpoint = CheckpointConfig{Every: new(1), Keep: new(9)}
	c.Eval, c.Threads, c.Recompute, c.Device = EvalConfig{Every: new(2), Best: "loss"}, 2, "none", "cpu"
	require.Equal(t, 3, train(t, c).Steps)
}

// A run goes on with other kernels where those have the same bits, and only there.
func TestSameBits(t *testing.T) {
	for _, c := range []struct {
		dtype, before, after string
		want                 bool
	}{
		{"f32", "avx2", "avx512", true}, {"f64", "avx512", "avx2", true}, {"f32", "avx512bf16", "avx2", true},
		{"f32", "portable", "avx2", false}, {"f32", "avx2", "sm80", false}, {"bf16", "avx512bf16", "avx2", false},
		{"f32", "cuda:0,cuda:1/sm90a", "cuda:2/sm90a", true}, {"f32", "cuda:0/sm90a", "cuda:0/sm80", false},
	} {
		before, after := TrainConfig{DType: c.dtype, Backend: c.before}, TrainConfig{DType: c.dtype, Backend: c.after}
		require.Equal(t, c.want, sameBits(before, after), c)
	}
	require.False(t, sameBits(TrainConfig{DType: "f32", Backend: "avx2"}, TrainConfig{DType: "f64", Backend: "avx512"}))
}

func otherTokenizer(t *testing.T, base string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(base)))
	f, err := os.OpenFile(filepath.Join(dir, "chat_template.jinja"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString(" ")
	require.NoError(t, err)
	require.NoError(t, f.Close())
	return dir
}

// elsewhere gives trajectories problems of their own.
func elsewhere(list []*data.Trajectory) []*data.Trajectory {
	for _, t := range list {
		t.Problem += " Again."
	}
	return list
}
