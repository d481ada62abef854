package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goprm/goprm/internal/runlog"
	"github.com/goprm/goprm/internal/s3test"
	"github.com/stretchr/testify/require"
)

// Every command that works by shards does so in a bucket, and leaves there what it leaves on a disk.
func TestShardsInABucket(t *testing.T) {
	dir, model := trained(t)
	server := s3test.Start(t, "bucket")
	var rows strings.Builder
	for i := range 7 {
		fmt.Fprintf(&rows, `{"id":"%d","problem":"p %[1]d","steps":["one","two %[1]d"],"labels":{"steps":[1,%d]}}`+"\n", i, i%2)
	}
	server.Put("/bucket/in/a.jsonl", []byte(rows.String()))
	server.Put("/bucket/in/notes.txt", []byte("not data"))
	server.Put("/bucket/only/notes.txt", []byte("not data"))
	in := write(t, filepath.Join(dir, "a.jsonl"), rows.String())
	entries, err := os.ReadDir(model)
	require.NoError(t, err)
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(model, e.Name()))
		require.NoError(t, err)
		server.Put("/bucket/model/"+e.Name(), content)
	}
	command := func(args ...string) string {
		t.Helper()
		code, stdout, stderr := prmCommand(args...)
		require.Equal(t, 0, code, stderr)
		require.NotContains(t, stdout+stderr, "secret-of-the-test")
		require.NotContains(t, stdout+stderr, "key-of-the-test")
		return stderr
	}
	local := func(name string) string { return filepath.Join(dir, name) }
	for name, args := range map[string][]string{
		"score":  {"--on-bad", "skip"},
		"select": {"--top", "3"},
		"eval":   {"--bench", "steps"},
	} {
		flag := map[string]string{"score": "--in", "select": "--in", "eval": "--data"}[name]
		command(append([]string{name, "--model", model, flag, in, "--out", local(name)}, args...)...)
		for _, shard := range []string{"0/3", "1/3", "2/3"} {
			part := "s3://bucket/" + name + "/part-" + shard[:1] + ".jsonl"
			command(append([]string{name, "--model", "s3://bucket/model", flag, "s3://bucket/in", "--out", part, "--shard", shard}, args...)...)
		}
		require.Contains(t, command(append([]string{name, "--model", "s3://bucket/model", flag, "s3://bucket/in", "--out",
			"s3://bucket/" + name + "/part-1.jsonl", "--shard", "1/3"}, args...)...), "shard 1 of 3 is finished")
		command(name, "merge", "s3://bucket/"+name+"/part-*", "--out", "s3://bucket/whole/"+name)
		want, err := os.ReadFile(local(name))
		require.NoError(t, err)
		require.Equal(t, string(want), string(server.Get("/bucket/whole/"+name)))
	}
	require.NotEmpty(t, server.Get("/bucket/whole/select.card.md"))
	command("train", "--model", local("model"), "--data", "s3://bucket/in", "--out", local("run-of-bucket"), "--quiet")
	require.FileExists(t, filepath.Join(local("run-of-bucket"), "model", "goprm.json"))
	for path, o := range server.Objects {
		require.False(t, bytes.Contains(o.Content, []byte("secret-of-the-test")) || bytes.Contains(o.Content, []byte("key-of-the-test")), path)
		require.False(t, strings.HasSuffix(path, partEnding), path)
	}
	left, err := filepath.Glob(filepath.Join(os.Getenv("XDG_CACHE_HOME"), "goprm", "objects", "*"))
	require.NoError(t, err)
	require.Empty(t, left, "neither copies nor outputs are left behind")

	for args, want := range map[string]string{
		"score --model " + model + " --in s3://bucket/none --out x":                                     "s3://bucket/none: file does not exist",
		"score --model " + model + " --in s3://bucket/in/notes-*.jsonl --out x":                         "nothing is named so",
		"score --model " + model + " --in s3://bucket/only --out x":                                     "no data files in this folder",
		"score --model " + model + " --in s3://bucket/in/a.jsonl --out s3://bucket/in/a.jsonl":          "is an input too",
		"score --model " + model + " --in s3://bucket/in/a.jsonl --out s3://bucket/out/":                "is no address of an output",
		"score --model s3://bucket/none --in s3://bucket/in/a.jsonl --out x":                            "no object's address begins so",
		"score merge s3://bucket/score/part-0.jsonl s3://bucket/score/part-9.jsonl --out s3://bucket/x": "part-9.jsonl: file does not exist",
	} {
		code, _, stderr := prmCommand(strings.Fields(strings.Replace(args, " x", " "+local("x"), 1))...)
		require.Equal(t, 1, code, args)
		require.Contains(t, stderr, want, args)
	}
	require.Equal(t, rows.String(), string(server.Get("/bucket/in/a.jsonl")))
}

