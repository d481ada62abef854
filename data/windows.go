package data

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Window is a run of a trajectory's steps in the order of the text, [From, To), of which those from Read on are read in it. The steps
// before that are there for context.
type Window struct{ From, Read, To int }

// Windows cuts n steps that do not fit into one text of limit tokens into windows. tokens returns how long the text of the problem and
// the steps [from, to) is.
//
// The first window takes as many steps as fit. Each further one begins with steps that were read already, as many as fit into half of
// what the problem leaves, and takes as many new ones as fit behind them; if none does, it begins later. So every step is read once,
// in the first window that holds it, behind the problem and at least the steps that half a window holds, or those that leave it room.
func Windows(n, limit int, tokens func(from, to int) (int, error)) ([]Window, error) {
	return WindowsWithin(context.Background(), n, RenderLimits{Window: limit}, tokens)
}

// RenderLimits bound what a trajectory may become when it is rendered for scoring.
type RenderLimits struct {
	Window int // tokens of one text; a longer trajectory becomes several windows; 0: any number
	Total  int // tokens of all windows together; beyond it the error is a *TooLongError, found early; 0: any number
}

// Check refuses a trajectory of more tokens than Total.
func (l RenderLimits) Check(tokens int) error {
	if l.Total > 0 && tokens > l.Total {
		return tooLong(tokens, l.Total, fmt.Sprintf("%d tokens or more, at most %d are taken", tokens, l.Total))
	}
	return nil
}

// WindowsWithin is Windows within bounds; it ends early with the context's error. Its work grows as the text does: lengths are tried
// near where the window before lets expect them, and never of much more text than two windows hold.
func WindowsWithin(ctx context.Context, n int, limits RenderLimits, tokens func(from, to int) (int, error)) ([]Window, error) {
	limit, total := limits.Window, 0
	bare, err := tokens(0, 0)
	if err != nil {
		return nil, err
	}
	s := windowSearch{ctx: ctx, n: n, bare: bare, tokens: tokens}
	var list []Window
	for read := 0; read < n; {
		from := 0
		if read > 0 {
			if from, err = s.first(list[len(list)-1].From+1, read, bare+(limit-bare)/2); err != nil {
				return nil, err
			}
		}
		to, size, err := s.last(from, read, limit)
		if err == nil && to == read { // the next step needs more room
			if from, err = s.first(from, read+1, limit); err != nil {
				return nil, err
			}
			if from > read {
				size, err := tokens(read, read+1)
				if err != nil {
					return nil, err
				}
				return nil, tooLong(size, limit,
					fmt.Sprintf("step %d alone has %d tokens with the problem, at most %d fit into a window", read, size, limit))
			}
			to, size, err = s.last(from, read, limit)
		}
		if err != nil {
			return nil, err
		}
		if total += size; limits.Check(total) != nil {
			return nil, limits.Check(total)
		}
		list = append(list, Window{from, read, to})
		read = to
	}
	return list, nil
}

// windowSearch finds where windows begin and end.
type windowSearch struct {
	ctx     context.Context
	n, bare int
	tokens  func(from, to int) (int, error)

	steps, size int // of the text that was looked at last and held steps
}

func (s *windowSearch) look(from, to int) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	size, err := s.tokens(from, to)
	if to > from {
		s.steps, s.size = to-from, size
	}
	return size, err
}

// fitting is how many steps may be expected to fit into limit tokens: at most twice as many as were looked at last, and a few.
func (s *windowSearch) fitting(limit int) int {
	if s.size <= s.bare {
		return 1
	}
	return min(max(0, (limit-s.bare)*s.steps/(s.size-s.bare)), 2*s.steps+1)
}

// last is the largest to for which the steps [from, to) fit, at least to, which is not looked at; and their tokens.
func (s *windowSearch) last(from, to, limit int) (int, int, error) {
	lo, hi, best, over := to, s.n, 0, false // more than hi steps do not fit; over: that is known, hi is not merely the end
	for tries := 0; lo < hi; tries++ {
		try := from + s.fitting(limit)
		if over && tries%3 == 2 {
			try = (lo + hi + 1) / 2
		}
		try = min(max(try, lo+1), hi)
		size, err := s.look(from, try)
		switch {
		case err != nil:
			return 0, 0, err
		case size <= limit:
			lo, best = try, size
		default:
			hi, over = try-1, true
		}
	}
	return lo, best, nil
}

