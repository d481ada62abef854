package main

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/goprm/goprm/prm"
)

// serving is a server that runs, with what it is given anew on SIGHUP.
type serving struct {
	serveCommand
	*program
	server      *prm.Server
	model       *prm.Model // the one that is served
	certificate *prm.Certificate
	log         *logFile
}

// reloadOnHangup reloads on each SIGHUP, one after another. stop ends that, and waits for the reload at hand.
func (s *serving) reloadOnHangup() (stop func()) {
	hangup, ended := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(hangup, syscall.SIGHUP)
	go func() {
		defer close(ended)
		for range hangup {
			s.reload()
		}
	}()
	return func() {
		signal.Stop(hangup)
		close(hangup)
		<-ended
	}
}

// reload reads everything again. What fails stays as it was, and is said.
func (s *serving) reload() {
	for _, part := range []struct {
		name string
		do   func() error
	}{
		{"--access-log", s.log.reopen}, {"--tls-cert, --tls-key", s.reloadCertificate}, {"--tokens", s.reloadTokens},
		{"--model", s.reloadModel},
	} {
		if err := part.do(); err != nil {
			s.console.Warnf("SIGHUP: %s stays as it was: %v", part.name, oneLine(err))
		}
	}
}

func (s *serving) reloadCertificate() error {
	if s.certificate == nil {
		return nil
	}
	return s.certificate.Reload()
}

func (s *serving) reloadTokens() error {
	list, err := s.tokens()
	if err != nil {
		return err
	}
	return s.server.SetTokens(list)
}

// reloadModel opens the model beside the one that is served, takes its place, and closes that one after its last request.
func (s *serving) reloadModel() error {
	model, err := s.program.open(s.Model, s.openFlags, 0)
	if err != nil {
		return err
	}
	if err := s.server.Swap(model); err != nil {
		return errors.Join(err, model.Close())
	}
	old := s.model
	s.model = model
	s.console.Infof("SIGHUP: %s is served anew", s.Model)
	return old.Close()
}

// logFile is a file that lines are added to, and that can be opened anew after it was moved away.
type logFile struct {
	path string
	mu   sync.Mutex
	file *os.File
}

// openLog opens the access log; nil: there is none.
func (s *serving) openLog() (*slog.Logger, error) {
	s.log = &logFile{}
	switch s.AccessLog {
	case "":
		return nil, nil
	case "-":
		return slog.New(slog.NewJSONHandler(s.stderr, nil)), nil
	}
	s.log.path = s.AccessLog
	return slog.New(slog.NewJSONHandler(s.log, nil)), s.log.reopen()
}

// Write adds a line.
func (l *logFile) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return 0, io.ErrClosedPipe
	}
	return l.file.Write(b)
}

func (l *logFile) reopen() error {
	if l.path == "" {
		return nil
	}
	file, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.file
	l.file = file
	return closeFile(old)
}

// Close ends it.
func (l *logFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.file
	l.file = nil
	return closeFile(old)
}

func closeFile(f *os.File) error {
	if f == nil {
		return nil
	}
	return f.Close()
}
