package prm

import (
	"context"
	"path/filepath"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// Giving weights back changes no bit, whatever is mapped and whatever is not.
func TestLowMemoryScoresAreTheSame(t *testing.T) {
	goldens := filepath.Join("..", "internal", "parity", "testdata", "heads")
	folders := map[string]OpenOptions{
		"eurus":       {Format: "eurus", Reference: filepath.Join(goldens, "eurus", "reference")},
		"yarn_window": {Format: "token_classification"},
	}
	for i, folder := range []string{"eurus", "yarn_window", "yarn_window"} {
		options := folders[folder]
		if i == 2 {
			options.DType, options.Backend = "bf16", "portable"
		}
		dir := filepath.Join(goldens, folder)
		plain, err := Open(dir, options)
		require.NoError(t, err)
		options.LowMemory = true
		low, err := Open(dir, options)
		require.NoError(t, err)
		low.backend.(*releasing).least = 1
		released := 0
		for _, data := range low.backend.(*releasing).mapped {
			if low.backend.(*releasing).isMapped(unsafe.Pointer(&data[0]), len(data)) {
				released++
			}
		}
		require.Greater(t, released, 10)
		heap := make([]byte, 1)
		require.False(t, low.backend.(*releasing).isMapped(unsafe.Pointer(&heap[0]), 1))
		for range 2 {
			want, err := plain.Score(context.Background(), part(long(), 0, 4))
			require.NoError(t, err)
			got, err := low.Score(context.Background(), part(long(), 0, 4))
			require.NoError(t, err)
			require.Equal(t, lines(t, want), lines(t, got))
		}
		require.NoError(t, plain.Close())
		require.NoError(t, low.Close())
	}
}
