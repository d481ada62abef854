//go:build linux

package crash

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/goprm/goprm/internal/atomicfile"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

// KillsEnv is how many kills a run of these tests makes, SeedEnv where their numbers begin: runs with other seeds add up.
const (
	KillsEnv = "GOPRM_KILLS"
	SeedEnv  = "SEED"
)

func number(t testing.TB, env string, otherwise int) int {
	text := os.Getenv(env)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, env)
	return n
}

// world is the program, built to fail on demand, and what its commands read.
type world struct {
	dir, prm string
	whole    []whole
}

// whole is what an unbroken run of a job makes.
type whole struct {
	job
	files map[string]string // see made
	ops   []string          // its file operations
	took  time.Duration
}

var shared struct {
	sync.Once
	world
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.dir != "" {
		_ = os.RemoveAll(shared.dir)
	}
	os.Exit(code)
}

// newWorld is the one world of all tests.
func newWorld(t *testing.T) world {
	t.Helper()
	shared.Do(func() { shared.world = makeWorld(t) })
	require.NotEmpty(t, shared.whole, "no unbroken runs")
	return shared.world
}

func makeWorld(t *testing.T) world {
	dir, err := os.MkdirTemp("", "prm-crash-")
	require.NoError(t, err)
	w := world{dir: dir}
	shared.dir = dir // to be removed, whatever fails
	w.prm = filepath.Join(w.dir, "prm")
	build := exec.Command("go", "build", "-tags", "faults", "-o", w.prm, "github.com/goprm/goprm/cmd/prm")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.NoError(t, tinymodel.Write(w.path("base"), tinymodel.Options{}))
	var pool, labelled strings.Builder
	for i := range 30 {
		row := map[string]any{"id": fmt.Sprintf("t%02d", i), "problem": fmt.Sprintf("Add %d and 2.", i),
			"steps": []string{fmt.Sprintf("%d+2=%d", i, i+2+i%3/2), "So that is it."}, "response": fmt.Sprintf("%d", i+2),
			"answer": fmt.Sprint(i + 2)}
		line, err := json.Marshal(row)
		require.NoError(t, err)
		pool.Write(append(line, '\n'))
		row["labels"] = map[string]any{"steps": []float64{1, float64(i % 2)}}
		line, err = json.Marshal(row)
		require.NoError(t, err)
		labelled.Write(append(line, '\n'))
	}
	w.write(t, "pool.jsonl", pool.String())
	w.write(t, "labelled.jsonl", labelled.String())
	w.write(t, "train.yaml", fmt.Sprintf("model: %s\ndata: {train: [%s], eval_share: 0.2}\ntrain: lora\nbatch: {trajectories: 4}\n"+
		"optim: {epochs: 2}\ncheckpoint: {every: 3}\nout: run\n", w.path("base"), w.path("labelled.jsonl")))
	w.write(t, "head.yaml", fmt.Sprintf("model: %s\ndata: {train: [%s]}\ntrain: head\nbatch: {trajectories: 4}\noptim: {epochs: 2}\n"+
		"checkpoint: {every: 5}\nout: run\n", w.path("base"), w.path("labelled.jsonl")))
	w.write(t, "label.yaml", "encoder: {kind: none}\nparts: [quality]\njudge: {kind: equations}\ntrajectory: {kind: rule}\n")
	for _, j := range w.jobs(w.path("reference-train/run/model")) {
		w.whole = append(w.whole, w.unbroken(t, j))
	}
	return w
}

func (w world) path(name string) string { return filepath.Join(w.dir, name) }

func (w world) write(t *testing.T, name, text string) {
	require.NoError(t, os.WriteFile(w.path(name), []byte(text), 0o600))
}

// job is a command that writes into the folder it runs in. What it makes is the same however often it was broken off, but for lines that
// hold the time.
type job struct {
	name   string
	args   []string
	again  []string // added where an earlier run left something
	left   func(dir string) bool
	varies []string // beginnings of names whose content holds times
}

// jobs are in an order in which each may read what those before have made.
func (w world) jobs(model string) []job {
	is := func(name string) func(string) bool {
		return func(dir string) bool {
			_, err := os.Stat(filepath.Join(dir, name))
			return err == nil
		}
	}
	return []job{
		{"train", []string{"train", "--quiet", "--config", w.path("train.yaml")}, []string{"--resume"}, is("run"),
			[]string{"run/events", "run/run.json", "run/metrics.jsonl", "run/checkpoints", ".cache"}},
		{"head", []string{"train", "--quiet", "--config", w.path("head.yaml")}, []string{"--resume"}, is("run"),
			[]string{"run/events", "run/run.json", "run/metrics.jsonl", "run/checkpoints", ".cache"}}, // states of the base lie in .cache
		{"score", []string{"score", "--quiet", "--model", model, "--in", w.path("pool.jsonl"), "--out", "scores.jsonl"}, []string{"--resume"},
			is("scores.jsonl.part"), nil},
		{"select", []string{"select", "--quiet", "--in", w.path("pool.jsonl"), "--model", model, "--top", "5", "--out", "selected.jsonl"}, nil,
			nil, nil},
		{"label", []string{"label", "--quiet", "--config", w.path("label.yaml"), "--in", w.path("pool.jsonl"), "--out", "labels"}, nil, nil,
			[]string{"labels/labels.db"}},
		{"export", []string{"export", "--quiet", "--model", model, "--to", "hf-token-classification", "--merge", "--steps-only", "--out",
			"exported"}, nil,
			nil, nil},
	}
}

