//go:build linux

package crash

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestDamage flips a byte in every file that the program wrote and reads again, in the long form one in every 512, in the short one one
// a file. What reads it ends with an error, or with what it made of the whole file; it never makes anything else, hangs or panics.
func TestDamage(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	w := newWorld(t)
	unbroken := map[string]whole{}
	for _, u := range w.whole {
		unbroken[u.name] = u
	}
	model := w.path("reference-train/run/model")
	refused, equal := 0, 0
	for _, reader := range []struct{ job, dir string }{{"score", model}, {"export", model}, {"label", w.path("reference-label/labels")}} {
		require.NoError(t, filepath.WalkDir(reader.dir, func(path string, d fs.DirEntry, err error) error {
			require.NoError(t, err)
			if d.IsDir() || d.Name() == "README.md" {
				return nil
			}
			if reader.job == "label" && !strings.HasSuffix(path, ".db") {
				return nil // its other files are written anew
			}
			content, err := os.ReadFile(path)
			require.NoError(t, err)
			stride := max(512, len(content))
			if os.Getenv(KillsEnv) != "" {
				stride = 512
			}
			for at := min(number(t, SeedEnv, 1)*7%512, len(content)-1); at < len(content); at += stride {
				if w.damaged(t, unbroken[reader.job], path, content, at) {
					equal++
				} else {
					refused++
				}
			}
			return os.WriteFile(path, content, 0o600)
		}))
	}
	t.Logf("%d refused, %d equal", refused, equal)
	require.Positive(t, refused)
}

// damaged runs a job with one byte of one file changed, and reports whether it ended as ever.
func (w world) damaged(t *testing.T, u whole, path string, content []byte, at int) bool {
	t.Helper()
	j := u.job
	broken := append([]byte{}, content...)
	broken[at] ^= 0x15
	require.NoError(t, os.WriteFile(path, broken, 0o600))
	dir := filepath.Join(w.dir, "damaged")
	require.NoError(t, os.RemoveAll(dir))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "labels"), 0o700))
	if j.name == "label" {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "labels", "labels.db"), broken, 0o600))
	} else {
		require.NoError(t, os.Remove(filepath.Join(dir, "labels")))
	}
	out, err := w.run(j, dir, "", time.Minute)
	require.NotErrorIs(t, err, context.DeadlineExceeded, "%s: byte %d: hangs", path, at)
	require.NotContains(t, out, "goroutine ", "%s: byte %d", path, at)
	if err != nil {
		require.Equal(t, 1, err.(*exec.ExitError).ExitCode(), "%s: byte %d: %s", path, at, out)
		return false
	}
	got := made(t, j, dir)
	for name, sum := range u.files {
		if strings.HasSuffix(name, "README.md") || strings.HasSuffix(name, ".json") && j.name == "export" {
			continue // a word of the tokenizer's or the card's own text, copied as it is
		}
		require.Equal(t, sum, got[name], "%s: byte %d: %s differs, and nothing was said", path, at, name)
	}
	return true
}
