package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// shared is a buffer that may be read while a command writes to it.
type shared struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// The server answers with what prm score writes, and ends when it is told to.
func TestServe(t *testing.T) {
	dir, _, _, config := fixture(t)
	code, _, stderr := prmCommand("train", "--config", config, "--quiet")
	require.Zero(t, code, stderr)
	model := filepath.Join(dir, "run", "model")
	row := `{"id":"a","problem":"Number 7?","thinking":"One.\n\nTwo.","response":"Three."}`
	code, line, stderr := prmCommand("score", "--model", model, "--in", write(t, filepath.Join(dir, "one.jsonl"), row+"\n"), "--quiet")
	require.Zero(t, code, stderr)

	t.Setenv(tokenVariable, "secret")
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var log shared
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"serve", "--model", model, "--addr", "127.0.0.1:0"}, strings.NewReader(""), io.Discard, &log)
	}()
	listening := regexp.MustCompile(`http://127\.0\.0\.1:\d+`)
	require.Eventually(t, func() bool { return listening.MatchString(log.String()) }, 10*time.Second, 5*time.Millisecond)
	url := listening.FindString(log.String())
	for token, status := range map[string]int{"wrong": 401, "secret": 200} {
		r, err := http.NewRequest("POST", url+"/v1/steps", strings.NewReader(row))
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+token)
		got, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		body, err := io.ReadAll(got.Body)
		require.NoError(t, err)
		require.NoError(t, got.Body.Close())
		require.Equal(t, status, got.StatusCode, string(body))
		if status == 200 {
			require.Equal(t, line, string(body))
		}
	}
	stop()
	require.Zero(t, <-ended, log.String())
	require.Contains(t, log.String(), "every request is answered")
	require.Regexp(t, `prefix cache: 16384 tokens, which take up to \d+ MiB`, log.String())

	for args, message := range map[string]string{"--beta 2": "beta: 2 is not in [0,1]", "--queue -1": "queue", "--cache-tokens -1": "--cache-tokens", "--too-long cut": "--too-long"} {
		code, _, stderr := prmCommand(append([]string{"serve", "--model", model}, strings.Fields(args)...)...)
		require.Equal(t, 2, code, stderr)
		require.Contains(t, stderr, message)
	}
	code, _, stderr = prmCommand("serve", "--model", model, "--addr", "127.0.0.1:99999")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "--addr")
}
