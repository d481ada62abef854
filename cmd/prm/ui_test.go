package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// prm ui shows the runs of a folder until it is told to end.
func TestUI(t *testing.T) {
	dir := t.TempDir()
	run1 := filepath.Join(dir, "one")
	require.NoError(t, os.Mkdir(run1, 0o755))
	write(t, filepath.Join(run1, "metrics.jsonl"), `{"step":1,"loss":0.5}`+"\n"+`{"step":2,"loss":0.25}`+"\n")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var log shared
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"ui", dir, "--addr", "127.0.0.1:0"}, strings.NewReader(""), io.Discard, &log)
	}()
	listening := regexp.MustCompile(`http://127\.0\.0\.1:\d+`)
	require.Eventually(t, func() bool { return listening.MatchString(log.String()) }, 10*time.Second, 5*time.Millisecond)
	reply, err := http.Get(listening.FindString(log.String()) + "/runs")
	require.NoError(t, err)
	text, err := io.ReadAll(reply.Body)
	require.NoError(t, err)
	require.NoError(t, reply.Body.Close())
	require.Contains(t, string(text), "from 0.500")
	require.NotContains(t, log.String(), "everybody")
	cancel()
	require.Zero(t, <-ended, log.String())

	code, _, stderr := prmCommand("ui", filepath.Join(dir, "nowhere"))
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "nowhere")
	code, _, _ = prmCommand("ui")
	require.Equal(t, 2, code)
}
