package prm

import (
	"fmt"
	"log/slog"

	"github.com/goprm/goprm/internal/runlog"
)

// voice says what happens: to a person on Progress, to a program on Logger.
type voice struct {
	console  *runlog.Console
	logger   *slog.Logger // nil: the console is enough
	warnings []string
}

func newVoice(c *TrainConfig) *voice {
	v := &voice{console: runlog.NewConsole(c.Progress, c.Quiet), logger: c.Logger}
	if v.logger == nil && c.Progress == nil {
		v.logger = slog.Default()
	}
	return v
}

// warnf is said even when the run is quiet, and returned with the result.
func (v *voice) warnf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	v.warnings = append(v.warnings, text)
	v.console.Warnf("%s", text)
	if v.logger != nil {
		v.logger.Warn(text)
	}
}

// noticef is said even when the run is quiet: it changes what the run means.
func (v *voice) noticef(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	v.console.Noticef("%s", text)
	if v.logger != nil {
		v.logger.Info(text)
	}
}

func (v *voice) infof(format string, args ...any) { v.console.Infof(format, args...) }
