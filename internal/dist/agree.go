package dist

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// What Agree's messages begin with: an error, or that the rank's context was cancelled.
const (
	failed   = '!'
	canceled = '~'
)

// Agree returns an error on every rank if any has one: its own where it has one, else that of the lowest rank that has. Of another rank's
// error there is the text alone, but [context.Canceled] is itself on every rank.
func (g *Group) Agree(err error) error {
	if g == nil {
		return err
	}
	var mine []byte
	switch {
	case errors.Is(err, context.Canceled):
		mine = []byte{canceled}
	case err != nil:
		mine = append([]byte{failed}, err.Error()...)
	}
	all, lost := g.Gather(mine)
	if lost != nil {
		return errors.Join(err, lost)
	}
	if agreed := new(RankError); errors.As(err, &agreed) {
		return err // it names its rank already
	}
	if err != nil {
		return &RankError{g.Rank, g.World, err}
	}
	for rank, message := range all {
		switch {
		case len(message) == 0:
		case message[0] == canceled:
			return &RankError{rank, g.World, context.Canceled}
		default:
			return &RankError{rank, g.World, errors.New(string(message[1:]))}
		}
	}
	return nil
}

// RankError is an error that one rank had, maybe another one.
type RankError struct {
	Rank, World int
	Err         error
}

func (e *RankError) Error() string { return fmt.Sprintf("rank %d of %d: %v", e.Rank, e.World, e.Err) }

func (e *RankError) Unwrap() error { return e.Err }

// First runs f on rank 0, and returns when it is done; its error is every rank's.
func (g *Group) First(f func() error) error {
	var err error
	if g.IsFirst() {
		err = f()
	}
	return g.Agree(err)
}

// Any reports whether it is true on any rank.
func (g *Group) Any(here bool) (bool, error) {
	if g == nil {
		return here, nil
	}
	mine := []byte{0}
	if here {
		mine[0] = 1
	}
	all, err := g.Gather(mine)
	for _, b := range all {
		here = here || b[0] == 1
	}
	return here, err
}

// Told returns rank 0's value on every rank.
func Told[T any](g *Group, value T) (T, error) {
	if g == nil {
		return value, nil
	}
	text, err := []byte(nil), error(nil)
	if g.IsFirst() {
		text, err = json.Marshal(value)
	}
	if err := g.Agree(err); err != nil {
		return value, err
	}
	all, err := g.Gather(text)
	if err != nil || g.IsFirst() {
		return value, err
	}
	var told T
	err = json.Unmarshal(all[0], &told)
	return told, err
}

// GatherValues returns every rank's value on every rank.
func GatherValues[T any](g *Group, mine T) ([]T, error) {
	text, err := json.Marshal(mine)
	if err := g.Agree(err); err != nil {
		return nil, err
	}
	texts, err := g.Gather(text)
	if err != nil {
		return nil, err
	}
	all := make([]T, len(texts))
	for rank, text := range texts {
		if err := json.Unmarshal(text, &all[rank]); err != nil {
			return nil, fmt.Errorf("rank %d: %w", rank, err)
		}
	}
	return all, nil
}
