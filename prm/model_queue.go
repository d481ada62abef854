package prm

import (
	"context"
	"math"
	"sync"
	"sync/atomic"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/anyctx"
)

// textQueue lets many goroutines use one network, as group commit lets them use one disk: callers put rendered texts into it, and one
// goroutine, which lives as long as any texts wait, packs what is there up to the token budget, runs it and hands out the results.
// There is no timer: company is what arrived during the run before.
type textQueue struct {
	// read gives each text its values or its error. The context ends when nobody waits for any of them.
	read func(ctx context.Context, texts []*queued)

	turn sync.Mutex // held by whoever uses the network or its prefix cache

	mu       sync.Mutex
	waiting  []*queued
	draining bool // a goroutine takes what waits
	closed   bool
	lost     error // why texts are not read any more
}

// queued is one text that is to be read, and what came of it when its call is done.
type queued struct {
	examples []*data.Example // the text, in windows or beginnings where one run cannot read all of it
	tokens   int
	session  bool // wants the prefix cache
	uncached bool // wants to be computed without it, and its logits
	call     *call

	values [][]float64   // of each example's read-outs
	logits [][][]float64 // theirs, of a text that is uncached
	reused int           // tokens that the prefix cache spared
	err    error
}

func newQueued(examples []*data.Example) *queued {
	q := &queued{examples: examples}
	for _, e := range examples {
		q.tokens += len(e.Tokens)
	}
	return q
}

// call is what one caller waits for.
type call struct {
	ctx    context.Context
	budget int          // tokens of a run that its texts may be part of, more only where one text has more
	left   atomic.Int64 // texts that are not read yet
	done   chan struct{}
}

func (t *queued) finish() {
	if t.call.left.Add(-1) == 0 {
		close(t.call.done)
	}
}

// do has the texts read. Its error is that of the call, after which the texts are not the caller's any more; each text has its own.
func (q *textQueue) do(ctx context.Context, texts []*queued, budget int) error {
	if err := ctx.Err(); err != nil || len(texts) == 0 {
		return err
	}
	c := &call{ctx: ctx, budget: budget, done: make(chan struct{})}
	c.left.Store(int64(len(texts)))
	for _, t := range texts {
		t.call = c
	}
	q.mu.Lock()
	if err := q.refuses(); err != nil {
		q.mu.Unlock()
		return err
	}
	q.waiting = append(q.waiting, texts...)
	if !q.draining {
		q.draining = true
		go q.drain()
	}
	q.mu.Unlock()
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (q *textQueue) drain() {
	for q.runOne() {
	}
}

// runOne reads one batch of what waits; false: nothing does.
func (q *textQueue) runOne() bool {
	q.turn.Lock()
	defer q.turn.Unlock()
	batch := q.take()
	if len(batch) == 0 {
		return false
	}
	var callers []context.Context
	for i, t := range batch {
		if i == 0 || t.call != batch[i-1].call { // a call's texts are neighbours
			callers = append(callers, t.call.ctx)
		}
	}
	ctx, stop := anyctx.Of(callers)
	defer stop()
	q.read(ctx, batch)
	for _, t := range batch {
		t.finish()
	}
	return true
}

// take removes the next batch from what waits: the first texts, as many as the budgets of all of them allow. Texts that nobody waits
// for any more are passed over.
func (q *textQueue) take() (batch []*queued) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, tokens, budget := 0, 0, math.MaxInt
	for ; n < len(q.waiting) && len(batch) < scoreChunk; n++ {
		t := q.waiting[n]
		if t.call.ctx.Err() != nil {
			continue
		}
		if budget = min(budget, t.call.budget); len(batch) > 0 && tokens+t.tokens > budget {
			break
		}
		batch, tokens = append(batch, t), tokens+t.tokens
	}
	clear(q.waiting[:n])
	q.waiting = q.waiting[n:]
	q.draining = len(batch) > 0
	return batch
}

// exclusive runs f while no text is read.
func (q *textQueue) exclusive(f func() error) error {
	q.turn.Lock()
	defer q.turn.Unlock()
	if err := q.check(); err != nil {
		return err
	}
	return f()
}

// check tells why the queue takes no texts; nil: it does.
func (q *textQueue) check() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.refuses()
}

// refuses is check for who holds mu.
func (q *textQueue) refuses() error {
	if q.closed {
		return ErrClosed
	}
	return q.lost
}

// lose makes the error that of every text from now on, those that wait among them. The first one stays.
func (q *textQueue) lose(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.lost == nil {
		q.lost = err
	}
	q.fail(q.lost)
}

// fail ends the texts that wait, for who holds mu.
func (q *textQueue) fail(err error) {
	for _, t := range q.waiting {
		t.err = err
		t.finish()
	}
	q.waiting = nil
}

// close waits for the run at hand. What waits behind it fails with ErrClosed.
func (q *textQueue) close() {
	q.mu.Lock()
	q.fail(ErrClosed)
	q.closed = true
	q.mu.Unlock()
	q.turn.Lock() // whoever takes it from now on finds nothing to read
	defer q.turn.Unlock()
}
