//go:build linux

package cpu

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/goprm/goprm/internal/mmap"
	"github.com/stretchr/testify/require"
)

// Every worker meets the fault by itself: none takes another's task, since each waits for all of them to have begun.
func TestFaultInEveryWorker(t *testing.T) {
	const workers = 3
	path := filepath.Join(t.TempDir(), "weights")
	require.NoError(t, os.WriteFile(path, make([]byte, 100), 0o600))
	file, err := os.Open(path)
	require.NoError(t, err)
	mapping, err := mmap.Map(path, file, 100)
	require.NoError(t, err)
	require.NoError(t, file.Close())
	require.NoError(t, os.Truncate(path, 0))
	p := newPool(workers)
	defer p.close()
	var begun sync.WaitGroup
	begun.Add(workers)
	var sum [workers]byte
	err = mmap.Guard(func() error {
		return p.run(workers, func(i int) {
			begun.Done()
			begun.Wait()
			sum[i] = mapping.Data[i]
		})
	})
	var fault *mmap.FaultError
	require.ErrorAs(t, err, &fault)
	require.Equal(t, path, fault.Path)
	require.NoError(t, p.run(workers, func(int) {}), "the pool is as good as before")
	require.NoError(t, mapping.Close())
}
