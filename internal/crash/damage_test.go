//go:build linux

package crash

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// readable are files that a job reads: in place, or copied into the folder that it runs in.
type readable struct {
	job, dir string
	copied   bool
	skip     []string // ends of names whose damage may show: texts that are copied as they are
}

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
	store := w.path("store/labels")
	require.NoError(t, os.MkdirAll(store, 0o700)) // label's other files are written anew
	require.NoError(t, os.CopyFS(store, os.DirFS(w.path("reference-label/labels"))))
	for _, name := range w.files(t, store) {
		if !strings.HasSuffix(name, ".db") {
			require.NoError(t, os.Remove(filepath.Join(store, name)))
		}
	}
	all := 0
	for _, r := range []readable{
		{"score", model, false, []string{"README.md"}}, {"export", model, false, []string{"README.md"}},
		{"score", w.path("base"), false, nil}, // its hash is the model's
		{"label", w.path("store"), true, nil}, {"train", w.brokenOff(t, unbroken["train"]), true, nil},
		{"head", w.brokenOff(t, unbroken["head"]), true, nil},
	} {
		refused, equal := 0, 0
		for _, name := range w.files(t, r.dir) {
			if slices.ContainsFunc(r.skip, func(end string) bool { return strings.HasSuffix(name, end) }) {
				continue
			}
			content, err := os.ReadFile(filepath.Join(r.dir, name))
			require.NoError(t, err)
			stride := max(512, len(content))
			if os.Getenv(KillsEnv) != "" {
				stride = 512
			}
			for at := min(number(t, SeedEnv, 1)*7%512, len(content)-1); 0 <= at && at < len(content); at += stride {
				if w.damaged(t, unbroken[r.job], r, name, at) {
					equal++
				} else {
					refused++
				}
			}
		}
		t.Logf("%s of %s: %d refused, %d equal", r.job, filepath.Base(r.dir), refused, equal)
		all += refused
	}
	require.Positive(t, all)
}

// files are the names of all files below a folder.
func (w world) files(t *testing.T, dir string) (names []string) {
	require.NoError(t, fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, name)
		}
		return err
	}))
	return names
}

// brokenOff is a folder in which training was killed when it had written a checkpoint or more.
func (w world) brokenOff(t *testing.T, train whole) string {
	dir := w.path("broken-off-" + train.name)
	require.NoError(t, os.Mkdir(dir, 0o700))
	last := 0
	for i, op := range train.ops {
		if strings.Contains(op, "checkpoints/step-") {
			last = i + 1
		}
	}
	out, err := w.run(train.job, dir, fmt.Sprintf("kill:%d", last+1), time.Minute)
	require.True(t, killed(err), out)
	return dir
}

// damaged runs a job with one byte of one file changed, and reports whether it ended as ever.
func (w world) damaged(t *testing.T, u whole, r readable, name string, at int) bool {
	t.Helper()
	dir := filepath.Join(w.dir, "damaged")
	require.NoError(t, os.RemoveAll(dir))
	require.NoError(t, os.Mkdir(dir, 0o700))
	path := filepath.Join(r.dir, name)
	if r.copied {
		require.NoError(t, os.CopyFS(dir, os.DirFS(r.dir)))
		path = filepath.Join(dir, name)
	}
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	broken := bytes.Clone(content)
	broken[at] ^= 0x15
	require.NoError(t, os.WriteFile(path, broken, 0o600))
	out, err := w.run(u.job, dir, "", time.Minute)
	if !r.copied {
		require.NoError(t, os.WriteFile(path, content, 0o600))
	}
	require.NotErrorIs(t, err, context.DeadlineExceeded, "%s: byte %d: hangs", path, at)
	require.NotContains(t, out, "goroutine ", "%s: byte %d", path, at)
	if err != nil {
		require.Equal(t, 1, err.(*exec.ExitError).ExitCode(), "%s: byte %d: %s", path, at, out)
		return false
	}
	got := made(t, u.job, dir)
	for file, sum := range u.files {
		if strings.HasSuffix(file, "README.md") || strings.HasSuffix(file, ".json") && u.name == "export" {
			continue // a word of the tokenizer's or the card's own text, copied as it is
		}
		require.Equal(t, sum, got[file], "%s: byte %d: %s differs, and nothing was said: %s", path, at, file, out)
	}
	return true
}
