package mmap

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// fileMemory is how many kilobytes of files the process has in memory.
func fileMemory(t *testing.T) int {
	text, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	_, rest, found := bytes.Cut(text, []byte("RssFile:"))
	require.True(t, found)
	kilobytes, err := strconv.Atoi(string(bytes.Fields(rest)[0]))
	require.NoError(t, err)
	return kilobytes
}

func TestReleaseGivesMemoryBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	content := bytes.Repeat([]byte("0123456789abcdef"), 2<<20)
	require.NoError(t, os.WriteFile(path, content, 0o644))
	file, err := os.Open(path)
	require.NoError(t, err)
	m, err := Map(path, file, len(content))
	require.NoError(t, err)
	require.NoError(t, file.Close())
	data := m.Data
	require.Equal(t, content, data)
	before := fileMemory(t)
	require.NoError(t, Release(data[5:len(data)-5]))
	require.Greater(t, before-fileMemory(t), 30<<10, "of 32 MiB")
	require.True(t, bytes.Equal(content, data), "read again")
	require.NoError(t, Release(data[1:100]))
	require.NoError(t, Release(nil))
	require.NoError(t, m.Close())
	require.Greater(t, Available(), int64(1<<20))
}
