package prm

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

// TestChangedShard changes a cached hidden state while a run uses it: the run must not learn from it.
func TestChangedShard(t *testing.T) {
	c := config(t, tiny(t, tinymodel.Options{}))
	c.Train = "head"
	done := false
	c.OnStep = func(s StepMetrics) {
		if done {
			return
		}
		done = true
		shards, err := filepath.Glob(filepath.Join(c.Cache, "features", "*", "*.safetensors"))
		require.NoError(t, err)
		require.NotEmpty(t, shards)
		for _, path := range shards {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			require.NoError(t, err)
			info, err := f.Stat()
			require.NoError(t, err)
			junk := make([]byte, info.Size()/2)
			_, err = f.WriteAt(junk, info.Size()/2)
			require.NoError(t, err)
			require.NoError(t, f.Close())
		}
	}
	_, err := Train(context.Background(), c)
	require.ErrorContains(t, err, ".shard.safetensors: changed while it was in use")
}
