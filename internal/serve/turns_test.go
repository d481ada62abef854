package serve

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// writing is a model whose lines wait to be written.
type writing struct {
	*fake
	begun, let chan struct{}
}

func (m writing) Score(ctx context.Context, texts []Text) ([]Score, error) {
	out, err := m.fake.Score(ctx, texts)
	for i := range out {
		out[i].Line = m
	}
	return out, err
}

func (m writing) MarshalJSON() ([]byte, error) {
	m.begun <- struct{}{}
	<-m.let
	return []byte(`{}`), nil
}

// The answers of large requests are written by as many as have turns, which nobody has who waits for scores; small ones are written beside.
func TestLargeAnswersTakeTurns(t *testing.T) {
	m := writing{newFake(), make(chan struct{}, 100), make(chan struct{})}
	m.block = make(chan struct{})
	m.hold = func(problem string) bool { return strings.HasPrefix(problem, "large") }
	s, url := start(t, m.fake, Options{})
	s.serving.batches.close(context.Background())
	s.serving.batches = newLanes(m, s.opt, s.metrics, idle)
	s.serving.model = m
	write := sync.OnceFunc(func() { close(m.let) })
	t.Cleanup(write)
	body := func(problem string) string { return `{"problem":"` + problem + `","response":"One."}` }
	large := body("large" + strings.Repeat(" q", largeBody))
	turns := cap(s.large)
	var all []<-chan int
	for range turns + 3 {
		all = append(all, answered(t, url+"/v1/steps", large))
	}
	for range all {
		m.began(t) // all wait for their scores, though not all have turns
	}
	m.unblock()
	waitFor(t, "as many as have turns are written", func() bool { return len(m.begun) == turns })
	all = append(all, answered(t, url+"/v1/steps", body("small")))
	waitFor(t, "a small one is written beside", func() bool { return len(m.begun) == turns+1 })
	write()
	for _, status := range all {
		waitFor(t, "all are answered", func() bool { return len(status) > 0 })
		require.Equal(t, 200, <-status)
	}
	require.Empty(t, s.large, "all turns are given back")
}

// Beside large requests and long texts a text waits for no company, else for as long as it may.
func TestNobodyWaitsBesideLargeRequests(t *testing.T) {
	for name, c := range map[string]struct {
		busy bool
		long bool
		want bool
	}{"idle": {}, "a large request is read": {busy: true, want: true}, "a long text is scored": {long: true, want: true}} {
		device := &lane{let: make(chan struct{})}
		b := newBatcher(device, Options{BatchTokens: 100, MaxWait: time.Hour}.Filled())
		b.metrics, b.busy = newMetrics(&Server{}), func() bool { return c.busy }
		go b.run()
		list := []Text{sized(1)}
		if c.long {
			list = append(list, sized(LongText+1))
		}
		j := &job{ctx: t.Context(), texts: list, scores: make([]Score, len(list)), errors: make([]error, len(list)), done: make(chan struct{})}
		j.left.Store(int64(len(list)))
		for i := range list {
			require.True(t, b.add([]item{{j, i, time.Now()}}))
		}
		if c.want {
			waitFor(t, name, func() bool { return device.batches() == len(list) })
		} else {
			time.Sleep(50 * time.Millisecond)
			require.Zero(t, device.batches(), name)
		}
		close(device.let)
		b.close(context.Background())
	}
}
