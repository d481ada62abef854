package main

import (
	"bytes"
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

func TestRun(t *testing.T) {
	dir := t.TempDir()
	config := prm.DefaultTrainConfig()
	config.Model, config.Out, config.Train, config.Quiet = filepath.Join(dir, "base"), filepath.Join(dir, "run"), "lora", true
	require.NoError(t, tinymodel.Write(config.Model, tinymodel.Options{}))
	var list []*data.Trajectory
	for i := range 12 {
		list = append(list, &data.Trajectory{Problem: fmt.Sprint(i), Steps: []string{"One.", "Two."}, Labels: data.Labels{Steps: []*float64{data.Float(1), data.Float(float64(i % 2))}}})
	}
	config.Data.Trajectories, config.Data.EvalShare = prm.Slice(list), 0
	trained, err := prm.Train(context.Background(), config)
	require.NoError(t, err)

	in := filepath.Join(dir, "in.jsonl")
	require.NoError(t, os.WriteFile(in, []byte(`{"id":"a","problem":"Two and two?","thinking":"Add.\n\nFour.","response":"4"}
{"id":"b","problem":7}
{"id":"c","problem":"One and two?","response":"3"}
`), 0o644))
	var out bytes.Buffer
	require.NoError(t, run(context.Background(), trained.Model, "", in, &out))
	require.Regexp(t, `^a\t1\tthinking\t0\.\d{4}\na\t2\tthinking\t0\.\d{4}\na\t3\tresponse\t0\.\d{4}\na\treward\t\t\d\.\d{4}\nc\t1\tresponse\t0\.\d{4}\nc\treward\t\t(\d\.\d{4}|NaN)\n$`, out.String())
	require.ErrorContains(t, run(context.Background(), "", "", in, &out), "--model")
	require.Error(t, run(context.Background(), filepath.Join(dir, "nowhere"), "", in, &out))
}
