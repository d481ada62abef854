package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The last lines of an unfinished output are scored again, the lines before them are only found in the input: there too
// nothing may be missing, moved or spoilt, even when the checked lines come out the same.
func TestResumeFindsEveryRow(t *testing.T) {
	dir, model := trained(t)
	row := func(i int) string { return fmt.Sprintf(`{"id":"%d","problem":"p %d","steps":["s"]}`+"\n", i, i) }
	in, out := filepath.Join(dir, "in.jsonl"), filepath.Join(dir, "scores")
	var all []string
	for i := range checkedLines + 3 {
		all = append(all, row(i))
	}
	score := func(more ...string) (int, string, string) {
		return prmCommand(append([]string{"score", "--model", model, "--in", in, "--out", out, "--on-bad", "skip", "--quiet"}, more...)...)
	}
	write(t, in, strings.Join(all, ""))
	code, _, stderr := score()
	require.Equal(t, 0, code, stderr)
	whole, err := os.ReadFile(out)
	require.NoError(t, err)
	part := strings.Join(strings.SplitAfter(string(whole), "\n")[:checkedLines+2], "") // rows 0 and 1, then those to check

	for name, rows := range map[string][]string{
		"gone":         all[2:],
		"one gone":     append([]string{all[0]}, all[2:]...),
		"moved behind": append(append([]string{}, all[2:]...), all[:2]...),
		"spoilt":       append([]string{all[0], `{"id":"1","problem":5}` + "\n"}, all[2:]...),
	} {
		require.NoError(t, os.RemoveAll(out))
		write(t, out+".part", part)
		write(t, in, strings.Join(rows, ""))
		code, _, stderr := score("--resume")
		if code == 0 {
			t.Errorf("%s: accepted", name)
			continue
		}
		require.Contains(t, stderr, "begun with another input", name)
		require.NoFileExists(t, out, name)
	}
}
