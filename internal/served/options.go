package served

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"time"

	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/internal/blend"
)

// Policies for what cannot be answered in the ordinary way.
const (
	UngradedError = "error"
	UngradedPRM   = "prm-only"
	TooLongWindow = "window"
	TooLongError  = "error"
	UnscoredError = "error"
	UnscoredNull  = "null"
)

// Options are the server's; zero fields take what stands behind them.
type Options struct {
	Beta       *float64 // weight of the model's reward beside the outcome, in [0,1]: 0.75
	BlendScale string   // what the blend takes of the model: paper (r̂) or unit (r̂ divided by the most that it can be): paper
	Verifier   label.Verifier
	// Ungraded says what a label does that the verifier cannot compare: error (status 422), or prm-only (the text is answered as one
	// without a label, and extra_logs say so): error.
	Ungraded string
	// TooLong says what a text does that is longer than the model was trained for: window (it is read in windows over whole steps) or
	// error (status 422): window.
	TooLong string
	// Unscored says what trainers are told of a text without a reward (it cannot be taken apart, has no step, is too long, or its label
	// cannot be compared, each where the other policies make an error of it): error (status 422 or 413), null, or a number: error.
	Unscored string

	BatchTokens int           // most tokens scored at once, more only where one text has more: 8192
	MaxWait     time.Duration // longest that a text waits for others to share its batch; it may wait longer for earlier batches: 2ms
	Queue       int           // most requests at a time, and most texts that wait; status 429 beyond: 4096
	MaxBody     int64         // bytes of a request; status 413 beyond: 16 MiB
	MaxTokens   int           // of one text, in all its windows; status 413 beyond: 131072
	MaxText     int           // bytes of one text, with its problem; status 413 beyond: 8 for each of MaxTokens
	MaxSteps    int           // of one text; status 413 beyond: 16384
	Memory      int64         // bytes that all requests may be reckoned to take; status 429 beyond: 512 MiB
	Unread      int           // most requests whose body is still arriving; beyond it the oldest is given up: 2048
	ReadTimeout time.Duration // for a request's body: 30s
	Timeout     time.Duration // for an answer; status 504 beyond: 170s, less than the 180s that OpenRLHF waits
	Token       string        // that requests must bring as Authorization: Bearer; "": none
	Tokens      []Token       // further ones
	HostNames   []string      // by which requests may call the server where no token is asked for, beside loopback's and addresses; "*": any
	Logger      *slog.Logger  // of warnings; nil: slog.Default
	AccessLog   *slog.Logger  // of each request's answer, without texts; nil: none
}

// Filled has what stands behind its fields in those that are zero.
func (o Options) Filled() Options {
	for _, f := range []struct {
		field *string
		value string
	}{{&o.Ungraded, UngradedError}, {&o.TooLong, TooLongWindow}, {&o.Unscored, UnscoredError}} {
		if *f.field == "" {
			*f.field = f.value
		}
	}
	for _, f := range []struct {
		field *int
		value int
	}{{&o.BatchTokens, 8192}, {&o.Queue, 4096}, {&o.MaxTokens, 131072}, {&o.MaxSteps, 16384}, {&o.Unread, 2048}} {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
	for _, f := range []struct {
		field *time.Duration
		value time.Duration
	}{{&o.MaxWait, 2 * time.Millisecond}, {&o.ReadTimeout, 30 * time.Second}, {&o.Timeout, 170 * time.Second}} {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
	o.Logger = cmp.Or(o.Logger, slog.Default())
	o.MaxText = cmp.Or(o.MaxText, 8*o.MaxTokens)
	o.MaxBody, o.Memory = cmp.Or(o.MaxBody, 16<<20), cmp.Or(o.Memory, 512<<20)
	return o
}

// Validate reports the first option that cannot be used.
func (o Options) Validate() error {
	o = o.Filled()
	if _, _, err := blend.Weights(o.Beta, o.BlendScale, 1); err != nil {
		return err
	}
	if _, _, err := ParseUnscored(o.Unscored); err != nil {
		return err
	}
	for _, f := range []struct{ name, value, a, b string }{
		{"ungraded", o.Ungraded, UngradedError, UngradedPRM}, {"too_long", o.TooLong, TooLongWindow, TooLongError},
	} {
		if f.value != f.a && f.value != f.b {
			return fmt.Errorf("%s: %q is neither %s nor %s", f.name, f.value, f.a, f.b)
		}
	}
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"batch_tokens", int64(o.BatchTokens)}, {"queue", int64(o.Queue)}, {"max_body", o.MaxBody}, {"max_tokens", int64(o.MaxTokens)},
		{"max_text", int64(o.MaxText)}, {"max_steps", int64(o.MaxSteps)}, {"memory", o.Memory}, {"unread", int64(o.Unread)},
		{"max_wait", int64(o.MaxWait)}, {"read_timeout", int64(o.ReadTimeout)}, {"timeout", int64(o.Timeout)},
	} {
		if f.value < 0 {
			return fmt.Errorf("%s: %d is negative", f.name, f.value)
		}
	}
	return CheckTokens(o.AllTokens())
}

// AllTokens are Tokens, and Token by the name default.
func (o Options) AllTokens() []Token {
	if o.Token == "" {
		return o.Tokens
	}
	return append([]Token{{Name: "default", SHA256: sha256.Sum256([]byte(o.Token))}}, o.Tokens...)
}

// CheckTokens refuses tokens without a name, two of one name, and limits below 0.
func CheckTokens(list []Token) error {
	names := map[string]bool{}
	for i, t := range list {
		switch {
		case t.Name == "":
			return fmt.Errorf("token %d has no name", i)
		case names[t.Name]:
			return fmt.Errorf("two tokens have the name %q", t.Name)
		case t.PerMinute < 0 || t.Concurrent < 0:
			return fmt.Errorf("token %q: a limit is negative", t.Name)
		}
		names[t.Name] = true
	}
	return nil
}

// Token is a secret that requests may bring, with a name for logs and limits.
type Token struct {
	Name       string
	SHA256     [32]byte // of the secret
	PerMinute  int      // requests, at most as many at once; 0: any number
	Concurrent int      // requests; 0: any number
}

// ParseUnscored reads a policy for texts without a reward: whether they are answered at all, and with what; nil: null.
func ParseUnscored(policy string) (reward *float64, answered bool, err error) {
	switch policy {
	case UnscoredError:
		return nil, false, nil
	case UnscoredNull:
		return nil, true, nil
	}
	v, err := strconv.ParseFloat(policy, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return nil, false, fmt.Errorf("unscored: %q is neither %s, nor %s, nor a finite number", policy, UnscoredError, UnscoredNull)
	}
	return &v, true, nil
}
