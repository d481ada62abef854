package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/data/label/store"
	"github.com/goprm/goprm/internal/llmtest"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

// labelFixture is an input of sums, some of them false, and a configuration with vectors from a file and the offline judge.
func labelFixture(t *testing.T) (dir, in, config string) {
	dir = t.TempDir()
	var rows, vectors strings.Builder
	seen := map[string]bool{}
	vector := func(text string) {
		if !seen[text] {
			seen[text] = true
			fmt.Fprintf(&vectors, `{"text":%q,"vector":[%d,%d,1]}`+"\n", text, len(text)%7-3, len(seen)%5-2)
		}
	}
	for i := range 30 {
		problem, right, wrong, response := fmt.Sprintf("What is %d + 1?", i), fmt.Sprintf("%d + 1 = %d", i, i+1),
			fmt.Sprintf("%d + 1 = %d", i, i+2+i%2), fmt.Sprintf(`\boxed{%d}`, i+1+i%2)
		for _, text := range []string{problem, right, wrong, "Let me see.", response} {
			vector(text)
		}
		fmt.Fprintf(&rows, `{"id":"%d","problem":%q,"thinking":%q,"response":%q,"answer":"%d","source":"sums"}`+"\n", i, problem,
			right+"\n\nLet me see.\n\n"+wrong, response, i+1)
	}
	in = write(t, filepath.Join(dir, "in.jsonl"), rows.String())
	write(t, filepath.Join(dir, "vectors.jsonl"), vectors.String())
	config = write(t, filepath.Join(dir, "label.yaml"), fmt.Sprintf("encoder: {kind: file, path: %s}\njudge: {kind: "+
		"equations}\ncoherence: {negatives: 3, pool: 20}\ntrajectory: {kind: rule}\n", filepath.Join(dir, "vectors.jsonl")))
	return dir, in, config
}

func TestLabel(t *testing.T) {
	dir, in, config := labelFixture(t)
	out := filepath.Join(dir, "out")
	code, stdout, stderr := prmCommand("label", "--config", config, "--in", in, "--out", out, "--quiet")
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, "30 trajectories, 90 thinking steps: 60 step labels, 30 trajectory labels")
	require.Contains(t, stdout, "none: quality of 30: nothing to check")
	n := 0
	for row, err := range label.ReadRows(out) {
		require.NoError(t, err)
		q := row.Made.Parts[label.Quality]
		require.Equal(t, []float64{1, 0}, []float64{*q[0], *q[2]})
		require.Nil(t, q[1])
		require.Nil(t, row.Labels.Steps[1])
		require.Equal(t, float64(1-n%2), *row.Labels.Trajectory) // odd ones end with a wrong answer
		n++
	}
	require.Equal(t, 30, n)

	again := filepath.Join(out, label.LabelsFile)
	first, err := os.ReadFile(again)
	require.NoError(t, err)
	code, stdout, stderr = prmCommand("label", "--config", config, "--in", in, "--out", out, "--quiet", "--json")
	require.Equal(t, 0, code, stderr)
	var report label.Report
	require.NoError(t, json.Unmarshal([]byte(stdout), &report))
	require.Empty(t, report.Asked)
	require.Equal(t, map[string]int{"quality": 90, "geometry": 30}, report.Stored)
	second, err := os.ReadFile(again)
	require.NoError(t, err)
	require.Equal(t, string(first), string(second))

	code, stdout, stderr = prmCommand("label", "status", out)
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, "quality: 90 stored, 0 open")
	code, stdout, stderr = prmCommand("label", "report", out)
	require.Equal(t, 0, code, stderr)
	page, err := os.ReadFile(filepath.Join(out, "report.html"))
	require.NoError(t, err)
	require.Contains(t, stdout, "report.html")
	require.Contains(t, string(page), "AUROC of telling right from wrong")
	require.NotContains(t, string(page), "http://")
	require.Contains(t, string(page), `<span class="label">label</span>`, "labels are called labels")
	require.NotContains(t, string(page), "no score")

	// What prm train needs stands in the folder.
	model := filepath.Join(dir, "model")
	require.NoError(t, tinymodel.Write(model, tinymodel.Options{}))
	run := write(t, filepath.Join(dir, "run.yaml"), fmt.Sprintf("model: %s\ndata: {train: [%s], eval_share: 0.2}\ntrain: head\nbatch: "+
		"{trajectories: 4}\nout: %s\n", model, filepath.Join(out, label.ParquetFile), filepath.Join(dir, "run")))
	code, stdout, stderr = prmCommand("train", "--config", run, "--quiet")
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, "trained")
}

