package execjudge

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"time"
)

// write hands requests on until the program is of no use any more.
func (p *program) write() {
	for {
		select {
		case line := <-p.lines:
			if _, err := p.stdin.Write(line); err != nil {
				select {
				case <-p.dead:
				case <-time.After(grace): // it exits, most likely, and then that is the cause
				}
				p.fail(&Error{Reason: "the program closed its input"})
				return
			}
		case <-p.dead:
			return
		}
	}
}

// readAll takes answers until there are no more, and says why.
func (p *program) readAll() {
	defer close(p.read)
	r := bufio.NewReaderSize(p.stdout, maxLine)
	for {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			p.fail(&Error{Reason: fmt.Sprintf("the program wrote a line of more than %d bytes", maxLine), foul: true})
			return
		}
		if err != nil {
			break // a line that does not end is cut
		}
		if foul := p.take(line); foul != nil {
			p.fail(foul)
			return
		}
	}
	select {
	case <-p.exited:
	case <-time.After(grace):
		p.fail(&Error{Reason: "the program closed its output"})
		return
	}
	ended := &Error{Reason: "the program ended before it answered: " + p.status}
	select {
	case <-p.logged:
	case <-time.After(grace):
	}
	if last := p.log.takeLast(); last != "" {
		ended.Err = fmt.Errorf("its last line on standard error is %q", last)
	}
	p.fail(ended)
}

// wait sees the process go, kills what is left of its group and closes the pipes, which something outside the group may hold.
func (p *program) wait() {
	defer close(p.done)
	state, err := p.cmd.Process.Wait()
	p.mu.Lock()
	killGroup(p.cmd)
	p.reaped = true
	p.mu.Unlock()
	if p.status = state.String(); err != nil {
		p.status = err.Error()
	}
	close(p.exited)
	over := time.After(grace)
	for _, end := range []chan struct{}{p.read, p.logged} {
		select {
		case <-end:
		case <-over:
			over = nil
			p.closePipes()
			<-end
		}
	}
	p.closePipes()
	<-p.dead // set by who read to the end
}

// closePipes may be called twice.
func (p *program) closePipes() {
	for _, c := range []io.Closer{p.stdin, p.stdout, p.stderr} {
		_ = c.Close() // what was to be read has been
	}
}
