package filememo

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A fact is found out again as soon as anything about the file differs, be its size and time of modification set back.
func TestFactsFollowTheFile(t *testing.T) {
	dir := t.TempDir()
	path, memo := filepath.Join(dir, "file"), Memo{Dir: filepath.Join(dir, "memo")}
	found := 0
	of := func() string {
		v, err := memo.Of(path, "content", func() (string, error) {
			found++
			text, err := os.ReadFile(path)
			return string(text), err
		})
		require.NoError(t, err)
		return v
	}
	require.NoError(t, os.WriteFile(path, []byte("one"), 0o666))
	require.Equal(t, "one", of())
	require.Equal(t, "one", of())
	require.Equal(t, 2, found, "a file that has just been written may change without its times' changing")

	old := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(path, old, old))
	before, _ := stateOf(path, "content")
	require.False(t, before.settled(time.Now()), "its time of change is now, whatever the other one says")
	require.True(t, before.settled(time.Now().Add(2*settle)))
	memo.write(entry{before, "remembered"})
	require.Equal(t, "remembered", of())
	require.Equal(t, 2, found)

	require.NoError(t, os.WriteFile(path, []byte("two"), 0o666))
	require.NoError(t, os.Chtimes(path, old, old))
	require.Equal(t, "two", of(), "same size, same time of modification")
	memo.write(entry{before, "remembered"})
	require.NoError(t, os.WriteFile(path+"2", []byte("one"), 0o666))
	require.NoError(t, os.Rename(path+"2", path))
	require.Equal(t, "one", of(), "another inode")

	require.NoError(t, os.WriteFile(memo.file(before), []byte("{"), 0o666))
	require.Equal(t, "one", of(), "a damaged memo")
	_, err := Memo{}.Of(filepath.Join(dir, "none"), "content", func() (string, error) { return "", os.ErrNotExist })
	require.ErrorIs(t, err, os.ErrNotExist)
}

// What is read only uses what others remembered, and adds nothing.
func TestReadOnly(t *testing.T) {
	const path = "filememo.go" // which nobody has just written
	memo, found := Memo{Dir: filepath.Join(t.TempDir(), "memo"), ReadOnly: true}, 0
	of := func() {
		_, err := memo.Of(path, "fact", func() (string, error) {
			found++
			return "", nil
		})
		require.NoError(t, err)
	}
	of()
	require.NoDirExists(t, memo.Dir)
	memo.ReadOnly = false
	of()
	require.Equal(t, 2, found)
	memo.ReadOnly = true
	of()
	require.Equal(t, 2, found)
}
