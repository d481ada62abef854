package llm

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// SchemaAs is how a server is asked for an answer of a JSON schema.
type SchemaAs string

const (
	AsAuto       SchemaAs = "auto"        // AsJSONSchema, or AsNone once the server has refused that
	AsJSONSchema SchemaAs = "json_schema" // response_format of type json_schema
	AsJSONObject SchemaAs = "json_object" // response_format of type json_object, with the schema beside it, as llama-cpp-python takes it
	AsNone       SchemaAs = "none"        // no field: the prompt's words must do
)

// Validate checks the value; "" is none given.
func (s SchemaAs) Validate() error {
	switch s {
	case "", AsAuto, AsJSONSchema, AsJSONObject, AsNone:
		return nil
	}
	return fmt.Errorf("schema: %q is none of auto, json_schema, json_object, none", string(s))
}

// schemaProbe is what a client knows of its server's schemas. The first call that leaves the form to it goes alone, so that a
// server that refuses schemas is asked in vain once, not once for every call in flight.
type schemaProbe struct {
	turn chan struct{} // held by the first call
	done chan struct{} // closed when the first call is through
	once sync.Once
	none atomic.Bool // the server takes no schema
}

func newSchemaProbe() *schemaProbe {
	return &schemaProbe{turn: make(chan struct{}, 1), done: make(chan struct{})}
}

// patience is how long the first call is waited for: a refusal comes at once, an answer may take minutes.
const patience = 5 * time.Second

// enter waits for the first call, or is it.
func (p *schemaProbe) enter(ctx context.Context) error {
	select {
	case <-p.done:
		return nil
	default:
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case p.turn <- struct{}{}:
		return nil
	case <-p.done:
		return nil
	case <-late.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *schemaProbe) leave() { p.once.Do(func() { close(p.done) }) }

// auto asks with a schema, and once more without where the server's words say that it takes none. That is remembered where the
// server then answers: a request that it refuses either way says nothing of schemas.
func (c *Client) auto(ctx context.Context, q Chat) (Answer, error) {
	if err := c.schema.enter(ctx); err != nil {
		return Answer{}, err
	}
	defer c.schema.leave()
	if c.schema.none.Load() {
		return c.chat(ctx, q, AsNone)
	}
	a, err := c.chat(ctx, q, AsJSONSchema)
	e, ok := errors.AsType[*Error](err)
	if !ok || !e.noSchema {
		return a, err
	}
	a, again := c.chat(ctx, q, AsNone)
	if answered(again) {
		c.withoutSchema(e.Reason)
	}
	return a, again
}

// answered tells whether the server answered, if not with what was asked for.
func answered(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return err == nil || ok && (e.Kind == BadAnswer || e.Kind == Cut || e.Kind == Refused)
}

func (c *Client) withoutSchema(reason string) {
	if c.schema.none.CompareAndSwap(false, true) {
		c.o.Logger.Warn("the server takes no JSON schema: answers are asked for by the prompt's words alone from here on; schema: none says "+
			"so from the start",
			"server", c.base, "reason", reason)
	}
}