// run runs a job in a folder. fault is GOPRM_FAULT; a process that is not done after some time, or after a minute at most, is killed.
func (w world) run(j job, dir, fault string, after time.Duration) (output string, err error) {
	args := j.args
	if j.left != nil && j.left(dir) {
		args = append(append([]string{}, args...), j.again...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), after)
	defer cancel()
	c := exec.CommandContext(ctx, w.prm, args...)
	c.Dir, c.Env = dir, append(os.Environ(), "GOPRM_FAULT="+fault, "GOPRM_FAULT_LOG="+filepath.Join(w.dir, "log"), "TMPDIR="+dir, "HOME="+dir)
	out, err := c.CombinedOutput()
	return string(out), err
}

// unbroken runs a job from beginning to end.
func (w world) unbroken(t *testing.T, j job) whole {
	log, dir := filepath.Join(w.dir, "log"), w.path("reference-"+j.name)
	require.NoError(t, os.RemoveAll(log))
	require.NoError(t, os.Mkdir(dir, 0o700))
	began := time.Now()
	out, err := w.run(j, dir, "", time.Minute)
	require.NoError(t, err, out)
	text, err := os.ReadFile(log)
	require.NoError(t, err)
	u := whole{job: j, files: made(t, j, dir), ops: strings.Split(strings.TrimSpace(string(text)), "\n"), took: time.Since(began)}
	require.NotEmpty(t, u.files)
	return u
}

// made is a hash of each file that a job has made, but for those that vary, of which only the name counts. Litter is an error.
func made(t *testing.T, j job, dir string) map[string]string {
	files := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		require.False(t, atomicfile.Temporary(d.Name()), "litter: %s", path)
		require.NotEqual(t, ".lock", d.Name(), "litter: %s", path)
		if d.IsDir() {
			return nil
		}
		name, err := filepath.Rel(dir, path)
		require.NoError(t, err)
		for _, begins := range j.varies {
			if strings.HasPrefix(name, begins) {
				return nil
			}
		}
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		files[name] = fmt.Sprintf("%x", sha256.Sum256(text))
		return nil
	}))
	return files
}

// TestKilled kills each command again and again, half of the times ahead of one of its file operations and half at random, up to five
// times in a row, then lets it end.
func TestKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	w := newWorld(t)
	kills, seed := number(t, KillsEnv, 18), uint64(number(t, SeedEnv, 1))
	for _, u := range w.whole {
		j := u.job
		random, done := rand.New(rand.NewPCG(seed, uint64(len(j.name)))), 0
		for round := 0; done < kills/6; round++ {
			dir := filepath.Join(w.dir, fmt.Sprintf("%s-%d", j.name, round))
			require.NoError(t, os.Mkdir(dir, 0o700))
			for range 1 + random.IntN(5) {
				fault, after := fmt.Sprintf("kill:%d", 1+random.IntN(len(u.ops))), time.Minute
				if random.IntN(2) == 0 {
					fault, after = "", time.Duration(random.Int64N(int64(u.took)))
				}
				out, err := w.run(j, dir, fault, after)
				if err == nil || errors.Is(err, context.DeadlineExceeded) || exported(j, out) { // it was done by then
					break
				}
				require.True(t, killed(err), "%s, %q after %v: %v\n%s", j.name, fault, after, err, out)
				done++
			}
			w.finish(t, j, dir, u.files)
		}
		t.Logf("%s: %d kills, seed %d", j.name, done, seed)
	}
}

// killed reports whether a process ended by SIGKILL.
func killed(err error) bool {
	exit, ok := err.(*exec.ExitError)
	if !ok {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// finish runs a job that was broken off to its end, which must be that of an unbroken one.
func (w world) finish(t *testing.T, j job, dir string, want map[string]string) {
	t.Helper()
	if out, err := w.run(j, dir, "", time.Minute); err != nil {
		require.True(t, exported(j, out), "%s: %v\n%s", j.name, err, out)
	}
	require.Equal(t, want, made(t, j, dir), "%s in %s", j.name, dir)
	require.NoError(t, os.RemoveAll(dir))
}

// exported reports that an export was killed when all was there: another one refuses to write over it.
func exported(j job, out string) bool { return j.name == "export" && strings.Contains(out, "exists") }

// TestNthOperationFails lets one file operation of a command fail as on a full disk: it says so and names a file, or its output is right,
// nothing is littered, and a second run ends as an unbroken one. Without GOPRM_KILLS it tries some operations of each command.
func TestNthOperationFails(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	w := newWorld(t)
	for _, u := range w.whole {
		j, points := u.job, len(u.ops)
		stride := max(1, points/4)
		if os.Getenv(KillsEnv) != "" {
			stride = 1
		}
		failed := 0
		for n := 1 + number(t, SeedEnv, 1)%stride; n <= points; n += stride {
			dir := filepath.Join(w.dir, fmt.Sprintf("%s-fail-%d", j.name, n))
			require.NoError(t, os.Mkdir(dir, 0o700))
			out, err := w.run(j, dir, fmt.Sprintf("fail:%d", n), time.Minute)
			if err != nil {
				require.Contains(t, out, "no space left", "%s, operation %d", j.name, n)
				require.NotContains(t, out, "goroutine ", "%s, operation %d", j.name, n)
				require.Equal(t, 1, err.(*exec.ExitError).ExitCode(), out)
				made(t, j, dir) // no litter
				failed++
			}
			w.finish(t, j, dir, u.files)
		}
		require.Positive(t, failed, j.name)
		t.Logf("%s: %d of %d operations failed", j.name, failed, points)
	}
}
