package serve

import "context"

// largeBody is the size from which on requests take turns wherever they compute by themselves. Reading, rendering and writing many of them
// at once would keep all processors from the small ones.
const largeBody = 8 << 10

// turn is a request's share of the processors: of a large one, one of the turns that all large ones share; small ones need none. It is held
// while a request is read and rendered and while its answer is put together, not while it waits for its scores or for its client.
type turn struct {
	turns chan struct{} // nil: the request is small
	held  bool
}

func (s *Server) newTurn(body int) *turn {
	if body < largeBody {
		return &turn{}
	}
	return &turn{turns: s.large}
}

// take waits for the turn.
func (t *turn) take(ctx context.Context) error {
	if t.turns == nil || t.held {
		return ctx.Err()
	}
	select {
	case t.turns <- struct{}{}:
		t.held = true
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// end hands it on, if it is held.
func (t *turn) end() {
	if t.held {
		t.held = false
		<-t.turns
	}
}
