package prm

import (
	"context"
	"math"
	"slices"
	"sync"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/anyctx"
)

// textQueue lets many goroutines use one network, as group commit lets them use one disk: callers put rendered texts into it, and one
// goroutine, which lives as long as any texts wait, packs what is there up to the token budget, runs it and hands out the results.
// There is no timer: company is what arrived during the run before.
//
// Calls share the network by weighted fair queueing with equal weights. A call's virtual time begins with the queue's and grows by the
// tokens that are read for it; the queue's grows by all tokens that are read, over the number of calls. What would end first in virtual
// time is read first, and a text longer than its call's slice in slices. So a short call waits for the run at hand, not for long ones
// before it, and a long one gets its share beside any number of short ones.
type textQueue struct {
	// read gives each text its values or its error. The context ends when nobody waits for any of them.
	read func(ctx context.Context, texts []*queued)

	turn sync.Mutex // held by whoever uses the network or its prefix cache

	mu       sync.Mutex
	waiting  []*call // those with texts that wait, in the order in which they came
	now      float64 // virtual time, in tokens
	draining bool    // a goroutine takes what waits
	reading  int     // tokens of the run at hand
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
	done     int // examples that are read

	values [][]float64   // of each example's read-outs
	logits [][][]float64 // theirs, of a text that is uncached
	reused int           // tokens that the prefix cache spared
	err    error
}

func newQueued(examples []*data.Example) *queued {
	q := &queued{examples: examples}
	for _, e := range examples {
		if e != nil {
			q.tokens += len(e.Tokens)
		}
	}
	return q
}

// call is what one caller waits for.
type call struct {
	ctx    context.Context
	budget int           // tokens of a run that its texts may be part of, more only where one text has more
	slice  int           // tokens of a run while texts that are longer wait; at most budget
	done   chan struct{} // closed when no text is left

	// The queue's lock guards these.
	left  int       // texts that are not read yet
	texts []*queued // those of them that wait, the next one first
	read  float64   // virtual time
}

// ends is when the call's next run would end in virtual time.
func (c *call) ends() float64 {
	t := c.texts[0]
	tokens := t.tokens
	if t.sliced() {
		tokens = max(c.slice, len(t.examples[t.done].Tokens))
	}
	return c.read + float64(tokens)
}

// sliced tells whether the text is read in slices.
func (t *queued) sliced() bool {
	return len(t.examples) > 1 && t.tokens > t.call.slice && t.call.slice < t.call.budget
}

// finish is called once for each text, under the queue's lock.
func (t *queued) finish() {
	if t.call.left--; t.call.left == 0 {
		close(t.call.done)
	}
}

// do has the texts read, in runs of at most budget tokens. Its error is that of the call, after which the texts are not the caller's any
// more; each text has its own.
func (q *textQueue) do(ctx context.Context, texts []*queued, budget int) error {
	return q.share(ctx, texts, budget, budget)
}

// share is do for a caller among many: texts of more than slice tokens are read in slices of as many, or of one example that has more.
func (q *textQueue) share(ctx context.Context, texts []*queued, budget, slice int) error {
	if err := ctx.Err(); err != nil || len(texts) == 0 {
		return err
	}
	c := &call{ctx: ctx, budget: budget, slice: slice, left: len(texts), texts: slices.Clone(texts), done: make(chan struct{})}
	for _, t := range texts {
		t.call, t.done, t.values, t.logits, t.reused, t.err = c, 0, nil, nil, 0, nil
	}
	q.mu.Lock()
	if err := q.refuses(); err != nil {
		q.mu.Unlock()
		return err
	}
	c.read = q.now
	q.waiting = append(q.waiting, c)
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
	texts := make([]*queued, len(batch))
	for i, p := range batch {
		texts[i] = p.part
		if i == 0 || p.text.call != batch[i-1].text.call { // a call's texts are neighbours
			callers = append(callers, p.text.call.ctx)
		}
	}
	ctx, stop := anyctx.Of(callers)
	defer stop()
	q.read(ctx, texts)
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range batch {
		switch last := p.text.add(p.part); {
		case last:
			p.text.finish()
		case q.refuses() != nil:
			p.text.err = q.refuses()
			p.text.finish()
		default: // its next slice
			c := p.text.call
			if len(c.texts) == 0 {
				q.waiting = append(q.waiting, c)
			}
			c.texts = append([]*queued{p.text}, c.texts...)
		}
	}
	return true
}