// An interrupted output is kept beside its address; another machine goes on with it.
func TestInterruptedOutputIsKeptInTheBucket(t *testing.T) {
	dir, model := trained(t)
	server := s3test.Start(t, "bucket")
	var rows strings.Builder
	for i := range 40 {
		fmt.Fprintf(&rows, `{"id":"%d","problem":"p %[1]d","steps":["one","two %[1]d"]}`+"\n", i)
	}
	in := write(t, filepath.Join(dir, "in.jsonl"), rows.String())
	code, _, stderr := prmCommand("score", model, in, "--out", filepath.Join(dir, "whole"))
	require.Equal(t, 0, code, stderr)
	whole, err := os.ReadFile(filepath.Join(dir, "whole"))
	require.NoError(t, err)

	target := "s3://bucket/scores.jsonl"
	// What a run leaves that ended after twelve lines and could still store them.
	local := t.TempDir()
	s := &scoring{program: &program{ctx: t.Context(), console: runlog.NewConsole(io.Discard, true)}, command: scoreCommand{Out: target}}
	write(t, filepath.Join(local, "scores.jsonl"+partEnding), strings.Join(strings.SplitAfter(string(whole), "\n")[:12], ""))
	require.NoError(t, s.keepUnfinished(target, filepath.Join(local, "scores.jsonl")))
	require.Equal(t, []string{"/bucket/scores.jsonl.part"}, server.Keys())

	code, _, stderr = prmCommand("score", model, in, "--out", target, "--resume")
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stderr, "resumed after 12 scored trajectories")
	require.Equal(t, []string{"/bucket/scores.jsonl"}, server.Keys())
	require.Equal(t, string(whole), string(server.Get("/bucket/scores.jsonl")))

	// A store that refuses the result: it is said where that lies, and the next run stores it without scoring.
	server.Before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut {
			return false
		}
		s3test.Fail(w, http.StatusForbidden, "QuotaExceeded")
		return true
	}
	code, _, stderr = prmCommand("score", model, in, "--out", "s3://bucket/full.jsonl", "--resume")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "QuotaExceeded")
	require.Contains(t, stderr, "--resume on this machine stores it")
	server.Before = nil
	code, _, stderr = prmCommand("score", model, in, "--out", "s3://bucket/full.jsonl", "--resume")
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stderr, "resumed after 40")
	require.Equal(t, string(whole), string(server.Get("/bucket/full.jsonl")))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	args := []string{"score", model, "s3://bucket/full.jsonl", "--out", "s3://bucket/never"}
	code = run(ctx, args, strings.NewReader(""), io.Discard, io.Discard)
	require.Equal(t, 1, code)
	require.Nil(t, server.Get("/bucket/never"))
}

// Shards of a labelling lie in a bucket with their stores; merged they are the bytes of one run, and a run elsewhere asks nothing again.
func TestLabelsInABucket(t *testing.T) {
	dir, in, config := labelFixture(t)
	server := s3test.Start(t, "bucket")
	rows, err := os.ReadFile(in)
	require.NoError(t, err)
	server.Put("/bucket/in.jsonl", rows)
	command := func(args ...string) string {
		t.Helper()
		code, stdout, stderr := prmCommand(append([]string{"label"}, args...)...)
		require.Equal(t, 0, code, stderr)
		return stdout
	}
	command("--config", config, "--in", in, "--out", filepath.Join(dir, "whole"))
	for _, shard := range []string{"0/2", "1/2"} {
		args := []string{"--config", config, "--in", "s3://bucket/in.jsonl", "--out", "s3://bucket/labels-" + shard[:1] + "/", "--shard", shard}
		require.Contains(t, command(args...), "labels: s3://bucket/labels-"+shard[:1]+"/labels.jsonl")
		again := command(args...)
		require.Contains(t, again, "quality: 0 asked")
	}
	command("merge", "s3://bucket/labels-*/", "--out", "s3://bucket/whole")
	for _, name := range []string{"labels.jsonl", "labels.parquet", "manifest.json", "README.md"} {
		want, err := os.ReadFile(filepath.Join(dir, "whole", name))
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, server.Get("/bucket/whole/"+name)), name)
	}
	require.Contains(t, command("status", "s3://bucket/whole"), "output: 30 trajectories")

	// A store that another machine has taken further since: what lies here is put aside, not mixed in, and not lost.
	cache := filepath.Join(os.Getenv("XDG_CACHE_HOME"), "goprm", "objects")
	p := &program{ctx: t.Context(), console: runlog.NewConsole(io.Discard, true)}
	f, err := p.openLabelFolder("s3://bucket/whole")
	require.NoError(t, err)
	server.Put("/bucket/whole/labels.db", server.Get("/bucket/labels-0/labels.db"))
	f, err = p.openLabelFolder("s3://bucket/whole")
	require.NoError(t, err)
	aside, err := filepath.Glob(filepath.Join(cache, "*", "whole", "aside-*", "labels.db"))
	require.NoError(t, err)
	require.Len(t, aside, 1)
	got, err := os.ReadFile(filepath.Join(f.local, "labels.db"))
	require.NoError(t, err)
	require.True(t, bytes.Equal(server.Get("/bucket/labels-0/labels.db"), got))
}
