package prm

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

// What data.on_bad: skip leaves out is counted by its reason, and the rest trains as if it were alone; without it each such row ends the
// run.
func TestOnBad(t *testing.T) {
	base := tiny(t, tinymodel.Options{})
	good := func(i int) string {
		return fmt.Sprintf(`{"id":"g%d","problem":"Sheet %d","response_steps":["1+%d=%d"],"labels":{"steps":[%d]}}`, i, i, i, i+1, i%2)
	}
	bad := map[string]string{
		"unreadable rows":     `{"id":"row","problem":"P","response_steps":["a"],"labels":{"steps":[1,1]}}`,
		"labels out of range": `{"id":"label","problem":"P","response_steps":["a"],"labels":{"steps":[7]}}`,
		"too long": fmt.Sprintf(`{"id":"long","problem":"P","response_steps":["%s"],"labels":{"steps":[1]}}`,
			strings.Repeat("1+2=3 ", 100)),
		"cannot be rendered": `{"id":"empty","problem":"P","response":"","labels":{}}`,
	}
	write := func(rows ...string) string {
		file := filepath.Join(t.TempDir(), "rows.jsonl")
		require.NoError(t, os.WriteFile(file, []byte(strings.Join(rows, "\n")+"\n"), 0o666))
		return file
	}
	var clean, mixed []string
	for i := range 12 {
		clean, mixed = append(clean, good(i)), append(mixed, good(i))
	}
	for i, reason := range []string{"unreadable rows", "labels out of range", "too long", "cannot be rendered", "too long"} {
		mixed = append(mixed[:3*i+1], append([]string{bad[reason]}, mixed[3*i+1:]...)...)
	}
	c := config(t, base)
	c.Data.Trajectories, c.Data.Train, c.Data.EvalShare, c.Text.MaxTokens, c.Optim.Steps = nil, []string{write(clean...)}, new(0.0), 100, 3
	train(t, c)
	skipping := c
	skipping.Data.OnBad, skipping.Data.Train, skipping.Out = "skip", []string{write(mixed...)}, c.Out+"2"
	r := train(t, skipping)
	require.Equal(t, map[string]int{"unreadable rows": 1, "labels out of range": 1, "too long": 2, "cannot be rendered": 1}, r.Counts.Skipped)
	require.Equal(t, weights(t, c.Out), weights(t, skipping.Out))
	require.Empty(t, r.Counts.EvalSkipped)
	evaluating := skipping
	evaluating.Data.Train, evaluating.Data.Eval, evaluating.Data.AllowOverlap = []string{write(clean...)}, []string{write(mixed...)}, true
	s, err := prepare(context.Background(), evaluating.filled(), true)
	require.NoError(t, err)
	require.Empty(t, s.data.counts.Skipped)
	require.Equal(t, r.Counts.Skipped, s.data.counts.EvalSkipped)
	require.NoError(t, s.Close())
	said := strings.Join(r.Warnings, "\n")
	require.Contains(t, said, `data.train: 2 skipped: too long; the first: `)
	require.Contains(t, said, `trajectory "long"`)
	for reason, row := range bad {
		c.Out, c.Data.Train = c.Out+"x", []string{write(append([]string{row}, clean...)...)}
		_, err := Train(context.Background(), c)
		require.Error(t, err, reason)
	}
	c.Data.OnBad = "drop"
	require.ErrorContains(t, c.Validate(), `data.on_bad: "drop" is none of error, skip`)
	require.Equal(t, "a token across a step's end", renderReason(fmt.Errorf("trajectory: %w", &data.StepEndError{})))
}
