//go:build linux

package crash

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestServerKilled kills a server under load again and again, at random or ahead of a write of its audit log. Each text that was answered
// is in the log, a line that was torn is cut off by the next start, and the log as a whole replays to the bit.
func TestServerKilled(t *testing.T) {
	w := newWorld(t)
	model, audit := w.path("reference-train/run/model"), w.path("audit.jsonl")
	kills, seed := number(t, KillsEnv, 18)/6, uint64(number(t, SeedEnv, 1))
	random := rand.New(rand.NewPCG(seed, 5))
	answered := 0
	for k := range kills {
		fault, after := fmt.Sprintf("kill:%d@write", 1+random.IntN(60)), 10*time.Second
		if random.IntN(2) == 0 {
			fault, after = "", time.Duration(random.Int64N(int64(300*time.Millisecond)))
		}
		s := w.serve(t, fault, "--model", model, "--audit", audit, "--audit-share", "1")
		ids := s.load(t, k, after)
		require.True(t, killed(s.command.Wait()))
		log, err := os.ReadFile(audit)
		require.NoError(t, err)
		for _, id := range ids {
			require.Equal(t, 1, bytes.Count(log, []byte(id)), "an answer without its line: %s", id)
		}
		answered += len(ids)
		if k%3 == 0 { // as a full disk leaves it
			require.NoError(t, os.WriteFile(audit, append(log, `{"time":"20`...), 0o600))
		}
	}
	require.Positive(t, answered)
	s := w.serve(t, "", "--model", model, "--audit", audit, "--audit-share", "1") // cuts off what is torn
	require.NoError(t, s.command.Process.Kill())
	require.True(t, killed(s.command.Wait()))
	out, err := exec.Command(w.prm, "score", "--model", model, "--replay", audit).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), ", 0 different")
	t.Logf("serve: %d kills, %d answers, seed %d", kills, answered, seed)
}

// server is a running prm serve.
type server struct {
	command *exec.Cmd
	url     string
}

// serve starts a server that meets a fault, and waits until it listens.
func (w world) serve(t *testing.T, fault string, args ...string) *server {
	t.Helper()
	c := exec.Command(w.prm, append([]string{"serve", "--addr", "127.0.0.1:0"}, args...)...)
	c.Env = append(os.Environ(), "GOPRM_FAULT="+fault, "HOME="+filepath.Join(w.dir, "home"))
	log, err := c.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	listening, seen := regexp.MustCompile(`listening on (http://\S+)`), ""
	for lines := bufio.NewScanner(log); lines.Scan(); {
		seen += lines.Text() + "\n"
		if m := listening.FindStringSubmatch(lines.Text()); m != nil {
			go func() { _, _ = io.Copy(io.Discard, log) }()
			return &server{c, m[1]}
		}
	}
	_ = c.Process.Kill()
	require.FailNow(t, "it does not listen", "%v\n%s", c.Wait(), seen)
	return nil
}

// load asks with four clients until the server is dead, at the latest after some time. It returns the ids that stand in the texts which
// were answered.
func (s *server) load(t *testing.T, round int, after time.Duration) (answered []string) {
	stop := time.AfterFunc(after, func() { _ = s.command.Process.Kill() })
	defer stop.Stop()
	var mu sync.Mutex
	var clients sync.WaitGroup
	for client := range 4 {
		clients.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("text %d-%d-%d.", round, client, i)
				body := fmt.Sprintf(`{"prompt":%q,"response":"<think>\nOne.\n\nTwo.\n</think>\n\nThree."}`, id)
				r, err := http.Post(s.url+"/reward/remote_rm", "application/json", strings.NewReader(body))
				if err != nil {
					return // it is dead
				}
				text, err := io.ReadAll(r.Body)
				_ = r.Body.Close()
				if err != nil {
					return
				}
				if r.StatusCode != http.StatusOK {
					t.Errorf("status %d: %s", r.StatusCode, text)
					_ = s.command.Process.Kill()
					return
				}
				mu.Lock()
				answered = append(answered, id)
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	return answered
}
