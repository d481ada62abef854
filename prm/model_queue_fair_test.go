package prm

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/served"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

// paced is a queue whose runs are told by a test.
type paced struct {
	textQueue
	runs chan string // the texts of a run, as "name:examples"
	next chan bool
}

func newPaced() *paced {
	p := &paced{runs: make(chan string), next: make(chan bool)}
	p.read = func(_ context.Context, texts []*queued) {
		var names []string
		for _, t := range texts {
			names = append(names, fmt.Sprintf("%s:%d", t.examples[0].ID, len(t.examples)))
			for _, e := range t.examples {
				t.values = append(t.values, []float64{float64(e.Tokens[0])})
			}
		}
		p.runs <- strings.Join(names, " ")
		<-p.next
	}
	return p
}

// windowed is a text of n windows of so many tokens each; a window's value is its number.
func windowed(name string, n, tokens int) *queued {
	var list []*data.Example
	for i := range n {
		ids := make([]int32, tokens)
		ids[0] = int32(i) // no two begin alike
		list = append(list, &data.Example{ID: name, Tokens: ids})
	}
	return newQueued(list)
}

// put has a text read in slices of 100 tokens, and returns when it waits.
func (p *paced) put(t *testing.T, text *queued) <-chan error {
	t.Helper()
	done := make(chan error, 1)
	count := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.waiting)
	}
	before := count()
	go func() { done <- p.share(context.Background(), []*queued{text}, 1000, 100) }()
	require.Eventually(t, func() bool { return count() > before }, 10*time.Second, 50*time.Microsecond)
	return done
}

// A short text waits for the run at hand, whatever number of long ones was there before it; long ones take turns; and a text that was
// read in slices has every window's value in its place.
func TestLongTextsShare(t *testing.T) {
	p := newPaced()
	go func() { _ = p.do(context.Background(), []*queued{windowed("first", 1, 1)}, 1000) }()
	require.Equal(t, "first:1", receive(t, p.runs))
	long := []*queued{windowed("a", 4, 100), windowed("b", 4, 50), windowed("c", 3, 120)}
	var done []<-chan error
	for _, text := range long {
		done = append(done, p.put(t, text))
	}
	run := func() string {
		p.next <- true
		return receive(t, p.runs)
	}
	require.Equal(t, "a:1", run())
	short := p.put(t, windowed("s", 1, 10))
	require.Equal(t, "s:1", run())
	require.Equal(t, "b:2", run())
	require.NoError(t, receive(t, short))
	seen := map[string]int{}
	for range 6 {
		seen[run()[:1]]++
	}
	require.Equal(t, map[string]int{"a": 2, "b": 1, "c": 3}, seen)
	require.Equal(t, "a:1", run())
	p.next <- true
	for i, text := range long {
		require.NoError(t, receive(t, done[i]))
		require.NoError(t, text.err)
		require.Len(t, text.values, len(text.examples))
		for k, v := range text.values {
			require.Equal(t, []float64{float64(k)}, v)
		}
	}
}

// A long text is read to its end beside short ones that never cease.
func TestShortTextsStarveNobody(t *testing.T) {
	p := newPaced()
	go func() { _ = p.do(context.Background(), []*queued{windowed("first", 1, 1)}, 1000) }()
	receive(t, p.runs)
	long := p.put(t, windowed("long", 5, 100))
	for i := range 6 { // there are always six short ones
		p.put(t, windowed(fmt.Sprint("s", i), 1, 60))
	}
	runs := 0
	for n := 0; n < 5; runs++ {
		p.next <- true
		run := receive(t, p.runs)
		if strings.Contains(run, "long") {
			n++
		}
		for range strings.Count(run, "s") {
			p.put(t, windowed(fmt.Sprint("s more ", runs), 1, 60))
		}
		require.Less(t, runs, 100)
	}
	p.next <- true
	require.NoError(t, receive(t, long))
	go func() {
		for range p.runs { // the rest
			p.next <- true
		}
	}()
	p.next <- true
}

