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
	"github.com/goprm/goprm/internal/rng"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

// tiny writes a model of some hundred thousand operations a token.
func tiny(t testing.TB, opt tinymodel.Options) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "base")
	opt.Scale = 0.2 // so that hidden states differ enough to be told apart within a few steps
	require.NoError(t, tinymodel.Write(dir, opt))
	return dir
}

// sums are trajectories of one to four additions, wrong where the label is low; every third has a trajectory label.
func sums(n int, seed uint64) []*data.Trajectory {
	stream, at := rng.New(seed, "sums"), uint64(0)
	draw := func(below int) int {
		at++
		return int(stream.Float64(at) * float64(below))
	}
	list := make([]*data.Trajectory, n)
	for i := range list {
		t := &data.Trajectory{ID: fmt.Sprintf("t%d", i), Problem: fmt.Sprintf("Add numbers, sheet %d.", i)}
		for range 1 + draw(4) {
			a, b, wrong := draw(10), draw(10), draw(2)
			t.ResponseSteps = append(t.ResponseSteps, fmt.Sprintf("%d+%d=%d", a, b, a+b+wrong))
			t.Labels.Steps = append(t.Labels.Steps, data.Float(1-0.75*float64(wrong)))
		}
		if i%3 == 0 {
			t.Labels.Trajectory = data.Float(0.5)
		}
		list[i] = t
	}
	return list
}

// config trains 7 steps an epoch (the last one smaller) on 26 trajectories, 2 held out.
func config(t testing.TB, base string) TrainConfig {
	c := DefaultTrainConfig()
	c.Model, c.Out, c.Cache = base, filepath.Join(t.TempDir(), "run"), filepath.Join(t.TempDir(), "cache")
	c.Data.Trajectories, c.Data.EvalShare = Slice(sums(28, 5)), new(0.06)
	c.Text.Template, c.Text.Separator = "none", "\n"
	c.Train, c.LoRA.Rank = "full", 4
	c.Batch = Batch{Trajectories: 4, Tokens: 120}
	c.Optim.LR, c.Optim.HeadLR, c.Optim.Epochs = new(1e-3), new(1e-3), 2
	c.Eval.Every, c.Checkpoint.Every, c.Checkpoint.Keep = new(5), new(3), new(2)
	c.Seed, c.Backend = new(uint64(3)), "portable"
	c.Progress, c.Quiet = &bytes.Buffer{}, true
	return c
}

func said(c TrainConfig) string { return c.Progress.(*bytes.Buffer).String() }

func train(t testing.TB, c TrainConfig) *TrainResult {
	t.Helper()
	r, err := Train(context.Background(), c)
	require.NoError(t, err)
	return r
}

// weights are the bytes of every tensor file of a run's model.
func weights(t testing.TB, out string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(out, "model", "*.safetensors"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	var all strings.Builder
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		all.Write(b)
	}
	return all.String()
}

// rows are a run's metrics lines without what the clock says.
func rows(t testing.TB, out string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(out, "metrics.jsonl"))
	require.NoError(t, err)
	var list []string
	for line := range strings.Lines(string(text)) {
		var row map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &row))
		delete(row, "time")
		delete(row, "tokens_per_s")
		b, err := json.Marshal(row)
		require.NoError(t, err)
		list = append(list, string(b))
	}
	return list
}
