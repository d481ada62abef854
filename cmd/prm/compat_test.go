package main

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goprm/goprm/data/label/store"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/goprm/goprm/internal/tokenshard"
	"github.com/goprm/goprm/prm"
	"github.com/stretchr/testify/require"
)

// compatDir holds files of every kind that outlives the program, as a released version wrote them. Later versions must read them.
// GOPRM_UPDATE_COMPAT=1 go test -run TestCompat ./cmd/prm writes them anew: only where a format changes on purpose, and then the files of
// the version before must go on being read, or be refused by name.
const compatDir = "testdata/compat"

// compatKinds are the files that are kept, and what they are.
var compatKinds = []string{
	"base",                             // a model folder
	"rows.jsonl",                       // trajectories
	"run",                              // a finished run: configuration, run.json, metrics, events, checkpoint, adapter
	"head",                             // a model whose base lies elsewhere
	"scores.jsonl", "rows.scores.part", // stored scores, whole and unfinished
	"labels",      // labels as JSON and parquet, manifest, card, store of paid results
	"label.yaml",  // what they were made with
	"audit.jsonl", // of a server
	"cache",       // tokens of a data file
}

// compatCommands are read-only commands over those files, by the name of their recorded output.
var compatCommands = map[string][]string{
	"score-run":        {"score", "run", "rows.jsonl", "--base", "base", "--backend", "portable"},
	"score-checkpoint": {"score", "run/checkpoints/step-00000002", "rows.jsonl", "--base", "base", "--backend", "portable"},
	"score-head":       {"score", "head", "rows.jsonl", "--base", "base", "--backend", "portable"},
	"eval-scores":      {"eval", "--bench", "steps", "--data", "rows.jsonl", "--scores", "scores.jsonl"},
	"eval-labels":      {"eval", "--bench", "steps", "--data", "labels/labels.parquet", "--scores", "scores.jsonl"},
	"select":           {"select", "--in", "rows.jsonl", "--scores", "scores.jsonl", "--top", "3"},
	"inspect-run":      {"inspect", "run", "--base", "base", "--json"},
	"inspect-point":    {"inspect", "run/checkpoints", "--base", "base", "--json"},
	"label-status":     {"label", "status", "labels", "--json"},
}

// compatTrain is the run that is kept; --resume extends it.
func compatTrain(steps string, more ...string) []string {
	return append([]string{"train", "--steps", steps, "--quiet", "--set", "backend=portable", "--set", "model=base", "--set",
		"data.train=rows.jsonl", "--set", "cache=cache", "--set", "lora.rank=1", "--set", "lora.targets=[q_proj]", "--set", "eval.every=1",
		"--batch-size", "4", "--out", "run"}, more...)
}

// TestCompat reads the files and compares what commands make of them with what the version that wrote them made.
func TestCompat(t *testing.T) {
	kept, err := filepath.Abs(compatDir)
	require.NoError(t, err)
	if os.Getenv("GOPRM_UPDATE_COMPAT") != "" {
		writeCompat(t, kept)
	}
	dir := t.TempDir()
	t.Chdir(dir)
	require.NoError(t, os.CopyFS(dir, os.DirFS(kept)))
	for name, command := range compatCommands {
		require.Empty(t, differs(recorded(t, name), compatRun(t, command...), 1e-5), name)
	}

	// An unfinished score file is taken up: its lines must come out the same, number for number.
	require.NoError(t, os.Rename("rows.scores.part", "taken.jsonl.part"))
	_ = compatRun(t, "score", "run", "rows.jsonl", "--base", "base", "--backend", "portable", "--resume", "--out", "taken.jsonl")
	require.Empty(t, differs(recorded(t, "score-run"), read(t, "taken.jsonl"), 1e-5))
	replayed := compatRun(t, "score", "run", "--base", "base", "--backend", "portable", "--replay", "audit.jsonl")
	require.Contains(t, replayed, "1 texts: ")

	// A run is extended from the checkpoint, the cached tokens are read, labelling asks for nothing that was paid for.
	require.Equal(t, recorded(t, "tokens"), shards(t))
	_ = compatRun(t, compatTrain("4", "--resume")...)
	require.Empty(t, differs(recorded(t, "metrics"), losses(t), 1e-5))
	labels := read(t, "labels/labels.jsonl")
	relabelled := compatRun(t, "label", "--config", "label.yaml", "--in", "rows.jsonl", "--out", "labels")
	require.Contains(t, relabelled, " 0 asked, 12 from the store")
	require.Equal(t, labels, read(t, "labels/labels.jsonl"))
	s, err := store.Open("labels/labels.db", store.Options{})
	require.NoError(t, err)
	require.NoError(t, s.Close())
	_ = compatRun(t, "report", "run", "scores.jsonl", "--data", "rows.jsonl", "--out", "report.html")
}

