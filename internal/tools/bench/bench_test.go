package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var small = Case{"0.5b", "score", 512, "f32"}

// fake is a folder in which each program is a script that says that it ran, and prints what that program prints.
func fake(t *testing.T) *bench {
	t.Helper()
	dir := t.TempDir()
	programs := map[string]string{
		"prm":                                `{"seconds":[2,1,1],"first":{"score":0.5},"peak_gflops":1000,"backend":"cpu/test"}`,
		"torch/bin/python":                   `{"seconds":[4,2,2],"first":{"score":0.5},"versions":{"torch":"9"}}`,
		"zentorch/bin/python":                `{"seconds":[3,3,3],"first":{"score":0.5},"versions":{}}`,
		"llama.cpp/build/bin/llama-bench":    `[{"samples_ns":[5e9,5e9,5e9],"build_commit":"abc"}]`,
		"ik_llama.cpp/build/bin/llama-bench": `[{"samples_ns":[6e9],"build_commit":"def"}]`,
	}
	for name, prints := range programs {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		script := fmt.Sprintf("#!/bin/sh\necho \"%s $*\" >>%s/ran\necho '%s'\n", name, dir, prints)
		require.NoError(t, os.WriteFile(path, []byte(script), 0o755))
	}
	model := filepath.Join(dir, "models", "0.5b")
	require.NoError(t, os.MkdirAll(model, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(model, "model.safetensors"), nil, 0o644))
	return &bench{programs: dir, scripts: "scripts", threads: 2, rounds: 2, rows: regexp.MustCompile("0.5b/score/512/f32"),
		sides: regexp.MustCompile(""), limit: 1000,
		budget: time.Hour, disturbed: 1e9, repeats: 1, peaks: map[string]float64{"f32": 500}, log: t.Logf}
}

func newResults(t *testing.T, b *bench) *Results {
	t.Helper()
	r, err := openResults(filepath.Join(b.programs, "results.json"), Machine{CPU: "test", MemoryGB: 23})
	require.NoError(t, err)
	return r
}

// ran are the programs that were started for a case, in order, without conversions of models.
func ran(t *testing.T, b *bench) (list []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(b.programs, "ran"))
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if !strings.Contains(line, "gguf_model.py") && !strings.Contains(line, "--convert") {
			words := strings.Fields(line)
			name := words[0]
			for i, word := range words {
				if word == "--engine" {
					name += " " + words[i+1]
				}
			}
			list = append(list, name)
		}
	}
	return list
}

func TestProgramsRunInTurn(t *testing.T) {
	b := fake(t)
	r := newResults(t, b)
	require.NoError(t, b.measureAll(context.Background(), r))
	round := []string{"prm", "torch/bin/python eager", "torch/bin/python compile", "zentorch/bin/python zentorch", "torch/bin/python",
		"llama.cpp/build/bin/llama-bench", "ik_llama.cpp/build/bin/llama-bench"}
	require.Equal(t, append(append([]string{}, round...), round...), ran(t, b))

	again := newResults(t, b)
	require.Equal(t, r.tables(), again.tables(), "what was measured is read again, and nothing runs")
	require.NoError(t, b.measureAll(context.Background(), again))
	require.Len(t, ran(t, b), 14)
	b.rounds = 3
	require.NoError(t, b.measureAll(context.Background(), again))
	require.Equal(t, round, ran(t, b)[14:], "a third round of each")
}

func TestDisturbedRunsAreRepeatedAndCounted(t *testing.T) {
	b := fake(t)
	b.disturbed = -1
	r := newResults(t, b)
	require.NoError(t, b.measureAll(context.Background(), r))
	e := r.row(small).side("goprm")
	require.Len(t, e.Runs, 4, "two rounds, each with one repeat")
	require.Empty(t, e.kept())
	require.Contains(t, e.why(), "all 4 runs disturbed")
	require.Contains(t, r.tables(), "all 4 runs disturbed")

	b.disturbed = 1e9
	require.NoError(t, b.measureAll(context.Background(), r))
	require.Len(t, e.kept(), 2)
	require.Contains(t, r.tables(), "| 2 (4) |")
}

// Other programs' time is what the machine was busy with beyond this process and its children.
func TestOthersAreSeen(t *testing.T) {
	require.InDelta(t, 0.01*(100+5+30+2+3+4), parseBusy("cpu  100 5 30 900 50 2 3 4 7 8\ncpu0 1 1 1 1\n"), 1e-9)
	other := exec.Command("/bin/sh", "-c", "while :; do :; done")
	require.NoError(t, other.Start())
	defer func() { _, _ = other.Process.Kill(), other.Wait() }()
	f, err := execute(context.Background(), []string{"/bin/sleep", "1"}, nil, limits{seconds: 60})
	require.NoError(t, err)
	require.Greater(t, f.others, 0.2)
	require.Greater(t, f.rss, 0.5)
}

