package filelock

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// A full disk is left without a lock that says nothing.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4k"); err != nil {
		t.Skipf("a small file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, 0)) })
	require.NoError(t, os.WriteFile(filepath.Join(dir, "full"), []byte(strings.Repeat("x", 4096)), 0o600))
	path := filepath.Join(dir, ".lock")
	_, err := Take(path)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.NoFileExists(t, path)
}
