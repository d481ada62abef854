package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// fullDisk is an output without room.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) {
	return 0, &os.PathError{Op: "write", Path: "|1", Err: syscall.ENOSPC}
}

// A failed writer keeps its error, which must not be said a second time when it is flushed.
func TestFullDiskIsSaidOnce(t *testing.T) {
	dir, model, _, _ := fixture(t)
	row := `{"text":"ab"}` + "\n"
	for name, rows := range map[string]string{"while writing": strings.Repeat(row, 1000), "at the end": row} {
		in := write(t, filepath.Join(dir, "in.jsonl"), rows)
		var stderr bytes.Buffer
		require.Equal(t, 1, run(context.Background(), []string{"tokenize", "--tokenizer", model, "--in", in}, strings.NewReader(""), fullDisk{},
			&stderr), name)
		require.Equal(t, "prm tokenize: write |1: no space left on device\n", stderr.String(), name)
	}
	// a row's own error and the disk's are both said
	in := write(t, filepath.Join(dir, "in.jsonl"), row+`{"text":3}`+"\n")
	var stderr bytes.Buffer
	require.Equal(t, 1, run(context.Background(), []string{"tokenize", "--tokenizer", model, "--in", in}, strings.NewReader(""), fullDisk{},
		&stderr))
	require.Contains(t, stderr.String(), "in.jsonl:2: text: ")
	require.Contains(t, stderr.String(), "; write |1: no space left on device\n")
}
