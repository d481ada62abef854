//go:build unix

package execjudge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/goprm/goprm/data/label"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// logged is a log that goroutines write to.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(text)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func open(t *testing.T, mode string, o Options) (*Judge, *logged) {
	t.Helper()
	t.Setenv(helperVariable, mode)
	log := &logged{}
	o.Command, o.Logger = []string{os.Args[0]}, slog.New(slog.NewTextHandler(log, nil))
	j, err := New(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, j.Close()) })
	return j, log
}

func of(problem string) *label.Case {
	return &label.Case{Problem: problem, Thinking: []string{"a b c", "aaaa", "bcd"}, Response: []string{"r", "s"}, Answer: "5"}
}

func TestScores(t *testing.T) {
	j, _ := open(t, "good", Options{})
	for step, want := range []float64{0.2, 1, 0} {
		v, err := j.Judge(t.Context(), of("p"), []int{step})
		require.NoError(t, err)
		require.Equal(t, []label.Verdict{{Score: want, Raw: []json.RawMessage{json.RawMessage(fmt.Sprint(want))}}}, v)
	}
	whole, _ := open(t, "good", Options{Sees: label.SeesFuture})
	v, err := whole.Judge(t.Context(), of("p"), []int{2, 0})
	require.NoError(t, err)
	require.Equal(t, []float64{0, 0.2}, []float64{v[0].Score, v[1].Score})
	require.Equal(t, []int{1, 0}, []int{j.StepsPerCall(), whole.StepsPerCall()})
	v, err = whole.Judge(t.Context(), of("p"), nil)
	require.NoError(t, err)
	require.Empty(t, v)
	_, err = j.Judge(t.Context(), of("p"), []int{3})
	require.ErrorContains(t, err, "no step 3")
	_, err = j.Judge(t.Context(), of("p"), []int{0, 1})
	require.ErrorContains(t, err, "2 steps in one call")
}

// A request holds what the judge sees and no more.
func TestRequests(t *testing.T) {
	c := of("<p>")
	for sees, want := range map[label.Sees]string{
		label.SeesResponse: `{"id":"1","problem":"<p>","thinking":["a b c","aaaa"],"response":["r","s"],"steps":[1]}`,
		label.SeesAnswer:   `{"id":"1","problem":"<p>","thinking":["a b c","aaaa"],"answer":"5","steps":[1]}`,
		label.SeesPrefix:   `{"id":"1","problem":"<p>","thinking":["a b c","aaaa"],"steps":[1]}`,
		label.SeesFuture:   `{"id":"1","problem":"<p>","thinking":["a b c","aaaa","bcd"],"response":["r","s"],"steps":[1]}`,
	} {
		j, _ := open(t, "good", Options{Sees: sees})
		line, err := j.request("1", c, []int{1})
		require.NoError(t, err)
		require.Equal(t, want+"\n", string(line), sees)
	}
	j, _ := open(t, "good", Options{})
	v, err := j.Judge(t.Context(), &label.Case{Thinking: []string{"a"}}, []int{0})
	require.NoError(t, err)
	require.Equal(t, "no response that the judge could see", v[0].Unchecked)
	require.Nil(t, j.program, "nobody was asked")
}

// What a program may do wrong gives no verdict but a reason; the request after it gets its score, from the same program where
// only the answer was bad and from another one where the program cannot be trusted.
func TestMisbehaviour(t *testing.T) {
	for mode, want := range map[string]struct {
		reason  string
		restart bool
	}{
		"die":            {"ended before it answered: exit status 3", true},
		"cut":            {"ended before it answered: exit status 0", true},
		"hang":           {"gave no answer within 300ms", true},
		"mute":           {"closed its output", true},
		"garbage":        {"a line that is no answer", true},
		"list":           {"a line that is no answer", true},
		"number":         {"a line that is no answer", true},
		"empty":          {"a line that is no answer", true},
		"stranger":       {"one that nobody made", true},
		"twice":          {"answered a request twice", true},
		"twice apart":    {"answered a request twice", true},
		"flood":          {"a line of more than 1048576 bytes", true},
		"flood of lines": {"answered a request twice", true},
		"nan":            {"not a number in [0,1]", false},
		"inf":            {"not a number in [0,1]", false},
		"null":           {"not a number in [0,1]", false},
		"text":           {"not a number in [0,1]", false},
		"above":          {"not a number in [0,1]", false},
		"below":          {"not a number in [0,1]", false},
		"huge":           {"not a number in [0,1]", false},
		"few":            {"another number of scores", false},
		"many":           {"another number of scores", false},
		"absent":         {"another number of scores", false},
		"error":          {"the program reports: overloaded", false},
	} {
		t.Run(mode, func(t *testing.T) {
			o := Options{Timeout: time.Minute}
			if mode == "hang" {
				o.Timeout = 300 * time.Millisecond
			}
			j, log := open(t, mode, o)
			if strings.HasPrefix(mode, "twice") || mode == "flood of lines" {
				j.settle = time.Minute // however late the second answer is read on a busy machine
			}
			v, err := j.Judge(t.Context(), of("bad"), []int{0})
			j.settle = settle
			require.Nil(t, v)
			e, ok := errors.AsType[*Error](err)
			require.True(t, ok, "%v", err)
			require.Contains(t, e.Short(), want.reason)
			require.False(t, e.Fatal())
			if mode == "die" {
				require.ErrorContains(t, err, "KeyError: 7")
			}
			j.o.Timeout = time.Minute
			v, err = j.Judge(t.Context(), of("good"), []int{0})
			require.NoError(t, err)
			require.Equal(t, 0.2, v[0].Score)
			require.Equal(t, want.restart, strings.Contains(log.String(), "started again"), log.String())
		})
	}
}

