package store

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/goprm/goprm/internal/faults"
	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// request is a change that waits for its commit.
type request struct {
	change func(*bolt.Tx) error
	err    error
	done   bool
}

// fatal is an error after which a transaction is half done: it is rolled back, with all that share it. Any other error of a
// change must come before its first write.
type fatal struct{ error }

func (f fatal) Unwrap() error { return f.error }

func asFatal(err error) error {
	if err == nil {
		return nil
	}
	return fatal{err}
}

// write runs a change and returns when it is on the disk. Changes that come while another commit runs share the next one, so
// that one fsync serves all callers that wait; with a single caller each change has its own.
func (s *Store) write(change func(*bolt.Tx) error) error {
	r := &request{change: change}
	s.queueMu.Lock()
	s.queue = append(s.queue, r)
	s.queueMu.Unlock()

	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	if !r.done {
		runtime.Gosched() // those that the last commit woke come along
		s.queueMu.Lock()
		batch := s.queue
		s.queue = nil
		s.queueMu.Unlock()
		s.commit(batch)
	}
	return s.wrap(r.err)
}

func (s *Store) commit(batch []*request) {
	err := s.broken
	if s.closed {
		err = ErrClosed
	}
	if err == nil {
		err = s.standing()
	}
	if err == nil {
		err = s.update(func(tx *bolt.Tx) error {
			for _, r := range batch {
				r.err = r.change(tx)
				var f fatal
				if errors.As(r.err, &f) {
					return r.err
				}
			}
			return nil
		})
	}
	if err != nil && len(batch) > 1 && s.broken == nil && !s.closed {
		for _, r := range batch { // one change must not fail the others
			s.commit([]*request{r})
		}
		return
	}
	for _, r := range batch {
		r.done = true
		if err != nil {
			r.err = err
		}
	}
}

// standing reports that the file is no longer where it was opened.
func (s *Store) standing() error {
	if now, err := os.Stat(s.path); err != nil || !os.SameFile(now, s.file) {
		return ErrRemoved
	}
	return nil
}

// Check reports that the store can hold nothing any more: its file is gone, is closed or is damaged beyond use.
func (s *Store) Check() error {
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	if s.closed {
		return s.wrap(ErrClosed)
	}
	if s.broken != nil {
		return s.wrap(s.broken)
	}
	return s.wrap(s.standing())
}

// update and view turn what bbolt does on damaged pages (it panics, or reads beyond the end of its map) into ErrDamaged.
func (s *Store) update(fn func(*bolt.Tx) error) (err error) {
	defer func() {
		if errors.Is(err, errPanic) {
			s.broken = err
		}
	}()
	defer recovered(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	if err := faults.Point("commit", s.path); err != nil {
		return err
	}
	if err := s.db.Update(fn); err != nil {
		return err
	}
	return faults.Point("committed", s.path)
}

func (s *Store) view(fn func(*bolt.Tx) error) (err error) {
	defer func() {
		if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
			err = ErrClosed
		}
		err = s.wrap(err)
	}()
	defer recovered(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	return s.db.View(fn)
}

var errPanic = fmt.Errorf("%w: a page cannot be read", ErrDamaged)

func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: %v", errPanic, p)
	}
}
