package prm

import (
	"context"
	"fmt"
	"html"
	"math"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

// browse returns what a browser made of a page, once its scripts have come to rest.
func browse(t *testing.T, page string) string {
	t.Helper()
	browser := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			browser = path
		}
	}
	if browser == "" {
		t.Skip("no chromium is installed")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var stderr strings.Builder
	c := exec.CommandContext(ctx, browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--user-data-dir="+filepath.Join(t.TempDir(), "profile"), "--virtual-time-budget=10000", "--dump-dom", page)
	c.Stderr = &stderr
	dom, err := c.Output()
	require.NoError(t, err, stderr.String())
	return string(dom)
}

// The page shows what Score says, step by step, and takes what is pasted for text.
func TestPageInABrowser(t *testing.T) {
	dir := train(t, config(t, tiny(t, tinymodel.Options{}))).Model
	alone, server := serving(t, dir, OpenOptions{}, ServerOptions{})
	open := func(problem, answer string) string {
		return browse(t, server+"/#"+strings.ReplaceAll(url.Values{"problem": {problem}, "answer": {answer}}.Encode(), "+", "%20"))
	}
	text := func(dom, id string) string {
		m := regexp.MustCompile(`(?s)id="` + id + `"[^>]*>(.*?)</`).FindStringSubmatch(dom)
		require.NotNil(t, m, id)
		return html.UnescapeString(m[1])
	}

	steps := []string{"Two and three.", `<img src=x onerror="document.title='no'"> & é`, "It is 5."}
	dom := open("2+3?", "<think>\n"+steps[0]+"\n\n"+steps[1]+"\n</think>\n\n"+steps[2])
	want, err := alone.Score(t.Context(), &data.Trajectory{Problem: "2+3?", Thinking: steps[0] + "\n\n" + steps[1], Response: steps[2]})
	require.NoError(t, err)
	require.Len(t, want.Steps, 3)
	rows := regexp.MustCompile(`<tr><td class="n">(\d+)</td><td class="">(\w+)</td><td class="t" style="background: (\w+)\([^"]*">(.*?)</td><td class="n">([\d.]+)</td><td class="n">([\d.]+)</td></tr>`).FindAllStringSubmatch(dom, -1)
	require.Len(t, rows, 3, dom)
	sum := 0.0
	for i, s := range want.Steps {
		sum += s.Score
		require.Equal(t, []string{fmt.Sprint(i + 1), s.Part, steps[i], fmt.Sprintf("%.4f", s.Score), fmt.Sprintf("%.4f", sum/float64(i+1))},
			[]string{rows[i][1], rows[i][2], html.UnescapeString(rows[i][4]), rows[i][5], rows[i][6]})
	}
	require.NotContains(t, dom, "<img")
	require.Contains(t, dom, "<title>goprm: score a trajectory</title>")
	require.Equal(t, fmt.Sprintf("%.4f", want.Reward), text(dom, "reward"))
	require.Equal(t, fmt.Sprintf("%.4f", want.Mean), text(dom, "mean"))
	require.Equal(t, "3", text(dom, "count"))
	require.Len(t, regexp.MustCompile(`<circle cx="\d`).FindAllString(dom, -1), 3)
	if want.Trajectory != nil && !math.IsNaN(*want.Trajectory) {
		require.Equal(t, fmt.Sprintf("%.4f", *want.Trajectory), text(dom, "trajectory"))
	}
	require.Empty(t, text(dom, "error"))

	dom = open("2+3?", "")
	require.Contains(t, text(dom, "error"), "no steps")
	require.Contains(t, dom, `id="result" hidden`)
}
