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
	in := filepath.Join(dir, "in.jsonl")
	require.NoError(t, os.WriteFile(in, []byte(`{"id":"a","problem":"Two and two?","thinking":"Add.\n\nFour.","response":"4"}
{"id":"b","problem":7}
{"id":"c","problem":"One and two?","response":"3"}
`), 0o644))
	var out bytes.Buffer
	require.NoError(t, run(context.Background(), tinyprm.Train(t), "", in, &out))
	require.Regexp(t, `^a\t1\tthinking\t0\.\d{4}\na\t2\tthinking\t0\.\d{4}\na\t3\tresponse\t0\.\d{4}\na\tr`+
		`eward\t\t\d\.\d{4}\nc\t1\tresponse\t0\.\d{4}\nc\treward\t\t(\d\.\d{4}|NaN)\n$`, out.String())
	require.ErrorContains(t, run(context.Background(), "", "", in, &out), "--model")
	require.Error(t, run(context.Background(), filepath.Join(dir, "nowhere"), "", in, &out))
}
