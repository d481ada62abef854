package atomicfile

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever fails: before the first rename all is as it was; after it no file stands without the first.
func TestBatchIsWholeOrOld(t *testing.T) {
	ops := untilClean(t, func(t *testing.T, disk Disk, failing func() Op) {
		folder := t.TempDir()
		main, side := filepath.Join(folder, "main"), filepath.Join(folder, "side")
		write := func() (err error) {
			b := disk.NewBatch()
			defer func() { require.NoError(t, b.Abort()) }()
			if err := b.WriteFile(main, text("main")); err != nil {
				return err
			}
			if err := b.WriteFile(side, text("side")); err != nil {
				return err
			}
			return b.Commit()
		}
		err := write()
		if failing() == "" {
			require.NoError(t, err)
			require.ElementsMatch(t, []string{"main", "side"}, names(t, folder))
			return
		}
		require.ErrorContains(t, err, folder)
		found := names(t, folder)
		for _, name := range found {
			require.False(t, Temporary(name), name)
			content, err := os.ReadFile(filepath.Join(folder, name))
			require.NoError(t, err)
			require.Equal(t, name, string(content))
		}
		if len(found) > 0 {
			require.Equal(t, "main", found[0])
		}
		if failing() != Rename && failing() != SyncDir {
			require.Empty(t, found)
		}
	})
	require.Equal(t, []Op{Create, Create, Write, Sync, Write, Sync, Rename, SyncDir, Rename, SyncDir}, ops)
}

func TestAppendKnowsThatItIsGone(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "run")
	require.NoError(t, os.Mkdir(folder, 0o700))
	a, err := OpenAppend(filepath.Join(folder, "lines"), 0o666)
	require.NoError(t, err)
	require.False(t, a.Missing())
	require.NoError(t, os.RemoveAll(folder))
	require.True(t, a.Missing())
	require.NoError(t, os.Mkdir(folder, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "lines"), nil, 0o600))
	require.True(t, a.Missing(), "another file has its name")
	require.NoError(t, a.Close())
}
