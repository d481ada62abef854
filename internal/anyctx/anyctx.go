// Package anyctx joins the contexts of callers that share one piece of work.
package anyctx

import (
	"context"
	"sync/atomic"
)

// Of returns a context that ends when the last of the given ones has ended: when nobody waits for the work any more. stop frees
// what it holds, and ends it.
func Of(callers []context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var left atomic.Int64
	left.Store(int64(len(callers)))
	forget := make([]func() bool, len(callers))
	for i, c := range callers {
		forget[i] = context.AfterFunc(c, func() {
			if left.Add(-1) == 0 {
				cancel()
			}
		})
	}
	return ctx, func() {
		for _, f := range forget {
			f()
		}
		cancel()
	}
}
