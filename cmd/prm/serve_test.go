package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/prm"
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

// served runs prm serve; stop ends it and returns its log.
func served(t *testing.T, args ...string) (url string, stop func() string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	var log shared
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, append([]string{"serve", "--addr", "127.0.0.1:0"}, args...), strings.NewReader(""), io.Discard, &log)
	}()
	listening := regexp.MustCompile(`http://127\.0\.0\.1:\d+`)
	require.Eventually(t, func() bool { return listening.MatchString(log.String()) }, 10*time.Second, 5*time.Millisecond)
	return listening.FindString(log.String()), func() string {
		cancel()
		require.Zero(t, <-ended, log.String())
		return log.String()
	}
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
	url, stop := served(t, "--model", model)
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
	said := stop()
	require.Contains(t, said, "every request is answered")
	require.Regexp(t, `prefix cache: \d+ tokens, which take up to \d+ MiB`, said)

	for args, message := range map[string]string{"--beta 2": "beta: 2 is not in [0,1]", "--queue -1": "queue", "--cache-tokens -1": "--cache-tokens", "--too-long cut": "--too-long", "--unscored zero": "unscored: \"zero\" is neither"} {
		code, _, stderr := prmCommand(append([]string{"serve", "--model", model}, strings.Fields(args)...)...)
		require.Equal(t, 2, code, stderr)
		require.Contains(t, stderr, message)
	}
	code, _, stderr = prmCommand("serve", "--model", model, "--addr", "127.0.0.1:99999")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "--addr")
}

// The flags mix as prm.Blend does, with and without a trajectory in the reward.
func TestServeBlends(t *testing.T) {
	dir, _, _, config := fixture(t)
	code, _, stderr := prmCommand("train", "--config", config, "--quiet")
	require.Zero(t, code, stderr)
	trained := filepath.Join(dir, "run", "model")
	model, err := prm.Open(trained, prm.OpenOptions{})
	require.NoError(t, err)
	defer func() { require.NoError(t, model.Close()) }()
	score, err := model.Score(context.Background(), &data.Trajectory{Problem: "p", Response: "One.\n\n\\boxed{2}"})
	require.NoError(t, err)
	require.Len(t, score.Steps, 2)
	steps := (score.Steps[0].Score + score.Steps[1].Score) / 2
	for _, c := range []struct {
		beta, scale string
		alpha       float64
	}{{"0.75", "paper", 1}, {"0.3", "unit", 1}, {"1", "unit", 0.5}, {"0.5", "paper", 2}, {"0", "unit", 0}} {
		url, stop := served(t, "--model", trained, "--beta", c.beta, "--blend-scale", c.scale, "--alpha", fmt.Sprint(c.alpha), "--parts", "all", "--unscored=-2")
		beta, err := strconv.ParseFloat(c.beta, 64)
		require.NoError(t, err)
		for label, outcome := range map[string]float64{"2": 1, "3": 0} {
			want, err := prm.Blend(outcome, steps+c.alpha**score.Trajectory, prm.BlendOptions{Beta: &beta, Scale: c.scale, Alpha: c.alpha})
			require.NoError(t, err)
			require.Equal(t, want, remote(t, url, `{"prompt":"p","response":"One.\n\n\\boxed{2}","label":"`+label+`"}`))
		}
		require.Equal(t, -2.0, remote(t, url, `{"prompt":"p","response":"","label":"2"}`))
		stop()
	}
}

// remote is the reward that slime would be told.
func remote(t *testing.T, url, body string) (reward float64) {
	t.Helper()
	r, err := http.Post(url+"/reward/remote_rm", "application/json", strings.NewReader(body))
	require.NoError(t, err)
	require.Equal(t, 200, r.StatusCode)
	require.NoError(t, json.NewDecoder(r.Body).Decode(&reward))
	require.NoError(t, r.Body.Close())
	return reward
}
