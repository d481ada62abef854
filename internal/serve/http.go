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

	turn      *turn
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
	turn := s.newTurn(len(body))
	defer turn.end()
	if err = turn.take(ctx); err == nil {
		value, err = e.answer(&call{Server: s, engine: engine, ctx: ctx, http: r, body: body, endpoint: e, turn: turn})
	}
	if err == nil {
		value, err = written(value)
	}
	if errors.Is(err, context.Canceled) && s.ctx.Err() != nil {
		err = withStatus(http.StatusServiceUnavailable, errDraining)
	}
	return value, err
}

// answerTimeout is how long a client may take to read its answer.
const answerTimeout = 30 * time.Second

// jsonText is an answer that is written already.
type jsonText []byte

// written writes an answer as JSON, unless it is none or is written already.
func written(value any) (any, error) {
	switch v := value.(type) {
	case *rawAnswer, jsonText:
		return v, nil
	case json.Marshaler: // an encoder would read through all of what it writes once more
		text, err := v.MarshalJSON()
		return jsonText(append(text, '\n')), err
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return jsonText(text.Bytes()), err
}

// reply sends an answer, or an error in the form that OpenAI's clients read.
func (s *Server) reply(w http.ResponseWriter, r *http.Request, value any, err error) {
	// A client that does not read what it asked for is cut off.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout))
	status := http.StatusOK
	if err == nil {
		value, err = written(value)
	}
	if err != nil {
		status = statusOf(err)
		busy := status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable
		if busy && w.Header().Get("Retry-After") == "" {
			w.Header().Set("Retry-After", strconv.Itoa(s.current().batches.retryAfter()))
		}
		kind := strings.ToLower(strings.ReplaceAll(http.StatusText(status), " ", "_"))
		message := map[string]any{"error": map[string]any{"message": err.Error(), "type": kind, "code": status}}
		text, _ := json.Marshal(message) // strings and a number
		value = jsonText(append(text, '\n'))
	}
	if raw, ok := value.(*rawAnswer); ok {
		raw.write(w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(value.(jsonText)) // a client that is gone needs no answer
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
