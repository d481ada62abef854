package prm

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/checkpoint"
	"github.com/goprm/goprm/internal/modelfolder"
	"github.com/goprm/goprm/internal/safetensors"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

// overflowing is a run of 7 steps one of which has a weight that is no number in f32; it also returns which step.
func overflowing(t *testing.T, base string) (TrainConfig, int) {
	c := config(t, base)
	list := sums(28, 5)
	list[6].Labels.Weights = []*float64{data.Float(1e300)}
	c.Data.Trajectories, c.Data.EvalShare = Slice(list), new(0.0)
	c.Optim.Epochs, c.Checkpoint.Every, c.Checkpoint.Keep = 1, new(2), new(9)
	for at, i := range data.Order(*c.Seed, 0, len(list)) {
		if i == 6 {
			return c, at/4 + 1
		}
	}
	panic("not in the order")
}

func state(t *testing.T, out string, step int) (string, checkpointMeta) {
	t.Helper()
	found, err := checkpoint.Read(checkpoint.Dir(filepath.Join(out, checkpointsName), step))
	require.NoError(t, err)
	path, err := found.Path(modelfolder.StateName)
	require.NoError(t, err)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var meta checkpointMeta
	require.NoError(t, found.Meta(&meta))
	return string(text), meta
}

// A step that overflows is passed over and counted; resumed runs have the bits of the whole one. With rollback the weights are those of
// the checkpoint before it.
func TestNonFiniteIsPassedOver(t *testing.T) {
	base := tiny(t, tinymodel.Options{})
	for _, policy := range []string{"skip", "rollback"} {
		c, bad := overflowing(t, base)
		c.OnNonFinite = policy
		c.Checkpoint.Every = new(bad) // so that the one before it lies back
		if policy == "rollback" {
			require.Greater(t, bad, 2)
			c.Checkpoint.Every = new(1)
			early := c
			early.Optim.Steps = 7
			interrupt(t, early, bad-2)
			c = again(early)
			c.Checkpoint.Every = new(bad)
		}
		r := train(t, c)
		require.Equal(t, 7, r.Steps)
		line := rows(t, c.Out)[bad-1]
		require.Contains(t, line, `"loss":null`)
		require.Contains(t, line, `"nonfinite":"`)
		require.Equal(t, 1, strings.Count(strings.Join(rows(t, c.Out), "\n"), "nonfinite"))
		require.Contains(t, strings.Join(r.Warnings, "\n"), fmt.Sprintf("step %d: NaN or Inf in", bad))
		after, meta := state(t, c.Out, bad)
		require.Equal(t, 1, meta.NonFinite)
		if policy == "rollback" {
			before, former := state(t, c.Out, bad-2)
			require.Equal(t, before, after, "the weights and moments of the checkpoint")
			require.Equal(t, former.Updates, meta.Updates)
			continue
		}
		require.Equal(t, bad-1, meta.Updates)
		again, _ := overflowing(t, base)
		again.OnNonFinite = policy
		interrupt(t, again, bad)
		again.Resume = true
		train(t, again)
		require.Equal(t, rows(t, c.Out), rows(t, again.Out))
		require.Equal(t, weights(t, c.Out), weights(t, again.Out))
	}
	c, bad := overflowing(t, base)
	c.OnNonFinite, c.NonFiniteBudget = "skip", new(0)
	_, err := Train(context.Background(), c)
	require.ErrorContains(t, err, fmt.Sprintf("step %d: NaN or Inf in", bad))
	require.ErrorContains(t, err, "nonfinite_budget: 0 steps were passed over already")
	var step *NonFiniteStepError
	require.ErrorAs(t, err, &step)
	c, _ = overflowing(t, base)
	c.OnNonFinite, c.Checkpoint.Every, c.Out = "rollback", new(100), c.Out+"2"
	_, err = Train(context.Background(), c)
	require.ErrorContains(t, err, "there is no checkpoint to go back to yet")
}

// The advice is one that works: resuming with a smaller rate where the message says so, and not where it would fail again.
func TestNonFiniteAdvice(t *testing.T) {
	base := tiny(t, tinymodel.Options{})
	c := config(t, base)
	c.Head.Activation, c.Checkpoint.Every, c.Checkpoint.Keep, c.Optim.Schedule = "identity", new(1), new(1), ScheduleConstant
	c.Optim.HeadLR, c.Optim.LR, c.Optim.Clip, c.Eval.Every = new(1e30), new(1e30), new(0.0), new(0)
	c.Optim.Warmup = new(0.0)
	_, err := Train(context.Background(), c)
	require.ErrorContains(t, err, "its weights cannot take this step either: begin a new run with a smaller optim.lr")

	// A warm-up of one step, so that the first update, which the checkpoint holds, has rate 0.
	c.Out, c.Optim.Warmup, c.Checkpoint.Every = c.Out+"2", new(1.0), new(100)
	_, err = Train(context.Background(), c)
	require.ErrorContains(t, err, "there is no checkpoint yet: begin anew with a smaller optim.lr")
	c.Out = c.Out + "3"
	first := c
	interrupt(t, first, 1)
	c = again(first)
	_, err = Train(context.Background(), c)
	require.ErrorContains(t, err, "the checkpoint of step 1 is intact: resume from it with a smaller optim.lr, optim.head_lr or optim.clip")
	c = again(c)
	c.Optim.LR, c.Optim.HeadLR, c.Optim.Clip = new(1e-4), new(1e-3), new(1.0)
	r := train(t, c)
	require.Equal(t, 14, r.Steps)
	require.Equal(t, 1, r.ResumedFrom)
	record, err := readRecord(filepath.Join(c.Out, recordName))
	require.NoError(t, err)
	last := record.History[len(record.History)-1]
	require.Equal(t, 1, last.FromStep)
	require.Equal(t, []change{{"optim.lr", "1e+30", "0.0001"}, {"optim.head_lr", "1e+30", "0.001"}, {"optim.clip", "0", "1"}}, last.Changed)
	require.Contains(t, said(c), "optim.lr is 0.0001 from step 2 on (it was 1e+30)")
	effective, err := LoadTrainConfig(filepath.Join(c.Out, configName), []string{"data.train=[x]"})
	require.NoError(t, err)
	require.Equal(t, 1e-4, *effective.Optim.LR)
}

func TestWeightsThatAreNoNumbersAreNamed(t *testing.T) {
	c := config(t, tiny(t, tinymodel.Options{}))
	path := filepath.Join(c.Model, "model.safetensors")
	file, err := safetensors.Open(path)
	require.NoError(t, err)
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	const name = "model.layers.0.mlp.up_proj.weight"
	at := strings.Index(string(raw), string(file.Bytes(name)))
	require.NoError(t, file.Close())
	binary.LittleEndian.PutUint32(raw[at+4*5:], math.Float32bits(float32(math.NaN())))
	require.NoError(t, os.WriteFile(path, raw, 0o666))
	_, err = Train(context.Background(), c)
	require.ErrorContains(t, err, `tensor "`+name+`": its weights hold NaN or Inf`)
	require.NoDirExists(t, c.Out)
	_, err = DryRun(context.Background(), c)
	require.ErrorContains(t, err, name)
}
