package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goprm/goprm/internal/shareddata"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

// prm runs a command line in this process.
func prmCommand(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = run(context.Background(), args, strings.NewReader(""), &out, &err)
	return code, out.String(), err.String()
}

func write(t *testing.T, path, content string) string {
	require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	return path
}

// fixture is a tiny model, labelled trajectories and a configuration.
func fixture(t *testing.T) (dir, model, labelled, config string) {
	dir = t.TempDir()
	model = filepath.Join(dir, "model")
	require.NoError(t, tinymodel.Write(model, tinymodel.Options{}))
	var rows strings.Builder
	for i := range 24 {
		fmt.Fprintf(&rows, `{"id":"%d","problem":"Number %d?","steps":["One.","Two."],"labels":{"steps":[%g,0.3],"trajectory":0.5}}`+"\n", i, i, float64(i%5)/4)
	}
	labelled = write(t, filepath.Join(dir, "labelled.jsonl"), rows.String())
	config = write(t, filepath.Join(dir, "run.yaml"), fmt.Sprintf("model: %s\ndata: {train: [%s], eval_share: 0.2}\ntrain: lora\nbatch: {trajectories: 4}\nout: %s\n", model, labelled, filepath.Join(dir, "run")))
	return dir, model, labelled, config
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args   string
		code   int
		stdout string
		stderr string
	}{
		{"", 0, "Commands:", ""},
		{"--help", 0, "tokenize", ""},
		{"train --help", 0, "--dry-run", ""},
		{"dance", 2, "", "prm: unexpected argument dance"},
		{"serve", 2, "", "prm: unexpected argument serve"},
		{"train", 2, "", "missing flags: --config"},
		{"score --model m --in f --on-bad perhaps", 2, "", "--on-bad"},
		{"score --model m --in f --resume", 2, "", "--resume needs --out"},
		{"parity --dtype f16 x", 2, "", "f16"},
		{"parity --dtype bf16 x", 1, "", "prm parity: no backend in this program computes in bf16"},
		{"parity /nowhere", 1, "", "prm parity: /nowhere: neither batch.json"},
		{"inspect /nowhere", 1, "", "prm inspect: stat /nowhere"},
		{"version", 0, "kernels cpu/", ""},
		{"train --config /nowhere.yaml", 1, "", "/nowhere.yaml"},
	} {
		code, stdout, stderr := prmCommand(strings.Fields(c.args)...)
		require.Equal(t, c.code, code, "%s: %s", c.args, stderr)
		require.Contains(t, stdout, c.stdout, c.args)
		require.Contains(t, stderr, c.stderr, c.args)
		if code != 0 {
			require.Equal(t, 1, strings.Count(stderr, "\n"), "one line: %q", stderr)
			require.Empty(t, stdout, c.args)
		}
	}
}

func TestTrainScoreAndResume(t *testing.T) {
	dir, model, labelled, config := fixture(t)
	code, stdout, stderr := prmCommand("train", "--dry-run", "--config", config)
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, "⟦")
	require.NoDirExists(t, filepath.Join(dir, "run"))

	code, _, stderr = prmCommand("--quiet", "train", "--config", config, "--set", "optim.lrr=1")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "optim.lr", "the nearest key is named")

	code, stdout, stderr = prmCommand("train", "--set", "optim.epochs=2", "--config", config, "--quiet")
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, "model: ")
	require.NotContains(t, stderr, "train ", "quiet")
	code, _, stderr = prmCommand("train", "--config", config)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "run", "an existing folder is refused")
	code, stdout, _ = prmCommand("train", "--config", config, "--set", "optim.epochs=2", "--resume")
	require.Equal(t, 0, code)
	require.Contains(t, stdout, "is complete")

	trained, scores := filepath.Join(dir, "run", "model"), filepath.Join(dir, "scores.jsonl")
	code, stdout, stderr = prmCommand("score", "--in", labelled, "--model", trained, "--out", scores)
	require.Equal(t, 0, code, stderr)
	require.Empty(t, stdout)
	whole, err := os.ReadFile(scores)
	require.NoError(t, err)
	require.Equal(t, 24, bytes.Count(whole, []byte("\n")))
	var row struct {
		ID    string
		Steps []struct {
			Part  string
			Start *int
			Score float64
		}
		Trajectory, Reward *float64
	}
	require.NoError(t, json.Unmarshal(whole[:bytes.IndexByte(whole, '\n')], &row))
	require.Equal(t, "0", row.ID)
	require.Len(t, row.Steps, 2)
	require.Equal(t, "thinking", row.Steps[0].Part)
	require.InDelta(t, (row.Steps[0].Score+row.Steps[1].Score)/2+*row.Trajectory, *row.Reward, 1e-12)

	// an unfinished output, its last line torn, goes on to the same bytes
	write(t, scores+".part", string(whole[:len(whole)/2]))
	require.NoError(t, os.Remove(scores))
	code, _, stderr = prmCommand("score", "--in", labelled, "--model", trained, "--out", scores, "--resume")
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stderr, "resumed after")
	resumed, err := os.ReadFile(scores)
	require.NoError(t, err)
	require.Equal(t, string(whole), string(resumed))
	require.NoFileExists(t, scores+".part")

	bad := write(t, filepath.Join(dir, "bad.jsonl"), `{"id":"a","problem":"p","steps":["s"]}`+"\n"+`{"id":"b","problem":5}`+"\n"+`{"id":"c","problem":"p","steps":["s"]}`+"\n")
	code, stdout, stderr = prmCommand("score", "--in", bad, "--model", trained)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "bad.jsonl:2")
	code, stdout, stderr = prmCommand("score", "--in", bad, "--model", trained, "--on-bad", "skip")
	require.Equal(t, 0, code, stderr)
	require.Equal(t, 2, strings.Count(stdout, "\n"))
	require.Contains(t, stderr, "1 trajectories were skipped")

	code, stdout, _ = prmCommand("inspect", model, "--json")
	require.Equal(t, 0, code)
	require.True(t, json.Valid([]byte(stdout)))
}

func TestParity(t *testing.T) {
	code, stdout, stderr := prmCommand("parity", "../../internal/parity/testdata/wide", "--dtype", "f64", "--backend", "portable")
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, "1 folders agree with PyTorch in f64 on cpu/portable")
}

func TestTokenize(t *testing.T) {
	dir, model, _, _ := fixture(t)
	in := write(t, filepath.Join(dir, "in.jsonl"), `{"text":"ab"}`+"\n"+`{"text":""}`+"\n"+`{"text":"a<|im_end|>"}`+"\n")
	code, stdout, stderr := prmCommand("tokenize", "--in", in, "--tokenizer", model)
	require.Equal(t, 0, code, stderr)
	require.Equal(t, `{"ids":[97,98]}`+"\n"+`{"ids":[]}`+"\n"+`{"ids":[97,258]}`+"\n", stdout)
	write(t, in, `{"text":"ab"}`+"\n"+`{"words":"ab"}`+"\n")
	code, _, stderr = prmCommand("tokenize", "--in", in, "--tokenizer", model, "--out", filepath.Join(dir, "out"))
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "in.jsonl:2")
	require.NoFileExists(t, filepath.Join(dir, "out"), "no half output")
}

func TestInspectVerdicts(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(shareddata.Dir(t), "data", "badinput", "safetensors", "*"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		code, _, stderr := prmCommand("inspect", f)
		if strings.HasPrefix(filepath.Base(f), "ok_") {
			require.Equal(t, 0, code, stderr)
		} else {
			require.Equal(t, 1, code, f)
			require.Contains(t, stderr, filepath.Base(f))
		}
	}
}
