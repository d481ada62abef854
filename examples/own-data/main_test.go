package main

import "github.com/stretchr/testify/require"
import "testing"

func TestRun(t *testing.T) {
	require.NoError(t, run(""))
	share := derivation{lines: []string{"a", "b"}, sound: []bool{true, false}}.trajectory()
	require.Equal(t, 0.5, *share.Labels.Trajectory)
	require.Equal(t, []float64{1, 0}, []float64{*share.Labels.Steps[0], *share.Labels.Steps[1]})
	require.Nil(t, derivation{lines: []string{"a", "b"}, sound: []bool{true}}.trajectory().Labels.Trajectory, "half looked at: no label for the whole")
}
