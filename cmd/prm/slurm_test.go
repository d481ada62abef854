//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// cluster is the Slurm that scripts/slurm.sh has started, and a folder as the recipes expect it.
type cluster struct {
	t   *testing.T
	dir string
}

func slurm(t *testing.T, dir string) cluster {
	if os.Getenv("GOPRM_SLURM") == "" {
		t.Skip("make slurm runs it: GOPRM_SLURM is not set")
	}
	bin := filepath.Join(dir, "bin")
	out, err := exec.Command("go", "build", "-o", bin+"/prm", ".").CombinedOutput()
	require.NoError(t, err, string(out))
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("OMPI_ALLOW_RUN_AS_ROOT", "1")
	t.Setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
	return cluster{t, dir}
}

// command runs one of Slurm's commands in the folder.
func (c cluster) command(args ...string) string {
	c.t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = c.dir
	out, err := cmd.CombinedOutput()
	require.NoError(c.t, err, "%s: %s%s", strings.Join(args, " "), out, c.logs())
	return strings.TrimSpace(string(out))
}

// logs are the ends of what the jobs have printed.
func (c cluster) logs() string {
	files, _ := filepath.Glob(filepath.Join(c.dir, "slurm-*.out"))
	var b strings.Builder
	for _, file := range files {
		text, _ := os.ReadFile(file)
		const most = 2000
		fmt.Fprintf(&b, "\n%s: %s", filepath.Base(file), text[max(0, len(text)-most):])
	}
	return b.String()
}

// until waits for a state of a job or task, as squeue and then scontrol tell it.
func (c cluster) until(job, state string) {
	c.t.Helper()
	got, reason := "", ""
	for range 1200 {
		out, _ := exec.Command("scontrol", "--oneliner", "show", "job", job).Output()
		_, got, _ = strings.Cut(string(out), "JobState=")
		got, reason, _ = strings.Cut(got, " Reason=")
		reason, _, _ = strings.Cut(reason, " ")
		if got == state {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	out, _ := exec.Command("scontrol", "show", "job", job).Output()
	c.t.Logf("%s", out)
	require.Fail(c.t, "the job does not get there", "%s is %s (%s), not %s%s", job, got, reason, state, c.logs())
}

func (c cluster) read(name string) string {
	c.t.Helper()
	text, err := os.ReadFile(filepath.Join(c.dir, name))
	require.NoError(c.t, err)
	return string(text)
}

// score.sbatch as it is deployed, with fewer tasks: one is killed and one is preempted while they write; both are queued again, and the
// merged output is that of one process.
func TestSlurmArray(t *testing.T) {
	dir, model := trained(t)
	c := slurm(t, dir)
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "models"), 0o777))
	require.NoError(t, os.Rename(model, filepath.Join(dir, "models", "prm")))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "traces"), 0o777))
	var rows strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&rows, `{"id":"%d","problem":"p %[1]d","steps":["one","two %[1]d","%s"]}`+"\n", i, strings.Repeat("three ", 30))
	}
	write(t, filepath.Join(dir, "traces", "a.jsonl"), rows.String())
	c.command("prm", "--quiet", "score", "models/prm", "traces", "--out", "whole")

	script, err := filepath.Abs(filepath.Join("..", "..", "scripts", "deploy", "slurm", "score.sbatch"))
	require.NoError(t, err)
	job := c.command("sbatch", "--parsable", "--array=0-7", "--cpus-per-task=1", "--mem=200M", script)
	writes := func(task string) {
		part := filepath.Join(dir, "scores-"+task+".jsonl.part")
		require.Eventually(t, func() bool {
			info, err := os.Stat(part)
			return err == nil && info.Size() > 0
		}, time.Minute, time.Millisecond, "%s", part)
	}
	writes("3")
	killScorer(t, "scores-3.jsonl") // as the kernel does that is out of memory
	writes("5")
	c.command("scontrol", "requeue", job+"_5") // as a job of higher priority does: SIGTERM first
	c.until(job+"_3", "FAILED")
	require.NoFileExists(t, filepath.Join(dir, "scores-3.jsonl"), "the task was faster than the test")
	c.command("scontrol", "requeue", job+"_3")
	for _, task := range []string{"_3", "_5"} { // else Slurm waits two minutes; at once it would start before it has cleaned up
		c.until(job+task, "PENDING")
		c.command("scontrol", "update", "JobId="+job+task, "StartTime=now+5")
	}
	for task := range 8 {
		c.until(fmt.Sprintf("%s_%d", job, task), "COMPLETED")
	}
	require.Contains(t, c.logs(), "resumed after")
	files, err := filepath.Glob(filepath.Join(dir, "scores-*.jsonl"))
	require.NoError(t, err)
	require.Len(t, files, 8)
	c.command(append([]string{"prm", "score", "merge", "--out", "scores.jsonl"}, files...)...)
	require.True(t, c.read("whole") == c.read("scores.jsonl"))
	t.Log("an array of 8, one task killed and one preempted: merged scores are those of one process")
}

