// Package execjudge makes a judge of any program, a Python function for one: requests go to its standard input and answers come
// from its standard output, one JSON object a line.
//
// A request names the steps that it wants scores for, as indices into thinking. It holds what the judge sees and nothing else:
// thinking ends with the last wanted step, except with sees_future, and response and answer are left out where Sees hides them.
//
//	{"id":"7","problem":"…","thinking":["…","…"],"response":["…"],"steps":[1]}
//
// An answer has a score in [0,1] for each wanted step, in their order, or says why there is none. Answers may come in any order.
//
//	{"id":"7","scores":[0.5]}
//	{"id":"7","error":"the model is overloaded"}
//
// The program reads until its input ends, then exits. It writes answers and nothing else to standard output; what it writes to
// standard error is logged, up to a bound. An error, a wrong number of scores and a score that is not a number in [0,1] leave the
// steps of that request open. A program that ends, answers nothing in time, writes anything else, or answers a request twice is
// killed, with its process group, and started again for the next request; the steps of the requests in flight stay open. (An answer
// is taken a millisecond after it came. A second one that comes later than that cannot spoil it, but still ends the program.) Open
// steps have a reason and no label, and the next run asks for them again.
package execjudge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/goprm/goprm/data/label"
)

// Options of a judge.
type Options struct {
	// Command is the program and its arguments, e.g. python3, judge.py. No shell reads it. The program's folder and environment are
	// those of this process.
	Command []string
	// Revision tells apart what one command may stand for: a model behind it, a module that it imports. It goes into the ID.
	Revision string
	// Sees is what the program is shown; "": label.SeesResponse. With label.SeesFuture a request has all open steps of a trajectory,
	// else one.
	Sees label.Sees
	// Timeout bounds a request, from when it is written to its answer; the first one waits for the program to get ready. 0: five
	// minutes.
	Timeout time.Duration
	// Concurrency is the number of requests in flight; 0: 1, which suits a program that answers one after the other.
	Concurrency int
	// Restarts is how often the program may be started again; after that every call fails, and the run ends its calls. nil: 10.
	Restarts *int
	// Logger gets the program's standard error and why it was restarted; nil: slog.Default.
	Logger *slog.Logger
}

// Validate checks the options; it does not look for the program.
func (o Options) Validate() error {
	if len(o.Command) == 0 || o.Command[0] == "" {
		return errors.New("execjudge: command: no program is named")
	}
	for _, arg := range o.Command {
		if strings.ContainsRune(arg, 0) {
			return fmt.Errorf("execjudge: command: %q holds a zero byte", arg)
		}
	}
	if o.Sees != "" {
		if err := o.Sees.Validate(); err != nil {
			return fmt.Errorf("execjudge: %w", err)
		}
	}
	if o.Timeout < 0 || o.Concurrency < 0 || o.Concurrency > maxConcurrency {
		return fmt.Errorf("execjudge: timeout (%v) must not be negative, concurrency (%d) between 0 and %d",
			o.Timeout, o.Concurrency, maxConcurrency)
	}
	if o.Restarts != nil && *o.Restarts < 0 {
		return fmt.Errorf("execjudge: restarts is %d, must not be negative", *o.Restarts)
	}
	return nil
}

const maxConcurrency = 1 << 16

func (o *Options) defaults() {
	if o.Sees == "" {
		o.Sees = label.SeesResponse
	}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Minute
	}
	o.Concurrency = max(o.Concurrency, 1)
	if o.Restarts == nil {
		o.Restarts = new(10)
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
}

// Judge is a label.Judge. Close ends its program.
type Judge struct {
	o      Options
	path   string // of the program
	id     string
	files  string // hash of the files that the command names
	slots  chan struct{}
	log    *boundedLog
	settle time.Duration // settle, but in tests

	mu       sync.Mutex // guards what follows
	program  *program   // nil before the first request
	restarts int
	requests uint64
	closed   bool
}

var _ label.Judge = (*Judge)(nil)