func TestLimitsStopAProcess(t *testing.T) {
	began := time.Now()
	_, err := execute(context.Background(), []string{"/bin/sh", "-c", "sleep 60 & sleep 60"}, nil, limits{seconds: 0.3})
	require.ErrorContains(t, err, "stopped: not done after 0 s")
	_, err = execute(context.Background(), []string{"/bin/sleep", "60"}, nil, limits{seconds: 60, left: 1 << 60})
	require.ErrorContains(t, err, "the machine's last memory")
	require.Less(t, time.Since(began), 20*time.Second)
	_, err = execute(context.Background(), []string{"/bin/sh", "-c", "echo first >&2; echo the reason >&2; exit 3"}, nil, limits{seconds: 60})
	require.ErrorContains(t, err, "exit status 3: the reason")
}

// Every case stands in the tables, with numbers or with a reason, for every program.
func TestNothingIsLeftOut(t *testing.T) {
	b := fake(t)
	b.rows, b.rounds, b.limit = regexp.MustCompile("0.5b/(score/512|full/512|full/8192)|1.5b/full/512/f32|1.5b/head/8192/bf16"), 1, 250
	require.NoError(t, os.Remove(b.program("ik_llama.cpp/build/bin/llama-bench")))
	require.NoError(t, os.WriteFile(b.program("zentorch.failed"), []byte("Error: it wants\nanother PyTorch\n"), 0o644))
	require.NoError(t, os.WriteFile(b.program("llama.cpp/build/bin/llama-bench"), []byte("#!/bin/sh\necho broken | cat >&2; exit 1\n"), 0o755))
	r := newResults(t, b)
	require.NoError(t, b.measureAll(context.Background(), r))
	require.Len(t, r.Rows, len(b.selected()))
	for _, row := range r.Rows {
		for _, s := range sides() {
			e := row.side(s.Name)
			require.Equal(t, len(e.kept()) > 0, e.why() == "", "%s %s", row.Case, s.Name)
		}
	}
	tables := r.tables()
	for _, want := range []string{"not installed: another PyTorch", "exit status 1: broken", "does not train",
		"| ik_llama.cpp | 0.5b/score/512/f32, 0.5b/score/512/bf16, 0.5b/score/512/int8 | not installed |",
		"needs about 25 GB of memory, the machine has 23.0", "no int8 that starts from the same weights", "above the limit of 250"} {
		require.Contains(t, tables, want)
	}
	b.budget = -1
	b.rows = regexp.MustCompile("0.5b/lora/512/f32")
	require.NoError(t, b.measureAll(context.Background(), r))
	require.Contains(t, r.tables(), "| goprm | 0.5b/lora/512/f32 | not begun within -1ns |")
}

func TestTables(t *testing.T) {
	b := fake(t)
	r := newResults(t, b)
	r.Machine.Peaks = map[string]float64{"f32": 500, "bf16": 1200}
	require.NoError(t, b.measureAll(context.Background(), r))
	work, err := small.gflop()
	require.NoError(t, err)
	e := r.row(small).side("goprm")
	for i := range e.Runs {
		e.Runs[i].RSS = float64(1000 + i)
	}
	e.Runs[1].Seconds = []float64{4}
	tables := r.tables()
	// Medians of 1 and 4 s; of the ratios 2/1 and 2/4.
	require.Contains(t, tables, fmt.Sprintf("| 512 | f32 | goprm | 204.8 (128.0, 512.0) |  | %.0f %% | 1001 | 2 (0) | 0.5000 |", work/2.5/10))
	require.Regexp(t, regexp.MustCompile(`\| 512 \| f32 \| pytorch \| 256\.0 \(256\.0, 256\.0\) \| 1\.25 × \|`), tables)
	require.Contains(t, tables, "bf16 1200 GFLOP/s, f32 500 GFLOP/s")
	require.Contains(t, tables, "llama.cpp build abc")

	const begin, end = "<!-- make bench: tables -->", "<!-- make bench: end -->"
	page := filepath.Join(t.TempDir(), "benchmarks.md")
	require.NoError(t, os.WriteFile(page, []byte("before\n"+begin+"\nold\n"+end+"\nafter\n"), 0o644))
	require.NoError(t, r.publish(page))
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	require.Equal(t, "before\n"+begin+"\n"+tables+end+"\nafter\n", string(text))
	require.FileExists(t, filepath.Join(filepath.Dir(page), "benchmarks.json"))
	require.NoError(t, os.WriteFile(page, []byte("no lines"), 0o644))
	require.ErrorContains(t, r.publish(page), "has no lines")
}

