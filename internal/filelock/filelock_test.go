package filelock

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMain is also the other process: it takes the lock that it is told of, says so, and waits to be killed.
func TestMain(m *testing.M) {
	if path := os.Getenv("FILELOCK_TAKE"); path != "" {
		if _, err := Take(path); err != nil {
			os.Exit(3)
		}
		_, _ = os.Stdout.WriteString("taken\n")
		select {}
	}
	os.Exit(m.Run())
}

// A lock names its owner while it lives, and is free after kill -9.
func TestAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".lock")
	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), "FILELOCK_TAKE="+path)
	out, err := other.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, other.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "taken\n", line)
	_, err = Take(path)
	var held *HeldError
	require.ErrorAs(t, err, &held)
	require.Equal(t, other.Process.Pid, held.Process)
	require.NoError(t, Tidy(path))
	require.FileExists(t, path, "a lock that is held stays")
	require.NoError(t, other.Process.Kill())
	_ = other.Wait() // which says that it was killed
	require.FileExists(t, path)
	require.NoError(t, Tidy(path))
	require.NoFileExists(t, path)
	require.NoError(t, Tidy(path))
	l, err := Take(path)
	require.NoError(t, err)
	_, err = Take(path)
	require.ErrorAs(t, err, &held)
	require.Equal(t, os.Getpid(), held.Process)
	require.NoError(t, l.Release())
	require.NoFileExists(t, path)
}

// Owners who come and go never hold it together, though each removes the file.
func TestOneOwnerAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".lock")
	var holders, taken atomic.Int32
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 300 {
				l, err := Take(path)
				if err != nil {
					continue
				}
				if holders.Add(1) != 1 {
					t.Error("two owners")
				}
				taken.Add(1)
				holders.Add(-1)
				if err := l.Release(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	require.Positive(t, taken.Load())
	_, err := Take(filepath.Join(t.TempDir(), "absent", ".lock"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
