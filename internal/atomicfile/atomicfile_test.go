package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// failNth returns a disk whose n-th operation (from 0) fails, and a function that says which one did, if any.
func failNth(n int) (Disk, func() Op) {
	seen, failed := 0, Op("")
	return Disk{Before: func(op Op, _ string) error {
		seen++
		if seen == n+1 {
			failed = op
			return syscall.ENOSPC
		}
		return nil
	}}, func() Op { return failed }
}

// untilClean runs attempt with the first, second, third ... operation failing until none fails, and returns the operations that did.
func untilClean(t *testing.T, attempt func(t *testing.T, disk Disk, failing func() Op)) []Op {
	t.Helper()
	var ops []Op
	for n := range 100 {
		disk, failing := failNth(n)
		attempt(t, disk, failing)
		if failing() == "" {
			return ops
		}
		ops = append(ops, failing())
	}
	t.Fatal("an operation still failed after 100 attempts")
	return nil
}

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
}

func names(t *testing.T, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	var found []string
	for _, entry := range entries {
		found = append(found, entry.Name())
	}
	return found
}

func TestWriteFileLeavesOldOrNewWhole(t *testing.T) {
	// Three buffers' worth, so that a write in the middle fails too.
	long := strings.Repeat("new ", 200<<10)
	ops := untilClean(t, func(t *testing.T, disk Disk, failing func() Op) {
		path := filepath.Join(t.TempDir(), "out.json")
		require.NoError(t, os.WriteFile(path, []byte("old"), 0o644))
		err := disk.WriteFile(path, text(long))
		held, readErr := os.ReadFile(path)
		require.NoError(t, readErr)
		require.Equal(t, []string{"out.json"}, names(t, filepath.Dir(path)), "litter after a failing %s", failing())
		switch failing() {
		case "":
			require.NoError(t, err)
			require.Equal(t, long, string(held))
		case SyncDir:
			require.ErrorIs(t, err, syscall.ENOSPC)
			require.Equal(t, long, string(held))
		default:
			require.ErrorIs(t, err, syscall.ENOSPC)
			require.ErrorContains(t, err, path)
			require.Equal(t, "old", string(held), "after a failing %s", failing())
		}
	})
	require.Equal(t, []Op{Create, Write, Sync, Rename, SyncDir}, compact(ops))
}

// compact drops repeats of the same operation in a row.
func compact(ops []Op) []Op {
	var kept []Op
	for _, op := range ops {
		if len(kept) == 0 || kept[len(kept)-1] != op {
			kept = append(kept, op)
		}
	}
	return kept
}

func TestWriteFileWhenTheWriterGivesUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	// The error is one that the search for a free temporary name also meets; it must not be taken for a name in use.
	calls := 0
	err := WriteFile(path, func(w io.Writer) error {
		calls++
		_, _ = io.WriteString(w, strings.Repeat("x", 1<<20))
		return fmt.Errorf("row 7: %w", os.ErrExist)
	})
	require.ErrorContains(t, err, "row 7")
	require.Equal(t, 1, calls)
	require.Empty(t, names(t, filepath.Dir(path)))

	require.Panics(t, func() { _ = WriteFile(path, func(io.Writer) error { panic("bug in a writer") }) })
	require.Empty(t, names(t, filepath.Dir(path)))
}

func TestWriteFileTargets(t *testing.T) {
	folder := t.TempDir()
	require.ErrorContains(t, WriteFile(os.DevNull, text("x")), "not a regular file")
	require.ErrorContains(t, WriteFile(folder, text("x")), "not a regular file")
	require.ErrorIs(t, WriteFile(filepath.Join(folder, "absent", "f"), text("x")), os.ErrNotExist)

	real, link := filepath.Join(folder, "real"), filepath.Join(folder, "link")
	require.NoError(t, WriteFile(real, text("old")))
	require.NoError(t, os.Symlink("real", link))
	require.NoError(t, WriteFile(link, text("new")))
	held, err := os.ReadFile(real)
	require.NoError(t, err)
	require.Equal(t, "new", string(held))
	info, err := os.Lstat(link)
	require.NoError(t, err)
	require.NotZero(t, info.Mode()&os.ModeSymlink, "the link was replaced by a file")

	require.NoError(t, os.Symlink("nowhere", filepath.Join(folder, "dangling")))
	require.ErrorContains(t, WriteFile(filepath.Join(folder, "dangling"), text("x")), "link to nothing")
}

