package openai

import (
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/goprm/goprm/data/label/store"
	"github.com/goprm/goprm/internal/llm"
)

// ClientOptions say which server of OpenAI's HTTP API is asked, and within which limits. The YAML keys are those of a server in
// label.yaml.
type ClientOptions struct {
	// URL is the base of the API, e.g. http://localhost:8000/v1. It holds no user, query or fragment.
	URL string `yaml:"url"`
	// KeyEnv names the environment variable that holds the API key; "": none is sent. The key itself is in no option, so that it
	// cannot reach a file.
	KeyEnv string `yaml:"key_env"`
	// Concurrency is the number of requests in flight; 0: 8.
	Concurrency int `yaml:"concurrency"`
	// RequestsPerMinute are paced evenly; TokensPerMinute counts upper bounds before a call and corrects them after it. 0: no limit.
	RequestsPerMinute int `yaml:"requests_per_minute"`
	TokensPerMinute   int `yaml:"tokens_per_minute"` // see RequestsPerMinute
	// Timeout bounds one attempt, from the connection to the last byte; 0: five minutes.
	Timeout time.Duration `yaml:"timeout"`
	// Attempts is how often a call is tried while its failures are transient; 0: 6.
	Attempts int `yaml:"attempts"`
	// LimitField is the request's field for the limit of completion tokens: max_tokens (""), or max_completion_tokens.
	LimitField string `yaml:"limit_field"`
	Prices     Prices `yaml:"prices"`

	// Backoff is the wait before the second attempt, doubled for each further one up to MaxBackoff; the waits are drawn from the
	// upper half. 0: one second and one minute.
	Backoff    time.Duration `yaml:"-"`
	MaxBackoff time.Duration `yaml:"-"`
	// MaxRetryAfter is the longest wait that the server may ask for; beyond it the call fails. 0: ten minutes.
	MaxRetryAfter time.Duration `yaml:"-"`
	// MaxBody bounds a response in bytes; 0: 64 MiB.
	MaxBody int64 `yaml:"-"`
	// Overhead is how many tokens the server's chat template may add to a request; 0: 256.
	Overhead int `yaml:"-"`
	// Ledger accounts for the calls and refuses those that a budget does not cover; nil: nobody does.
	Ledger Ledger `yaml:"-"`
	// Transport carries the requests; nil: one of net/http, with the proxy that the environment names.
	Transport http.RoundTripper `yaml:"-"`
	// Logger is told once that the server takes no JSON schema; nil: slog.Default.
	Logger *slog.Logger `yaml:"-"`
}

// Ledger accounts for calls; *store.Store is one. Reserve is called before each attempt, then Settle or Lose once: Settle with
// what the call cost, Lose where nobody knows.
type Ledger interface {
	Reserve(bound store.Amount) (id uint64, err error)
	Settle(id uint64, actual store.Amount) error
	Lose(id uint64) error
}

// Prices are per million tokens, in the currency of the budget.
type Prices struct {
	Prompt     float64 `yaml:"prompt"`     // of a million prompt tokens, in the currency of the budget
	Cached     float64 `yaml:"cached"`     // of a million prompt tokens that the server found in its prefix cache
	Completion float64 `yaml:"completion"` // of a million completion tokens
}

// Cost is what the tokens of an estimate cost; fractions of 1e-9 are rounded up.
func (p Prices) Cost(e Estimate) store.Amount {
	return llm.Prices(p).Cost(llm.Usage{Prompt: e.Prompt, Cached: e.Cached, Completion: e.Completion})
}

// internal are the options of the client beneath.
func (o ClientOptions) internal() llm.Options {
	return llm.Options{
		URL: o.URL, KeyEnv: o.KeyEnv, Concurrency: o.Concurrency, RequestsPerMinute: o.RequestsPerMinute, TokensPerMinute: o.TokensPerMinute,
		Timeout: o.Timeout, Attempts: o.Attempts, Backoff: o.Backoff, MaxBackoff: o.MaxBackoff, MaxRetryAfter: o.MaxRetryAfter,
		MaxBody: o.MaxBody, Overhead: o.Overhead, LimitField: o.LimitField, Prices: llm.Prices(o.Prices),
		Ledger: o.Ledger, Transport: o.Transport, Logger: o.Logger,
	}
}

// Validate checks the options.
func (o ClientOptions) Validate() error { return o.internal().Validate() }

// Client asks one server. The stages that share it share its limits. It is safe for concurrent use.
//
// An error of a call says by a method Short() string what failed, without what differs from call to call, and by Fatal() bool
// whether every further call would fail in the same way: the budget is spent, the key is wrong, there is no such model.
type Client struct{ llm *llm.Client }

// NewClient returns a client. It calls nobody. It fails where KeyEnv names a variable that is not set.
func NewClient(o ClientOptions) (*Client, error) {
	client, err := llm.New(o.internal())
	if err != nil {
		return nil, err
	}
	return &Client{client}, nil
}

var errNoClient = errors.New("openai: a stage needs a client; NewClient makes one")

// inner is the client beneath; a stage without a client is an error of its constructor.
func (c *Client) inner() (*llm.Client, error) {
	if c == nil || c.llm == nil {
		return nil, errNoClient
	}
	return c.llm, nil
}
