package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What select and eval make of the scores of all shards is, file by file, what they make in one run.
func TestSelectAndEvalShards(t *testing.T) {
	dir, model := trained(t, "reward.alpha=0.25", "threshold=0.45")
	var rows strings.Builder
	for i := range 13 {
		problem := i % 9 // some are repeated
		fmt.Fprintf(&rows, `{"id":"%d","problem":"p %d of words","domain":"d%d","steps":["one","two %d"],"labels":{"steps":[1,%d]}}`+"\n",
			i, problem, i%2, i, i%2)
	}
	rows.WriteString(`{"id":"bad","problem":5}` + "\n")
	good, _, _ := strings.Cut(rows.String(), `{"id":"bad"`)
	pool := write(t, filepath.Join(dir, "pool.jsonl"), rows.String())
	steps := write(t, filepath.Join(dir, "steps.jsonl"), good)
	tune := write(t, filepath.Join(dir, "tune.jsonl"), strings.NewReplacer(`"id":"`, `"id":"t`, `"p `, `"q `).Replace(good))

	for name, c := range map[string]struct{ args, merge, files []string }{
		"select": {[]string{"--in", pool, "--top", "5", "--unique", "exact", "--per-domain", "3", "--to", "chat",
			"--on-bad", "skip"}, nil, []string{"", ".card.md", ".report.json"}},
		"eval":       {[]string{"--bench", "steps", "--data", steps, "--seed", "7"}, nil, []string{""}},
		"eval tuned": {[]string{"--bench", "steps", "--data", steps, "--tune", tune}, nil, []string{""}},
	} {
		command, _, _ := strings.Cut(name, " ")
		name = strings.ReplaceAll(name, " ", "-")
		call := func(out string, more ...string) (int, string) {
			args := append([]string{command, "--model", model, "--out", filepath.Join(dir, out)}, c.args...)
			code, _, stderr := prmCommand(append(args, more...)...)
			return code, stderr
		}
		code, stderr := call(name)
		require.Equal(t, 0, code, stderr)
		for _, n := range []int{2, 3, 40} { // some of forty are empty
			var parts []string
			for i := n - 1; i >= 0; i-- {
				part := fmt.Sprintf("%s-%d-%d", name, n, i)
				code, stderr := call(part, "--shard", fmt.Sprintf("%d/%d", i, n))
				require.Equal(t, 0, code, stderr)
				parts = append(parts, filepath.Join(dir, part))
			}
			merged := filepath.Join(dir, name+"-merged")
			code, _, stderr := prmCommand(append([]string{command, "merge", "--out", merged}, parts...)...)
			require.Equal(t, 0, code, stderr)
			for _, file := range c.files {
				want, err := os.ReadFile(filepath.Join(dir, name) + file)
				require.NoError(t, err)
				got, err := os.ReadFile(merged + file)
				require.NoError(t, err)
				require.Equal(t, string(want), string(got), "%s%s of %d", name, file, n)
			}
		}
	}
	code, _, stderr := prmCommand("select", "--model", model, "--in", pool, "--top", "6", "--unique", "exact", "--per-domain", "3",
		"--to", "chat", "--on-bad", "skip", "--out", filepath.Join(dir, "other-2-1"), "--shard", "1/2")
	require.Equal(t, 0, code, stderr)
	for _, c := range []struct {
		code int
		args string
		want string
	}{
		{1, "select merge eval-2-0 eval-2-1 --out x", "is a shard of prm eval, not of prm select"},
		{1, "select merge select-2-0 eval-2-1 --out x", "not shards of one run: their commands differ: prm select, and prm eval"},
		{1, "select merge select-2-0 other-2-1 --out x", "not shards of one run: their options differ: "},
		{1, "select merge select-2-0 select-2-1 --out x --in " + steps, "the shards were scored with other files"},
		{1, "eval merge eval-2-0 eval-2-1 --out x --data nowhere.jsonl", "--data or --tune says where the files lie now"},
		{1, "eval merge eval-2-0 --out x", "shard 1 of 2 is missing"},
		{1, "eval merge eval-2-0 eval-2-1 --out pool.jsonl --data pool.jsonl", "were scored with other files"},
		{2, "eval --bench steps --data " + steps + " --scores x --shard 0/2 --out x", "--shard needs --model"},
		{2, "select --in " + pool + " --top 1 --model m --shard 0/2", "--shard needs --out"},
		{2, "select --in " + pool + " --top 1 --model m --shard 0/2 --out x --card y", "belong to the command's merge"},
		{2, "select --in " + pool + " --top 1 --model m --shard 0/2 --out x --keep y", "exclude each other"},
		{2, "select --in " + pool + " --top 1 --model m --shard 2/2 --out x", "is not of the form"},
	} {
		args := strings.Fields(c.args)
		for i, arg := range args {
			if arg == "x" || strings.Contains(arg, "-2-") || strings.HasSuffix(arg, "pool.jsonl") && !filepath.IsAbs(arg) {
				args[i] = filepath.Join(dir, arg)
			}
		}
		code, _, stderr := prmCommand(args...)
		require.Equal(t, c.code, code, "%s: %s", c.args, stderr)
		require.Contains(t, stderr, c.want, c.args)
	}
}

// A shard that ended well is not computed again, unless what it depends on, or its output, is another one now.
func TestFinishedShardIsNotDoneAgain(t *testing.T) {
	dir, model := trained(t)
	row := `{"id":"%d","problem":"p %[1]d","steps":["one","two"]}` + "\n"
	in, out := filepath.Join(dir, "in.jsonl"), filepath.Join(dir, "part")
	write(t, in, fmt.Sprintf(row, 0)+fmt.Sprintf(row, 1)+fmt.Sprintf(row, 2))
	score := func(more ...string) string {
		code, _, stderr := prmCommand(append([]string{"score", model, in, "--out", out, "--shard", "1/2"}, more...)...)
		require.Equal(t, 0, code, stderr)
		return stderr
	}
	const done = "shard 1 of 2 is finished"
	require.NotContains(t, score(), done)
	before, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Contains(t, score(), done)
	require.Contains(t, score("--resume"), done)
	manifest, err := readShard(out)
	require.NoError(t, err)
	require.NotContains(t, manifest.Settings, "cpu", "scores depend on the kernels' bits, and on no device")
	require.NotContains(t, score("--alpha", "0.5"), done)
	require.NotContains(t, score(), done)
	require.NoError(t, os.WriteFile(out, append(before, '\n'), 0o600))
	require.NotContains(t, score(), done, "its output was changed")
	after, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Equal(t, before, after)
	write(t, in, fmt.Sprintf(row, 0)+fmt.Sprintf(row, 1)+fmt.Sprintf(row, 3))
	require.NotContains(t, score(), done, "its input was changed")
}
