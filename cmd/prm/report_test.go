package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReport(t *testing.T) {
	dir := t.TempDir()
	scores := write(t, filepath.Join(dir, "scores.jsonl"), `{"id":"a","scores":[0.9,0.2]}`+"\n")
	labels := write(t, filepath.Join(dir, "labels.jsonl"), `{"id":"a","problem":"Two?","steps":["One.","Gone wrong."],`+
		`"labels":{"steps":[1,1]}}`+"\n")
	out, figures := filepath.Join(dir, "out.html"), filepath.Join(dir, "figures")
	code, stdout, stderr := prmCommand("report", scores, "--data", labels, "--out", out, "--figures", figures)
	require.Equal(t, 0, code, stderr)
	require.Equal(t, "report: "+out+"\n", stdout)
	require.Contains(t, stderr, "figures in "+figures)
	page, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Contains(t, string(page), "Gone wrong.")
	require.Contains(t, string(page), "calibration: ECE 0.450") // (0.1 + 0.8) / 2
	files, err := filepath.Glob(filepath.Join(figures, "*.svg"))
	require.NoError(t, err)
	require.NotEmpty(t, files)

	code, stdout, stderr = prmCommand("--quiet", "report", scores, "--data", labels, "--out", "-", "--worst", "0", "--threshold", "0.1")
	require.Equal(t, 0, code, stderr)
	require.Empty(t, stderr)
	require.Contains(t, stdout, "100.0 %")
	require.NotContains(t, stdout, "Worst disagreements")

	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{2, "the argument <inputs> ... is missing", []string{"report"}},
		{2, "threshold", []string{"report", scores, "--threshold", "NaN"}},
		{1, "labels.jsonl:1", []string{"report", labels}},
		{1, "is an input too", []string{"report", scores, "--out", scores}},
		{1, "is an input too", []string{"report", scores, "--data", labels, "--out", labels}},
	} {
		code, _, stderr := prmCommand(c.args...)
		require.Equal(t, c.code, code, stderr)
		require.Contains(t, stderr, c.want)
	}
	still, err := os.ReadFile(scores)
	require.NoError(t, err)
	require.Contains(t, string(still), "0.9")
}
