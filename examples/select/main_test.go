package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/goprm/goprm/internal/tinyprm"
	"github.com/stretchr/testify/require"
)

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
	model := tinyprm.Train(t)
	require.NoError(t, run(context.Background(), model, pool, against, 3, &out))
	require.Equal(t, 2, bytes.Count(out.Bytes(), []byte("\n")), "one of a and b, and d")
	require.NotContains(t, out.String(), "One and two")
	require.ErrorContains(t, run(context.Background(), "", "", "", 1, &out), "--model")
}
