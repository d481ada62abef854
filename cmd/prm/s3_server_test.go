//go:build unix

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/internal/remote"
	"github.com/stretchr/testify/require"
)

// arrayTasks is the size of the array in TestArraysOverARealS3Server.
const arrayTasks = 8

// An array of eight over a real S3 server, which scripts/s3.sh starts: one task is killed and run again, and the merged output is that of
// one process without shards, byte for byte.
func TestArraysOverARealS3Server(t *testing.T) {
	bucket := os.Getenv("GOPRM_S3_BUCKET")
	if bucket == "" {
		t.Skip("make s3 runs it: GOPRM_S3_BUCKET is not set")
	}
	bucket = fmt.Sprintf("%s/%d", bucket, time.Now().UnixNano())
	dir, model := trained(t)
	prm := filepath.Join(dir, "prm")
	out, err := exec.Command("go", "build", "-o", prm, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	var rows strings.Builder
	for i := range 4000 {
		fmt.Fprintf(&rows, `{"id":"%d","problem":"p %[1]d","steps":["one","two %[1]d","%s"],"labels":{"steps":[1,%d,null]}}`+"\n", i,
			strings.Repeat("three ", 30), i%2)
	}
	_, sums, config := labelFixture(t)
	text, err := os.ReadFile(sums)
	require.NoError(t, err)
	array := arrayRun{t: t, prm: prm, dir: dir, bucket: bucket}
	pool := write(t, filepath.Join(dir, "pool.jsonl"), rows.String())
	for name, content := range map[string]string{"pool.jsonl": rows.String(), "sums.jsonl": string(text)} {
		array.upload(name, content)
	}
	for command, args := range map[string]string{
		"score":  "score --model " + model + " --in POOL --resume",
		"select": "select --model " + model + " --in POOL --top 500 --resume",
		"eval":   "eval --model " + model + " --bench steps --data POOL --resume",
	} {
		local := strings.TrimSuffix(strings.ReplaceAll(args, "POOL", pool), " --resume")
		array.must(local + " --out " + filepath.Join(dir, command))
		array.run(command, strings.ReplaceAll(args, "POOL", bucket+"/in/pool.jsonl"), ".jsonl", ".jsonl.part")
		array.must(command + " merge " + bucket + "/" + command + "/part-*.jsonl --out " + bucket + "/" + command + "/whole")
		array.equal(filepath.Join(dir, command), bucket+"/"+command+"/whole")
	}
	array.must("label --config " + config + " --in " + sums + " --out " + filepath.Join(dir, "labels"))
	array.run("label", "label --config "+config+" --in "+bucket+"/in/sums.jsonl", "", "/labels.db")
	array.must("label merge " + bucket + "/label/part-*/ --out " + bucket + "/label/whole")
	for _, name := range []string{label.LabelsFile, label.ManifestFile} {
		array.equal(filepath.Join(dir, "labels", name), bucket+"/label/whole/"+name)
	}
}

// arrayRun runs the tasks of an array, each in a process with a cache of its own, as on a machine of its own.
type arrayRun struct {
	t                *testing.T
	prm, dir, bucket string
}

func (a arrayRun) task(command string, i int, args, ending string) *exec.Cmd {
	line := fmt.Sprintf(`exec "$PRM" --quiet %s --out %s/%s/part-$SLURM_ARRAY_TASK_ID%s --shard $SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT`,
		args, a.bucket, command, ending)
	task := exec.Command("sh", "-c", line)
	task.Env = append(os.Environ(), "PRM="+a.prm, fmt.Sprintf("SLURM_ARRAY_TASK_ID=%d", i),
		fmt.Sprintf("SLURM_ARRAY_TASK_COUNT=%d", arrayTasks), "XDG_CACHE_HOME="+a.cache(command, i))
	return task
}

func (a arrayRun) cache(command string, i int) string {
	return filepath.Join(a.dir, fmt.Sprintf("cache-%s-%d", command, i))
}

// run runs all tasks; the third is killed once it has written to its unfinished output, whose name ends so.
func (a arrayRun) run(command, args, ending, unfinished string) {
	const victim = 3
	task := a.task(command, victim, args, ending)
	require.NoError(a.t, task.Start())
	a.wait(command, victim, unfinished)
	require.NoError(a.t, task.Process.Kill())
	require.EqualError(a.t, task.Wait(), "signal: killed", "%s was faster than the test", command)
	a.t.Logf("%s: task %d killed while it wrote", command, victim)
	if ending != "" {
		a.preempt(command, args, ending)
	}
	for i := range arrayTasks {
		out, err := a.task(command, i, args, ending).CombinedOutput()
		require.NoError(a.t, err, "%s %d: %s", command, i, out)
		require.NotContains(a.t, string(out), os.Getenv("AWS_SECRET_ACCESS_KEY"))
		there, err := remote.Exists(fmt.Sprintf("%s/%s/part-%d%s%s", a.bucket, command, i, ending, partEnding))
		require.NoError(a.t, err)
		require.False(a.t, there, "unfinished output is left in the bucket")
	}
}

// preempt ends the fifth task with SIGTERM while it writes. What it has scored is then in the bucket, and its machine is lost.
func (a arrayRun) preempt(command, args, ending string) {
	const victim = 5
	task := a.task(command, victim, args, ending)
	require.NoError(a.t, task.Start())
	a.wait(command, victim, ending+partEnding)
	require.NoError(a.t, task.Process.Signal(syscall.SIGTERM))
	require.EqualError(a.t, task.Wait(), "exit status 1", "%s was faster than the test", command)
	there, err := remote.Exists(fmt.Sprintf("%s/%s/part-%d%s%s", a.bucket, command, victim, ending, partEnding))
	require.NoError(a.t, err)
	require.True(a.t, there)
	require.NoError(a.t, os.RemoveAll(a.cache(command, victim)))
}

// wait waits until a task has written to its unfinished output.
func (a arrayRun) wait(command string, task int, unfinished string) {
	pattern := filepath.Join(a.cache(command, task), "goprm", "objects", "*", fmt.Sprintf("part-%d%s", task, unfinished))
	require.Eventually(a.t, func() bool {
		files, _ := filepath.Glob(pattern)
		info, err := os.Stat(strings.Join(files, ""))
		return err == nil && info.Size() > 0
	}, time.Minute, time.Millisecond, "%s: no unfinished output", command)
}

func (a arrayRun) must(args string) {
	out, err := exec.Command(a.prm, append([]string{"--quiet"}, strings.Fields(args)...)...).CombinedOutput()
	require.NoError(a.t, err, "%s: %s", args, out)
}

func (a arrayRun) upload(name, content string) {
	local := write(a.t, filepath.Join(a.dir, "upload-"+name), content)
	require.NoError(a.t, remote.Put(a.bucket+"/in/"+name, local, false))
}

// equal compares a local file with an object.
func (a arrayRun) equal(want, url string) {
	a.t.Helper()
	local := filepath.Join(a.t.TempDir(), "copy")
	require.NoError(a.t, remote.Fetch(url, local))
	w, err := os.ReadFile(want)
	require.NoError(a.t, err)
	got, err := os.ReadFile(local)
	require.NoError(a.t, err)
	require.NotEmpty(a.t, got)
	require.True(a.t, string(w) == string(got), "%s and %s differ", want, url)
}