func TestLabelShards(t *testing.T) {
	dir, in, config := labelFixture(t)
	whole := filepath.Join(dir, "whole")
	code, _, stderr := prmCommand("label", "--config", config, "--in", in, "--out", whole, "--quiet")
	require.Equal(t, 0, code, stderr)
	args := []string{"label", "merge", "--out", filepath.Join(dir, "merged")}
	for i := range 7 {
		out := filepath.Join(dir, fmt.Sprint("shard", i))
		code, _, stderr := prmCommand("label", "--config", config, "--in", in, "--out", out, "--shard", fmt.Sprintf("%d/7", i), "--quiet")
		require.Equal(t, 0, code, stderr)
		args = append(args, out)
	}
	code, stdout, stderr := prmCommand(args...)
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, "30 trajectories, 60 step labels")
	for _, name := range []string{label.LabelsFile, label.ParquetFile, label.ManifestFile, label.CardFile} {
		a, err := os.ReadFile(filepath.Join(whole, name))
		require.NoError(t, err)
		b, err := os.ReadFile(filepath.Join(dir, "merged", name))
		require.NoError(t, err)
		require.Equal(t, string(a), string(b), name)
	}
	code, _, stderr = prmCommand(args[:len(args)-1]...)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "shard 6 of 7 is missing")
}

func TestLabelPlan(t *testing.T) {
	dir, in, _ := labelFixture(t)
	config := write(t, filepath.Join(dir, "plan.yaml"), `
servers: {s: {url: "http://localhost:1/v1", key_env: NOT_SET_ANYWHERE, requests_per_minute: 30, prices: {prompt: 1, completion: 2}}}
encoder: {kind: none}
judge: {kind: openai, server: s, model: m, tries: 1, max_tokens: 64}
parts: [quality]
`)
	code, stdout, stderr := prmCommand("label", "--config", config, "--in", in, "--plan")
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, "30 trajectories (0 without a response), 90 thinking steps, 30 response steps")
	require.Contains(t, stdout, "quality at s: 90 calls")
	require.Contains(t, stdout, "3 minutes at the limits given")

	// The time is that of the tokens that the server works on: prompt without what it has seen, and completions.
	var plan ratedPlan
	code, stdout, stderr = prmCommand("label", "--config", config, "--in", in, "--plan", "--json", "--tokens-per-second", "10", "--per-hour",
		"3")
	require.Equal(t, 0, code, stderr)
	require.NoError(t, json.Unmarshal([]byte(stdout), &plan))
	s := plan.Stages[0]
	require.InDelta(t, float64(s.Prompt-s.Cached+s.Completion)/36000, plan.Hours, 1e-12)
	require.InDelta(t, 3*plan.Hours, plan.ServerCost, 1e-12)
	code, stdout, stderr = prmCommand("label", "--config", config, "--in", in, "--plan", "--tokens-per-second", "10", "--per-hour", "3",
		"--currency", "EUR")
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, fmt.Sprintf("cost %.2f EUR; 3 minutes", plan.Cost))
	require.Contains(t, stdout, fmt.Sprintf("%.1f hours, %.2f EUR at 3 an hour", plan.Hours, plan.ServerCost))
}

func TestLabelRefuses(t *testing.T) {
	dir, in, config := labelFixture(t)
	out := filepath.Join(dir, "out")
	require.NoError(t, os.Mkdir(out, 0o777))
	bad := write(t, filepath.Join(dir, "bad.yaml"), "judge: {kind: equations}\npairng: max\n")
	rows := write(t, filepath.Join(dir, "rows.jsonl"), `{"id":"a","problem":"p","thinking":"1 + 1 = 2"}`+"\n{\n")
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--config", config, "--in", in}, 2, "--out is needed"},
		{[]string{"--in", in, "--out", out}, 2, "missing flags: --config"},
		{[]string{"--config", config, "--in", in, "--out", out, "--shard", "7/7"}, 2, "--shard"},
		{[]string{"--config", config, "--in", "-", "--out", out}, 2, "stdin"},
		{[]string{"--config", bad, "--in", in, "--out", out}, 1, "unknown key pairng: the nearest known key is pairing"},
		{[]string{"--config", config, "--in", rows, "--out", out}, 1, "rows.jsonl:2"},
		{[]string{"--config", config, "--in", filepath.Join(dir, "none"), "--out", out}, 1, "none"},
		{[]string{"merge", filepath.Join(dir, "none"), "--out", out}, 1, "manifest.json"},
		{[]string{"report", out}, 1, "no output is whole yet"},
		{[]string{"status", filepath.Join(dir, "none")}, 1, "label store"},
	} {
		code, _, stderr := prmCommand(append([]string{"label", "--quiet"}, c.args...)...)
		require.Equal(t, c.code, code, "%v: %s", c.args, stderr)
		require.Contains(t, stderr, c.want, "%v", c.args)
		require.Equal(t, 1, strings.Count(strings.TrimSpace(stderr), "\n")+1, "one line: %s", stderr)
	}
	code, stdout, stderr := prmCommand("label", "--config", config, "--in", rows, "--out", out, "--on-bad", "skip", "--quiet")
	require.Equal(t, 1, code, "vectors.jsonl lacks the text: there is no label at all")
	require.Contains(t, stderr, "not one item could be labelled: 1 of align: the file of vectors lacks a text")
	require.Contains(t, stdout, "1 rows could not be read")

	s, err := store.Open(label.StorePath(out), store.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	code, _, stderr = prmCommand("label", "--config", config, "--in", in, "--out", out)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "in use")

	// Who holds the store tells others how far it is.
	stop := label.KeepStatus(out, s, slog.Default())
	code, stdout, stderr = prmCommand("label", "status", out)
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, "a run is under way; this is what it told at ")
	require.Contains(t, stdout, "output: 1 trajectories")
	stop()
	code, _, stderr = prmCommand("label", "status", out)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "in use")
}

