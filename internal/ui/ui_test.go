package ui

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/goprm/goprm/internal/browsertest"
)

// trained writes a run of that many steps.
func trained(t *testing.T, dir string, steps int, rate float64, complete bool) {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o755))
	var lines strings.Builder
	for i := 1; i <= steps; i++ {
		fmt.Fprintf(&lines, `{"step":%d,"tokens":100,"n_final":0,"loss":%g,"loss_step":%g,"grad_norm":1,"lr":%g,"time":"2026-01-02T03:04:%02dZ"}`+"\n",
			i, 1/(1+rate*float64(i)), 1/(1+rate*float64(i)), rate, i%60)
	}
	fmt.Fprintf(&lines, `{"step":%d,"eval":{"loss":0.3,"step_auroc":0.8}}`+"\n", steps)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "metrics.jsonl"), []byte(lines.String()), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.yaml"), fmt.Appendf(nil, "optim:\n  lr: %g\nseed: 1\n", rate), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "run.json"),
		fmt.Appendf(nil, `{"version":"v1","started":"2026-01-02T03:04:00Z","steps":50,"complete":%v}`, complete), 0o644))
}

func serving(t *testing.T, roots ...string) string {
	t.Helper()
	s, err := New(Options{Roots: roots, Local: true})
	require.NoError(t, err)
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return h.URL
}

func get(t *testing.T, address, tag string) (status int, a answer, etag string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, address, nil)
	require.NoError(t, err)
	r.Header.Set("If-None-Match", tag)
	reply, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer func() { require.NoError(t, reply.Body.Close()) }()
	text, err := io.ReadAll(reply.Body)
	require.NoError(t, err)
	if reply.StatusCode == http.StatusOK {
		require.NoError(t, json.Unmarshal(text, &a), string(text))
	}
	return reply.StatusCode, a, reply.Header.Get("ETag")
}

func TestRuns(t *testing.T) {
	root := t.TempDir()
	address := serving(t, root)
	_, a, _ := get(t, address+"/runs", "")
	require.Empty(t, a.Runs)

	one, two := filepath.Join(root, "one"), filepath.Join(root, "group", "two")
	trained(t, one, 5, 0.001, true)
	trained(t, two, 9, 0.002, false)
	past := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(filepath.Join(one, "metrics.jsonl"), past, past))
	_, a, tag := get(t, address+"/runs", "")
	require.Equal(t, []string{two, "running", one, "complete"}, []string{a.Runs[0].Name, a.Runs[0].State, a.Runs[1].Name, a.Runs[1].State})
	require.Equal(t, []string{two}, a.Chosen, "the newest")
	require.Contains(t, a.HTML, "9 of 50")
	require.NotContains(t, a.HTML, "Hyperparameters that differ")

	status, _, _ := get(t, address+"/runs", tag)
	require.Equal(t, http.StatusNotModified, status)
	trained(t, two, 10, 0.002, false)
	status, a, _ = get(t, address+"/runs", tag)
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, a.HTML, "10 of 50")

	both := address + "/runs?" + url.Values{"run": {one, two, "/etc", "../" + one}}.Encode()
	_, a, _ = get(t, both, "")
	require.Equal(t, []string{two, one}, a.Chosen, "only what was found can be chosen")
	require.Contains(t, a.HTML, "Hyperparameters that differ")
	require.Contains(t, a.HTML, "<td>optim.lr</td>")

	// A run that cannot be read does not hide the others.
	require.NoError(t, os.WriteFile(filepath.Join(one, "metrics.jsonl"), []byte("{\n{}\n"), 0o644))
	_, a, _ = get(t, both, "")
	require.Len(t, a.Refused, 1)
	require.Contains(t, a.Refused[0], "metrics.jsonl:1")
	require.Contains(t, a.HTML, "10 of 50")
}

func TestRefuses(t *testing.T) {
	root := t.TempDir()
	file := filepath.Join(root, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	for _, roots := range [][]string{nil, {file}, {filepath.Join(root, "nowhere")}} {
		_, err := New(Options{Roots: roots})
		require.Error(t, err)
	}
	address := serving(t, root)
	for host, want := range map[string]int{"evil.example": 403, "evil.example:80": 403, "localhost:5": 200, "127.0.0.1": 200, "[::1]:5": 200,
		"10.0.0.1": 403} {
		r, err := http.NewRequest(http.MethodGet, address+"/", nil)
		require.NoError(t, err)
		r.Host = host
		reply, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		require.NoError(t, reply.Body.Close())
		require.Equal(t, want, reply.StatusCode, host)
		require.NotContains(t, reply.Header.Get("Content-Security-Policy"), "unsafe")
	}
	reply, err := http.Post(address+"/runs", "text/plain", nil)
	require.NoError(t, err)
	require.NoError(t, reply.Body.Close())
	require.Equal(t, http.StatusMethodNotAllowed, reply.StatusCode)
	reply, err = http.Get(address + "/file")
	require.NoError(t, err)
	require.NoError(t, reply.Body.Close())
	require.Equal(t, http.StatusNotFound, reply.StatusCode)

	// Links are not followed, and folders are searched only so deep.
	trained(t, filepath.Join(root, "a", "b", "c", "d", "run"), 3, 1, true)
	outside := t.TempDir()
	trained(t, outside, 3, 1, true)
	require.NoError(t, os.Symlink(outside, filepath.Join(root, "link")))
	found, more, err := find([]string{root})
	require.NoError(t, err)
	require.Empty(t, found)
	require.Zero(t, more)
	for i := range mostRuns + 3 {
		trained(t, filepath.Join(root, fmt.Sprint("r", i)), 1, 1, true)
	}
	found, more, err = find([]string{root, root})
	require.NoError(t, err)
	require.Len(t, found, mostRuns)
	require.Equal(t, 3, more)
}

// The page follows a run, compares what is chosen by keyboard, and keeps the choice in its address.
func TestRunsInABrowser(t *testing.T) {
	p := browsertest.Start(t).Page(t)
	root := t.TempDir()
	one, two := filepath.Join(root, "one"), filepath.Join(root, "two")
	trained(t, one, 20, 0.05, true)
	address := serving(t, root)
	p.Open(address)
	p.Wait(`document.getElementById("content").textContent.includes("20 of 50")`)
	trained(t, two, 30, 0.2, false)
	p.Wait(`document.querySelectorAll("#runs input").length === 2`)
	p.Eval(`document.querySelector("#runs input:not(:checked)").focus()`, nil)
	p.Press(" ")
	p.Wait(`document.getElementById("content").textContent.includes("Hyperparameters that differ")`)
	var hash string
	p.Eval(`location.hash`, &hash)
	require.Contains(t, hash, url.QueryEscape(one))
	require.Contains(t, hash, url.QueryEscape(two))
	var focus string
	p.Eval(`document.activeElement.type`, &focus)
	require.Equal(t, "checkbox", focus)
	p.Check("ui")
}
