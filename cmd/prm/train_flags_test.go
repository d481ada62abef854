package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/goprm/goprm/prm"
	"github.com/stretchr/testify/require"
)

func TestTrainWithoutConfiguration(t *testing.T) {
	dir, model, labelled, config := fixture(t)
	out := filepath.Join(dir, "flags")
	code, stdout, stderr := prmCommand("train", "--model", model, "--data", labelled, "--out", out, "--steps", "2", "--lr", "2e-4", "--train",
		"head",
		"--batch-size", "4")
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, "trained 2 steps")
	c, err := prm.LoadTrainConfig(filepath.Join(out, "config.yaml"), nil)
	require.NoError(t, err)
	require.Equal(t, []any{"head", 2, 2e-4, 4, []string{labelled}},
		[]any{c.Train, c.Optim.Steps, *c.Optim.LR, c.Batch.Trajectories, c.Data.Train})

	// A run folder stands for its configuration, and flags win over it.
	code, stdout, stderr = prmCommand("train", out, "--resume", "--steps", "3")
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, "trained 3 steps")
	require.Contains(t, stderr, "optim.steps: 3 by --steps, in place of 2 in "+filepath.Join(out, "config.yaml"))

	// What --print-config prints is the same configuration again.
	code, printed, stderr := prmCommand("train", config, "--print-config", "--lr", "0.5", "--set", "optim.lr=0.25", "--set",
		`text.split="a: b"`)
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stderr, "optim.lr: 0.5 by --lr, in place of 0.0001 in ")
	again := write(t, filepath.Join(dir, "again.yaml"), printed)
	code, twice, stderr := prmCommand("train", "--print-config", "--config", again)
	require.Equal(t, 0, code, stderr)
	require.Equal(t, printed, twice)
	require.Contains(t, printed, "lr: 0.25\n")
	require.Contains(t, printed, `split: 'a: b'`)
	code, printed, _ = prmCommand("train", "--print-config")
	require.Equal(t, 0, code)
	require.Contains(t, printed, `split: "\n\n"`)
}

func TestUndefinedFiguresHaveReasons(t *testing.T) {
	dir, model, _, _ := fixture(t)
	labelled := write(t, filepath.Join(dir, "good.jsonl"),
		strings.Repeat(`{"problem":"P","steps":["a","b"],"labels":{"steps":[0.9,0.8]}}`+"\n", 4))
	code, stdout, stderr := prmCommand("train", "--model", model, "--data", labelled, "--eval", labelled, "--set", "data.allow_overlap=true",
		"--out", filepath.Join(dir, "one"), "--steps", "1")
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, "step AUROC – (one class only), within trajectories – (no trajectory has good and bad steps)")
	require.NotContains(t, stdout, "NaN")
}

func TestSignalExit(t *testing.T) {
	dir, _, _, config := fixture(t)
	for _, c := range []struct {
		cause error
		flags []string
		code  int
	}{
		{signalled{syscall.SIGTERM}, nil, 0},
		{signalled{syscall.SIGTERM}, []string{"--signal-exit"}, 143},
		{signalled{syscall.SIGINT}, []string{"--signal-exit"}, 130},
		{errors.New("another"), []string{"--signal-exit"}, 0},
	} {
		ctx, end := context.WithCancelCause(context.Background())
		end(c.cause)
		out := filepath.Join(dir, "interrupted")
		code := run(ctx, append([]string{"train", "--config", config, "--out", out, "--quiet"}, c.flags...), strings.NewReader(""),
			new(strings.Builder),
			new(strings.Builder))
		require.Equal(t, c.code, code, "%v", c)
		require.NoError(t, os.RemoveAll(out))
	}
}

func TestScoreSaysWhatWasSkipped(t *testing.T) {
	dir, model, _, config := fixture(t)
	code, _, stderr := prmCommand("train", config, "--steps", "1", "--quiet")
	require.Equal(t, 0, code, stderr)
	in := write(t, filepath.Join(dir, "some.jsonl"), `{"problem":"P","steps":["a"]}`+"\n"+`{"problem":7,"steps":["a"]}`+"\nnot JSON\n")
	code, stdout, stderr := prmCommand("score", filepath.Join(dir, "run"), in, "--on-bad", "skip")
	require.Equal(t, 0, code, stderr)
	require.Equal(t, 1, strings.Count(stdout, "\n"))
	require.Contains(t, stderr, "2 trajectories were skipped, 1 scored; skipped: 1 unreadable, 1 wrong problem")

	for args, message := range map[string]string{
		"score":               "--model is needed",
		"score " + model:      "--in is needed",
		"serve":               "--model is needed",
		"serve a --model b":   "both --model b and a are given",
		"serve m --addr 5000": "it is host:port",
		"plan a b":            "unexpected argument b",
		"label --config c --in f --out o --currency EUR": "are for --plan",
	} {
		code, _, stderr := prmCommand(strings.Fields(args)...)
		require.Equal(t, 2, code, args)
		require.Contains(t, stderr, message, args)
	}
}
