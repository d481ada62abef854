package hfmodel

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/goprm/goprm/internal/safetensors"
	"github.com/goprm/goprm/internal/shareddata"
	"github.com/stretchr/testify/require"
)

// Converted folders hold the same tensors, byte by byte.
func TestConvert(t *testing.T) {
	heads := filepath.Join(shareddata.Dir(t), "data", "goldens", "heads")
	in, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
	require.NoError(t, os.CopyFS(filepath.Join(in, "m"), os.DirFS(filepath.Join(heads, "skywork_prm"))))
	in = filepath.Join(in, "m")
	require.NoError(t, os.WriteFile(filepath.Join(in, "training_args.bin"), []byte("a pickle of anything"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(in, "modeling.py"), []byte("import os"), 0o644))
	done, err := Convert(in, out)
	require.NoError(t, err)
	require.Equal(t, []string{"modeling.py", "training_args.bin"}, done.LeftOut)
	require.Equal(t, map[string]string{
		"pytorch_model-00001-of-00002.bin": "model-00001-of-00002.safetensors",
		"pytorch_model-00002-of-00002.bin": "model-00002-of-00002.safetensors",
	}, done.Files)
	before, err := OpenWeights(in)
	require.NoError(t, err)
	after, err := OpenWeights(out)
	require.NoError(t, err)
	require.Equal(t, before.Names(), after.Names())
	require.Len(t, before.Names(), done.Tensors)
	var size int64
	for _, name := range before.Names() {
		a, _ := before.Lookup(name)
		b, _ := after.Lookup(name)
		require.Equal(t, a.Info.DType, b.Info.DType)
		require.Equal(t, a.Info.Shape, b.Info.Shape)
		require.Equal(t, a.Bytes, b.Bytes, name)
		size += a.Info.Bytes()
	}
	require.Equal(t, "pt", after.Files()[0].(*safetensors.File).Metadata()["format"])
	var index struct {
		Metadata struct {
			TotalSize int64 `json:"total_size"`
		}
	}
	text, err := os.ReadFile(filepath.Join(out, IndexName))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &index))
	require.Equal(t, size, index.Metadata.TotalSize)
	require.NoError(t, before.Close())
	require.NoError(t, after.Close())
	for _, name := range []string{ConfigName, TokenizerName, "chat_template.jinja"} {
		want, err := os.ReadFile(filepath.Join(in, name))
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(out, name))
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	require.Equal(t, "model", describe(t, out).Kind)

	_, err = Convert(in, out)
	require.ErrorContains(t, err, "exists already")
	_, err = Convert(out, out+"2")
	require.ErrorContains(t, err, "nothing to convert")

	// A head beside safetensors.
	out = filepath.Join(t.TempDir(), "out")
	done, err = Convert(filepath.Join(heads, "reasonflux_1_5b"), out)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"reward_head.pt": "reward_head.safetensors"}, done.Files)
	require.NoFileExists(t, filepath.Join(out, "reward_head.pt"))
	require.Equal(t, "reward_head.safetensors", RewardHeadName(out))

	// One changed byte of a tensor is found, and nothing appears.
	path := filepath.Join(in, "pytorch_model-00002-of-00002.bin")
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	content[len(content)/2] ^= 1
	require.NoError(t, os.WriteFile(path, content, 0o644))
	parent := t.TempDir()
	_, err = Convert(in, filepath.Join(parent, "out"))
	require.ErrorContains(t, err, "CRC-32")
	entries, err := os.ReadDir(parent)
	require.NoError(t, err)
	require.Empty(t, entries)
}