// A program that reads no more does not block who writes.
func TestDeafProgram(t *testing.T) {
	j, _ := open(t, "deaf", Options{Timeout: 300 * time.Millisecond, Concurrency: 2})
	c := of("bad")
	c.Thinking[0] = strings.Repeat("long ", 1<<18)
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			_, err := j.Judge(t.Context(), c, []int{0})
			assert.ErrorContains(t, err, "no answer within 300ms")
		})
	}
	all.Wait()
}

// After so many restarts every call fails, in a way that ends the run.
func TestRestartsAreBounded(t *testing.T) {
	j, log := open(t, "die", Options{Restarts: new(2)})
	for range 3 {
		_, err := j.Judge(t.Context(), of("bad"), []int{0})
		e, ok := errors.AsType[*Error](err)
		require.True(t, ok && !e.Fatal(), "%v", err)
	}
	for range 2 {
		_, err := j.Judge(t.Context(), of("good"), []int{0})
		e, ok := errors.AsType[*Error](err)
		require.True(t, ok && e.Fatal(), "%v", err)
		require.ErrorContains(t, err, "failed after 2 restarts: the program ended before it answered: exit status 3")
	}
	require.Equal(t, 2, strings.Count(log.String(), "started again"))
}

// Answers come in another order than requests, each to its own.
func TestAnyOrder(t *testing.T) {
	j, _ := open(t, "good", Options{Concurrency: 2, Timeout: 20 * time.Second})
	for range 20 {
		var all sync.WaitGroup
		first := make(chan struct{})
		all.Go(func() {
			c := of("wait")
			go func() { // the other request follows when this one was sent
				for j.inFlight() == 0 {
					time.Sleep(time.Millisecond)
				}
				close(first)
			}()
			v, err := j.Judge(t.Context(), c, []int{1})
			assert.NoError(t, err)
			assert.Equal(t, 1.0, v[0].Score)
		})
		<-first
		time.Sleep(5 * time.Millisecond)
		v, err := j.Judge(t.Context(), of("p"), []int{2})
		require.NoError(t, err)
		require.Equal(t, 0.0, v[0].Score)
		all.Wait()
	}
}

func (j *Judge) inFlight() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.program == nil {
		return 0
	}
	j.program.mu.Lock()
	defer j.program.mu.Unlock()
	return len(j.program.pending)
}

// A cancelled call leaves the program alone, and its late answer is nobody's.
func TestCancel(t *testing.T) {
	j, log := open(t, "good", Options{Concurrency: 2, Timeout: 20 * time.Second})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := j.Judge(ctx, of("wait"), []int{0})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	for range 3 {
		_, err = j.Judge(t.Context(), of("p"), []int{0})
		require.NoError(t, err)
	}
	require.NotContains(t, log.String(), "started again")
}

// Close ends a program that does not want to, and its child; calls after it fail.
func TestCloseKillsTheGroup(t *testing.T) {
	j, log := open(t, "stubborn", Options{})
	_, err := j.Judge(t.Context(), of("p"), []int{0})
	require.NoError(t, err)
	pid := j.program.cmd.Process.Pid
	_, after, found := strings.Cut(log.String(), "child ")
	require.True(t, found, log.String())
	child, err := strconv.Atoi(strings.TrimRight(strings.Fields(after)[0], `"`))
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(child, 0))
	require.NoError(t, j.Close())
	for _, p := range []int{pid, child} {
		require.Eventually(t, func() bool { return gone(p) }, 5*time.Second, 10*time.Millisecond)
	}
	_, err = j.Judge(t.Context(), of("p"), []int{0})
	require.ErrorContains(t, err, "closed")
}

