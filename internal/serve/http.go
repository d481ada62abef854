package serve

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/goprm/goprm/data"
)

// statusError is an error with the HTTP status that it is answered with.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

func bad(format string, args ...any) error {
	return &statusError{http.StatusBadRequest, fmt.Errorf(format, args...)}
}

func unprocessable(err error) error { return &statusError{http.StatusUnprocessableEntity, err} }

// call is one request, admitted and read.
type call struct {
	*Server
	ctx  context.Context
	http *http.Request
	body []byte
}

// fields decodes the body into a struct whose fields are those that matter; others are let pass, since clients send what their own
// servers know.
func (c *call) fields(into any) error {
	if err := data.CheckJSON(c.body); err != nil {
		return &statusError{http.StatusBadRequest, err}
	}
	err := json.Unmarshal(c.body, into)
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong) && wrong.Field != "":
		return bad("%s: a %s is not what is expected there", wrong.Field, wrong.Value)
	case err != nil:
		return bad("the request: %v", err)
	}
	return nil
}

// post makes a handler of what answers a request with a value.
func (s *Server) post(answer func(c *call) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		value, err := s.answer(w, r, answer)
		s.reply(w, r, value, err)
	}
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, answer func(c *call) (any, error)) (value any, err error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	defer func() {
		if p := recover(); p != nil {
			value, err = nil, fmt.Errorf("internal error: %v", p)
		}
	}()
	body, err := s.read(w, r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.opt.Timeout)
	defer cancel()
	return answer(&call{s, ctx, r, body})
}

func (s *Server) read(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if coding := r.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return nil, &statusError{http.StatusUnsupportedMediaType, fmt.Errorf("content-encoding %q is not read", coding)}
	}
	// net/http lifts the deadline again once the body is there. A server of another kind may have none.
	if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.opt.ReadTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.opt.MaxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, &statusError{http.StatusRequestEntityTooLarge, fmt.Errorf("a request of more than %d bytes", large.Limit)}
	case err != nil:
		return nil, &statusError{http.StatusRequestTimeout, fmt.Errorf("the request did not arrive: %w", err)}
	}
	return body, nil
}

// reply writes an answer, or an error in the form that OpenAI's clients read.
func (s *Server) reply(w http.ResponseWriter, r *http.Request, value any, err error) {
	status := http.StatusOK
	var text bytes.Buffer
	if err == nil {
		encoder := json.NewEncoder(&text)
		encoder.SetEscapeHTML(false)
		err = encoder.Encode(value)
	}
	if err != nil {
		status = statusOf(err)
		if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", strconv.Itoa(s.batches.retryAfter()))
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
	var known *statusError
	switch {
	case errors.As(err, &known):
		return known.status
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}

// guarded asks for the token.
func (s *Server) guarded(h http.Handler) http.Handler {
	if s.opt.Token == "" {
		return h
	}
	want := sha256.Sum256([]byte(s.opt.Token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		got := sha256.Sum256([]byte(token))
		if !bearer || subtle.ConstantTimeCompare(want[:], got[:]) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			s.reply(w, r, nil, &statusError{http.StatusUnauthorized, errors.New("the request lacks the server's token (Authorization: Bearer ...)")})
			return
		}
		h.ServeHTTP(w, r)
	})
}
