package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/goprm/goprm/internal/served"
)

// withStatus is an error that is answered with an HTTP status.
func withStatus(status int, err error) error { return &RequestError{Status: status, Err: err} }

func bad(format string, args ...any) error {
	return withStatus(http.StatusBadRequest, fmt.Errorf(format, args...))
}

func unprocessable(err error) error { return withStatus(http.StatusUnprocessableEntity, err) }

// call is one request, admitted and read.
type call struct {
	*Server
	*engine
	ctx      context.Context
	http     *http.Request
	body     []byte
	endpoint *endpoint

	prepared  func() // ends the turn that a large request has before it is scored
	requestID string // of the answer; "": a random one
	uncached  bool   // the texts share no beginnings with others
}

// post makes a handler of what answers a request with a value. What the request takes is given back when its answer is written.
func (s *Server) post(e *endpoint) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.current().sign(w)
		body, err := s.read(w, r)
		if err == nil {
			size := reckon(body)
			if err = s.budget.hold(size); err == nil {
				defer s.budget.give(size)
			}
		}
		var value any
		if err == nil {
			value, err = s.answer(w, r, body, e)
		}
		s.reply(w, r, value, err)
	}
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, body []byte, e *endpoint) (value any, err error) {
	engine, err := s.enter()
	if err != nil {
		return nil, err
	}
	engine.sign(w)
	defer func() {
		if p := recover(); p != nil {
			value, err = nil, fmt.Errorf("internal error: %v", p)
		}
		s.leave(engine, err)
	}()
	ctx, cancel := context.WithTimeout(r.Context(), s.opt.Timeout)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	prepared, err := s.prepare(ctx, len(body))
	if err == nil {
		defer prepared()
		value, err = e.answer(&call{Server: s, engine: engine, ctx: ctx, http: r, body: body, endpoint: e, prepared: prepared})
	}
	if errors.Is(err, context.Canceled) && s.ctx.Err() != nil {
		err = withStatus(http.StatusServiceUnavailable, errDraining)
	}
	return value, err
}

// largeBody is the size from which on requests take turns before they are scored: reading and rendering them would keep all processors
// from the small ones.
const largeBody = 8 << 10

// prepare waits for a request's turn, which done, called once or more, ends.
func (s *Server) prepare(ctx context.Context, body int) (done func(), err error) {
	if body < largeBody {
		return func() {}, ctx.Err()
	}
	select {
	case s.large <- struct{}{}:
		return sync.OnceFunc(func() { <-s.large }), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// answerTimeout is how long a client may take to read its answer.
const answerTimeout = 30 * time.Second

// reply writes an answer, or an error in the form that OpenAI's clients read.
func (s *Server) reply(w http.ResponseWriter, r *http.Request, value any, err error) {
	if raw, ok := value.(*rawAnswer); ok && err == nil {
		raw.write(w)
		return
	}
	// A client that does not read what it asked for is cut off.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout))
	status := http.StatusOK
	var text bytes.Buffer
	if err == nil {
		encoder := json.NewEncoder(&text)
		encoder.SetEscapeHTML(false)
		err = encoder.Encode(value)
	}
	if err != nil {
		status = statusOf(err)
		busy := status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable
		if busy && w.Header().Get("Retry-After") == "" {
			w.Header().Set("Retry-After", strconv.Itoa(s.current().batches.retryAfter()))
		}
		text.Reset()
		kind := strings.ToLower(strings.ReplaceAll(http.StatusText(status), " ", "_"))
		message := map[string]any{"error": map[string]any{"message": err.Error(), "type": kind, "code": status}}
		if err := json.NewEncoder(&text).Encode(message); err != nil {
			text.WriteString("{}")
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text.Bytes()) // a client that is gone needs no answer
}

func statusOf(err error) int {
	var known *RequestError
	switch {
	case errors.As(err, &known):
		return known.Status
	case errors.Is(err, served.ErrLost):
		return http.StatusServiceUnavailable
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout
	case errors.Is(err, context.Canceled):
		return statusGone
	}
	return http.StatusInternalServerError
}
