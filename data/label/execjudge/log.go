package execjudge

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"sync"
)

// A judge logs so many lines of its program's standard error, each of at most so many bytes. What is beyond is read, and counted.
const (
	maxLogLines = 200
	maxLogLine  = 1024
)

// boundedLog passes on what programs write to standard error.
type boundedLog struct {
	logger *slog.Logger

	mu      sync.Mutex
	logged  int
	dropped int
	last    string // the last line that is not empty
}

func newBoundedLog(logger *slog.Logger) *boundedLog { return &boundedLog{logger: logger} }

// copy reads until the end.
func (l *boundedLog) copy(from io.Reader) {
	r := bufio.NewReaderSize(from, maxLogLine)
	for {
		line, err := r.ReadSlice('\n')
		if len(line) > 0 {
			l.add(line)
		}
		for errors.Is(err, bufio.ErrBufferFull) { // the rest of a long line
			_, err = r.ReadSlice('\n')
		}
		if err != nil {
			return
		}
	}
}

func (l *boundedLog) add(line []byte) {
	for len(line) > 0 && (line[len(line)-1] == '\n' || line[len(line)-1] == '\r') {
		line = line[:len(line)-1]
	}
	if len(line) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = excerpt(line)
	if l.logged >= maxLogLines {
		l.dropped++
		return
	}
	l.logged++
	l.logger.Info("the judge's program writes", "stderr", string(line))
}

// takeLast returns the last line and forgets it, so that it explains one program's end.
func (l *boundedLog) takeLast() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := l.last
	l.last = ""
	return last
}

// finish tells how much was left out.
func (l *boundedLog) finish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dropped > 0 {
		l.logger.Info("more lines of the judge's program were left out", "lines", l.dropped)
		l.dropped = 0
	}
}