// Slices change no bit, whatever shares their runs.
func TestSlicesChangeNoBit(t *testing.T) {
	m, err := Open(train(t, config(t, tiny(t, tinymodel.Options{}))).Model, OpenOptions{Backend: "portable", MaxTokens: 100})
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	var texts, want []*queued
	for i := range 6 {
		trajectory := &data.Trajectory{ID: fmt.Sprint(i), Problem: "What is it?"}
		for k := range 5 + 25*(i%3) {
			trajectory.ResponseSteps = append(trajectory.ResponseSteps, fmt.Sprintf("Step %d of %d is so.", k, i))
		}
		_, text, err := m.text(t.Context(), trajectory, 0)
		require.NoError(t, err)
		texts, want = append(texts, text), append(want, newQueued(text.examples))
	}
	require.Greater(t, len(texts[2].examples), 5)
	for _, text := range want {
		require.NoError(t, m.queue.do(t.Context(), []*queued{text}, 8192))
	}
	for _, slice := range []int{1, 100, 250} {
		var wait sync.WaitGroup
		for _, text := range texts {
			wait.Go(func() {
				if err := m.queue.share(context.Background(), []*queued{text}, 8192, slice); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		for i, text := range texts {
			require.NoError(t, text.err)
			require.Equal(t, want[i].values, text.values)
		}
	}
}

// A call that is cancelled between two slices reads no further one, and leaves nothing behind; closing tells the others.
func TestSlicesEndWithTheirCall(t *testing.T) {
	p := newPaced()
	ctx, cancel := context.WithCancel(context.Background())
	gone := make(chan error, 1)
	go func() { gone <- p.share(ctx, []*queued{windowed("gone", 9, 100)}, 1000, 100) }()
	require.Equal(t, "gone:1", receive(t, p.runs))
	other := p.put(t, windowed("other", 9, 100))
	cancel()
	require.ErrorIs(t, receive(t, gone), context.Canceled)
	p.next <- true
	require.Equal(t, "other:1", receive(t, p.runs))
	closed := make(chan struct{})
	go func() {
		p.close()
		close(closed)
	}()
	require.Eventually(t, func() bool { return p.check() != nil }, 10*time.Second, time.Millisecond)
	p.next <- true
	receive(t, closed)
	require.NoError(t, receive(t, other), "the text has the error")
}

// However many windows a long text of a server's has, no run reads more of it than a slice: that is what a short one waits for at most.
func TestServerReadsLongTextsInSlices(t *testing.T) {
	m, err := Open(train(t, config(t, tiny(t, tinymodel.Options{}))).Model, OpenOptions{MaxTokens: 100})
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	var mu sync.Mutex
	var runs []int // tokens of each
	read := m.queue.read
	m.queue.read = func(ctx context.Context, texts []*queued) {
		tokens := 0
		for _, text := range texts {
			tokens += text.tokens
		}
		mu.Lock()
		runs = append(runs, tokens)
		mu.Unlock()
		read(ctx, texts)
	}
	s, err := m.serving(ServerOptions{})
	require.NoError(t, err)
	var response strings.Builder // windows that begin alike would be read as one tree
	for i := range 400 {
		fmt.Fprintf(&response, "%d is so.\n\n", i)
	}
	bare, text, err := m.text(t.Context(), &data.Trajectory{Problem: "q", Response: response.String()}, 0)
	require.NoError(t, err)
	require.Greater(t, text.tokens, 4*served.LongText)
	scores, err := s.Score(t.Context(), []served.Text{&rendered{bare, text}})
	require.NoError(t, err)
	require.NoError(t, scores[0].Err)
	require.GreaterOrEqual(t, len(runs), text.tokens/served.LongText)
	require.LessOrEqual(t, slices.Max(runs), served.LongText)
}
