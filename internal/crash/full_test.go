//go:build linux

package crash

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestFullDisk runs each command on file systems that hold a part of what it writes: it says that the disk is full, litters nothing, and
// ends as an unbroken one when there is room. It needs leave to mount.
func TestFullDisk(t *testing.T) {
	w := newWorld(t)
	for _, u := range w.whole {
		full := 0
		for _, kib := range []int{4, 64} {
			dir := w.path(fmt.Sprintf("%s-%dk", u.name, kib))
			require.NoError(t, os.Mkdir(dir, 0o700))
			if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dk", kib)); err != nil {
				t.Skipf("a small file system cannot be mounted here: %v", err)
			}
			t.Cleanup(func() { _ = syscall.Unmount(dir, 0) })
			if out, err := w.run(u.job, dir, "", time.Minute); err != nil {
				require.Contains(t, out, "no space left", "%s in %d KiB", u.name, kib)
				require.NotContains(t, out, "goroutine ", "%s in %d KiB", u.name, kib)
				require.Equal(t, 1, err.(*exec.ExitError).ExitCode(), out)
				made(t, u.job, dir) // no litter
				full++
			}
			require.NoError(t, syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=64m"))
			out, err := w.run(u.job, dir, "", time.Minute)
			require.True(t, err == nil || exported(u.job, out), "%s in %d KiB: %v\n%s", u.name, kib, err, out)
			require.Equal(t, u.files, made(t, u.job, dir), "%s in %d KiB", u.name, kib)
		}
		t.Logf("%s: full %d times of 2", u.name, full)
		require.Positive(t, full, u.name)
	}
}
