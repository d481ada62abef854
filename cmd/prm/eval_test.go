package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

type evaluated struct {
	Bench         string
	Trajectories  int
	Unscored      int
	Threshold     float64
	ThresholdFrom string  `json:"threshold_from"`
	LabelCut      float64 `json:"label_cut"`
	Metrics       map[string]map[string]*float64
}

func TestEvalEveryBenchmarkWithAModel(t *testing.T) {
	dir, _, labelled, config := fixture(t)
	code, _, stderr := prmCommand("--quiet", "train", "--config", config)
	require.Equal(t, 0, code, stderr)
	model := filepath.Join(dir, "run", "model")
	files := filepath.Join("..", "..", "internal", "bench", "testdata")
	for bench, data := range map[string]string{
		"processbench": filepath.Join(files, "processbench.jsonl"), "prmbench": filepath.Join(files, "prmbench.jsonl"),
		"deltabench": filepath.Join(files, "deltabench.jsonl"),
		"pairs":      filepath.Join(files, "pairs.jsonl"), "steps": labelled,
	} {
		keep := filepath.Join(dir, bench+".scores")
		page, markdown := filepath.Join(dir, bench+".html"), filepath.Join(dir, bench+".md")
		code, direct, stderr := prmCommand("eval", "--bench", bench, "--data", data, "--model", model, "--keep", keep, "--html", page,
			"--markdown", markdown)
		require.Equal(t, 0, code, stderr)
		var r evaluated
		require.NoError(t, json.Unmarshal([]byte(direct), &r))
		require.Equal(t, bench, r.Bench)
		require.Zero(t, r.Unscored)
		for _, file := range []string{page, markdown} {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Contains(t, string(text), "shorter is better")
		}
		args := []string{"eval", "--bench", bench, "--data", data, "--scores", keep}
		code, stored, stderr := prmCommand(args...)
		require.Equal(t, 0, code, stderr)
		require.Equal(t, strings.ReplaceAll(direct, "saved with the model", "the default"), stored)
		code, table, _ := prmCommand(append(args, "--as", "table")...)
		require.Equal(t, 0, code)
		require.Contains(t, table, "longer is better")
		if bench != "pairs" {
			require.Equal(t, "saved with the model", r.ThresholdFrom)
		}

		lines, err := os.ReadFile(keep)
		require.NoError(t, err)
		require.NoError(t, os.Remove(keep))
		write(t, keep+".part", strings.Join(strings.SplitAfter(string(lines), "\n")[:11], ""))
		code, resumed, stderr := prmCommand("eval", "--bench", bench, "--data", data, "--model", model, "--keep", keep, "--resume")
		require.Equal(t, 0, code, stderr)
		require.Contains(t, stderr, "resumed after 11")
		require.Equal(t, direct, resumed)
	}
}

func TestEvalThresholds(t *testing.T) {
	dir := t.TempDir()
	rows := func(name, id string) string {
		return write(t, filepath.Join(dir, name), fmt.Sprintf(`{"id":"a-%[1]s0","problem":"p%[1]s","steps":["x","y"],"label":1}
{"id":"a-%[1]s1","problem":"q%[1]s","steps":["x","y"],"label":-1}
`, id))
	}
	data, tune := rows("data.jsonl", "d"), rows("tune.jsonl", "t")
	scores := write(t, filepath.Join(dir, "scores.jsonl"), `{"id":"a-t1","scores":[0.3,0.3]}
{"id":"a-d0","scores":[0.9,0.15]}
{"id":"a-d1","scores":[0.25,0.9]}
{"id":"a-t0","scores":[0.9,0.1]}
`)
	eval := func(args ...string) (evaluated, string) {
		t.Helper()
		code, stdout, stderr := prmCommand(append([]string{"eval", "--bench", "processbench", "--data", data, "--scores", scores}, args...)...)
		require.Equal(t, 0, code, stderr)
		var r evaluated
		require.NoError(t, json.Unmarshal([]byte(stdout), &r))
		return r, stderr
	}
	r, _ := eval()
	require.Equal(t, 0.5, r.Threshold)
	require.Equal(t, 0.0, *r.Metrics["average"]["f1"], "0.25 is below 0.5")
	r, _ = eval("--threshold", "0.2")
	require.Equal(t, 1.0, *r.Metrics["average"]["f1"])
	require.Equal(t, "as given", r.ThresholdFrom)
	r, _ = eval("--tune", tune)
	require.InDelta(t, 0.2, r.Threshold, 1e-12, "the middle of 0.1 and 0.3, which the tuning data alone know")
	require.Contains(t, r.ThresholdFrom, "tuned on")
	_, stderr := eval()
	require.Contains(t, stderr, "2 lines of scores belong to no trajectory")

	for args, want := range map[string]string{
		"--tune " + data: "a threshold tuned on them would flatter",
		"--data " + tune + " --scores " + write(t, filepath.Join(dir, "few.jsonl"),
			`{"id":"a-d0","scores":[1,1]}`) + " --threshold 0.5": "a second line of scores",
	} {
		code, _, stderr := prmCommand(append([]string{"eval", "--bench", "processbench", "--data", data, "--scores", scores},
			strings.Fields(args)...)...)
		require.Equal(t, 1, code)
		require.Contains(t, stderr, want)
	}
	few := filepath.Join(dir, "few.jsonl")
	code, _, stderr := prmCommand("eval", "--bench", "processbench", "--data", data, "--scores", few)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, `1 trajectories have no scores, such as "a-d1"`)
	code, stdout, stderr := prmCommand("eval", "--bench", "processbench", "--data", data, "--scores", few, "--on-bad", "skip")
	require.Equal(t, 0, code)
	require.Contains(t, stderr, "count nowhere")
	require.NoError(t, json.Unmarshal([]byte(stdout), &r))
	require.Equal(t, 1, r.Unscored)
}

func TestEvalUsage(t *testing.T) {
	data := write(t, filepath.Join(t.TempDir(), "d.jsonl"), `{"id":"a-0","problem":"p","steps":["x"],"label":-1}`)
	for args, want := range map[string]string{
		"":                                    "2 missing flags",
		"--bench processbench --data " + data: "2 --model or --scores is needed",
		"--bench guess --data " + data + " --scores " + data:                                    `1 "guess" is none of processbench`,
		"--bench processbench --data " + data + " --scores " + data + " --threshold 1 --tune x": "2 exclude each other",
		"--bench processbench --data " + data + " --scores " + data + " --threshold NaN":        "2 not a number",
		"--bench pairs --data " + data + " --scores " + data + " --threshold 1":                 "2 pairs have no threshold",
		"--bench processbench --data " + data + " --scores " + data + " --json --as table":      "2 exclude each other",
		"--bench processbench --data " + data + " --scores " + data:                             "1 steps[0]: not an object",
		"--bench processbench --data " + data + " --scores " + data + " --out " + data:          "1 steps[0]",
	} {
		code, stdout, stderr := prmCommand(append([]string{"eval"}, strings.Fields(args)...)...)
		require.Equal(t, want[:1], fmt.Sprint(code), "%s: %s", args, stderr)
		require.Contains(t, stderr, want[2:])
		require.Empty(t, stdout)
		require.Equal(t, 1, strings.Count(stderr, "\n"), stderr)
	}
}
