//go:build linux

package openai

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/data/label/store"
	"github.com/goprm/goprm/internal/llm"
	"github.com/goprm/goprm/internal/llmtest"
	"github.com/stretchr/testify/require"
)

// work is what the process that may be killed is told.
type work struct {
	Store, URL   string
	Trajectories int
	Budget       int64
}

const (
	workEnvironment = "GOPRM_OPENAI_CHILD"
	spent           = 3 // the exit status for "the budget is spent"
)

func TestMain(m *testing.M) {
	text := os.Getenv(workEnvironment)
	if text == "" {
		os.Exit(m.Run())
	}
	var w work
	err := json.Unmarshal([]byte(text), &w)
	if err == nil {
		err = w.run()
	}
	switch {
	case errors.Is(err, store.ErrBudget):
		os.Exit(spent)
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func faultCase(i int) *label.Case {
	c := &label.Case{ID: fmt.Sprint(i), Problem: fmt.Sprintf("Problem number %d.", i), Response: []string{fmt.Sprint("The response is ", i)}}
	for t := range 1 + i%4 {
		c.Thinking = append(c.Thinking, fmt.Sprintf("In step %d of %d we look at it again.", t, i))
	}
	return c
}

func (w work) judge(ledger Ledger) (*Judge, error) {
	client, err := NewClient(ClientOptions{
		URL: w.URL, Concurrency: 16, Attempts: 2, Timeout: 150 * time.Millisecond, Backoff: time.Millisecond, MaxBackoff: 2 * time.Millisecond,
		Ledger: ledger,
	})
	if err != nil {
		return nil, err
	}
	return NewJudge(client, JudgeOptions{Sampling: Sampling{Model: "m"}, Sees: label.SeesResponse})
}

const stage = "quality"

func faultKey(j *Judge, c *label.Case, t int) store.Key {
	return store.NewKey(j.ID(), c.ID, fmt.Sprint(t))
}

// run judges what is not stored yet until nothing is open, or the budget is spent.
func (w work) run() (err error) {
	s, err := store.Open(w.Store, store.Options{Budget: store.Amount{Tokens: w.Budget}, Wait: 10 * time.Second})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	judge, err := w.judge(s)
	if err != nil {
		return err
	}
	fmt.Println("working")
	for open := true; open; {
		open = false
		ctx, cancel := context.WithCancelCause(context.Background())
		defer cancel(nil)
		var all sync.WaitGroup
		next := make(chan int)
		for range 16 {
			all.Go(func() {
				for i := range next {
					for t := range faultCase(i).Thinking {
						if err := judgeStep(ctx, s, judge, faultCase(i), t); err != nil {
							cancel(err)
						}
					}
				}
			})
		}
		for i := range w.Trajectories {
			next <- i
		}
		close(next)
		all.Wait()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		counts, err := s.Counts()
		if err != nil {
			return err
		}
		open = counts[0].Open > 0
	}
	return nil
}

func judgeStep(ctx context.Context, s *store.Store, judge *Judge, c *label.Case, t int) error {
	if ctx.Err() != nil {
		return nil
	}
	key := faultKey(judge, c, t)
	if _, found, err := s.Get(stage, key); err != nil || found {
		return err
	}
	v, err := judge.Judge(ctx, c, []int{t})
	if err != nil {
		e, ok := errors.AsType[*llm.Error](err)
		if ctx.Err() != nil {
			return nil
		}
		if !ok || e.Fatal() {
			return err
		}
		return s.PutOpen(stage, key, e.Short())
	}
	value, err := json.Marshal(v[0])
	if err != nil {
		return err
	}
	return s.Put(stage, key, value)
}

var grade = regexp.MustCompile(`:(\d+)`)

// TestThousandTrajectories judges trajectories against a server that misbehaves at every third request, in a process that is
// killed at random moments. Every step ends with the score that the server gave it, nothing that was stored is asked for again,
// and what the server charges is within the budget.
func TestThousandTrajectories(t *testing.T) {
	trajectories, kills := 1000, 20
	if testing.Short() {
		trajectories, kills = 120, 4
	}
	s := llmtest.New(llmtest.Script{Fault: llmtest.Random(5, 0.33, llmtest.Faults...), RetryAfter: "0.002",
		Answer: func(q *llmtest.Chat, i int) string {
			first := *q
			first.Messages, first.Seed = q.Messages[:2], nil // a step's answer is the same when it is asked for again
			return llmtest.Fill(&first, i)
		}})
	defer s.Close()
	w := work{Store: filepath.Join(t.TempDir(), "store"), URL: s.URL(), Trajectories: trajectories, Budget: 1 << 40}
	judge, err := w.judge(nil)
	require.NoError(t, err)
	type item struct {
		c *label.Case
		t int
	}
	items := map[store.Key]item{}
	prompts := map[string]store.Key{} // as the server sees it -> key
	for i := range trajectories {
		c := faultCase(i)
		for t1 := range c.Thinking {
			messages, err := judge.prompt.messages(judge.view(c, t1+1))
			require.NoError(t, err)
			q := llmtest.Chat{}
			for _, m := range messages {
				q.Messages = append(q.Messages, llmtest.Message(m))
			}
			key := faultKey(judge, c, t1)
			items[key], prompts[q.Prompt()] = item{c, t1}, key
		}
	}

	storedAt := map[store.Key]int{} // -> the number of requests when it was seen stored
	look := func() (values int) {
		requests, charged, _ := s.Count()
		db, err := store.Open(w.Store, store.Options{})
		require.NoError(t, err)
		defer func() { require.NoError(t, db.Close()) }()
		require.NoError(t, db.Each(stage, func(key store.Key, _ []byte) error {
			values++
			if _, known := storedAt[key]; !known {
				storedAt[key] = requests
			}
			return nil
		}))
		spend, err := db.Spend()
		require.NoError(t, err)
		require.LessOrEqual(t, charged, spend.Total().Tokens)
		require.LessOrEqual(t, spend.Total().Tokens, w.Budget)
		return values
	}
	random := rand.New(rand.NewPCG(7, 7))
	killed := 0
	for killed < kills {
		delay := time.Duration(random.IntN(300)) * time.Millisecond
		if status := w.start(t, delay); status == 0 {
			look()
			break // it was done before it could be killed
		}
		killed++
		look()
	}
	t.Logf("killed %d times, then %d of %d steps were stored", killed, len(storedAt), len(items))
	// A budget of a little more than what is spent stops the work, and stops it again.
	db, err := store.Open(w.Store, store.Options{})
	require.NoError(t, err)
	spend, err := db.Spend()
	require.NoError(t, err)
	require.NoError(t, db.Close())
	if len(storedAt) < len(items) {
		w.Budget = spend.Total().Tokens + 20_000
		if len(items)-len(storedAt) < 100 { // which that would pay for
			w.Budget = spend.Total().Tokens + 1
		}
		for range 2 {
			require.Equal(t, spent, w.start(t, 0))
			look()
		}
	}
	w.Budget = 1 << 40
	require.Zero(t, w.start(t, 0))
	require.Equal(t, len(items), look())

	said := map[store.Key]map[float64]bool{}
	faults := map[llmtest.Fault]int{}
	for n, call := range s.Calls() {
		q := call.Chat
		q.Messages = q.Messages[:2] // what follows asks again
		key, ours := prompts[q.Prompt()]
		faults[call.Fault]++
		require.True(t, ours)
		if at, known := storedAt[key]; known {
			require.Less(t, n, at, "a stored step was asked for again")
		}
		for _, text := range call.Said {
			sum := 0
			for _, m := range grade.FindAllStringSubmatch(text, -1) {
				g, err := strconv.Atoi(m[1])
				require.NoError(t, err)
				sum += g
			}
			if said[key] == nil {
				said[key] = map[float64]bool{}
			}
			said[key][float64(sum)/30] = true
		}
	}
	require.Len(t, faults, len(llmtest.Faults)+1, "every fault occurred")
	db, err = store.Open(w.Store, store.Options{})
	require.NoError(t, err)
	require.NoError(t, db.Each(stage, func(key store.Key, value []byte) error {
		var v label.Verdict
		require.NoError(t, json.Unmarshal(value, &v))
		require.True(t, said[key][v.Score], "step %d of %s: %v is not what the server said", items[key].t, items[key].c.ID, v.Score)
		require.Len(t, said[key], 1)
		return nil
	}))
	spend, err = db.Spend()
	require.NoError(t, err)
	requests, charged, _ := s.Count()
	t.Logf("%d requests; %d tokens charged, settled %d, lost %d in %d calls", requests, charged, spend.Settled.Tokens, spend.Lost.Tokens,
		spend.LostCalls)
	require.NoError(t, db.Close())
}

// start runs the work in a process that is killed after the delay, 0: never. It returns the exit status, -1 for killed.
func (w work) start(t *testing.T, delay time.Duration) int {
	t.Helper()
	text, err := json.Marshal(w)
	require.NoError(t, err)
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), workEnvironment+"="+string(text))
	var problems strings.Builder
	child.Stderr = &problems
	output, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	if bufio.NewScanner(output).Scan() && delay > 0 {
		time.AfterFunc(delay, func() { _ = child.Process.Kill() })
	}
	if err := child.Wait(); err == nil {
		return 0
	}
	status := child.ProcessState.ExitCode()
	require.NotEqual(t, 1, status, problems.String())
	return status
}
