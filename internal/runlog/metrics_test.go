package runlog

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/goprm/goprm/internal/metrics"
)

func TestMetricsLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	m, err := OpenMetrics(path, true)
	require.NoError(t, err)
	require.NoError(t, m.Write(Step{Step: 1, Tokens: 10, Loss: 0.5, GradNorm: metrics.Float(math.NaN()), Time: "2026-01-02T03:04:05Z"}))
	require.NoError(t, m.Write(Eval{Step: 1, Eval: map[string]any{"step_auroc": 0.75}}))
	require.NoError(t, m.Close())
	m, err = OpenMetrics(path, false)
	require.NoError(t, err)
	require.NoError(t, m.Write(Step{Step: 2}))
	require.ErrorContains(t, m.Write(Step{LR: math.NaN()}), path)
	require.NoError(t, m.Close())

	b, err := os.ReadFile(path)
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	require.Len(t, lines, 3)
	require.Equal(t, `{"step":1,"tokens":10,"trajectories":0,"n_step":0,"n_final":0,"loss":0.5,"loss_step":0,"loss_final":0,`+
		`"grad_norm":null,"lr":0,"tokens_per_s":0,"time":"2026-01-02T03:04:05Z"}`, lines[0])
	require.Equal(t, `{"step":1,"eval":{"step_auroc":0.75}}`, lines[1])
	var back Step
	require.NoError(t, json.Unmarshal([]byte(lines[0]), &back))
	require.False(t, back.GradNorm.Defined())
}

func TestCutAfter(t *testing.T) {
	whole := "{\"step\":1}\n{\"step\":1,\"eval\":{\"step\":9}}\n{\"step\":2}\n"
	for _, c := range []struct {
		name, text, want string
		step             int
		cut              Cut
	}{
		{"nothing past it", whole, whole, 5, Cut{Kept: 3}},
		{"past it", whole, "{\"step\":1}\n{\"step\":1,\"eval\":{\"step\":9}}\n", 1, Cut{Kept: 2, Dropped: 1}},
		{"all", whole, "", 0, Cut{Dropped: 3}},
		{"torn", whole + `{"step":3,"lo`, whole, 5, Cut{Kept: 3, Torn: true}},
		{"torn in the number", whole + `{"step":`, whole, 5, Cut{Kept: 3, Torn: true}},
		{"zeros after a power failure", whole + "\x00\x00\x00", whole, 5, Cut{Kept: 3, Torn: true}},
		{"only the newline is missing", whole + `{"step":3}`, whole + "{\"step\":3}\n", 5, Cut{Kept: 4}},
		{"empty", "", "", 5, Cut{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "metrics.jsonl")
			require.NoError(t, os.WriteFile(path, []byte(c.text), 0o644))
			got, err := CutAfter(path, c.step)
			require.NoError(t, err)
			require.Equal(t, c.cut, got)
			b, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, c.want, string(b))
			again, err := CutAfter(path, c.step)
			require.NoError(t, err)
			require.Equal(t, Cut{Kept: c.cut.Kept}, again)
			m, err := OpenMetrics(path, false)
			require.NoError(t, err)
			require.NoError(t, m.Close())
		})
	}
	cut, err := CutAfter(filepath.Join(t.TempDir(), "absent.jsonl"), 3)
	require.NoError(t, err)
	require.Zero(t, cut)
}

func TestDamageInTheMiddleIsRefused(t *testing.T) {
	for _, text := range []string{"{\"step\":1}\n{\"ste\n{\"step\":2}\n", "{\"step\":1}\n[]\n", "{\"step\":1}\n{\"loss\":1}\n"} {
		path := filepath.Join(t.TempDir(), "metrics.jsonl")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		_, err := CutAfter(path, 5)
		require.ErrorContains(t, err, path+": ")
		require.ErrorContains(t, err, "line 2 is no metrics line")
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, text, string(b), "left as it was")
	}
}

func TestTornFileIsNotContinued(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	require.NoError(t, os.WriteFile(path, []byte("{\"step\":1}\n{\"st"), 0o644))
	_, err := OpenMetrics(path, false)
	require.ErrorContains(t, err, "torn")
}