// gone tells whether a process has ended; one that nobody reaped yet has.
func gone(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || bytes.Contains(stat, []byte(") Z "))
}

// Standard error is logged up to a bound, and read beyond it.
func TestLogIsBounded(t *testing.T) {
	j, log := open(t, "chatty", Options{})
	_, err := j.Judge(t.Context(), of("p"), []int{0})
	require.NoError(t, err)
	require.NoError(t, j.Close())
	require.Less(t, len(log.String()), 2*maxLogLines*maxLogLine)
	require.Equal(t, maxLogLines, strings.Count(log.String(), "program writes"))
	require.Contains(t, log.String(), "lines=4800")
}

func TestIdentity(t *testing.T) {
	dir := t.TempDir()
	script, text := filepath.Join(dir, "judge.sh"), "exit 0\n"
	require.NoError(t, os.WriteFile(script, []byte(text), 0o644))
	id := func(o Options) string {
		j, err := New(o)
		require.NoError(t, err)
		require.NoError(t, j.Close())
		return j.ID()
	}
	first := id(Options{Command: []string{"sh", script}})
	require.Equal(t, first, id(Options{Command: []string{"sh", script}, Timeout: time.Second, Concurrency: 3, Restarts: new(0)}))
	flag := id(Options{Command: []string{"sh", "-c", "exit", "--file=" + script}})
	seen := map[string]bool{first: true, flag: true}
	for _, o := range []Options{
		{Command: []string{"sh", script, "x"}}, {Command: []string{"sh", script}, Revision: "2"},
		{Command: []string{"sh", script}, Sees: label.SeesPrefix},
	} {
		require.False(t, seen[id(o)])
		seen[id(o)] = true
	}
	j, err := New(Options{Command: []string{"sh", script}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(script, []byte("exit 1\n"), 0o644))
	require.NotEqual(t, first, id(Options{Command: []string{"sh", script}}))
	require.NotEqual(t, flag, id(Options{Command: []string{"sh", "-c", "exit", "--file=" + script}}))
	_, err = j.Judge(t.Context(), of("p"), []int{0})
	e, ok := errors.AsType[*Error](err)
	require.True(t, ok && e.Fatal())
	require.ErrorContains(t, err, "was changed since the run began")
	require.NoError(t, os.WriteFile(script, []byte(text), 0o644))
	require.Equal(t, first, id(Options{Command: []string{"sh", script}}))
}

func TestRefuses(t *testing.T) {
	for want, o := range map[string]Options{
		"no program":     {},
		"not found":      {Command: []string{"no-such-program-anywhere"}},
		"must not be":    {Command: []string{"sh"}, Timeout: -1},
		"concurrency":    {Command: []string{"sh"}, Concurrency: 1 << 30},
		"restarts is -1": {Command: []string{"sh"}, Restarts: new(-1)},
		"none of":        {Command: []string{"sh"}, Sees: "everything"},
		"zero byte":      {Command: []string{"sh", "\x00"}},
	} {
		_, err := New(o)
		require.ErrorContains(t, err, want)
	}
}

// The judge of data/label/README.md works as it stands there.
func TestReadmeJudge(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("python3 is not here")
	}
	page, err := os.ReadFile(filepath.Join("..", "README.md"))
	require.NoError(t, err)
	_, after, found := strings.Cut(string(page), "```python\n")
	require.True(t, found)
	text, _, found := strings.Cut(after, "```")
	require.True(t, found)
	script := filepath.Join(t.TempDir(), "judge.py")
	require.NoError(t, os.WriteFile(script, []byte(text), 0o644))
	for sees, steps := range map[label.Sees][]int{label.SeesResponse: {1}, label.SeesFuture: {2, 1}} {
		j, err := New(Options{Command: []string{"python3", script}, Sees: sees})
		require.NoError(t, err)
		v, err := j.Judge(t.Context(), &label.Case{Problem: "p", Thinking: []string{"a", "b 1", "c"}, Response: []string{"d"}}, steps)
		require.NoError(t, err)
		require.Equal(t, 1.0, v[len(v)-1].Score)
		require.NoError(t, j.Close())
	}
}
