//go:build linux && (amd64 || arm64) && !nocuda

package driver

import (
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"github.com/ebitengine/purego"
	"github.com/stretchr/testify/require"
)

// inLibc is what the driver sees of the environment.
func inLibc(t *testing.T, name string) string {
	getenv, err := purego.Dlsym(purego.RTLD_DEFAULT, "getenv")
	require.NoError(t, err)
	text := append([]byte(name), 0)
	r, _, _ := purego.SyscallN(getenv, uintptr(unsafe.Pointer(&text[0])))
	return goString(*(**byte)(unsafe.Pointer(&r)))
}

// The driver's cache of compiled kernels goes where it can be written, and to nobody else's folder.
func TestCacheIsPlaced(t *testing.T) {
	const name = "CUDA_CACHE_PATH"
	cache := func(set, home, temp string) string {
		for key, value := range map[string]string{name: set, "HOME": home, "TMPDIR": temp} {
			t.Setenv(key, value)
		}
		require.NoError(t, os.Unsetenv(name))
		if set != "" {
			require.NoError(t, os.Setenv(name, set))
		}
		require.NoError(t, placeCache())
		return inLibc(t, name)
	}
	home, temp, file := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.Equal(t, "/mine", cache("/mine", file, temp))
	require.Empty(t, cache("", home, temp), "the driver's own place")
	for _, unusable := range []string{"", file} {
		dir := cache("", unusable, temp)
		require.Equal(t, temp, filepath.Dir(dir))
		require.NoError(t, os.Chmod(dir, 0o777))
		require.Empty(t, cache("", unusable, temp), "a folder that others may write to")
		require.NoError(t, os.Chmod(dir, 0o700))
	}
	require.Empty(t, cache("", file, file))
}
