package cpu

import (
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/goprm/goprm/internal/mmap"
)

// pool runs the tasks of one launch at a time on persistent goroutines. Which worker takes which task is left to
// chance: tasks write disjoint outputs, so results do not depend on it.
type pool struct {
	helpers int // goroutines besides the caller
	wake    chan struct{}
	busy    sync.WaitGroup
	closed  bool

	// Of the current run; written before the helpers wake.
	task   func(i int)
	n      int64
	next   atomic.Int64
	failed atomic.Pointer[error]
}

func newPool(workers int) *pool {
	p := &pool{helpers: workers - 1, wake: make(chan struct{}, workers)}
	for range p.helpers {
		go func() {
			debug.SetPanicOnFault(true) // weights are mapped files
			for range p.wake {
				p.work()
				p.busy.Done()
			}
		}()
	}
	return p
}

// run calls task for 0 ≤ i < n and waits. A panic in a task becomes the error; the other tasks may then not have run.
func (p *pool) run(n int, task func(i int)) error {
	if p.closed {
		return errors.New("the backend is closed")
	}
	p.task, p.n = task, int64(n)
	p.next.Store(0)
	helpers := min(p.helpers, n-1)
	if helpers > 0 {
		p.busy.Add(helpers)
		for range helpers {
			p.wake <- struct{}{}
		}
	}
	p.work()
	p.busy.Wait()
	p.task = nil
	if failed := p.failed.Swap(nil); failed != nil {
		return *failed
	}
	return nil
}

func (p *pool) work() {
	defer func() {
		if r := recover(); r != nil {
			err := asError(r)
			p.failed.Store(&err)
			p.next.Store(p.n)
		}
	}()
	for i := p.next.Add(1) - 1; i < p.n; i = p.next.Add(1) - 1 {
		p.task(int(i))
	}
}

// asError is the error of a recovered panic: the file that is lost, if that was it.
func asError(recovered any) error {
	if fault := mmap.Fault(recovered); fault != nil {
		return fault
	}
	if err, ok := recovered.(error); ok { // a task's own, of a launch inside of it
		return err
	}
	return fmt.Errorf("%v", recovered)
}

func (p *pool) close() {
	if !p.closed {
		p.closed = true
		close(p.wake)
	}
}
