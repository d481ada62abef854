package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The outputs of all shards, joined, are the bytes of one run, whatever their number and order; what is no whole run is refused.
func TestScoreShards(t *testing.T) {
	dir, model := trained(t)
	var rows strings.Builder
	for i := range 11 {
		if i == 4 {
			rows.WriteString(`{"id":"4","problem":5}` + "\n") // bad rows count as rows
			continue
		}
		fmt.Fprintf(&rows, `{"id":"%d","problem":"p %d","steps":["one","two %d"]}`+"\n", i, i, i)
	}
	in := write(t, filepath.Join(dir, "in.jsonl"), rows.String())
	score := func(out string, more ...string) (int, string) {
		code, _, stderr := prmCommand(append([]string{"score", model, in, "--out", filepath.Join(dir, out), "--on-bad", "skip", "--quiet"},
			more...)...)
		return code, stderr
	}
	merge := func(out string, parts ...string) (int, string) {
		args := []string{"score", "merge", "--out", filepath.Join(dir, out)}
		for _, p := range parts {
			args = append(args, filepath.Join(dir, p))
		}
		code, _, stderr := prmCommand(args...)
		return code, stderr
	}
	code, stderr := score("whole")
	require.Equal(t, 0, code, stderr)
	whole, err := os.ReadFile(filepath.Join(dir, "whole"))
	require.NoError(t, err)

	for _, n := range []int{2, 3, 12} {
		var parts []string
		for i := n - 1; i >= 0; i-- {
			name := fmt.Sprintf("part-%d-%d", n, i)
			code, stderr := score(name, "--shard", fmt.Sprintf("%d/%d", i, n))
			require.Equal(t, 0, code, stderr)
			parts = append(parts, name)
		}
		code, stderr := merge(fmt.Sprintf("merged-%d", n), parts...)
		require.Equal(t, 0, code, stderr)
		require.Contains(t, stderr, "10 trajectories scored, 1 skipped")
		merged, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("merged-%d", n)))
		require.NoError(t, err)
		require.Equal(t, string(whole), string(merged), n)
	}

	require.NoError(t, os.WriteFile(filepath.Join(dir, "part-3-1"), whole, 0o600))
	code, stderr = score("other-1", "--shard", "1/3", "--alpha", "0.25")
	require.Equal(t, 0, code, stderr)
	for want, parts := range map[string][]string{
		"was changed after":     {"part-3-0", "part-3-1", "part-3-2"},
		"shard 1 of 3 is miss":  {"part-3-0", "part-3-2"},
		"shard 2 of 3 is miss":  {"part-3-0", "part-3-1"},
		"are both shard 0":      {"part-3-0", "part-3-0", "part-3-2"},
		"not shards of one run": {"part-3-0", "other-1", "part-3-2"},
		"is not finished":       {"whole"},
	} {
		code, stderr := merge("refused", parts...)
		require.Equal(t, 1, code, want)
		require.Contains(t, stderr, want)
		require.NoFileExists(t, filepath.Join(dir, "refused"))
	}
	for _, bad := range [][]string{{"--shard", "3/3"}, {"--shard", "x"}} {
		code, stderr := score("refused", bad...)
		require.Equal(t, 2, code, stderr)
	}
	code, _, stderr = prmCommand("score", model, in, "--shard", "0/2")
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "--shard needs --out")
}
