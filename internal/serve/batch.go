package serve

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goprm/goprm/internal/anyctx"
	"github.com/goprm/goprm/internal/served"
)

// batcher collects the texts of one device and scores them in batches, in the order in which they came. Long texts are scored beside the
// batches, which the device shares fairly.
type batcher struct {
	device  served.Device
	tokens  int
	wait    time.Duration
	metrics *metrics
	wake    chan struct{} // holds a value when there is something to look at
	ended   chan struct{}

	mu     sync.Mutex
	queue  []item
	queued int // tokens that wait, and of long texts
	active int // tokens of the batch at hand
	closed bool
	speed  float64 // tokens a second, lately
	long   int     // long texts that are being scored

	pass func([]item) bool // takes what waits for a device that is lost, if there is another
	busy func() bool       // tells whether large requests are being read or written

	ctx  context.Context // of what is being scored; ends when close has lost its patience
	stop context.CancelFunc
	all  sync.WaitGroup // of goroutines that score
}

// item is one text of a job.
type item struct {
	job   *job
	at    int
	since time.Time
}

// job is what one request asks for. What scores a text alone writes to its place, until done is closed.
type job struct {
	ctx    context.Context
	texts  []Text
	scores []Score
	errors []error // by text
	left   atomic.Int64
	done   chan struct{}
}

// batchTexts bounds the texts of a batch, whatever their tokens.
const batchTexts = 512

func newBatcher(device served.Device, opt Options) *batcher {
	b := &batcher{
		device: device, tokens: opt.BatchTokens, wait: opt.MaxWait, wake: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	b.ctx, b.stop = context.WithCancel(context.Background())
	return b
}

// at names a request's text by its number, if it has several.
func at(i, n int, err error) error {
	if n == 1 {
		return err
	}
	return fmt.Errorf("text %d: %w", i, err)
}

// add takes texts, unless the batcher is closed.
func (b *batcher) add(list []item) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	var long []item
	for _, i := range list {
		n := i.job.texts[i.at].Tokens()
		b.queued += n
		if n > LongText {
			long = append(long, i)
		} else {
			b.queue = append(b.queue, i)
		}
	}
	if len(long) > 0 {
		b.long += len(long)
		b.all.Go(func() { b.beside(long) })
	}
	b.signal()
	return true
}

func (b *batcher) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// beside scores the long texts of a request.
func (b *batcher) beside(long []item) {
	b.do(long)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.long -= len(long)
	for _, i := range long {
		b.queued -= i.job.texts[i.at].Tokens()
	}
}

// close fails what waits, and returns when what is being scored is, or, after the patience has ended, has been given up.
func (b *batcher) close(patience context.Context) {
	b.mu.Lock()
	b.closed = true
	b.signal()
	b.mu.Unlock()
	defer context.AfterFunc(patience, b.stop)()
	<-b.ended
	b.all.Wait()
	b.stop()
}

func (b *batcher) run() {
	defer close(b.ended)
	for {
		batch := b.next()
		if batch == nil {
			return
		}
		if b.device.Lost() == nil || !b.pass(batch) {
			b.do(batch)
		}
		b.mu.Lock()
		b.active = 0
		b.mu.Unlock()
	}
}

// next waits for a batch: as many texts as fit into its tokens, or those that are there when the first has waited long enough.
func (b *batcher) next() []item {
	for {
		batch, wait, closed := b.take()
		if closed || len(batch) > 0 {
			return batch
		}
		timer := time.NewTimer(wait)
		select {
		case <-b.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (b *batcher) take() (batch []item, wait time.Duration, closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := b.queue[:0]
	for _, i := range b.queue { // nobody waits for the others any more
		if i.job.ctx.Err() == nil && !b.closed {
			kept = append(kept, i)
			continue
		}
		b.queued -= i.job.texts[i.at].Tokens()
		i.finish(Score{}, withStatus(http.StatusServiceUnavailable, errDraining))
	}
	clear(b.queue[len(kept):])
	b.queue = kept
	if b.closed {
		return nil, 0, true
	}
	if len(b.queue) == 0 {
		return nil, time.Hour, false
	}
	n, tokens := 0, 0
	for _, i := range b.queue {
		more := i.job.texts[i.at].Tokens()
		if n > 0 && (tokens+more > b.tokens || n == batchTexts) {
			break
		}
		n, tokens = n+1, tokens+more
	}
	// Beside large requests and long texts nothing is waited for: a timer would be late by as long as they keep all processors, and company
	// comes during the slice at hand.
	ready := n < len(b.queue) || tokens >= b.tokens || b.long > 0 || b.busy()
	if wait = time.Until(b.queue[0].since.Add(b.wait)); !ready && wait > 0 {
		return nil, wait, false
	}
	batch = append(batch, b.queue[:n]...)
	b.queue = append(b.queue[:0], b.queue[n:]...)
	b.queued, b.active = b.queued-tokens, tokens
	return batch, 0, false
}

func (i item) finish(s Score, err error) {
	i.job.scores[i.at], i.job.errors[i.at] = s, err
	if i.job.left.Add(-1) == 0 {
		close(i.job.done)
	}
}

// do scores a batch, as long as anybody waits for some of it.
func (b *batcher) do(batch []item) {
	texts, callers, tokens := make([]Text, len(batch)), make([]context.Context, len(batch)), 0
	for i, it := range batch {
		texts[i], callers[i] = it.job.texts[it.at], it.job.ctx
		tokens += texts[i].Tokens()
	}
	ctx, stop := anyctx.Of(callers)
	defer stop()
	defer context.AfterFunc(b.ctx, stop)()
	begin := time.Now()
	scores, err := b.guarded(ctx, texts)
	b.measured(len(batch), tokens, time.Since(begin))
	if errors.Is(err, context.Canceled) && b.ctx.Err() != nil {
		err = withStatus(http.StatusServiceUnavailable, errDraining)
	}
	for i, it := range batch {
		if err != nil {
			it.finish(Score{}, err)
			continue
		}
		it.finish(scores[i], scores[i].Err)
	}
}

// guarded makes a panic of the model an error.
func (b *batcher) guarded(ctx context.Context, texts []Text) (scores []Score, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("internal error: %v", r)
		}
	}()
	scores, err = b.device.Score(ctx, texts)
	if err == nil && len(scores) != len(texts) {
		err = errors.New("internal error: the model lost a text")
	}
	return scores, err
}

func (b *batcher) measured(texts, tokens int, took time.Duration) {
	b.metrics.batch(b.device.Device(), texts, tokens, took)
	speed := float64(tokens) / max(took.Seconds(), 1e-6)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.speed == 0 {
		b.speed = speed
	}
	b.speed += (speed - b.speed) / 8
}

// load is how many tokens wait or are being scored.
func (b *batcher) load() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.queued + b.active
}

// retryAfter is how many seconds what waits will take, from 1 to 60.
func (b *batcher) retryAfter() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.speed == 0 {
		return 1
	}
	return int(min(60, max(1, math.Ceil(float64(b.queued)/b.speed))))
}

// waiting is how many texts wait.
func (b *batcher) waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue) + b.long
}
