package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

func TestRun(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
	model, labelled := filepath.Join(dir, "model"), filepath.Join(dir, "labelled.jsonl")
	require.NoError(t, tinymodel.Write(model, tinymodel.Options{}))
	var rows strings.Builder
	for i := range 40 {
		fmt.Fprintf(&rows, `{"id":"%d","problem":"Number %d?","steps":["One.","Two."],"labels":{"steps":[%g,0.3],"trajectory":0.5}}`+"\n", i, i,
			float64(i%5)/4)
	}
	require.NoError(t, os.WriteFile(labelled, []byte(rows.String()), 0o644))
	out := filepath.Join(dir, "runs", "out")
	require.NoError(t, run(context.Background(), model, labelled, out))
	for _, name := range []string{"head", "lora"} {
		require.FileExists(t, filepath.Join(out, name, "model", "goprm.json"))
	}
	require.NoError(t, run(context.Background(), model, labelled, out), "a complete run stays as it is")
	require.ErrorContains(t, run(context.Background(), "", "", out), "--model")
}
