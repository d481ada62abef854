package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
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
	url, stop, _ = servedAs(t, `http://127\.0\.0\.1:\d+`, args...)
	return url, stop
}

// servedAs is served at what matches the pattern; said is its log so far.
func servedAs(t *testing.T, pattern string, args ...string) (url string, stop, said func() string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	var log shared
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, append([]string{"serve", "--addr", "127.0.0.1:0"}, args...), strings.NewReader(""), io.Discard, &log)
	}()
	listening := regexp.MustCompile(pattern)
	require.Eventually(t, func() bool { return listening.MatchString(log.String()) }, 10*time.Second, 5*time.Millisecond)
	return listening.FindString(log.String()), func() string {
		cancel()
		require.Zero(t, <-ended, log.String())
		return log.String()
	}, log.String
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

	for args, message := range map[string]string{"--beta 2": "beta: 2 is not in [0,1]", "--queue -1": "queue",
		"--cache-tokens -1": "--cache-tokens", "--too-long cut": "--too-long", "--unscored zero": "unscored: \"zero\" is neither"} {
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
		url, stop := served(t, "--model", trained, "--beta", c.beta, "--blend-scale", c.scale, "--alpha", fmt.Sprint(c.alpha), "--parts", "all",
			"--unscored=-2")
		beta, err := strconv.ParseFloat(c.beta, 64)
		require.NoError(t, err)
		for label, outcome := range map[string]float64{"2": 1, "3": 0} {
			want, err := prm.Blend(outcome, steps+c.alpha**score.Trajectory, prm.BlendOptions{Beta: &beta, Scale: c.scale, Alpha: c.alpha})
			require.NoError(t, err)
			require.Equal(t, want, told(t, url, `{"prompt":"p","response":"One.\n\n\\boxed{2}","label":"`+label+`"}`))
		}
		require.Equal(t, -2.0, told(t, url, `{"prompt":"p","response":"","label":"2"}`))
		stop()
	}
}

// told is the reward that slime would be told.
func told(t *testing.T, url, body string) (reward float64) {
	t.Helper()
	r, err := http.Post(url+"/reward/remote_rm", "application/json", strings.NewReader(body))
	require.NoError(t, err)
	require.Equal(t, 200, r.StatusCode)
	require.NoError(t, json.NewDecoder(r.Body).Decode(&reward))
	require.NoError(t, r.Body.Close())
	return reward
}

// Every answer names the model and the settings; the audit log replays to the last bit, and a changed score is found.
func TestServeIsAudited(t *testing.T) {
	dir, _, _, config := fixture(t)
	code, _, stderr := prmCommand("train", "--config", config, "--quiet", "--set", "optim.steps=1")
	require.Zero(t, code, stderr)
	model, log := filepath.Join(dir, "run"), filepath.Join(dir, "audit.jsonl")
	headers := func(arguments ...string) http.Header {
		url, stop := served(t, append([]string{"--model", model}, arguments...)...)
		var header http.Header
		for _, body := range []string{
			`{"prompt":"Number 7?","response":"One.\n\nTwo."}`, `{"prompt":"Number 8?","response":"<think>\nOne.\n\n</think>\n\nÜ \u2028 <b>."}`,
		} {
			response, err := http.Post(url+"/reward/remote_rm", "application/json", strings.NewReader(body))
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			require.Equal(t, 200, response.StatusCode)
			header = response.Header
		}
		metrics, err := http.Get(url + "/metrics")
		require.NoError(t, err)
		text, err := io.ReadAll(metrics.Body)
		require.NoError(t, errors.Join(err, metrics.Body.Close()))
		require.Contains(t, string(text), "goprm_reward_count 2")
		require.Contains(t, string(text), "goprm_text_tokens_count 2")
		stop()
		return header
	}
	first := headers("--audit", log, "--audit-share", "1", "--alpha", "0.25", "--parts", "all")
	require.Regexp(t, `^[0-9a-f]{64}\+[0-9a-f]{64}$`, first.Get("X-Goprm-Model"), "of the adapter and of its base")
	require.Len(t, first.Get("X-Goprm-Settings"), 64)
	second := headers("--parts", "all")
	require.Equal(t, first.Get("X-Goprm-Model"), second.Get("X-Goprm-Model"))
	require.NotEqual(t, first.Get("X-Goprm-Settings"), second.Get("X-Goprm-Settings"), "alpha differs")
	info, err := os.Stat(log)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	code, stdout, stderr := prmCommand("score", "--model", model, "--replay", log)
	require.Zero(t, code, stdout+stderr)
	require.Equal(t, "2 texts: 2 the same to the last bit, 0 different\n", stdout)
	text, err := os.ReadFile(log)
	require.NoError(t, err)
	score := regexp.MustCompile(`"score":(0\.\d+)`)
	changed := score.ReplaceAllString(string(text), `"score":${1}1`)
	require.NotEqual(t, changed, string(text))
	code, stdout, stderr = prmCommand("score", "--model", model, "--replay", write(t, filepath.Join(dir, "changed.jsonl"), changed))
	require.Equal(t, 1, code)
	require.Contains(t, stdout, "  was ")
	require.Contains(t, stderr, "2 of 2 texts score differently")
	code, _, stderr = prmCommand("score", "--model", model, "--replay", write(t, filepath.Join(dir, "none.jsonl"), ""))
	require.Equal(t, 1, code, stderr)
}

func TestServeSaysItsSpeed(t *testing.T) {
	dir, _, _, config := fixture(t)
	code, _, stderr := prmCommand("train", "--config", config, "--quiet", "--set", "optim.steps=1")
	require.Zero(t, code, stderr)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var log shared
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"serve", filepath.Join(dir, "run"), "--host", "127.0.0.1", "--port", "0", "--timeout", "10s", "--max-tokens",
			"100000000"}, strings.NewReader(""), io.Discard, &log)
	}()
	said := regexp.MustCompile(`about (\d+) tokens a second, one text at a time: the longest that fits the time-out of 10s has about ` +
		`(\d+) tokens`)
	require.Eventually(t, func() bool { return said.MatchString(log.String()) }, 20*time.Second, 5*time.Millisecond, log.String())
	m := said.FindStringSubmatch(log.String())
	speed, err := strconv.ParseFloat(m[1], 64)
	require.NoError(t, err)
	longest, err := strconv.ParseFloat(m[2], 64)
	require.NoError(t, err)
	require.InDelta(t, 10*speed, longest, 10)
	cancel()
	require.Zero(t, <-ended, log.String())
}
