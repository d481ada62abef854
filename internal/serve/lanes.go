package serve

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/goprm/goprm/internal/served"
)

// lanes are the batchers of a model, one for each of its devices. A text goes to the one with the least to do that is not lost.
type lanes struct {
	list  []*batcher
	limit int        // of texts that wait
	turn  sync.Mutex // of who chooses
}

func newLanes(model Model, opt Options, m *metrics, busy func() bool) *lanes {
	devices := []served.Device{onlyDevice{model}}
	if spread, ok := model.(served.Spread); ok {
		devices = spread.Devices()
	}
	l := &lanes{limit: opt.Queue}
	for _, d := range devices {
		b := newBatcher(d, opt)
		b.metrics, b.pass, b.busy = m, l.give, busy
		l.list = append(l.list, b)
	}
	for _, b := range l.list {
		go b.run()
	}
	return l
}

// onlyDevice is a model that names no devices.
type onlyDevice struct{ Model }

// Device has no name.
func (onlyDevice) Device() string { return "" }

// Lost is what the model says of itself.
func (d onlyDevice) Lost() error {
	if m, ok := d.Model.(served.Losable); ok {
		return m.Lost()
	}
	return nil
}

// score has the texts scored; the errors name the text.
func (l *lanes) score(ctx context.Context, texts []Text) ([]Score, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	j := &job{ctx: ctx, texts: texts, scores: make([]Score, len(texts)), errors: make([]error, len(texts)), done: make(chan struct{})}
	j.left.Store(int64(len(texts)))
	if err := l.put(j); err != nil {
		return nil, err
	}
	select {
	case <-j.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for i, err := range j.errors {
		if err != nil {
			return nil, at(i, len(texts), err)
		}
	}
	return j.scores, nil
}

func (l *lanes) put(j *job) error {
	n := len(j.texts)
	if n > l.limit {
		return withStatus(http.StatusRequestEntityTooLarge, fmt.Errorf("%d texts, at most %d are taken at once", n, l.limit))
	}
	items, now := make([]item, n), time.Now()
	for i := range items {
		items[i] = item{j, i, now}
	}
	l.turn.Lock()
	defer l.turn.Unlock()
	if waiting := l.waiting(); waiting+n > l.limit {
		return withStatus(http.StatusTooManyRequests, fmt.Errorf("%d texts are waiting; ask again", waiting))
	}
	to := l.working()
	if len(to) == 0 { // the first one's error says why
		to = l.list[:1]
	}
	share(items, to)
	return nil
}

// give hands on what waits for a device that is lost; false: there is no other.
func (l *lanes) give(items []item) bool {
	l.turn.Lock()
	defer l.turn.Unlock()
	to := l.working()
	if len(to) == 0 {
		return false
	}
	share(items, to)
	return true
}

// working are the batchers whose devices are not lost.
func (l *lanes) working() (list []*batcher) {
	for _, b := range l.list {
		if b.device.Lost() == nil {
			list = append(list, b)
		}
	}
	return list
}

// share gives each text to the batcher with the least to do, the first of several. Those of a batcher that is closed by then fail.
func share(items []item, to []*batcher) {
	loads, parts := make([]int, len(to)), make([][]item, len(to))
	for i, b := range to {
		loads[i] = b.load()
	}
	for _, it := range items {
		least := 0
		for i, load := range loads {
			if load < loads[least] {
				least = i
			}
		}
		parts[least] = append(parts[least], it)
		loads[least] += it.job.texts[it.at].Tokens()
	}
	for i, b := range to {
		if len(parts[i]) == 0 || b.add(parts[i]) {
			continue
		}
		for _, it := range parts[i] {
			it.finish(Score{}, withStatus(http.StatusServiceUnavailable, errDraining))
		}
	}
}

// close closes all, see batcher.close.
func (l *lanes) close(patience context.Context) {
	var all sync.WaitGroup
	for _, b := range l.list {
		all.Go(func() { b.close(patience) })
	}
	all.Wait()
}

// retryAfter is how many seconds what waits will take, from 1 to 60, where that is least.
func (l *lanes) retryAfter() int {
	least := 60
	for _, b := range l.working() {
		least = min(least, b.retryAfter())
	}
	return least
}

// waiting is how many texts wait.
func (l *lanes) waiting() (n int) {
	for _, b := range l.list {
		n += b.waiting()
	}
	return n
}
