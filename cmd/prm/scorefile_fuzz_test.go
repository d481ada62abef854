package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzUnfinished: an unfinished output keeps its whole lines, or is refused and left as it is.
func FuzzUnfinished(f *testing.F) {
	line := `{"id":"a","steps":[0.5],"reward":0.5}` + "\n"
	for _, text := range []string{"", line, line + line + line + line + line + line, line + `{"id":"b","st`, line + "\n" + line, `{"id":7}` + "\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "scores.jsonl.part")
		require.NoError(t, os.WriteFile(path, text, 0o600))
		kept, err := keepWhole(path)
		after, readErr := os.ReadFile(path)
		require.NoError(t, readErr)
		if err != nil {
			require.ErrorContains(t, err, path)
			require.Equal(t, text, after)
			return
		}
		whole := text[:bytes.LastIndexByte(text, '\n')+1]
		require.Equal(t, string(whole), string(after))
		lines := bytes.SplitAfter(whole, []byte("\n"))
		lines = lines[:len(lines)-1]
		require.Len(t, kept.check, min(len(lines), checkedLines))
		require.Len(t, kept.ids, len(lines)-len(kept.check))
		for i, line := range kept.check {
			require.Equal(t, string(lines[len(kept.ids)+i]), string(line))
		}
	})
}

func TestUnfinishedIsAFile(t *testing.T) {
	part := filepath.Join(t.TempDir(), "scores.jsonl.part")
	require.NoError(t, os.Symlink("/dev/null", part))
	_, err := keepWhole(part)
	require.ErrorContains(t, err, part+": not a file")
}
