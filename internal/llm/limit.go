package llm

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// bucket fills at a rate up to its size. What is taken beyond the size waits for a full one and leaves a debt.
type bucket struct {
	turn       chan struct{} // held by the one that waits, so that a large taker is not starved by small ones
	gave       chan struct{} // tells it that something was given back, which may end its wait
	mu         sync.Mutex
	rate, size float64
	level      float64
	at         time.Time
}

func newBucket(rate, size float64) *bucket {
	return &bucket{turn: make(chan struct{}, 1), gave: make(chan struct{}, 1), rate: rate, size: size, level: size, at: time.Now()}
}

func (b *bucket) take(ctx context.Context, n float64) error {
	if b == nil {
		return nil
	}
	select {
	case b.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-b.turn }()
	for {
		b.mu.Lock()
		b.fill()
		missing := min(n, b.size) - b.level
		if missing <= 0 {
			b.level -= n
		}
		b.mu.Unlock()
		if missing <= 0 {
			return nil
		}
		full := time.NewTimer(time.Duration(missing/b.rate*float64(time.Second)) + time.Microsecond)
		select {
		case <-full.C:
		case <-b.gave:
		case <-ctx.Done():
		}
		full.Stop()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// give returns what was taken too much.
func (b *bucket) give(n float64) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill()
	b.level = min(b.level+n, b.size)
	select {
	case b.gave <- struct{}{}:
	default:
	}
}

func (b *bucket) fill() {
	now := time.Now()
	b.level = min(b.level+now.Sub(b.at).Seconds()*b.rate, b.size)
	b.at = now
}

// pause holds all calls back while a server has asked one of them to wait.
type pause struct {
	mu    sync.Mutex
	until time.Time
}

func (p *pause) set(until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until.After(p.until) {
		p.until = until
	}
}

func (p *pause) wait(ctx context.Context) error {
	for {
		p.mu.Lock()
		left := time.Until(p.until)
		p.mu.Unlock()
		if left <= 0 {
			return ctx.Err()
		}
		if err := sleep(ctx, left); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// backoff is the wait before the attempt after the failed one, which counts from 0.
func (c *Client) backoff(attempt int) time.Duration {
	d := c.o.MaxBackoff
	if shifted := c.o.Backoff << min(attempt, 20); shifted > 0 && shifted < d {
		d = shifted
	}
	return d/2 + rand.N(d/2+1)
}

// retryAfter reads the header's two forms, seconds and a date; 0 where it is absent or makes no sense.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		if seconds > 0 && seconds < 1e9 {
			return time.Duration(seconds * float64(time.Second))
		}
		return 0
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}
