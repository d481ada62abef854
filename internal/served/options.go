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

// Options are those of prm.ServerOptions that the server itself reads, under the same names. What they mean, and what zero stands for, is
// said there.
type Options struct {
	Beta                                                     *float64
	BlendScale, Ungraded, TooLong, Unscored                  string
	Verifier                                                 label.Verifier
	BatchTokens, Queue, MaxTokens, MaxText, MaxSteps, Unread int
	MaxBody, Memory                                          int64
	MaxWait, ReadTimeout, Timeout                            time.Duration
	Token                                                    string
	Tokens                                                   []Token
	HostNames                                                []string
	Logger, AccessLog                                        *slog.Logger
}

// Filled has the defaults in its zero fields.
func (o Options) Filled() Options {
	o.Ungraded, o.TooLong = cmp.Or(o.Ungraded, UngradedError), cmp.Or(o.TooLong, TooLongWindow)
	o.Unscored = cmp.Or(o.Unscored, UnscoredError)
	o.BatchTokens, o.Queue, o.Unread = cmp.Or(o.BatchTokens, 8192), cmp.Or(o.Queue, 4096), cmp.Or(o.Unread, 2048)
	o.MaxTokens, o.MaxSteps = cmp.Or(o.MaxTokens, 131072), cmp.Or(o.MaxSteps, 16384)
	o.MaxWait = cmp.Or(o.MaxWait, 2*time.Millisecond)
	o.ReadTimeout, o.Timeout = cmp.Or(o.ReadTimeout, 30*time.Second), cmp.Or(o.Timeout, 170*time.Second)
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
