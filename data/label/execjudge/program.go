package execjudge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"time"
)

const (
	// settle is how long an answer waits for a second one to the same request, which would spoil it.
	settle = time.Millisecond
	// grace is how long a program may take to exit after its input ended, and what it wrote to be read after it exited.
	grace = 2 * time.Second
	// unkillable is how long to wait for a killed process: one that hangs in the kernel is left.
	unkillable = 10 * time.Second
)

// program is one life of the program.
type program struct {
	cmd     *exec.Cmd
	timeout time.Duration
	settle  time.Duration
	log     *boundedLog
	stdin   io.WriteCloser
	stdout  io.ReadCloser
	stderr  io.ReadCloser

	lines  chan []byte   // requests on their way to stdin
	dead   chan struct{} // closed when failed is set: no request goes on
	exited chan struct{} // closed when the process is gone and status is set
	read   chan struct{} // closed when stdout was read to its end
	logged chan struct{} // closed when stderr was
	done   chan struct{} // closed when all is over
	status string

	mu      sync.Mutex // guards what follows
	pending map[string]*pending
	failed  *Error
	reaped  bool // the process number may be another's now
}

// pending is a request without an answer, or with one that settles.
type pending struct {
	answered chan struct{}
	answer   *answer
	given    bool // nobody waits for it any more
}

func start(path string, o Options, settle time.Duration, log *boundedLog) (*program, error) {
	p := &program{
		cmd: exec.Command(path, o.Command[1:]...), timeout: o.Timeout, settle: settle, log: log,
		pending: map[string]*pending{}, lines: make(chan []byte),
		dead: make(chan struct{}), exited: make(chan struct{}), read: make(chan struct{}), logged: make(chan struct{}), done: make(chan struct{}),
	}
	p.cmd.Args[0] = o.Command[0]
	ownGroup(p.cmd)
	var errs [3]error
	p.stdin, errs[0] = p.cmd.StdinPipe()
	p.stdout, errs[1] = p.cmd.StdoutPipe()
	p.stderr, errs[2] = p.cmd.StderrPipe()
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil { // it closes the pipes
		return nil, err
	}
	go p.write()
	go p.readAll()
	go p.wait()
	go func() {
		defer close(p.logged)
		log.copy(p.stderr)
	}()
	return p, nil
}

// cause is why the program is of no use any more, or nil.
func (p *program) cause() *Error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}

// fail gives all requests in flight an end, and the program. The first cause counts.
func (p *program) fail(cause *Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end(cause)
	if !p.reaped {
		killGroup(p.cmd)
	}
}

// end is called with the lock held.
func (p *program) end(cause *Error) {
	if p.failed == nil {
		p.failed = cause
		close(p.dead)
	}
}

// ask hands the program a request and returns its answer. A program that does not answer in time is killed.
func (p *program) ask(ctx context.Context, id string, line []byte) (*answer, error) {
	r := &pending{answered: make(chan struct{})}
	p.mu.Lock()
	p.pending[id] = r
	p.mu.Unlock()
	timer := time.NewTimer(p.timeout)
	defer timer.Stop()
	late := &Error{Reason: fmt.Sprintf("the program gave no answer within %v", p.timeout)}
	select {
	case p.lines <- line:
	case <-p.dead:
		return nil, p.cause()
	case <-ctx.Done():
		p.forget(id, false)
		return nil, ctx.Err()
	case <-timer.C: // it does not read
		p.fail(late)
		return nil, p.cause()
	}
	select {
	case <-r.answered:
		return p.settled(id, r)
	case <-ctx.Done():
		p.forget(id, true)
		return nil, ctx.Err()
	case <-timer.C:
		p.fail(late)
	case <-p.dead:
	}
	select {
	case <-r.answered: // it came with the end
		return p.settled(id, r)
	default:
		return nil, p.cause()
	}
}

// settled waits for what may spoil the answer. One that a program gives just before it exits is as good as any other.
func (p *program) settled(id string, r *pending) (*answer, error) {
	timer := time.NewTimer(p.settle)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.dead:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.pending, id)
	if p.failed != nil && p.failed.foul {
		return nil, p.failed
	}
	return r.answer, nil
}

// forget gives a request up. If it was sent, its answer is still to come, and is no foul.
func (p *program) forget(id string, sent bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r := p.pending[id]; sent && r.answer == nil {
		r.given = true
		return
	}
	delete(p.pending, id)
}

// take hands an answer to its request.
func (p *program) take(line []byte) *Error {
	a, err := readAnswer(line)
	if err != nil {
		return &Error{Reason: "the program wrote a line that is no answer", Err: err, foul: true}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.pending[*a.ID]
	switch {
	case r == nil || r.answer != nil:
		return &Error{
			Reason: "the program answered a request twice, or one that nobody made", Err: fmt.Errorf("id %q", excerpt([]byte(*a.ID))), foul: true,
		}
	case r.given:
		delete(p.pending, *a.ID)
	default:
		r.answer = a
		close(r.answered)
	}
	return nil
}

// close ends the input, lets the program exit, and kills its group.
func (p *program) close() error {
	p.mu.Lock()
	p.end(&Error{Reason: "the judge is closed", fatal: true})
	p.mu.Unlock()
	_ = p.stdin.Close() // where it is closed already the program has ended
	select {
	case <-p.exited:
	case <-time.After(grace):
	}
	p.fail(nil)
	return p.await()
}

// await waits for a program that was killed.
func (p *program) await() error {
	select {
	case <-p.done:
		return nil
	case <-time.After(unkillable):
		return fmt.Errorf("the program (process %d) does not end though it was killed", p.cmd.Process.Pid)
	}
}
