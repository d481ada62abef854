// Package tinyprm trains reward models for tests of what uses them.
package tinyprm

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/goprm/goprm/prm"
	"github.com/stretchr/testify/require"
)

// Train returns the folder of a reward model of two layers that has learned from a dozen trajectories of one part, thinking.
func Train(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	config := prm.DefaultTrainConfig()
	config.Model, config.Out, config.Train, config.Quiet = filepath.Join(dir, "base"), filepath.Join(dir, "run"), "lora", true
	require.NoError(t, tinymodel.Write(config.Model, tinymodel.Options{}))
	var list []*data.Trajectory
	for i := range 12 {
		list = append(list, &data.Trajectory{Problem: fmt.Sprint(i), Steps: []string{"One.", "Two."},
			Labels: data.Labels{Steps: []*float64{data.Float(1), data.Float(float64(i % 2))}}})
	}
	config.Data.Trajectories, config.Data.EvalShare = prm.Slice(list), new(0.0)
	result, err := prm.Train(context.Background(), config)
	require.NoError(t, err)
	return result.Model
}
