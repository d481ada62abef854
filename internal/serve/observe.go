package serve

import (
	"context"
	"crypto/rand"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// seen is what is remembered of a request until its answer is written.
type seen struct {
	id    string
	token string // its name
}

type seenKey struct{}

func seenOf(r *http.Request) *seen {
	if s, ok := r.Context().Value(seenKey{}).(*seen); ok {
		return s
	}
	return &seen{}
}

// requestID are the ids that are taken from requests.
var requestID = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,128}$`)

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begin := time.Now()
	about := &seen{id: r.Header.Get("X-Request-Id")}
	if !requestID.MatchString(about.id) {
		about.id = strings.ToLower(rand.Text())
	}
	_, pattern := s.mux.Handler(r)
	route := strings.TrimSuffix(pattern[strings.IndexByte(pattern, ' ')+1:], "{$}")
	if route == "" {
		route = "other"
	}
	out := &answerWriter{ResponseWriter: w, draining: s.isDraining}
	out.Header().Set("X-Request-Id", about.id)
	if r.ContentLength != 0 { // net/http reads a body that nobody reads; those that are read have a deadline of their own
		_ = http.NewResponseController(w).SetReadDeadline(begin.Add(drainBody))
	}
	r = r.WithContext(context.WithValue(r.Context(), seenKey{}, about))
	if err := s.checkOrigin(r); err != nil {
		s.reply(out, r, nil, err)
	} else {
		s.mux.ServeHTTP(out, r)
	}
	took := time.Since(begin)
	if out.status == 0 {
		out.status = http.StatusOK
	}
	s.metrics.answered(route, out.status, took)
	if s.opt.AccessLog != nil {
		s.opt.AccessLog.Info("request", "id", about.id, "method", r.Method, "route", route, "status", out.status,
			"bytes", out.bytes, "seconds", took.Seconds(), "token", about.token)
	}
}

// answerWriter remembers what was answered, and ends the connection of an answer that is given while the server shuts down: no later
// request can then be cut off on it.
type answerWriter struct {
	http.ResponseWriter
	draining func() bool
	status   int
	bytes    int64
}

func (w *answerWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
		if w.draining() {
			w.Header().Set("Connection", "close")
		}
	}
	if status != statusGone {
		w.ResponseWriter.WriteHeader(status)
	}
}

func (w *answerWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (w *answerWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// statusGone stands in logs and metrics for the answer to a client that is gone, as nginx has it.
const statusGone = 499

// answered counts a request of a route.
func (m *metrics) answered(route string, status int, took time.Duration) {
	m.seconds.WithLabelValues(route).Observe(took.Seconds())
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
}