// What a step took decides what is expected of longer ones: here twice the operations in twice the time.
func TestExpectedTimesComeFromMeasuredOnes(t *testing.T) {
	b := fake(t)
	r := newResults(t, b)
	own, long := sides()[0], Case{"0.5b", "score", 2048, "f32"}
	work, err := small.gflop()
	require.NoError(t, err)
	require.InDelta(t, work/(500*own.Rate), b.stepSeconds(r, small, own), 1e-9)
	require.NoError(t, b.measureAll(context.Background(), r))
	more, err := long.gflop()
	require.NoError(t, err)
	require.InDelta(t, more/work, b.stepSeconds(r, long, own), 1e-9)
	require.Equal(t, 3, small.steps(1))
	require.Equal(t, 1, small.steps(16))
}

func TestProcessorIsRead(t *testing.T) {
	var m Machine
	m.readProcessor("processor\t: 0\nmodel name\t: EPYC\ncpu family\t: 26\nmodel\t\t: 2\nstepping\t: 1\n" +
		"flags\t\t: fpu avx2 avx512_bf16 sse\n\nprocessor\t: 1\nmodel name\t: other\n")
	require.Equal(t, Machine{CPU: "EPYC", Family: "family 26, model 2, stepping 1", Flags: []string{"avx2", "avx512_bf16"}}, m)
	other := m
	other.Kernel = "Linux 9"
	require.NotEqual(t, m.key(), other.key())
}

func TestMedian(t *testing.T) {
	require.InDelta(t, 2, median([]float64{9, 1, 2}), 0)
	require.InDelta(t, 1.5, median([]float64{2, 1}), 0)
	require.Zero(t, median(nil))
}

// Rows of a shape and mode stand together, the shorter texts first and f32 before bf16, in whatever order they were measured.
func TestTablesAreSorted(t *testing.T) {
	r := &Results{}
	for _, c := range []Case{{"0.5b", "score", 2048, "f32"}, {"0.5b", "full", 512, "f32"}, {"0.5b", "score", 512, "bf16"},
		{"0.5b", "score", 512, "f32"}} {
		r.Rows = append(r.Rows, &Row{Case: c, Sides: map[string]*Entry{"goprm": {Runs: []Run{{Seconds: []float64{1}}}}}})
	}
	require.Regexp(t, `(?s)### 0.5b, score\n.*\| 512 \| f32 .*\| 512 \| bf16 .*\| 2048 \|.*### 0.5b, full\n`, r.tables())
	require.Equal(t, 2, strings.Count(r.tables(), "### "))
}

// With AVX2 alone prm and PyTorch are told so, the others are left out, and the results have a file and a part of the page of their own.
func TestAVX2Alone(t *testing.T) {
	b := fake(t)
	b.avx2, b.rounds = true, 1
	path := filepath.Join(b.programs, "torch/bin/python")
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\necho python $ATEN_CPU_CAPABILITY $ONEDNN_MAX_CPU_ISA "+
		"$FBGEMM_ENABLE_INSTRUCTIONS >>"+b.programs+"/ran\necho '{\"seconds\":[2]}'\n"), 0o755))
	m := Machine{CPU: "test", MemoryGB: 23, AVX2: true}
	r, err := openResults(filepath.Join(b.programs, "results"+m.suffix()+".json"), m)
	require.NoError(t, err)
	require.NoError(t, b.measureAll(context.Background(), r))
	text, err := os.ReadFile(filepath.Join(b.programs, "ran"))
	require.NoError(t, err)
	require.Regexp(t, `^prm .*--backend avx2\npython avx2 AVX2 AVX2\n$`, string(text))
	require.Contains(t, r.tables(), "### 0.5b, score, AVX2 alone")
	require.Contains(t, r.tables(), "| zentorch | 0.5b/score/512/f32 | it has no switch that keeps it to AVX2 |")
	for _, s := range sides()[:2] {
		_, why := b.expect(r, Case{Shape: "0.5b", Mode: "score", Tokens: 512, DType: "bf16"}, s)
		require.Equal(t, s.Name == "goprm", strings.HasPrefix(why, "with AVX2 it computes in f32"), why)
	}

	page := filepath.Join(b.programs, "page.md")
	before := "a\n<!-- make bench: tables -->\nall\n<!-- make bench: end -->\n"
	require.NoError(t, os.WriteFile(page, []byte(before+"<!-- make bench: tables-avx2 -->\nold\n<!-- make bench: end-avx2 -->\nb\n"), 0o644))
	require.NoError(t, r.publish(page))
	text, err = os.ReadFile(page)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(text), before))
	require.NotContains(t, string(text), "old")
	require.FileExists(t, filepath.Join(b.programs, "benchmarks-avx2.json"))
}