func TestDirAppearsWholeOrNotAtAll(t *testing.T) {
	ops := untilClean(t, func(t *testing.T, disk Disk, failing func() Op) {
		parent := t.TempDir()
		final := filepath.Join(parent, "step-1")
		err := writeDir(disk, final, (*Dir).Commit, "a", "b")
		if failing() == "" || err == nil {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, syscall.ENOSPC)
		}
		if found := names(t, parent); len(found) > 0 {
			require.Equal(t, []string{"step-1"}, found)
			require.Equal(t, []string{"a", "b"}, names(t, final), "after a failing %s", failing())
		}
		require.Equal(t, failing() == "", err == nil)
	})
	require.Equal(t, []Op{Create, Write, Sync, Create, Write, Sync, SyncDir, Rename, SyncDir}, compact(ops))
}

func writeDir(disk Disk, final string, finish func(*Dir) error, files ...string) error {
	dir, err := disk.NewDir(final)
	if err != nil {
		return err
	}
	for _, name := range files {
		if err := dir.WriteFile(name, text("content of "+name)); err != nil {
			return errors.Join(err, dir.Abort())
		}
	}
	return finish(dir)
}

func TestReplaceLeavesOneWholeFolder(t *testing.T) {
	untilClean(t, func(t *testing.T, disk Disk, failing func() Op) {
		parent := t.TempDir()
		final := filepath.Join(parent, "model")
		require.NoError(t, writeDir(Disk{}, final, (*Dir).Commit, "old1", "old2"))
		err := writeDir(disk, final, (*Dir).Replace, "new1", "new2", "new3")
		require.Equal(t, failing() == "", err == nil)
		require.Equal(t, []string{"model"}, names(t, parent), "litter after a failing %s", failing())
		if found := names(t, final); len(found) == 2 {
			require.Equal(t, []string{"old1", "old2"}, found)
			require.Error(t, err)
		} else {
			require.Equal(t, []string{"new1", "new2", "new3"}, found)
		}
	})
	fresh := filepath.Join(t.TempDir(), "model")
	require.NoError(t, writeDir(Disk{}, fresh, (*Dir).Replace, "a"))
	require.Equal(t, []string{"a"}, names(t, fresh))
}

func TestExchangeByRenames(t *testing.T) {
	parent := t.TempDir()
	a, b := filepath.Join(parent, "a"), filepath.Join(parent, "b")
	require.NoError(t, writeDir(Disk{}, a, (*Dir).Commit, "was a"))
	require.NoError(t, writeDir(Disk{}, b, (*Dir).Commit, "was b"))
	require.NoError(t, exchangeByRenames(a, b))
	require.Equal(t, []string{"a", "b"}, names(t, parent))
	require.Equal(t, []string{"was b"}, names(t, a))
	require.Equal(t, []string{"was a"}, names(t, b))
}

func TestDirRefuses(t *testing.T) {
	parent := t.TempDir()
	final := filepath.Join(parent, "run")
	require.NoError(t, os.Mkdir(final, 0o755)) // empty: a bare rename would silently take its place
	require.ErrorIs(t, writeDir(Disk{}, final, (*Dir).Commit, "a"), os.ErrExist)
	require.Equal(t, []string{"run"}, names(t, parent))

	taken := filepath.Join(parent, "file")
	require.NoError(t, WriteFile(taken, text("keep me")))
	require.ErrorContains(t, writeDir(Disk{}, taken, (*Dir).Replace, "a"), "not a folder")
	require.Equal(t, []string{"file", "run"}, names(t, parent))

	dir, err := NewDir(filepath.Join(parent, "other"))
	require.NoError(t, err)
	require.True(t, Temporary(filepath.Base(dir.temporary)))
	require.False(t, Temporary("step-00000001"))
	for _, name := range []string{"", ".", "..", "../up", "sub/file", "/etc/passwd"} {
		require.ErrorContains(t, dir.WriteFile(name, text("x")), "plain file name")
	}
	require.NoError(t, dir.WriteFile("a", text("x")))
	require.ErrorIs(t, dir.WriteFile("a", text("y")), os.ErrExist)
	require.NoError(t, dir.Abort())
	require.NoError(t, dir.Abort())
	require.ErrorIs(t, dir.Commit(), errClosed)
	require.ErrorIs(t, dir.WriteFile("b", text("x")), errClosed)
	require.Equal(t, []string{"file", "run"}, names(t, parent))
}