// killScorer ends the process that writes this output.
func killScorer(t *testing.T, output string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, file := range files {
		line, err := os.ReadFile(file)
		if args := strings.Split(string(line), "\x00"); err != nil || len(args) < 2 || args[1] != "score" || !slices.Contains(args, output) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		require.NoError(t, err)
		require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
		return
	}
	require.Fail(t, "no process writes it", output)
}

// The job of docs/scale.md, with two ranks on one machine: Open MPI by pmix, MPICH by pmi2, and TCP without MPI. All give the model of two
// ranks that a shell starts.
func TestSlurmTwoRanks(t *testing.T) {
	dir, _, _, config := fixture(t)
	c := slurm(t, dir)
	text := c.read("run.yaml")
	models := map[string]string{}
	for name, body := range map[string]string{
		"pmix": "srun --mpi=pmix --kill-on-bad-exit=1 prm train --config run.yaml --resume",
		"pmi2": "srun --mpi=pmi2 --kill-on-bad-exit=1 prm train --config run.yaml --resume",
		"tcp": `export MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1) MASTER_PORT=29500
srun --mpi=none --kill-on-bad-exit=1 prm train --config run.yaml --resume`,
		"shell": `export MASTER_ADDR=127.0.0.1 MASTER_PORT=29501 WORLD_SIZE=2 LOCAL_WORLD_SIZE=2
unset ${!SLURM_*}
RANK=1 LOCAL_RANK=1 prm train --config run.yaml & RANK=0 LOCAL_RANK=0 prm train --config run.yaml && wait $!`,
	} {
		out := filepath.Join(dir, "run-"+name)
		write(t, config, strings.ReplaceAll(text, filepath.Join(dir, "run"), out)+"threads: 1\ncheckpoint: {every: 2}\n")
		script := write(t, filepath.Join(dir, name+".sbatch"),
			"#!/bin/bash\n#SBATCH --nodes=1 --ntasks-per-node=2\n#SBATCH --time=10\nset -e\n"+body+"\n")
		c.command("sbatch", "--wait", script)
		weights, err := filepath.Glob(filepath.Join(out, "model", "*.safetensors"))
		require.NoError(t, err)
		require.NotEmpty(t, weights)
		for _, file := range weights {
			content, err := os.ReadFile(file)
			require.NoError(t, err)
			models[name] += string(content)
		}
		var record struct {
			Ranks []struct {
				World            int
				Launcher, Engine string
			}
		}
		require.NoError(t, json.Unmarshal([]byte(c.read(filepath.Join("run-"+name, "run.json"))), &record))
		require.Len(t, record.Ranks, 1)
		require.Equal(t, 2, record.Ranks[0].World)
		t.Logf("%s: %+v", name, record.Ranks[0])
	}
	for name, model := range models {
		require.True(t, model == models["shell"], name)
	}
}
