package prm

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

// gated is a model whose launches are counted; one of them can be held.
type gated struct {
	*Model
	*gate
	run atomic.Value // the context of the last run
}

type gate struct {
	launches atomic.Int64
	held     atomic.Int64 // which one, from 1; 0: none
	reached  chan struct{}
	free     chan struct{}
}

// gatedBackend is the model's backend behind the gate.
type gatedBackend struct {
	engine.Backend
	*gate
}

func (gatedBackend) SharesHostMemory() {}

func (g gatedBackend) Compile(c engine.Call) (engine.Launch, error) {
	launch, err := g.Backend.Compile(c)
	return func() error {
		if n := g.launches.Add(1); n == g.held.Load() {
			g.reached <- struct{}{}
			<-g.free
		}
		return launch()
	}, err
}

// hold holds the launch that is n launches ahead.
func (g *gate) hold(n int64) { g.held.Store(g.launches.Load() + n) }

// nanAt makes the hidden states of texts with the token NaN.
type nanAt struct {
	nnet.Source
	token int
}

func (s nanAt) Load(name string, dtype tensor.Dtype, shape []int) (*engine.Tensor, error) {
	loaded, err := s.Source.Load(name, dtype, shape)
	if err != nil || name != "model.embed_tokens.weight" {
		return loaded, err
	}
	own := engine.FromDType(dtype, shape...)
	copy(own.Bytes(), loaded.Bytes())
	engine.Slice[float32](own)[s.token*shape[1]] = float32(math.NaN())
	return own, nil
}

// openGated opens a trained model; a text with "~" in it scores NaN.
func openGated(t *testing.T, dir string) *gated {
	t.Helper()
	m, err := Open(dir, OpenOptions{Backend: "portable"})
	require.NoError(t, err)
	tok, err := openTokenizer(m.folder)
	require.NoError(t, err)
	ids, _, err := tok.Encode("~")
	require.NoError(t, err)
	g := &gated{Model: m, gate: &gate{reached: make(chan struct{}, 100), free: make(chan struct{})}}
	m.queue.read = func(ctx context.Context, texts []*queued) {
		g.run.Store(&ctx)
		m.readTexts(ctx, texts)
	}
	require.NoError(t, m.network.Close())
	m.network, err = nnet.New(m.network.Spec(), gatedBackend{m.backend, g.gate},
		nanAt{nnet.Weights{m.folder.Heads, m.folder.Trunk}, int(ids[0])})
	require.NoError(t, err)
	t.Cleanup(func() {
		close(g.free)
		require.NoError(t, m.Close())
	})
	return g
}

// receive waits for what must come.
func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(20 * time.Second):
		t.Fatal("waited 20 s for nothing")
		panic("unreachable")
	}
}

// text is a trajectory of one step.
func text(step string) *data.Trajectory {
	return &data.Trajectory{ID: step, Problem: "What is it?", ResponseSteps: []string{step}}
}

type result struct {
	score *Score
	err   error
}

// stopped waits until the run at hand is told to stop: by goroutines, some time after its callers' contexts have ended.
func (g *gated) stopped(t *testing.T) { receive(t, (*g.run.Load().(*context.Context)).Done()) }

// ask scores in the background, and returns when the text waits, if another one is being read.
func (g *gated) ask(ctx context.Context, t *testing.T, trajectory *data.Trajectory) <-chan result {
	t.Helper()
	got := make(chan result, 1)
	g.waits(t, func() {
		s, err := g.Score(ctx, trajectory)
		got <- result{s, err}
	})
	return got
}

// waits calls f in the background, and returns when one more text waits, if one is being read.
func (g *gated) waits(t *testing.T, f func()) {
	t.Helper()
	waiting := func() (n int, reading bool) {
		g.queue.mu.Lock()
		defer g.queue.mu.Unlock()
		return len(g.queue.waiting), g.queue.draining
	}
	before, reading := waiting()
	go f()
	if reading {
		require.Eventually(t, func() bool { n, _ := waiting(); return n > before }, 10*time.Second, 50*time.Microsecond)
	}
}

// runs is how many launches a run has.
func (g *gated) runs(t *testing.T) int64 {
	before := g.launches.Load()
	_, err := g.Score(context.Background(), text("A run."))
	require.NoError(t, err)
	return g.launches.Load() - before
}

