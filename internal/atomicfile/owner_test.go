//go:build linux

package atomicfile

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Only what a process left that has ended, or what an unknown one has not touched for a day, is litter.
func TestTidyTellsTheDeadFromTheLiving(t *testing.T) {
	other := exec.Command("sleep", "60")
	require.NoError(t, other.Start())
	defer func() { _ = other.Process.Kill(); _ = other.Wait() }()
	gone := exec.Command("true")
	require.NoError(t, gone.Run())
	machine, pid := self().machine, other.Process.Pid
	begun, alive := begunAt(pid)
	require.True(t, alive)
	ticks, err := strconv.Atoi(begun)
	require.NoError(t, err)
	folder := t.TempDir()
	name := func(machine string, pid int, begun any) string {
		return fmt.Sprintf(".x%s%s-%d-%v-%08x", temporaryMark, machine, pid, begun, 7)
	}
	old := time.Now().Add(-2 * strangerAge)
	for _, c := range []struct {
		name  string
		old   bool
		stays bool
	}{
		{name(machine, pid, begun), true, true},
		{name(machine, os.Getpid(), self().begun), true, true},
		{name(machine, pid, ticks-1), false, false}, // the number was another's before
		{name(machine, gone.ProcessState.Pid(), begun), false, false},
		{name("00000001", gone.ProcessState.Pid(), begun), false, true}, // of another machine, at work perhaps
		{name("00000001", gone.ProcessState.Pid(), begun), true, false},
		{".x.tmp-8f3a01", true, true},           // of an older version: not known to be ours
		{".tmp-notes-1-2-3", true, true},        // a user's
		{"x" + name(machine, 1, 1), true, true}, // not hidden
	} {
		for _, isFolder := range []bool{false, true} {
			dir := filepath.Join(folder, fmt.Sprint(c, isFolder))
			path := filepath.Join(dir, c.name)
			require.NoError(t, os.MkdirAll(dir, 0o700))
			if isFolder {
				require.NoError(t, os.MkdirAll(filepath.Join(path, "deep"), 0o700))
				require.NoError(t, os.WriteFile(filepath.Join(path, "deep", "file"), nil, 0o600))
			} else {
				require.NoError(t, os.WriteFile(path, nil, 0o600))
			}
			if c.old {
				require.NoError(t, os.Chtimes(path, old, old))
			}
			require.NoError(t, WriteFile(filepath.Join(dir, "new"), text("new")))
			want := []string{"new"}
			if c.stays {
				want = append(want, c.name)
			}
			require.ElementsMatch(t, want, names(t, dir), "%+v", c)
		}
	}
}

func TestScratch(t *testing.T) {
	folder := t.TempDir()
	dir, err := Scratch(filepath.Join(folder, "scores"))
	require.NoError(t, err)
	require.True(t, Temporary(filepath.Base(dir)))
	o, ok := ownerOf(filepath.Base(dir))
	require.True(t, ok)
	require.False(t, o.dead(dir))
	require.Equal(t, self(), o)
}
