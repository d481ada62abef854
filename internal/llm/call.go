package llm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/goprm/goprm/data/label/store"
)

// call posts a request until it is answered or fails for good, and hands the body of a 200 to read, which says what it took. A
// body that read refuses with a Transient error is asked for again.
func (c *Client) call(ctx context.Context, path string, request any, bound Usage, read func(body []byte) (Usage, error)) error {
	body, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("llm: %w", err)
	}
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for attempt := 0; ; attempt++ {
		err := c.attempt(ctx, path, body, bound, read)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("llm: %w", ctx.Err())
		}
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Kind != Transient || e.late || attempt+1 >= c.o.Attempts {
			return fmt.Errorf("llm: %s%s: %w", c.base, path, err)
		}
		if err := sleep(ctx, c.backoff(attempt)); err != nil {
			return fmt.Errorf("llm: %w", err)
		}
	}
}

// attempt makes one request. The reservation is on the disk before the request leaves.
func (c *Client) attempt(ctx context.Context, path string, body []byte, bound Usage, read func([]byte) (Usage, error)) error {
	if err := c.pause.wait(ctx); err != nil {
		return err
	}
	if err := c.requests.take(ctx, 1); err != nil {
		return err
	}
	if err := c.tokens.take(ctx, float64(bound.tokens())); err != nil {
		return err
	}
	settle, err := c.reserve(bound)
	if err != nil {
		return err
	}
	charge, err := c.post(ctx, path, body, read)
	if charge != nil {
		c.tokens.give(float64(bound.tokens() - charge.Tokens))
	}
	if failed := settle(charge); failed != nil { // without accounts nothing goes on
		return failed
	}
	return err
}

// reserve enters the most that a request may cost in the ledger, and returns what enters the charge in its place; nil: it is not known.
func (c *Client) reserve(bound Usage) (settle func(charge *store.Amount) error, err error) {
	if c.o.Ledger == nil {
		return func(*store.Amount) error { return nil }, nil
	}
	id, err := c.o.Ledger.Reserve(c.o.Prices.bound(bound))
	if errors.Is(err, store.ErrBudget) {
		c.tokens.give(float64(bound.tokens()))
		return nil, &Error{Kind: Budget, Reason: "the budget is spent", Err: err}
	}
	return func(charge *store.Amount) error {
		if charge == nil {
			return c.o.Ledger.Lose(id)
		}
		return c.o.Ledger.Settle(id, *charge)
	}, err
}

// post sends the request and has its answer read. charge is what it cost; nil: nobody knows.
func (c *Client) post(ctx context.Context, path string, body []byte, read func([]byte) (Usage, error)) (charge *store.Amount, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, bytes.NewReader(body))
	if err != nil {
		return &store.Amount{}, err
	}
	request.Header.Set("Content-Type", "application/json")
	if c.key != "" {
		request.Header.Set("Authorization", "Bearer "+c.key)
	}
	response, err := c.http.Do(request)
	if err != nil {
		if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
			charge = &store.Amount{}
		}
		return charge, c.failed(ctx, "no response", err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(response.Body, c.o.MaxBody+1))
	if response.StatusCode != http.StatusOK {
		return freeStatus(response.StatusCode), c.refusedByServer(response, answer)
	}
	if err != nil {
		return nil, c.failed(ctx, "the response broke off", err)
	}
	if int64(len(answer)) > c.o.MaxBody {
		return nil, &Error{Kind: BadAnswer, Status: 200, Reason: fmt.Sprintf("the response is longer than %d bytes", c.o.MaxBody)}
	}
	usage, err := read(answer) // as it came: a short key may occur in it by chance
	if usage != (Usage{}) {
		cost := c.o.Prices.Cost(usage)
		charge = &cost
	}
	return charge, c.Clean(err)
}

// freeStatus: a server that turns a request away at the door charges nothing; one that fails or gives up on the way may.
func freeStatus(status int) *store.Amount {
	if status < 500 || status == http.StatusServiceUnavailable || status == 529 {
		return &store.Amount{}
	}
	return nil
}

func (c *Client) failed(ctx context.Context, reason string, err error) *Error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &Error{Kind: Transient, Reason: fmt.Sprintf("no whole response within %v", c.o.Timeout)}
	}
	return &Error{Kind: Transient, Reason: reason, Err: errors.New(c.redact(err.Error()))}
}

// refusedByServer sorts responses other than 200.
func (c *Client) refusedByServer(response *http.Response, body []byte) error {
	status := response.StatusCode
	e := &Error{Kind: Rejected, Status: status, Reason: fmt.Sprintf("HTTP status %d", status), Raw: Excerpt(c.redact(string(body)))}
	said := messageOf(body)
	e.noSchema = (status == http.StatusBadRequest || status == http.StatusUnprocessableEntity) && said.refusesSchema()
	switch {
	case status == http.StatusTooManyRequests && bytes.Contains(body, []byte("insufficient_quota")):
		e.quota, e.Reason = true, "the account's quota is spent (HTTP status 429)"
		return e
	case status >= 300 && status < 400:
		e.Reason += ": the server redirects; set the URL to where it points"
		return e
	case status != 408 && status != 409 && status != 425 && status != 429 && status < 500, status == 501, status == 505:
		if words := Line(c.redact(said.text)); words != "" {
			e.Reason += ": " + words
		}
		return e
	}
	e.Kind = Transient
	wait := retryAfter(response.Header, time.Now())
	if wait > c.o.MaxRetryAfter {
		e.late = true
		e.Reason += fmt.Sprintf(": the server asks for a wait longer than %v", c.o.MaxRetryAfter)
	} else if wait > 0 {
		c.pause.set(time.Now().Add(wait)) // for this call's next attempt and for all others
	}
	return e
}

// Clean cuts what an error keeps of an answer, without the key.
func (c *Client) Clean(err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		e.Raw = Excerpt(c.redact(e.Raw))
	}
	return err
}

// longKey is the length from which a key in an answer is the server's echo, not chance.
const longKey = 16

// Record is an answer's JSON as it may be kept: a server that echoes the key gets it into no file. The answer was read before.
func (c *Client) Record(raw json.RawMessage) json.RawMessage {
	if len(c.key) < longKey || !bytes.Contains(raw, []byte(c.key)) {
		return raw
	}
	if raw = json.RawMessage(c.redact(string(raw))); json.Valid(raw) {
		return raw
	}
	return json.RawMessage(`"[key]"`)
}

// redact takes the key out of what a server may echo into an error. Answers are never altered.
func (c *Client) redact(text string) string {
	if c.key == "" {
		return text
	}
	return strings.ReplaceAll(text, c.key, "[key]") // the same text where it does not hold the key
}
