package serve

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/goprm/goprm/internal/served"
	"github.com/stretchr/testify/require"
)

// sized is a text of so many tokens.
type sized int

func (s sized) Tokens() int { return int(s) }
func (sized) Windows() int  { return 1 }

// lane is a device that scores when it is let, and notes what.
type lane struct {
	name string
	let  chan struct{}

	mu    sync.Mutex
	began []int // tokens of each batch
	gone  error
}

func (l *lane) Device() string { return l.name }

func (l *lane) Lost() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gone
}

func (l *lane) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone = errors.New(l.name + " is gone")
}

func (l *lane) batches() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.began)
}

func (l *lane) Score(_ context.Context, texts []Text) ([]Score, error) {
	tokens := 0
	for _, t := range texts {
		tokens += t.Tokens()
	}
	l.mu.Lock()
	l.began = append(l.began, tokens)
	l.mu.Unlock()
	<-l.let
	return make([]Score, len(texts)), l.Lost()
}

// spreadModel is a model on two lanes.
type spreadModel struct {
	*fake
	on []served.Device
}

func (s spreadModel) Devices() []served.Device { return s.on }

func idle() bool { return false }

// twoLanes score one text at a time.
func twoLanes(t *testing.T) (l *lanes, a, b *lane) {
	a, b = &lane{name: "a", let: make(chan struct{})}, &lane{name: "b", let: make(chan struct{})}
	model := spreadModel{on: []served.Device{a, b}}
	l = newLanes(model, Options{BatchTokens: 1, Queue: 8, MaxWait: time.Nanosecond}, newMetrics(&Server{}), idle)
	t.Cleanup(func() {
		for _, d := range []*lane{a, b} {
			select {
			case <-d.let:
			default:
				close(d.let)
			}
		}
		l.close(context.Background())
	})
	return l, a, b
}

// request asks for texts, and gives the error when it is there.
func request(t *testing.T, l *lanes, texts ...Text) <-chan error {
	before, end := l.list[0].load()+l.list[1].load(), make(chan error, 1)
	go func() {
		_, err := l.score(context.Background(), texts)
		end <- err
	}()
	waitFor(t, "it is taken", func() bool { return l.list[0].load()+l.list[1].load() > before })
	return end
}

// Each text goes where least is to be done, what is being scored included.
func TestTextsGoToTheLeastLoadedDevice(t *testing.T) {
	l, a, b := twoLanes(t)
	first := request(t, l, sized(100), sized(10), sized(10), sized(10))
	require.Equal(t, []int{100, 30}, []int{l.list[0].load(), l.list[1].load()})
	waitFor(t, "both have a batch", func() bool { return a.batches() == 1 && b.batches() == 1 })
	require.Equal(t, []int{100, 30}, []int{l.list[0].load(), l.list[1].load()}, "while the first texts are scored")
	second, third := request(t, l, sized(60)), request(t, l, sized(700))
	require.Equal(t, []int{100, 790}, []int{l.list[0].load(), l.list[1].load()})
	require.Equal(t, 2+1+1, l.waiting(), "two, one behind them, and a long one")
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Second)
	defer stop()
	_, err := l.score(ctx, []Text{sized(1), sized(1), sized(1), sized(1), sized(1)})
	require.ErrorContains(t, err, "4 texts are waiting", "the bound is that of all devices")
	close(a.let)
	close(b.let)
	for _, end := range []<-chan error{first, second, third} {
		require.NoError(t, <-end)
	}
	waitFor(t, "nothing is left", func() bool { return l.list[0].load()+l.list[1].load() == 0 })
}

// What a lost device was scoring fails with its error; what waited for it goes to another.
func TestLostDeviceHandsOnWhatWaits(t *testing.T) {
	l, a, b := twoLanes(t)
	long, failing := request(t, l, sized(100)), request(t, l, sized(20))
	waitFor(t, "both score", func() bool { return a.batches() == 1 && b.batches() == 1 })
	waits := request(t, l, sized(30), sized(40))
	require.Equal(t, []int{100, 90}, []int{l.list[0].load(), l.list[1].load()})
	b.lose()
	close(b.let)
	require.EqualError(t, <-failing, "b is gone")
	waitFor(t, "they have moved", func() bool { return l.list[0].load() == 170 && l.list[1].load() == 0 })
	later := request(t, l, sized(5))
	require.Zero(t, l.list[1].load(), "nothing goes to it any more")
	close(a.let)
	for _, end := range []<-chan error{long, waits, later} {
		require.NoError(t, <-end)
	}
	require.Equal(t, 1, b.batches())
	a.lose()
	_, err := l.score(context.Background(), []Text{sized(1)})
	require.EqualError(t, err, "a is gone", "of none the first says why")
}

// What a lost device hands on ends once, even where one of the others has been closed by then.
func TestLostDeviceHandsOnToAClosedOne(t *testing.T) {
	l, a, b := twoLanes(t)
	third := newBatcher(&lane{name: "c"}, Options{BatchTokens: 1, MaxWait: time.Nanosecond})
	third.metrics, third.busy = l.list[0].metrics, idle
	l.list = append(l.list, third)
	go third.run()
	third.close(context.Background())
	b.lose()
	close(a.let)
	j := &job{ctx: context.Background(), texts: []Text{sized(4), sized(3), sized(2)}, scores: make([]Score, 3), errors: make([]error, 3),
		done: make(chan struct{})}
	j.left.Store(3)
	require.True(t, l.give([]item{{j, 0, time.Now()}, {j, 1, time.Now()}, {j, 2, time.Now()}}))
	<-j.done
	require.NoError(t, j.errors[0])
	require.ErrorIs(t, j.errors[1], errDraining)
	require.ErrorIs(t, j.errors[2], errDraining)
	require.Zero(t, b.batches())
}