// A cancelled call returns at once, its run ends with the launch at hand, and what follows is as ever.
func TestCancelledScoreStopsWithinALaunch(t *testing.T) {
	g := openGated(t, train(t, config(t, tiny(t, tinymodel.Options{}))).Model)
	want, err := g.Score(context.Background(), text("One."))
	require.NoError(t, err)
	run := g.runs(t)

	g.hold(5)
	ctx, cancel := context.WithCancel(context.Background())
	got := g.ask(ctx, t, text("One."))
	receive(t, g.reached)
	cancel()
	require.ErrorIs(t, receive(t, got).err, context.Canceled) // the launch is still held
	g.stopped(t)
	last := g.launches.Load()
	g.free <- struct{}{}
	again, err := g.Score(context.Background(), text("One."))
	require.NoError(t, err)
	require.Equal(t, lines(t, want), lines(t, again))
	require.Equal(t, last+run, g.launches.Load())

	// Close waits for that launch and for nothing else.
	g.hold(5)
	ctx, cancel = context.WithCancel(context.Background())
	got = g.ask(ctx, t, text("One."))
	receive(t, g.reached)
	cancel()
	require.ErrorIs(t, receive(t, got).err, context.Canceled)
	g.stopped(t)
	waits := g.ask(context.Background(), t, text("Two."))
	closed := make(chan error, 2)
	for range 2 {
		go func() { closed <- g.Close() }()
	}
	require.ErrorIs(t, receive(t, waits).err, ErrClosed)
	time.Sleep(20 * time.Millisecond)
	require.Empty(t, closed, "closed under a running launch")
	last = g.launches.Load()
	g.free <- struct{}{}
	require.NoError(t, errors.Join(receive(t, closed), receive(t, closed), g.Close()))
	require.Equal(t, last, g.launches.Load())
}

// A run that callers share goes on when one of them is gone, and stops when all are.
func TestCancellingSparesNeighbours(t *testing.T) {
	g := openGated(t, train(t, config(t, tiny(t, tinymodel.Options{}))).Model)
	want, err := g.Score(context.Background(), text("Two."))
	require.NoError(t, err)
	run := g.runs(t)
	together := func(contexts ...context.Context) (got []<-chan result) {
		g.hold(2) // of a run before, so that the others come together
		first := g.ask(context.Background(), t, text("First."))
		receive(t, g.reached)
		for _, ctx := range contexts {
			got = append(got, g.ask(ctx, t, text("Two.")))
		}
		g.hold(run - 2 + 5)
		g.free <- struct{}{}
		require.NoError(t, receive(t, first).err)
		receive(t, g.reached)
		return got
	}
	ctx, cancel := context.WithCancel(context.Background())
	got := together(ctx, context.Background(), ctx)
	cancel()
	require.ErrorIs(t, receive(t, got[0]).err, context.Canceled)
	require.ErrorIs(t, receive(t, got[2]).err, context.Canceled)
	last := g.launches.Load()
	g.free <- struct{}{}
	b := receive(t, got[1])
	require.NoError(t, b.err)
	require.Equal(t, lines(t, want), lines(t, b.score))
	require.Equal(t, last+run-5, g.launches.Load(), "it was read in the shared run")

	ctx, cancel = context.WithCancel(context.Background())
	got = together(ctx, ctx)
	cancel()
	require.ErrorIs(t, errors.Join(receive(t, got[0]).err, receive(t, got[1]).err), context.Canceled)
	g.stopped(t)
	last = g.launches.Load()
	g.free <- struct{}{}
	require.NoError(t, g.queue.exclusive(func() error { return nil })) // the run is over
	require.Equal(t, last, g.launches.Load())
}

