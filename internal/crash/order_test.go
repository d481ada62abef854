//go:build linux

package crash

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/goprm/goprm/internal/atomicfile"
	"github.com/stretchr/testify/require"
)

// TestOrderOfOperations holds the commands to what makes a file survive a power failure: its content is flushed before it gets its
// name, and the folder after that.
func TestOrderOfOperations(t *testing.T) {
	w := newWorld(t)
	for _, j := range w.whole {
		flushed, renames, due := map[string]bool{}, 0, ""
		for _, line := range j.ops {
			op, path, _ := strings.Cut(line, " ")
			if rest, ok := strings.CutPrefix(line, "sync folder "); ok {
				op, path = "sync folder", rest
			}
			if due != "" {
				require.Equal(t, "sync folder "+due, op+" "+path, "%s: after a rename", j.name)
				due = ""
			}
			switch op {
			case "sync", "sync folder":
				name := filepath.Base(path)
				if mark := strings.Index(name, ".tmp-"); mark > 0 {
					name = name[1:mark]
				}
				dir, name := filepath.Dir(path), strings.TrimSuffix(name, ".part")
				flushed[filepath.Join(dir, name)] = true
				if atomicfile.Temporary(filepath.Base(dir)) { // made in a folder of its own, beside its place
					flushed[filepath.Join(filepath.Dir(dir), name)] = true
				}
			case "rename":
				if atomicfile.Temporary(filepath.Base(path)) {
					continue // a folder that is on its way out
				}
				require.True(t, flushed[filepath.Clean(path)], "%s: %s got its name before it was flushed", j.name, path)
				delete(flushed, filepath.Clean(path))
				renames, due = renames+1, filepath.Dir(path)
			}
		}
		require.Positive(t, renames, j.name)
	}
}
