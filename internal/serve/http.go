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
)

// RequestError is an error with the HTTP status that it is answered with.
type RequestError struct {
	Status int
	Err    error
}

func (e *RequestError) Error() string { return e.Err.Error() }

// Unwrap returns the error without its status.
func (e *RequestError) Unwrap() error { return e.Err }

func bad(format string, args ...any) error {
	return &RequestError{http.StatusBadRequest, fmt.Errorf(format, args...)}
}

func unprocessable(err error) error { return &RequestError{http.StatusUnprocessableEntity, err} }

// call is one request, admitted and read.
type call struct {
	*Server
	ctx      context.Context
	http     *http.Request
	body     []byte
	endpoint *endpoint

	requestID string // of the answer; "": a random one
	uncached  bool   // the texts share no beginnings with others
}

// post makes a handler of what answers a request with a value.
func (s *Server) post(e *endpoint) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Goprm-Model", s.info.Identity)
		w.Header().Set("X-Goprm-Settings", s.info.Settings)
		value, err := s.answer(w, r, e)
		s.reply(w, r, value, err)
	}
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, e *endpoint) (value any, err error) {
	if err := s.lost(); err != nil {
		return nil, err
	}
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
	value, err = e.answer(&call{Server: s, ctx: ctx, http: r, body: body, endpoint: e})
	if lost := s.lost(); err != nil && lost != nil { // meanwhile
		return nil, lost
	}
	return value, err
}

func (s *Server) read(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if coding := r.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return nil, &RequestError{http.StatusUnsupportedMediaType, fmt.Errorf("content-encoding %q is not read", coding)}
	}
	// net/http lifts the deadline again once the body is there. A server of another kind may have none.
	if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.opt.ReadTimeout)); err != nil &&
		!errors.Is(err, http.ErrNotSupported) {
		return nil, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.opt.MaxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, &RequestError{http.StatusRequestEntityTooLarge, fmt.Errorf("a request of more than %d bytes", large.Limit)}
	case err != nil:
		return nil, &RequestError{http.StatusRequestTimeout, fmt.Errorf("the request did not arrive: %w", err)}
	}
	return body, nil
}

// reply writes an answer, or an error in the form that OpenAI's clients read.
func (s *Server) reply(w http.ResponseWriter, r *http.Request, value any, err error) {
	if raw, ok := value.(*rawAnswer); ok && err == nil {
		raw.write(w)
		return
	}
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
	var known *RequestError
	switch {
	case errors.As(err, &known):
		return known.Status
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
			s.reply(w, r, nil, &RequestError{http.StatusUnauthorized, errors.New("the request lacks the server's token (Authorization: Bearer ...)")})
			return
		}
		h.ServeHTTP(w, r)
	})
}
