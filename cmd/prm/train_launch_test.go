package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Of several ranks the first alone prints what the run would do.
func TestFirstRankSpeaksForAll(t *testing.T) {
	_, _, _, config := fixture(t)
	t.Setenv("WORLD_SIZE", "2")
	for _, flag := range []string{"--dry-run", "--print-config"} {
		for rank, prints := range map[string]bool{"0": true, "1": false} {
			t.Setenv("RANK", rank)
			code, stdout, stderr := prmCommand("train", flag, "--lr", "0.5", "--config", config)
			require.Equal(t, 0, code, stderr)
			require.Equal(t, prints, stdout != "", "%s on rank %s: %s", flag, rank, stdout)
			require.Equal(t, prints, stderr != "", "%s on rank %s: %s", flag, rank, stderr)
		}
	}
	t.Setenv("RANK", "2")
	code, _, stderr := prmCommand("train", "--dry-run", "--config", config)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "RANK is 2 and WORLD_SIZE is 2")
}
