package main

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/goprm/goprm/internal/runlog"
)

// consoleHandler shows on the console what a library logs: warnings and errors, and information unless it is quiet.
type consoleHandler struct {
	mu      *sync.Mutex // who uses the console while others log holds it too
	console *runlog.Console
	attrs   []slog.Attr
	group   string // before each key, with its dots
}

func (h consoleHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo
}

func (h consoleHandler) Handle(_ context.Context, r slog.Record) error {
	text, attrs := []string{}, slices.Clone(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, slog.Attr{Key: h.group + a.Key, Value: a.Value})
		return true
	})
	for _, a := range attrs {
		text = append(text, a.Key+" "+a.Value.String())
	}
	line := r.Message
	if len(text) > 0 {
		line += ": " + strings.Join(text, ", ")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.Level >= slog.LevelWarn {
		h.console.Warnf("%s", line)
	} else {
		h.console.Infof("%s", line)
	}
	return nil
}

func (h consoleHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.attrs = slices.Clone(h.attrs)
	for _, a := range attrs {
		h.attrs = append(h.attrs, slog.Attr{Key: h.group + a.Key, Value: a.Value})
	}
	return h
}

func (h consoleHandler) WithGroup(name string) slog.Handler {
	h.group += name + "."
	return h
}
