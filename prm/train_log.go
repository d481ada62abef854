package prm

import (
	"fmt"
	"log/slog"

	"github.com/goprm/goprm/internal/runlog"
)

// runLog reports to people on Progress and to programs on Logger.
type runLog struct {
	console  *runlog.Console
	logger   *slog.Logger // nil: the console is enough
	warnings []string
}

func newRunLog(c *TrainConfig) *runLog {
	l := &runLog{console: runlog.NewConsole(c.Progress, c.Quiet), logger: c.Logger}
	if l.logger == nil && c.Progress == nil {
		l.logger = slog.Default()
	}
	return l
}

// warnf warns, even if the run is quiet; the result returns the warnings too.
func (l *runLog) warnf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	l.warnings = append(l.warnings, text)
	l.console.Warnf("%s", text)
	if l.logger != nil {
		l.logger.Warn(text)
	}
}

// noticef reports what changes the meaning of the run, even if the run is quiet.
func (l *runLog) noticef(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	l.console.Noticef("%s", text)
	if l.logger != nil {
		l.logger.Info(text)
	}
}

func (l *runLog) infof(format string, args ...any) { l.console.Infof(format, args...) }
