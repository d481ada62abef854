// Package llm is a client for servers that speak OpenAI's HTTP API (vLLM, TEI, Ollama, llama.cpp, OpenAI): chat completions and
// embeddings, with limits, retries and a ledger. What it returns is a whole answer; anything less is an error with its kind.
package llm

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/goprm/goprm/data/label/store"
)

// Ledger accounts for calls; *store.Store is one. Reserve is called before each attempt, then Settle or Lose once.
type Ledger interface {
	Reserve(bound store.Amount) (id uint64, err error)
	Settle(id uint64, actual store.Amount) error
	Lose(id uint64) error
}

// Prices are per million tokens, in the currency of the budget.
type Prices struct {
	Prompt     float64
	Cached     float64 // prompt tokens that the server found in its prefix cache
	Completion float64
}

// Options of a client.
type Options struct {
	// URL is the base of the API, e.g. http://localhost:8000/v1.
	URL string
	// KeyEnv names the environment variable that holds the API key; "": none is sent. The key itself is in no option, so that it
	// cannot reach a file.
	KeyEnv string
	// Concurrency is the number of requests in flight; 0 means 8.
	Concurrency int
	// RequestsPerMinute are paced evenly; TokensPerMinute counts upper bounds before a call and corrects them after it. 0: no limit.
	RequestsPerMinute, TokensPerMinute int
	// Timeout bounds one attempt, from the connection to the last byte; 0 means five minutes.
	Timeout time.Duration
	// Attempts is how often a call is tried while its failures are transient; 0 means 6.
	Attempts int
	// Backoff is the wait before the second attempt, doubled for each further one up to MaxBackoff; the waits are drawn from the
	// upper half. 0 means one second and one minute.
	Backoff, MaxBackoff time.Duration
	// MaxRetryAfter is the longest wait that a server may ask for; beyond it the call fails. 0 means ten minutes.
	MaxRetryAfter time.Duration
	// MaxBody bounds a response in bytes; 0 means 64 MiB.
	MaxBody int64
	// Overhead is how many tokens the server's chat template may add to a request; 0 means 256.
	Overhead int
	// LimitField is the request's field for the limit of completion tokens: max_tokens (""), or max_completion_tokens.
	LimitField string
	Prices     Prices
	// Ledger accounts for the calls; nil: nobody does.
	Ledger Ledger
	// Transport carries the requests; nil: one of net/http, with the proxy that the environment names.
	Transport http.RoundTripper
	// Logger is told once that a server takes no JSON schema; nil: slog.Default.
	Logger *slog.Logger
}

func (o Options) Validate() error {
	_, err := o.base()
	for _, n := range []struct {
		name  string
		value float64
	}{
		{"concurrency", float64(o.Concurrency)}, {"requests per minute", float64(o.RequestsPerMinute)},
		{"tokens per minute", float64(o.TokensPerMinute)}, {"time-out", float64(o.Timeout)}, {"attempts", float64(o.Attempts)},
		{"back-off", float64(o.Backoff)}, {"longest back-off", float64(o.MaxBackoff)}, {"longest retry-after", float64(o.MaxRetryAfter)},
		{"largest body", float64(o.MaxBody)}, {"overhead", float64(o.Overhead)},
		{"price of prompt tokens", o.Prices.Prompt}, {"price of cached tokens", o.Prices.Cached},
		{"price of completion tokens", o.Prices.Completion},
	} {
		if err == nil && !(n.value >= 0 && n.value < math.MaxInt64) {
			err = fmt.Errorf("llm: %s is %g, must not be negative", n.name, n.value)
		}
	}
	if err == nil && o.LimitField != "" && o.LimitField != "max_tokens" && o.LimitField != "max_completion_tokens" {
		err = fmt.Errorf("llm: limit field is %q, must be max_tokens or max_completion_tokens", o.LimitField)
	}
	return err
}

// base refuses an address that holds more than an address: a key in it would end in logs.
func (o Options) base() (string, error) {
	u, err := url.Parse(o.URL)
	switch {
	case err != nil: // the error would repeat the address
		return "", errors.New("llm: the URL cannot be parsed; it should look like http://localhost:8000/v1")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("llm: the URL holds a user, a query or a fragment; name the variable that holds the key instead")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return "", fmt.Errorf("llm: the URL is %q, should look like http://localhost:8000/v1", o.URL)
	}
	return strings.TrimRight(o.URL, "/"), nil
}