// An error is its own text's, whatever broke and whoever shared the run.
func TestErrorsStayWithTheirText(t *testing.T) {
	g := openGated(t, train(t, config(t, tiny(t, tinymodel.Options{}))).Model)
	want, err := g.Score(context.Background(), text("Two."))
	require.NoError(t, err)
	_, nan, err := g.text(t.Context(), text("~"), 0)
	require.NoError(t, err)
	_, good, err := g.text(t.Context(), text("Two."), 0)
	require.NoError(t, err)
	empty := newQueued([]*data.Example{{ID: "empty"}}) // no renderer makes one
	panics := newQueued(nil)
	panics.examples = []*data.Example{nil}
	_, after, err := g.text(t.Context(), text("Two."), 0)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for _, together := range [][]*queued{{nan, good, empty, panics, after}, {good, after}, {panics, good, after}, {empty, after, nan, good}} {
		require.NoError(t, g.queue.do(ctx, together, defaultScoreTokens))
		for _, q := range together {
			var broken *NonFiniteError
			switch q {
			case nan:
				require.ErrorAs(t, q.err, &broken)
				require.Equal(t, "~", broken.ID)
				require.True(t, math.IsNaN(broken.Value))
			case empty:
				require.ErrorContains(t, q.err, `example "empty" has no tokens`)
			case panics:
				require.ErrorContains(t, q.err, "internal error: ")
			default:
				require.NoError(t, q.err)
				require.Equal(t, want.Steps[0].Score, q.values[0][0])
			}
		}
	}

	// ScoreAll yields what stands before the error.
	var got []string
	list := Slice([]*data.Trajectory{text("Two."), text("Two."), text("~"), text("Two.")})
	for s, err := range g.ScoreAll(ctx, list, ScoreOptions{}) {
		if err != nil {
			require.ErrorContains(t, err, `trajectory "~": the score of read-out 0 is NaN: the weights are finite, so the arithmetic overflows`)
			got = append(got, "error")
			continue
		}
		got = append(got, s.ID)
	}
	require.Equal(t, []string{"Two.", "Two.", "error"}, got)
}

// Results are handed out after each run, of as many texts as every caller's budget allows, in the order in which they came.
func TestResultsDoNotWaitForTheQueue(t *testing.T) {
	g := openGated(t, train(t, config(t, tiny(t, tinymodel.Options{}))).Model)
	run := g.runs(t)
	var texts []*queued
	for i := range 6 {
		_, q, err := g.text(t.Context(), text(fmt.Sprint(i)), 0)
		require.NoError(t, err)
		texts = append(texts, q)
	}
	size := texts[0].tokens
	_, first, err := g.text(t.Context(), text("First."), 0)
	require.NoError(t, err)
	done := make([]chan error, 7)
	for i := range done {
		done[i] = make(chan error, 1)
	}
	put := func(i int, q *queued, budget int) {
		g.waits(t, func() { done[i] <- g.queue.do(context.Background(), []*queued{q}, budget) })
	}
	g.hold(1)
	put(6, first, 10*size)
	receive(t, g.reached)
	// Runs: 0 1 | 2 3 | 4 | 5.
	for i, budget := range []int{10 * size, 2*size + 1, 10 * size, 10 * size, size - 1, 10 * size} {
		put(i, texts[i], budget)
	}
	next := []int{6, 0, 1, 2, 3, 4, 5}
	for _, of := range []int{1, 2, 2, 1, 1} {
		if last := of == 1 && next[0] == 5; last {
			g.held.Store(0)
		} else {
			g.hold(run)
		}
		g.free <- struct{}{}
		if g.held.Load() > 0 {
			receive(t, g.reached) // the following run has begun
		}
		for _, i := range next[:of] {
			require.NoError(t, receive(t, done[i]))
		}
		next = next[of:]
		for _, i := range next {
			require.Empty(t, done[i])
		}
	}
	require.Empty(t, next)
}

// While a loop takes scores, nothing of the model is held.
func TestScoreAllHoldsNothing(t *testing.T) {
	m, err := Open(train(t, config(t, tiny(t, tinymodel.Options{}))).Model, OpenOptions{Backend: "portable"})
	require.NoError(t, err)
	n := 0
	for s, err := range m.ScoreAll(context.Background(), Slice(sums(6, 3)), ScoreOptions{Tokens: 1}) {
		if n++; n == 4 {
			require.NoError(t, m.Close())
		}
		if n == 5 {
			require.ErrorIs(t, err, ErrClosed)
			continue
		}
		require.NoError(t, err)
		if n < 4 {
			alone, err := m.Score(context.Background(), sums(6, 3)[n-1])
			require.NoError(t, err)
			require.Equal(t, lines(t, alone), lines(t, s))
		}
	}
	require.Equal(t, 5, n)
	_, err = m.Score(context.Background(), nil)
	require.ErrorIs(t, err, ErrClosed)
	_, err = m.Session("p")
	require.ErrorIs(t, err, ErrClosed)
	_, err = m.ContentHash()
	require.ErrorIs(t, err, ErrClosed)
	_, err = NewServer(m, ServerOptions{})
	require.ErrorIs(t, err, ErrClosed)
	require.NoError(t, m.Close())
}
