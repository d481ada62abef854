//go:build linux

package atomicfile

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// What cannot be flushed says so: the system is really asked. Pipes and the folders of /proc are such.
func TestFlushesReachTheSystem(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer func() { _, _ = r.Close(), w.Close() }()
	require.ErrorIs(t, Disk{}.sync(w), syscall.EINVAL)
	require.ErrorIs(t, Disk{}.syncFolder("/proc"), syscall.EINVAL)
	require.ErrorIs(t, (&Append{File: w}).Sync(), syscall.EINVAL)
}
