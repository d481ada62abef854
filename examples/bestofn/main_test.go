package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/goprm/goprm/prm"
	"github.com/stretchr/testify/require"
)

// trained is a tiny reward model.
func trained(t *testing.T) string {
	dir := t.TempDir()
	config := prm.DefaultTrainConfig()
	config.Model, config.Out, config.Train, config.Quiet = filepath.Join(dir, "base"), filepath.Join(dir, "run"), "lora", true
	require.NoError(t, tinymodel.Write(config.Model, tinymodel.Options{}))
	var list []*data.Trajectory
	for i := range 12 {
		list = append(list, &data.Trajectory{Problem: fmt.Sprint(i), Steps: []string{"One.", "Two."}, Labels: data.Labels{Steps: []*float64{data.Float(1), data.Float(float64(i % 2))}}})
	}
	config.Data.Trajectories, config.Data.EvalShare = prm.Slice(list), 0
	result, err := prm.Train(context.Background(), config)
	require.NoError(t, err)
	return result.Model
}

func TestRun(t *testing.T) {
	samples := filepath.Join(t.TempDir(), "samples.jsonl")
	require.NoError(t, os.WriteFile(samples, []byte(`{"problem":"Two and two?","answer":"4","samples":[{"text":"It is \\boxed{4}."},{"text":"Two more.\n\nSo 5."},{"text":"4.0"}]}
{"problem":"One and two?","answer":"3","samples":[{"text":"3"},{"text":"\\boxed{2}"},{"text":"2"}]}
`), 0o644))
	require.NoError(t, run(context.Background(), trained(t), samples))
	require.ErrorContains(t, run(context.Background(), "", ""), "--model")
	require.Error(t, run(context.Background(), "/nowhere", samples))
}
