package main

import (
	"bytes"
	"context"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

func TestRun(t *testing.T) {
	dir := t.TempDir()
	model := filepath.Join(dir, "tiny")
	require.NoError(t, tinymodel.Write(model, tinymodel.Options{}))
	var out bytes.Buffer
	require.NoError(t, run(context.Background(), model, filepath.Join(dir, "run"), &out))
	require.Regexp(t, regexp.MustCompile(`(?s)^0\.\d{3}  70 doubled is 140\.\n0\.\d{3}  140 doubled is 280\.\n[01]\.\d{3}  `+
		`reward\n.*281.*4 steps of training`), out.String())
	require.FileExists(t, filepath.Join(dir, "run", "model", "goprm.json"))
	require.Error(t, run(context.Background(), model, filepath.Join(dir, "run"), &out), "an existing run is not overwritten")
}

func TestLabels(t *testing.T) {
	whole := derivation{lines: []string{"a", "b"}, sound: []bool{true, false}}.trajectory()
	require.Equal(t, 0.5, *whole.Labels.Trajectory)
	require.Equal(t, []float64{1, 0}, []float64{*whole.Labels.Steps[0], *whole.Labels.Steps[1]})
	half := derivation{lines: []string{"a", "b"}, sound: []bool{true}}.trajectory()
	require.Nil(t, half.Labels.Trajectory, "half looked at: no label for the whole")
}