// first is the smallest from for which the steps [from, to) fit, at most to.
func (s *windowSearch) first(from, to, limit int) (int, error) {
	lo, hi := from, to
	for tries := 0; lo < hi; tries++ {
		try := to - s.fitting(limit)
		if tries%3 == 2 {
			try = (lo + hi) / 2
		}
		try = min(max(try, lo), hi-1)
		size, err := s.look(try, to)
		switch {
		case err != nil:
			return 0, err
		case size <= limit:
			hi = try
		default:
			lo = try + 1
		}
	}
	return lo, nil
}

// RenderWindows is Render for scoring: a trajectory of more than limit tokens (0: any number) becomes several Examples, one a window,
// whatever text.long says; each step has a read-out in one of them, the whole in the last. With text.order: response_first the windows
// are of the thinking, and each holds the whole response before it; the response's steps are read in the first.
func (r *Renderer) RenderWindows(t *Trajectory, limit int) ([]*Example, error) {
	return r.RenderWithin(context.Background(), t, RenderLimits{Window: limit})
}

// RenderWithin is RenderWindows within bounds; it ends early with the context's error.
func (r *Renderer) RenderWithin(ctx context.Context, t *Trajectory, limits RenderLimits) ([]*Example, error) {
	list, err := r.renderWindows(ctx, t, limits)
	if err != nil {
		return nil, r.at(t, err)
	}
	return list, nil
}

func (r *Renderer) renderWindows(ctx context.Context, t *Trajectory, limits RenderLimits) ([]*Example, error) {
	s, err := r.cut(t)
	if err != nil {
		return nil, err
	}
	render := func(s steps) (*Example, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		laid, err := r.lay(t.Problem, s)
		if err != nil {
			return nil, err
		}
		e, _, err := r.example(t, s, laid, 0)
		return e, err
	}
	e, err := render(s)
	if err != nil {
		return nil, err
	}
	if err := limits.Check(len(e.Tokens)); err != nil {
		return nil, err
	}
	if limits.Window == 0 || len(e.Tokens) <= limits.Window {
		return []*Example{e}, nil
	}
	var order []int // of the steps in the text
	for _, read := range e.Reads {
		if read.Kind == KindStep {
			order = append(order, read.Index)
		}
	}
	var always []int // the steps that every window holds
	if r.opt.Order == "response_first" && s.thinking > 0 {
		responses := len(order) - s.thinking
		always, order = order[:responses], order[responses:]
	}
	keep := func(from, to int) steps {
		kept := append(append([]int{}, order[from:to]...), always...)
		slices.Sort(kept)
		return s.some(kept)
	}
	windows, err := WindowsWithin(ctx, len(order), limits, func(from, to int) (int, error) {
		laid, err := r.lay(t.Problem, keep(from, to))
		if err != nil {
			return 0, err
		}
		return len(laid.tokens), nil
	})
	if long := new(TooLongError); len(always) > 0 && errors.As(err, &long) && long.Limit == limits.Window {
		laid, failed := r.lay(t.Problem, keep(0, 0))
		if failed != nil {
			return nil, failed
		}
		return nil, tooLong(long.Tokens, limits.Window, fmt.Sprintf("text.order: response_first: problem and response have %d tokens, "+
			"%d with one thinking step, and a window holds %d; a larger text.max_tokens, or text.order: thinking_first, makes them fit",
			len(laid.tokens), long.Tokens, limits.Window))
	}
	if err != nil {
		return nil, err
	}
	var list []*Example
	for i, w := range windows {
		e, err := render(keep(w.From, w.To))
		if err != nil {
			return nil, err
		}
		final := e.Reads[len(e.Reads)-1]
		first := len(always) + w.Read - w.From
		if i == 0 {
			first = 0
		}
		e.Reads = e.Reads[first : len(always)+w.To-w.From]
		if i == len(windows)-1 {
			e.Reads = append(e.Reads, final)
		}
		for j := range e.Reads {
			e.Reads[j].Window = i
		}
		list = append(list, e)
	}
	return list, nil
}