// A server that misbehaves on every third request: the run ends with what is open, the runs after it with labels alone, each
// of an answer that the server gave; and a budget that is spent ends the calls, with the labels made so far.
func TestLabelWithAServer(t *testing.T) {
	dir, in, _ := labelFixture(t)
	server := llmtest.New(llmtest.Script{Fault: llmtest.Random(1, 0.3, llmtest.ServerError, llmtest.CutJSON, llmtest.OutOfRange, llmtest.NaN,
		llmtest.Prose, llmtest.Refusal, llmtest.Length)})
	defer server.Close()
	configure := func(name string, budget int) string {
		return write(t, filepath.Join(dir, name), fmt.Sprintf(`
servers: {s: {url: %q, attempts: 1, prices: {prompt: 1, completion: 2}}}
encoder: {kind: none}
judge: {kind: openai, server: s, model: m, tries: 1, max_tokens: 64}
parts: [quality]
budget: {tokens: %d}
`, server.URL(), budget))
	}
	config, out := configure("server.yaml", 0), filepath.Join(dir, "served")
	run := func(config, out string) (report label.Report, code int, stderr string) {
		code, stdout, stderr := prmCommand("label", "--config", config, "--in", in, "--out", out, "--quiet", "--json")
		require.NoError(t, json.Unmarshal([]byte(stdout), &report), stderr)
		return report, code, stderr
	}
	first, code, stderr := run(config, out)
	require.Equal(t, 0, code, stderr)
	require.Equal(t, 90, first.StepLabels+first.OpenItems())
	require.Greater(t, first.OpenItems(), 5)
	last := first
	for runs := 0; last.OpenItems() > 0; runs++ {
		require.Less(t, runs, 30)
		before, _, _ := server.Count()
		open := last.OpenItems()
		last, code, stderr = run(config, out)
		require.Equal(t, 0, code, stderr)
		after, _, _ := server.Count()
		require.Equal(t, open, after-before, "only what is open is asked")
	}
	said := map[string]bool{}
	for _, c := range server.Calls() {
		for _, text := range c.Said {
			said[text] = true
		}
	}
	for row, err := range label.ReadRows(out) {
		require.NoError(t, err)
		for i, v := range row.Made.Verdicts {
			require.True(t, said[rawText(t, v.Raw[0])], "%s: nobody said %s", row.ID, v.Raw[0])
			require.Equal(t, v.Score, *row.Labels.Steps[i])
		}
	}

	tight := configure("tight.yaml", 20000)
	spent, code, stderr := run(tight, filepath.Join(dir, "tight"))
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "the calls ended early: budget")
	require.Positive(t, spent.StepLabels)
	require.Positive(t, spent.OpenItems())
	s, err := store.Open(label.StorePath(filepath.Join(dir, "tight")), store.Options{ReadOnly: true})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	spend, err := s.Spend()
	require.NoError(t, err)
	require.LessOrEqual(t, spend.Total().Tokens, int64(20000))
}

// A program is the judge: what it writes to standard error is information, that it ended is a warning.
func TestLabelExec(t *testing.T) {
	dir, in, _ := labelFixture(t)
	script := write(t, filepath.Join(dir, "judge.sh"), `echo loading the model >&2
while read -r line; do
	case $line in *"Let me see."*"What is 7 "*|*"What is 7 "*"Let me see."*) exit 3;; esac
	id=${line#*\"id\":\"}
	printf '{"id":"%s","scores":[0.5]}\n' "${id%%\"*}"
done
`)
	config := write(t, filepath.Join(dir, "exec.yaml"), fmt.Sprintf("encoder: {kind: none}\nparts: [quality]\njudge: {kind: exec, "+
		"command: [sh, %q]}\n", script))
	for _, quiet := range []bool{false, true} {
		args := []string{"label", "--config", config, "--in", in, "--out", filepath.Join(dir, fmt.Sprint("out", quiet))}
		if quiet {
			args = append(args, "--quiet")
		}
		code, stdout, stderr := prmCommand(args...)
		require.Equal(t, 0, code, stderr)
		require.Contains(t, stdout, "30 trajectories, 90 thinking steps: 88 step labels")
		require.Contains(t, stdout, "open: quality of 2: the program ended before it answered: exit status 3")
		require.Equal(t, !quiet, strings.Contains(stderr, "program writes: stderr loading the model"), stderr)
		require.Contains(t, stderr, "warning: the judge's program is started again: because execjudge: the program ended before it answered: "+
			"exit status 3")
	}
}

// rawText is the answer as the server gave it.
func rawText(t *testing.T, raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(raw)
}
