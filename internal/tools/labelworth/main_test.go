package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The known value of each step is its cosine with the one response step, so alignment ranks perfectly, and the rest does not;
// of the steps with equations those that hold are the right ones.
func TestRunFindsWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	var vectors, values, faults strings.Builder
	vector := func(text string, x, y float64) {
		fmt.Fprintf(&vectors, `{"text":%q,"vector":[%g,%g]}`+"\n", text, x, y)
	}
	for i := range 4 {
		var steps, labels, chunks []string
		problem := fmt.Sprint("P", i)
		vector(problem, 1, 0)
		for k := range 8 {
			step := fmt.Sprintf("step %d of %d", k*5%8, i)
			steps = append(steps, fmt.Sprintf("%q", step))
			vector(step, 1, float64(k*5%8))
			labels = append(labels, fmt.Sprint(1-float64(k*5%8)/10))
		}
		vector(fmt.Sprint("R", i), 1, 0)
		fmt.Fprintf(&values, `{"id":"%d","problem":"P%d","steps":[%s],"response_steps":["R%d"],"labels":{"steps":[%s]}}`+"\n", i, i,
			strings.Join(steps, ","), i, strings.Join(labels, ","))
		for k := range 4 {
			step := fmt.Sprintf("%d + %d = %d", i, k, i+k+k/3)
			vector(step, 1, float64(i+k))
			chunks = append(chunks, fmt.Sprintf("%q", step))
		}
		fmt.Fprintf(&faults, `{"id":"e%d","problem":"P%d","steps":[%s],"final_answer_correct":false,"label":3}`+"\n", i, i,
			strings.Join(chunks, ","))
	}
	put := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		return path
	}
	var out strings.Builder
	require.NoError(t, run("", put("v", vectors.String()), []string{put("values.jsonl", values.String())},
		[]string{put("errors.jsonl", faults.String())}, &out))
	soft, hard, found := strings.Cut(out.String(), "## errors.jsonl")
	require.True(t, found)
	for _, want := range []string{"| align, monotone | 32 | 1.000 | 1.000 |", "| align, max | 32 | 1.000 | 1.000 |",
		"4 trajectories, 32 steps"} {
		require.Contains(t, soft, want)
	}
	require.NotContains(t, soft, "| quality (equations)")
	require.Contains(t, hard, "| quality (equations) | 16 | 1.000 | 1.000 |")
	require.Contains(t, hard, "| control: later is better | 16 | 0.000 | 0.000 |") // every error is the last step
	require.NotContains(t, hard, "align")
	require.Error(t, run("", "", nil, nil, &out))
}
