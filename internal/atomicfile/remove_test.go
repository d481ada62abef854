package atomicfile

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRemove(t *testing.T) {
	parent := t.TempDir()
	final := filepath.Join(parent, "step-1")
	require.NoError(t, writeDir(Disk{}, final, (*Dir).Commit, "a", "b"))
	disk, failing := failNth(0)
	require.ErrorIs(t, disk.Remove(final), syscall.ENOSPC)
	require.Equal(t, Rename, failing())
	require.Equal(t, []string{"a", "b"}, names(t, final))
	require.NoError(t, Remove(final+"/"))
	require.Empty(t, names(t, parent))
	require.ErrorIs(t, Remove(final), os.ErrNotExist)
}

func TestRemoveLeftovers(t *testing.T) {
	folder := t.TempDir()
	dir, err := NewDir(filepath.Join(folder, "step-2"))
	require.NoError(t, err)
	require.NoError(t, dir.WriteFile("a", text("x")))
	for _, name := range []string{"step-1", ".hidden", ".out.json.tmp-1f"} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), nil, 0o644))
	}
	require.NoError(t, RemoveLeftovers(folder))
	require.Equal(t, []string{".hidden", "step-1"}, names(t, folder))
}

func TestMakeFolder(t *testing.T) {
	ops := untilClean(t, func(t *testing.T, disk Disk, failing func() Op) {
		path := filepath.Join(t.TempDir(), "checkpoints")
		err := disk.MakeFolder(path)
		require.Equal(t, failing() != "", err != nil)
	})
	require.Equal(t, []Op{Create, SyncDir}, ops)
	path := filepath.Join(t.TempDir(), "checkpoints")
	require.NoError(t, Disk{}.MakeFolder(path))
	require.NoError(t, Disk{}.MakeFolder(path))
	require.Error(t, Disk{}.MakeFolder(filepath.Join(path, "a", "b")))
	require.NoError(t, os.WriteFile(filepath.Join(path, "file"), nil, 0o644))
	require.ErrorIs(t, Disk{}.MakeFolder(filepath.Join(path, "file")), os.ErrExist)
}
