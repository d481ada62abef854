package serve

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

// What a request is reckoned to take, in bytes, from the time its body is there until its answer is written: its texts as strings and
// tokens, and its results. See docs/reliability-server.md for what was measured.
const (
	requestBytes = 16 << 10 // its connection and goroutines
	textFactor   = 8        // of its body
	stepBytes    = 512      // of each step: its places, scores and its part of the answer
)

// reckon is what a request with the body takes. Steps are blank lines, or strings of a list.
func reckon(body []byte) int64 {
	steps := bytes.Count(body, []byte(`\n\n`)) + bytes.Count(body, []byte(`","`))
	return requestBytes + textFactor*int64(len(body)) + stepBytes*int64(steps)
}

// budget bounds the memory of requests. Bodies that are still arriving have a quarter of it, and a number, of their own: when that is
// used up, the oldest makes way for a new one, and the largest for a smaller one. So a healthy request, whose body is there at once, gets
// in beside any number of slow ones.
type budget struct {
	limit     int64
	unreadMax int

	mu     sync.Mutex
	used   int64 // of requests whose body is there
	peak   int64 // the most that both together ever were
	unread map[*unread]bool
	bytes  int64 // of unread bodies
	made   uint64
}

// unread is a body that is still arriving.
type unread struct {
	expire func(at time.Time) // ends its reading
	order  uint64
	length int64 // that its header says; -1: nothing
	bytes  int64 // that it has room for
	err    error // why it had to make way
}

func (u *unread) size() int64 { return max(u.length, u.bytes) }

var errSlow = errors.New("the body arrives slower than others, and its place is needed; ask again")

func newBudget(o Options) *budget {
	return &budget{limit: o.Memory, unreadMax: o.Unread, unread: map[*unread]bool{}}
}

// arrive admits a body that is to be read.
func (b *budget) arrive(length int64, expire func(at time.Time)) *unread {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.unread) >= b.unreadMax {
		var oldest *unread
		for u := range b.unread {
			if oldest == nil || u.order < oldest.order {
				oldest = u
			}
		}
		b.evict(oldest)
	}
	b.made++
	u := &unread{expire: expire, order: b.made, length: length}
	b.unread[u] = true
	return u
}

// evict makes a body give its place up.
func (b *budget) evict(u *unread) {
	b.remove(u)
	u.err = withStatus(http.StatusTooManyRequests, errSlow)
	u.expire(time.Unix(1, 0))
}

func (b *budget) remove(u *unread) {
	if b.unread[u] {
		delete(b.unread, u)
		b.bytes -= u.bytes
	}
}

// grow makes room for n more bytes of a body.
func (b *budget) grow(u *unread, n int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for u.err == nil && b.bytes+n > b.limit/4 {
		var largest *unread
		for other := range b.unread {
			if largest == nil || other.size() > largest.size() {
				largest = other
			}
		}
		if largest.size() <= max(u.size(), u.bytes+n) {
			return withStatus(http.StatusTooManyRequests, fmt.Errorf("%d bytes of requests are being read; ask again", b.bytes))
		}
		b.evict(largest)
	}
	if u.err != nil {
		return u.err
	}
	u.bytes, b.bytes = u.bytes+n, b.bytes+n
	b.peak = max(b.peak, b.used+b.bytes)
	return nil
}

// leave ends a body's arrival; the error says that it had to make way.
func (b *budget) leave(u *unread) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.remove(u)
	return u.err
}

// hold takes memory for a request, which give returns.
func (b *budget) hold(n int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case n > b.limit:
		return withStatus(http.StatusRequestEntityTooLarge,
			fmt.Errorf("the request is reckoned to take %d bytes of memory, all may take %d", n, b.limit))
	case b.used+n > b.limit:
		return withStatus(http.StatusTooManyRequests, fmt.Errorf("%d bytes of memory are in use, of %d; ask again", b.used, b.limit))
	}
	b.used += n
	b.peak = max(b.peak, b.used+b.bytes)
	return nil
}

func (b *budget) give(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
}

// hurry ends the reading of what has not arrived by then.
func (b *budget) hurry(by time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for u := range b.unread {
		u.expire(by)
	}
}

// budgetState is what the metrics tell.
type budgetState struct{ used, peak, unread, unreadBytes int64 }

func (b *budget) state() budgetState {
	b.mu.Lock()
	defer b.mu.Unlock()
	return budgetState{b.used, b.peak, int64(len(b.unread)), b.bytes}
}

// drainBody is how long a body is still read when the server shuts down, and how long one that is refused, lest the client, still
// writing, miss the answer.
const drainBody = time.Second

// read reads a request's body.
func (s *Server) read(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if coding := r.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return nil, withStatus(http.StatusUnsupportedMediaType, fmt.Errorf("content-encoding %q is not read", coding))
	}
	if r.ContentLength > s.opt.MaxBody {
		return nil, withStatus(http.StatusRequestEntityTooLarge, fmt.Errorf("a request of more than %d bytes", s.opt.MaxBody))
	}
	control := http.NewResponseController(w)
	expire := func(at time.Time) { _ = control.SetReadDeadline(at) } // a server of another kind may have none
	expire(time.Now().Add(s.opt.ReadTimeout))                        // net/http lifts it again once the body is there
	u := s.budget.arrive(r.ContentLength, expire)
	if s.isDraining() {
		expire(time.Now().Add(min(s.opt.ReadTimeout, drainBody)))
	}
	body, err := s.readAll(http.MaxBytesReader(w, r.Body, s.opt.MaxBody), r.ContentLength, u)
	if left := s.budget.leave(u); left != nil {
		w.Header().Set("Connection", "close")
		return nil, left
	}
	if statusOf(err) == http.StatusTooManyRequests {
		expire(time.Now().Add(drainBody))
		_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, s.opt.MaxBody))
	}
	var large *http.MaxBytesError
	var known *RequestError
	switch {
	case err == nil:
		return body, nil
	case errors.As(err, &known):
		return nil, err
	case errors.As(err, &large):
		return nil, withStatus(http.StatusRequestEntityTooLarge, fmt.Errorf("a request of more than %d bytes", large.Limit))
	case errors.Is(err, os.ErrDeadlineExceeded) && s.isDraining():
		return nil, withStatus(http.StatusServiceUnavailable, errDraining)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, withStatus(http.StatusRequestTimeout, fmt.Errorf("the request did not arrive: %w", err))
	}
	return nil, bad("the request's body cannot be read: %v", err)
}

// readAll reads a body as it comes, and takes room for it before it grows.
func (s *Server) readAll(from io.Reader, length int64, u *unread) ([]byte, error) {
	const first = 4 << 10
	var body []byte
	for {
		if len(body) == cap(body) {
			size := max(first, 2*int64(cap(body)))
			if length >= 0 && size > length { // one more shows the end
				size = max(length+1, int64(cap(body))+1)
			}
			if err := s.budget.grow(u, size-int64(cap(body))); err != nil {
				return nil, err
			}
			grown := make([]byte, len(body), size)
			copy(grown, body)
			body = grown
		}
		n, err := from.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case err == io.EOF:
			return body, nil
		case err != nil:
			return nil, err
		}
	}
}