// piece is what one run reads of a text: some of its examples, as a text.
type piece struct{ text, part *queued }

// next are the text's next examples, of at most limit tokens, or one that has more.
func (t *queued) next(limit int) piece {
	if t.done == 0 && t.tokens <= limit {
		part := newQueued(t.examples)
		part.call, part.session, part.uncached = t.call, t.session, t.uncached
		return piece{t, part}
	}
	n, tokens := t.done, 0
	for n < len(t.examples) {
		fresh := len(t.examples[n].Tokens)
		if n > t.done { // examples that begin alike share a tree
			fresh -= commonPrefix(t.examples[n-1].Tokens, t.examples[n].Tokens)
			if tokens+fresh > limit {
				break
			}
		}
		n, tokens = n+1, tokens+fresh
	}
	part := &queued{examples: t.examples[t.done:n], tokens: tokens, call: t.call, session: t.session, uncached: t.uncached}
	return piece{t, part}
}

func commonPrefix(a, b []int32) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// add takes what a run has read of the text, and tells whether that was the last of it. The rest waits on.
func (t *queued) add(part *queued) (last bool) {
	t.done += len(part.examples)
	t.values, t.logits, t.reused = append(t.values, part.values...), append(t.logits, part.logits...), t.reused+part.reused
	t.err = part.err
	return t.err != nil || t.done >= len(t.examples)
}

// take removes the next batch from what waits, as many texts and slices as the budgets of all their calls allow. Texts that nobody waits
// for any more are passed over.
func (q *textQueue) take() (batch []piece) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = slices.DeleteFunc(q.waiting, func(c *call) bool { return c.ctx.Err() != nil })
	calls, limit, tokens := len(q.waiting), math.MaxInt, 0
	for _, c := range q.waiting {
		if c.texts[0].sliced() {
			limit = min(limit, c.slice)
		}
	}
	for len(q.waiting) > 0 && len(batch) < scoreChunk {
		i := q.first()
		c := q.waiting[i]
		bound := min(limit, c.budget)
		p := c.texts[0].next(bound)
		if len(batch) > 0 && tokens+p.part.tokens > bound {
			break
		}
		limit = bound
		batch, tokens = append(batch, p), tokens+p.part.tokens
		c.read += float64(p.part.tokens)
		if c.texts = c.texts[1:]; len(c.texts) == 0 {
			q.waiting = slices.Delete(q.waiting, i, i+1)
		}
		if p.text.done+len(p.part.examples) < len(p.text.examples) {
			break // the slices of one text follow each other
		}
	}
	if calls > 0 {
		q.now += float64(tokens) / float64(calls)
	}
	q.draining, q.reading = len(batch) > 0, tokens
	return batch
}

// load is how many tokens are read or wait.
func (q *textQueue) load() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	tokens := q.reading
	for _, c := range q.waiting {
		for _, t := range c.texts {
			tokens += t.tokens
		}
	}
	return tokens
}

// first is the place of the call whose next run would end first; of several it is the one that came first.
func (q *textQueue) first() int {
	best, end := 0, math.Inf(1)
	for i, c := range q.waiting {
		if e := c.ends(); e < end {
			best, end = i, e
		}
	}
	return best
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
	for _, c := range q.waiting {
		for _, t := range c.texts {
			t.err = err
			t.finish()
		}
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