// writeCompat makes the files and records what this version reads in them.
func writeCompat(t *testing.T, kept string) {
	t.Helper()
	dir := filepath.Join(os.TempDir(), "goprm-compat") // stands in the files as the base's place
	require.NoError(t, os.Mkdir(dir, 0o755))
	defer func() { require.NoError(t, os.RemoveAll(dir)) }()
	t.Chdir(dir)
	require.NoError(t, tinymodel.Write("base", tinymodel.Options{}))
	var rows strings.Builder
	for i := range 12 {
		fmt.Fprintf(&rows, `{"id":"r%d","problem":"What is %d + 1?","steps":["%d + 1 = %d"],"response_steps":["It is %d."],"labels":{"steps":[%g,1],`+
			`"trajectory":%g},"answer":"%d"}`+"\n", i, i, i, i+1+i%2, i+1+i%2, 1-float64(i%2)*0.9, float64(1-i%2), i+1)
	}
	write(t, "rows.jsonl", rows.String())
	write(t, "label.yaml", "encoder: {kind: none}\nparts: [quality]\njudge: {kind: equations}\n")
	_ = compatRun(t, compatTrain("2")...)
	_ = compatRun(t, "train", "--steps", "2", "--quiet", "--train", "head", "--model", "base", "--data", "rows.jsonl", "--out", "head-run",
		"--set", "backend=portable")
	require.NoError(t, os.Rename("head-run/model", "head"))
	_ = compatRun(t, "score", "run", "rows.jsonl", "--base", "base", "--backend", "portable", "--out", "scores.jsonl")
	lines := strings.SplitAfter(read(t, "scores.jsonl"), "\n")
	write(t, "rows.scores.part", strings.Join(lines[:6], "")+lines[6][:40])
	_ = compatRun(t, "label", "--config", "label.yaml", "--in", "rows.jsonl", "--out", "labels")
	auditCompat(t)

	require.NoError(t, os.RemoveAll(kept))
	for _, name := range compatKinds {
		info, err := os.Stat(name)
		require.NoError(t, err)
		if info.IsDir() {
			require.NoError(t, os.CopyFS(filepath.Join(kept, name), os.DirFS(name)))
			continue
		}
		require.NoError(t, os.MkdirAll(kept, 0o755))
		write(t, filepath.Join(kept, name), read(t, name))
	}
	record := func(name, text string) {
		require.NoError(t, os.MkdirAll(filepath.Join(kept, "read"), 0o755))
		write(t, filepath.Join(kept, "read", name), text)
	}
	for name, command := range compatCommands {
		record(name, compatRun(t, command...))
	}
	record("tokens", shards(t))
	_ = compatRun(t, compatTrain("4", "--resume")...)
	record("metrics", losses(t))
}

// auditCompat serves the run once, with an audit log.
func auditCompat(t *testing.T) {
	t.Helper()
	model, err := prm.Open("run", prm.OpenOptions{Backend: "portable"})
	require.NoError(t, err)
	log, err := os.Create("audit.jsonl")
	require.NoError(t, err)
	server, err := prm.NewServer(model, prm.ServerOptions{Audit: log, AuditShare: 1})
	require.NoError(t, err)
	answer := httptest.NewRecorder()
	server.ServeHTTP(answer, httptest.NewRequest("POST", "http://127.0.0.1/v1/steps", strings.NewReader(`{"problem":"1+1?","response":"It is 2."}`)))
	require.Equal(t, 200, answer.Code, answer.Body)
	require.NoError(t, server.Close())
	require.NoError(t, model.Close())
	require.NoError(t, log.Close())
}

func compatRun(t *testing.T, args ...string) string {
	t.Helper()
	code, stdout, stderr := prmCommand(args...)
	require.Zero(t, code, "prm %s: %s", strings.Join(args, " "), stderr)
	return stdout
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

func recorded(t *testing.T, name string) string { return read(t, filepath.Join("read", name)) }

// losses are what a step's line of metrics.jsonl says that does not depend on the clock.
func losses(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	for line := range strings.Lines(read(t, "run/metrics.jsonl")) {
		var m map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &m))
		for _, clock := range []string{"time", "tokens_per_s"} {
			delete(m, clock)
		}
		text, err := json.Marshal(m)
		require.NoError(t, err)
		out.Write(append(text, '\n'))
	}
	return out.String()
}

// shards lists the tokens that the cache holds.
func shards(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob("cache/tokens/*/*.safetensors")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	var out strings.Builder
	for _, file := range files {
		s, err := tokenshard.Open(file)
		require.NoError(t, err)
		for _, r := range s.Rows {
			fmt.Fprintf(&out, "%s %v %v %v %v\n", r.ID, r.Tokens, r.Reads, r.Lengths, r.Subset)
		}
		require.NoError(t, s.Close())
	}
	return out.String()
}

// differs compares texts of JSON values: fields that the record lacks may be added, numbers may differ by the tolerance.
func differs(was, now string, tolerance float64) string {
	a, b := values(was), values(now)
	if len(a) != len(b) {
		return fmt.Sprintf("%d values, now %d", len(a), len(b))
	}
	for i := range a {
		if d := differ(a[i], b[i], tolerance); d != "" {
			return fmt.Sprintf("value %d: %s", i, d)
		}
	}
	return ""
}

func values(text string) (list []any) {
	for decoder := json.NewDecoder(strings.NewReader(text)); ; {
		var v any
		if decoder.Decode(&v) != nil {
			return list
		}
		list = append(list, v)
	}
}

func differ(was, now any, tolerance float64) string {
	switch a := was.(type) {
	case map[string]any:
		b, ok := now.(map[string]any)
		if !ok {
			return fmt.Sprintf("%v, now %v", was, now)
		}
		for name, v := range a {
			other, there := b[name]
			if !there {
				return name + " is missing"
			}
			if d := differ(v, other, tolerance); d != "" {
				return name + ": " + d
			}
		}
		return ""
	case []any:
		b, ok := now.([]any)
		if !ok || len(a) != len(b) {
			return fmt.Sprintf("%v, now %v", was, now)
		}
		for i := range a {
			if d := differ(a[i], b[i], tolerance); d != "" {
				return fmt.Sprintf("[%d]: %s", i, d)
			}
		}
		return ""
	case float64:
		if b, ok := now.(float64); ok && math.Abs(a-b) <= tolerance*max(1, math.Abs(a)) {
			return ""
		}
	default:
		if was == now {
			return ""
		}
	}
	return fmt.Sprintf("%v, now %v", was, now)
}