func (o *Options) defaults() {
	set := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	wait := func(p *time.Duration, v time.Duration) {
		if *p == 0 {
			*p = v
		}
	}
	set(&o.Concurrency, 8)
	set(&o.Attempts, 6)
	set(&o.Overhead, 256)
	wait(&o.Timeout, 5*time.Minute)
	wait(&o.Backoff, time.Second)
	wait(&o.MaxBackoff, time.Minute)
	wait(&o.MaxRetryAfter, 10*time.Minute)
	if o.MaxBody == 0 {
		o.MaxBody = 64 << 20
	}
	if o.LimitField == "" {
		o.LimitField = "max_tokens"
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
}

// Client is safe for concurrent use.
type Client struct {
	o        Options
	base     string
	key      string
	http     *http.Client
	slots    chan struct{}
	requests *bucket
	tokens   *bucket
	pause    pause
	schema   *schemaProbe
}

// New returns a client. It calls nobody.
func New(o Options) (*Client, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o.defaults()
	c := &Client{o: o, slots: make(chan struct{}, o.Concurrency), schema: newSchemaProbe()}
	c.base, _ = o.base()
	if o.KeyEnv != "" {
		if c.key = os.Getenv(o.KeyEnv); c.key == "" {
			return nil, fmt.Errorf("llm: the environment variable %s, which should hold the API key, is not set", o.KeyEnv)
		}
		if strings.ContainsFunc(c.key, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return nil, fmt.Errorf("llm: the API key in %s holds a blank, a line break or a character beyond ASCII", o.KeyEnv)
		}
	}
	transport := o.Transport
	if transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConnsPerHost = o.Concurrency
		transport = t
	}
	c.http = &http.Client{
		Transport: transport,
		// A redirected POST may lose its body or carry the key elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if o.RequestsPerMinute > 0 {
		c.requests = newBucket(float64(o.RequestsPerMinute)/60, 1)
	}
	if o.TokensPerMinute > 0 {
		c.tokens = newBucket(float64(o.TokensPerMinute)*0.9/60, float64(o.TokensPerMinute)*0.1)
	}
	return c, nil
}

// Usage is what a server says a call took.
type Usage struct {
	Prompt     int64 `json:"prompt"`
	Cached     int64 `json:"cached"` // of the prompt tokens
	Completion int64 `json:"completion"`
}

func (u Usage) tokens() int64 { return u.Prompt + u.Completion }

// Cost is what the usage costs; fractions are rounded up.
func (p Prices) Cost(u Usage) store.Amount {
	cost := float64(u.Prompt-u.Cached)*p.Prompt + float64(u.Cached)*p.Cached + float64(u.Completion)*p.Completion
	return store.Amount{Tokens: u.tokens(), Nanos: int64(math.Ceil(cost * 1e3))}
}

// bound is the most that a usage of so many tokens can cost, however many of them are cached.
func (p Prices) bound(u Usage) store.Amount {
	p.Cached = max(p.Cached, p.Prompt)
	u.Cached = u.Prompt
	return p.Cost(u)
}

// Kind says what became of a call that gave no answer.
type Kind string

const (
	Transient Kind = "transient"  // the network or the server failed, also when asked again
	Rejected  Kind = "rejected"   // the server says that the request is wrong; asking again would not help
	Refused   Kind = "refused"    // the model or a filter declined
	Cut       Kind = "cut"        // the limit of tokens came before the end
	BadAnswer Kind = "bad answer" // the answer is not what was asked for
	Budget    Kind = "budget"     // the budget does not cover the call, which was not made
)

// Error is a call without an answer.
type Error struct {
	Kind   Kind
	Status int    // of HTTP, where there was a response
	Reason string // short, without what differs from call to call
	Raw    string // the beginning of what came instead of an answer
	Err    error  // beneath, if any

	// quota: the account, not the rate, is at its end.
	quota bool
	// late: the server asks for a wait beyond what we grant.
	late bool
	// noSchema: the server's words say that it does not take the field that asks for a JSON schema.
	noSchema bool
}

func (e *Error) Error() string {
	text := e.Short()
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	if e.Raw != "" {
		text += fmt.Sprintf("; it begins %q", e.Raw)
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

// Fatal tells whether every further call would fail in the same way: no budget, a wrong key, an unknown model.
func (e *Error) Fatal() bool {
	return e.Kind == Budget || e.quota || e.Kind == Rejected && (e.Status == 401 || e.Status == 403 || e.Status == 404)
}

// Short is the error without what differs from call to call, so that failures can be counted by it.
func (e *Error) Short() string { return string(e.Kind) + ": " + e.Reason }

// excerpt bounds what is kept of a bad answer.
const excerpt = 300

// Bad is the error of an answer that the caller cannot use. Client.Clean cuts what it keeps of the answer.
func Bad(reason, raw string) *Error { return &Error{Kind: BadAnswer, Reason: reason, Raw: raw} }

// Excerpt is the beginning of a text, cut at a rune.
func Excerpt(text string) string {
	if len(text) > excerpt {
		text = strings.ToValidUTF8(text[:excerpt], "") + "…"
	}
	return text
}
