//go:build linux

package store

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is paid for must not go into a file that nobody will find.
func TestStoreThatIsRemoved(t *testing.T) {
	for name, remove := range map[string]func(t *testing.T, path string){
		"folder": func(t *testing.T, path string) { require.NoError(t, os.RemoveAll(filepath.Dir(path))) },
		"replaced": func(t *testing.T, path string) {
			require.NoError(t, os.WriteFile(path+".new", nil, 0o600))
			require.NoError(t, os.Rename(path+".new", path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "labels", "labels.db")
			require.NoError(t, os.Mkdir(filepath.Dir(path), 0o700))
			s, err := Open(path, Options{})
			require.NoError(t, err)
			require.False(t, s.db.NoSync, "a commit reaches the disk")
			require.NoError(t, s.Check())
			require.NoError(t, s.Put("stage", NewKey("a"), []byte("1")))
			remove(t, path)
			require.ErrorIs(t, s.Put("stage", NewKey("b"), []byte("1")), ErrRemoved)
			require.ErrorIs(t, s.Check(), ErrRemoved)
			require.NoError(t, s.Close())
			require.ErrorIs(t, s.Check(), ErrClosed)
		})
	}
}
