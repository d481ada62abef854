package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/goprm/goprm/internal/tinyprm"
	"github.com/stretchr/testify/require"
)

func TestRun(t *testing.T) {
	samples := filepath.Join(t.TempDir(), "samples.jsonl")
	require.NoError(t, os.WriteFile(samples,
		[]byte(`{"problem":"Two and two?","answer":"4","samples":[{"text":"It is \\boxed{4}."},{"text":"Two more.\n\nSo 5."},{"text":"4.0"}]}
{"problem":"One and two?","answer":"3","samples":[{"text":"3"},{"text":"\\boxed{2}"},{"text":"2"}]}
`), 0o644))
	require.NoError(t, run(context.Background(), tinyprm.Train(t), samples))
	require.ErrorContains(t, run(context.Background(), "", ""), "--model")
	require.Error(t, run(context.Background(), "/nowhere", samples))
}
