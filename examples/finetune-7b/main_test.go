package main

import (
	"context"
	"encoding/json"
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
	model, labelled, out := filepath.Join(dir, "model"), filepath.Join(dir, "labelled.jsonl"), filepath.Join(dir, "out")
	require.NoError(t, tinymodel.Write(model, tinymodel.Options{}))
	var rows strings.Builder
	for i := range 40 {
		fmt.Fprintf(&rows, `{"id":"%d","problem":"Number %d?","steps":["One.","Two."],"labels":{"steps":[%g,0.3]}}`+"\n", i, i, float64(i%5)/4)
	}
	require.NoError(t, os.WriteFile(labelled, []byte(rows.String()), 0o644))
	require.NoError(t, run(context.Background(), model, labelled, out))
	var adapter struct {
		Rank    int      `json:"r"`
		Targets []string `json:"target_modules"`
	}
	text, err := os.ReadFile(filepath.Join(out, "adapters", "adapter_config.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &adapter))
	require.Equal(t, 8, adapter.Rank)
	require.ElementsMatch(t, []string{"q_proj", "v_proj"}, adapter.Targets)
	record, err := os.ReadFile(filepath.Join(out, "lora", "run.json"))
	require.NoError(t, err)
	require.Contains(t, string(record), `"head_init": "`+filepath.Join(out, "head", "model"), "the adapters begin with the trained head")
	require.ErrorContains(t, run(context.Background(), "", labelled, out), "--model")
}