// New finds the program and hashes the files that the command names. The program is started by the first request.
func New(o Options) (*Judge, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o.defaults()
	path, err := exec.LookPath(o.Command[0])
	if err != nil {
		return nil, fmt.Errorf("execjudge: command: %w; it is a list of the program and its arguments", err)
	}
	files, err := hashFiles(o.Command)
	if err != nil {
		return nil, fmt.Errorf("execjudge: command: %w", err)
	}
	return &Judge{
		o: o, path: path, files: files, slots: make(chan struct{}, o.Concurrency), log: newBoundedLog(o.Logger), settle: settle,
		id: fmt.Sprintf("exec/1 command=%q revision=%q files=%s sees=%s", o.Command, o.Revision, files, o.Sees),
	}, nil
}

// ID names the command line, the revision, the content of the files that are named in the command, and what is shown. Folders,
// what the program imports and programs found by PATH are not hashed: a revision tells those apart.
func (j *Judge) ID() string { return j.id }

// Sees says what the program is shown.
func (j *Judge) Sees() label.Sees { return j.o.Sees }

// StepsPerCall is 1, or 0 where a request takes the whole trajectory.
func (j *Judge) StepsPerCall() int { return j.o.Sees.StepsPerCall() }

// Judge asks the program. Its errors are *Error, but for a cancelled context and a call that makes no sense.
func (j *Judge) Judge(ctx context.Context, c *label.Case, steps []int) ([]label.Verdict, error) {
	if err := c.CheckSteps(steps, j.StepsPerCall()); err != nil {
		return nil, fmt.Errorf("execjudge: %w", err)
	}
	verdicts := make([]label.Verdict, len(steps))
	why := j.o.Sees.Lacks(c)
	for i := range verdicts {
		verdicts[i].Unchecked = why
	}
	if why != "" || len(steps) == 0 {
		return verdicts, nil
	}
	select {
	case j.slots <- struct{}{}:
		defer func() { <-j.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	p, id, err := j.running()
	if err != nil {
		return nil, err
	}
	line, err := j.request(id, c, steps)
	if err != nil {
		return nil, err
	}
	a, err := p.ask(ctx, id, line)
	if err != nil {
		return nil, err
	}
	return a.verdicts(verdicts)
}

// running returns the program, started anew where it ended, and an id for a request to it.
func (j *Judge) running() (*program, string, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil, "", &Error{Reason: "the judge is closed", fatal: true}
	}
	if j.program != nil && j.program.cause() != nil {
		cause := j.program.cause()
		if j.restarts >= *j.o.Restarts {
			reason := fmt.Sprintf("the program failed after %d restarts: %s", j.restarts, cause.Reason)
			return nil, "", &Error{Reason: reason, Err: cause.Err, fatal: true}
		}
		j.restarts++
		j.o.Logger.Warn("the judge's program is started again", "because", cause.Error(), "restart", j.restarts, "of", *j.o.Restarts)
		if err := j.program.await(); err != nil {
			return nil, "", &Error{Reason: err.Error(), fatal: true}
		}
		j.program = nil
	}
	if j.program == nil {
		if err := j.start(); err != nil {
			return nil, "", err
		}
	}
	j.requests++
	return j.program, fmt.Sprint(j.requests), nil
}

// start refuses a program whose files are not those that the ID names.
func (j *Judge) start() error {
	files, err := hashFiles(j.o.Command)
	if err == nil && files != j.files {
		err = errors.New("a file that the command names was changed since the run began; run it again")
	}
	if err == nil {
		j.program, err = start(j.path, j.o, j.settle, j.log)
	}
	if err != nil {
		return &Error{Reason: "the program cannot be started", Err: err, fatal: true}
	}
	return nil
}

// Close ends the program's input, waits a moment for it to exit, and kills its process group. Requests in flight fail.
func (j *Judge) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	if j.program == nil {
		return nil
	}
	err := j.program.close()
	j.program = nil
	j.log.finish()
	return err
}
