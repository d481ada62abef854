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
	dir := t.TempDir()
	pool, against := filepath.Join(dir, "pool.jsonl"), filepath.Join(dir, "bench.jsonl")
	require.NoError(t, os.WriteFile(pool, []byte(`{"id":"a","problem":"Two and two?","thinking":"Add.","response":"4"}
{"id":"b","problem":"two AND two","thinking":"Add them.","response":"It is 4."}
{"id":"c","problem":"One and two?","thinking":"Hm.","response":"3"}
{"id":"d","problem":"Three and two?","thinking":"Count.","response":"5"}
`), 0o644))
	require.NoError(t, os.WriteFile(against, []byte(`{"problem":"One and two?","answer":"3"}`), 0o644))
	var out bytes.Buffer
	model := trained(t)
	require.NoError(t, run(context.Background(), model, pool, against, 3, &out))
	require.Equal(t, 2, bytes.Count(out.Bytes(), []byte("\n")), "one of a and b, and d")
	require.NotContains(t, out.String(), "One and two")
	require.ErrorContains(t, run(context.Background(), "", "", "", 1, &out), "--model")
}
