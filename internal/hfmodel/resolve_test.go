package hfmodel

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// files makes a folder tree of small files.
func files(t *testing.T, dir string, content map[string]string) {
	t.Helper()
	for name, text := range content {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
}

func TestResolve(t *testing.T) {
	dir := t.TempDir()
	files(t, dir, map[string]string{
		"plain/config.json":                      "{}",
		"run/run.json":                           "{}",
		"run/model/goprm.json":                   "{}",
		"hub/models--Qwen--Qwen2.5-7B/refs/main": "abc123\n",
		"hub/models--Qwen--Qwen2.5-7B/snapshots/abc123/config.json": "{}",
		"hub/models--Qwen--Qwen2.5-7B/snapshots/def456/config.json": "{}",
		"one/snapshots/abc/config.json":                             "{}",
		"lost/refs/main":                                            "fff",
		"lost/snapshots/abc/config.json":                            "{}",
		"many/snapshots/a/config.json":                              "{}",
		"many/snapshots/b/config.json":                              "{}",
		"empty/run.json":                                            "{}",
		"escape/refs/main":                                          "../../plain",
		"escape/snapshots/a/config.json":                            "{}",
	})
	for path, want := range map[string]string{
		"plain": "plain", "run": "run/model", "hub/models--Qwen--Qwen2.5-7B": "hub/models--Qwen--Qwen2.5-7B/snapshots/abc123",
		"one": "one/snapshots/abc",
	} {
		got, err := Resolve(filepath.Join(dir, path))
		require.NoError(t, err, path)
		require.Equal(t, filepath.Join(dir, want), got)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "gone"):              "gone: no such folder",
		"Qwen/Qwen2.5-Math-PRM-7B":              "hf download Qwen/Qwen2.5-Math-PRM-7B --local-dir Qwen2.5-Math-PRM-7B",
		filepath.Join(dir, "plain/config.json"): "not a folder",
		filepath.Join(dir, "lost"):              "refs/main names the revision fff, which is not among its snapshots",
		filepath.Join(dir, "many"):              "2 snapshots and no refs/main",
		filepath.Join(dir, "empty"):             "a run without a model: no checkpoint that verifies",
		filepath.Join(dir, "escape"):            "names no revision",
	} {
		_, err := Resolve(path)
		require.ErrorContains(t, err, want, path)
	}
	require.Equal(t, "Qwen/Qwen2.5-7B", HubID(filepath.Join(dir, "hub/models--Qwen--Qwen2.5-7B/snapshots/abc123")))
	require.Empty(t, HubID(filepath.Join(dir, "plain")))
}

// A file that git clone left to Git LFS is named as that, whichever it is.
func TestLFSPointers(t *testing.T) {
	pointer := "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 127072\n"
	for _, name := range []string{SingleName, ConfigName, IndexName, TokenizerName, "value_head.bin"} {
		dir := tinyModel(t, nil).write(t, nil)
		if name == IndexName {
			require.NoError(t, os.Remove(filepath.Join(dir, SingleName)))
		}
		overwrite(t, dir, name, pointer)
		_, err := Describe(dir, recogniseNone)
		require.ErrorContains(t, err, name+": a Git LFS pointer, not the file: run git lfs pull", name)
	}
}

func TestAdapterOfPEFT(t *testing.T) {
	dir := t.TempDir()
	text, err := json.Marshal(map[string]any{"peft_type": "LORA", "base_model_name_or_path": "Qwen/Qwen2.5-7B"})
	require.NoError(t, err)
	overwrite(t, dir, AdapterConfigName, string(text))
	require.ErrorContains(t, NoModel(dir), "a PEFT adapter, not a model: merge it into its base, Qwen/Qwen2.5-7B")
	require.ErrorContains(t, NoModel(t.TempDir()), "holds no config.json, so it is no model folder")
}
