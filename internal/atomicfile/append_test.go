package atomicfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCutTorn(t *testing.T) {
	long := strings.Repeat("x", 200<<10)
	for text, want := range map[string]string{
		"": "", "a\n": "a\n", "a": "", "a\nb": "a\n", "a\n\nb": "a\n\n", long: "", long + "\n" + long: long + "\n", "\n" + long: "\n",
		strings.Repeat("y", 64<<10-1) + "\n" + long[:64<<10]: strings.Repeat("y", 64<<10-1) + "\n",
	} {
		path := filepath.Join(t.TempDir(), "log")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		f, err := OpenAppend(path, 0o600)
		require.NoError(t, err)
		cut, err := f.CutTorn()
		require.NoError(t, err)
		require.Equal(t, int64(len(text)-len(want)), cut)
		_, err = f.Write([]byte("next\n"))
		require.NoError(t, err)
		require.NoError(t, f.Close())
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		require.True(t, want+"next\n" == string(got), "%.40q", text)
	}
}
