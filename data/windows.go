package data

import (
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
	bare, err := tokens(0, 0)
	if err != nil {
		return nil, err
	}
	// last is the largest to for which the steps [from, to) fit, at least least-1. It tries longer and longer runs, so that the text
	// it looks at is a few times a window's, however long the trajectory is.
	last := func(from, least, limit int) (int, error) {
		lo, hi := least-1, n // lo fits or is least-1
		for more := 1; lo < hi; more *= 2 {
			try := min(lo+more, hi)
			size, err := tokens(from, try)
			if err != nil {
				return 0, err
			}
			if size > limit {
				hi = try - 1
				break
			}
			lo = try
		}
		for lo < hi {
			mid := (lo + hi + 1) / 2
			size, err := tokens(from, mid)
			if err != nil {
				return 0, err
			}
			if size <= limit {
				lo = mid
			} else {
				hi = mid - 1
			}
		}
		return lo, nil
	}
	// first is the smallest from for which the steps [from, to) fit, at most to.
	first := func(from, to, limit int) (int, error) {
		lo, hi := from, to
		for lo < hi {
			mid := (lo + hi) / 2
			size, err := tokens(mid, to)
			if err != nil {
				return 0, err
			}
			if size <= limit {
				hi = mid
			} else {
				lo = mid + 1
			}
		}
		return lo, nil
	}
	var list []Window
	for read := 0; read < n; {
		from := 0
		if read > 0 {
			if from, err = first(list[len(list)-1].From+1, read, bare+(limit-bare)/2); err != nil {
				return nil, err
			}
		}
		to, err := last(from, read+1, limit)
		if err == nil && to == read { // the next step needs more room
			if from, err = first(from, read+1, limit); err != nil {
				return nil, err
			}
			if from > read {
				size, err := tokens(read, read+1)
				if err != nil {
					return nil, err
				}
				return nil, tooLong(size, limit, fmt.Sprintf("step %d alone has %d tokens with the problem, at most %d fit into a window", read, size, limit))
			}
			to, err = last(from, read+1, limit)
		}
		if err != nil {
			return nil, err
		}
		list = append(list, Window{from, read, to})
		read = to
	}
	return list, nil
}

// RenderWindows is Render for scoring: a trajectory of more than limit tokens (0: any number) becomes several Examples, one a window,
// whatever text.long says; each step has a read-out in one of them, the whole in the last. With text.order: response_first the windows
// are of the thinking, and each holds the whole response before it; the response's steps are read in the first.
func (r *Renderer) RenderWindows(t *Trajectory, limit int) ([]*Example, error) {
	list, err := r.renderWindows(t, limit)
	if err != nil {
		return nil, r.at(t, err)
	}
	return list, nil
}

func (r *Renderer) renderWindows(t *Trajectory, limit int) ([]*Example, error) {
	s, err := r.cut(t)
	if err != nil {
		return nil, err
	}
	render := func(s steps) (*Example, error) {
		laid, err := r.lay(t.Problem, s)
		if err != nil {
			return nil, err
		}
		e, _, err := r.example(t, s, laid, 0)
		return e, err
	}
	e, err := render(s)
	if err != nil || limit == 0 || len(e.Tokens) <= limit {
		return []*Example{e}, err
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
	windows, err := Windows(len(order), limit, func(from, to int) (int, error) {
		laid, err := r.lay(t.Problem, keep(from, to))
		if err != nil {
			return 0, err
		}
		return len(laid.tokens), nil
	})
	if long := new(TooLongError); len(always) > 0 && errors.As(err, &long) {
		laid, failed := r.lay(t.Problem, keep(0, 0))
		if failed != nil {
			return nil, failed
		}
		return nil, tooLong(long.Tokens, limit, fmt.Sprintf("text.order: response_first: problem and response have %d tokens, "+
			"%d with one thinking step, and a window holds %d; a larger text.max_tokens, or text.order: thinking_first, makes them fit", len(laid.tokens), long.Tokens, limit))
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
