// Package serve answers the reward requests of the trainers and inference engines in use over HTTP. Requests are read and rendered
// concurrently; what they ask for is scored by one goroutine, in packed batches. No score depends on its company.
package serve

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/internal/blend"
)

// Model is what a server asks of a model. Its methods may be called by several goroutines. An error that is ErrLost says that it is of
// no more use.
type Model interface {
	Info() Info
	// Render lays a trajectory out. One beyond the limits is a RequestError of status 413, found before its text is made or scored.
	Render(ctx context.Context, t *data.Trajectory, limits Limits) (Text, error)
	// RenderTokens takes tokens as they are, and reads them at every step mark. There must be one.
	RenderTokens(ids []int32) (Text, error)
	Encode(text string) ([]int32, error)
	Decode(ids []int32) (string, error)
	// Surround are the tokens that the tokenizer's own post-processing puts around a text.
	Surround() (before, after []int32, err error)
	// NextToken returns, for each text, the log-probability of each label as its next token; if not among all tokens, then up to a
	// constant of the text. A model without a language-model head returns ErrNoVocabulary.
	NextToken(ctx context.Context, texts [][]int32, labels []int32, all bool) ([][]float64, error)
	// Token is a token's content as the tokenizer's file writes it.
	Token(id int32) (string, bool)
	// Chat writes a conversation as the model's chat template does, and ChatPrompt with the beginning of an answer after it.
	Chat(turns []data.Turn) (string, error)
	ChatPrompt(turns []data.Turn) (string, error)
	// Score scores texts, each of them or none; what ails one of them alone is its score's Err. Calls share the model fairly, and end soon
	// after their context: texts of more than LongText tokens are scored in turns with others.
	Score(ctx context.Context, texts []Text) ([]Score, error)
}

// Limits bound a trajectory.
type Limits struct{ Steps, Tokens int }

// LongText is the number of tokens from which on a text shares no batch: it would hold up the others.
const LongText = 512

// ErrLost says that a model's files are lost or were changed under it.
var ErrLost = errors.New("the model is lost")

// Info describes the model.
type Info struct {
	Name      string
	MaxTokens int
	Alpha     float64 // weight of the trajectory's score in the reward
	// Steps and Trajectory tell what the reward is made of.
	Steps, Trajectory bool
	Range             Range
	Mark              string // the token behind each step at which the model is read; "" if it is read elsewhere
	// Identity and Settings are hashes of the model and of all settings that an answer depends on; every answer has them as headers.
	Identity, Settings string
}

// most is the most that r̂ can be.
func (i Info) most() float64 {
	most := 0.0
	if i.Range == Unbounded {
		return math.Inf(1)
	}
	if i.Steps {
		most = 1
	}
	if i.Trajectory {
		most += i.Alpha
	}
	return most
}

// Range is where the scores of a model lie.
type Range int

const (
	Probability Range = iota // [0, 1]
	Symmetric                // [-1, 1]
	Unbounded
)

// ErrNoVocabulary is what NextToken returns of a model that gives tokens no probabilities.
var ErrNoVocabulary = errors.New("the model has no language-model head")

// Text is a trajectory, ready to be scored.
type Text interface {
	Tokens() int
	Windows() int // in how many windows it is read; 1: as a whole
}

// Uncached is a text whose scores are computed, not remembered, and not kept for others.
type Uncached struct{ Text }

// Score is what the model says of one text.
type Score struct {
	Steps      []float64
	Logits     [][]float64 // of each step, or of a model's only score; nil: there are none, or they were not kept
	Shares     []StepShare // of each step; nil: tokens were scored, which have no trajectory
	Trajectory *float64
	Reward     float64        // r̂; NaN if no step is of the parts that it averages
	Line       json.Marshaler // as prm score writes it
	Cached     int            // tokens of the text that earlier texts had brought
	Err        error          // why the text has no score
}

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

func (o Options) filled() Options {
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
	o = o.filled()
	if _, _, err := blend.Weights(o.Beta, o.BlendScale, 1); err != nil {
		return err
	}
	if _, err := parseUnscored(o.Unscored); err != nil {
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
	return checkTokens(o.allTokens())
}

func (o Options) allTokens() []Token {
	if o.Token == "" {
		return o.Tokens
	}
	return append([]Token{{Name: "default", SHA256: sha256.Sum256([]byte(o.Token))}}, o.Tokens...)
}

func checkTokens(list []Token) error {
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

// Server is an http.Handler.
type Server struct {
	opt       Options
	unscored  unscored
	mux       *http.ServeMux
	metrics   *metrics
	budget    *budget
	tokens    tokens
	hostNames []string      // in small letters
	large     chan struct{} // turns of large requests
	started   time.Time

	ctx  context.Context // ends when what is not answered yet fails
	stop context.CancelFunc

	mu       sync.Mutex
	serving  *engine
	inFlight int
	draining bool
	idle     chan struct{} // closed when draining and nothing is in flight

	headerTimeout time.Duration
	warnControl   sync.Once
}

// New starts a server.
func New(model Model, opt Options) (*Server, error) {
	if err := opt.Validate(); err != nil {
		return nil, err
	}
	s := &Server{opt: opt.filled(), started: time.Now(), idle: make(chan struct{}), headerTimeout: 10 * time.Second}
	var err error
	if s.unscored, err = parseUnscored(s.opt.Unscored); err != nil {
		return nil, err
	}
	s.tokens.set(opt.allTokens())
	s.budget, s.large = newBudget(s.opt), make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))
	for _, name := range opt.HostNames {
		s.hostNames = append(s.hostNames, strings.ToLower(name))
	}
	s.metrics = newMetrics(s)
	if s.serving, err = s.newEngine(model); err != nil {
		return nil, err
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.routes()
	return s, nil
}

// SetTokens replaces all tokens, the one of Options.Token too.
func (s *Server) SetTokens(list []Token) error {
	if err := checkTokens(list); err != nil {
		return err
	}
	s.tokens.set(list)
	return nil
}

// unitScale brings rewards to [0,1].
type unitScale struct {
	low, high float64
	bounded   bool
}

func newUnitScale(i Info) (unitScale, error) {
	if i.Range == Unbounded {
		return unitScale{}, nil
	}
	low := map[Range]float64{Probability: 0, Symmetric: -1}[i.Range]
	u := unitScale{bounded: true}
	if i.Steps {
		u.low, u.high = low, 1
	}
	if i.Trajectory {
		u.low, u.high = u.low+min(i.Alpha*low, i.Alpha), u.high+max(i.Alpha*low, i.Alpha)
	}
	if u.low == u.high {
		return u, errors.New("alpha: with 0 the reward of a model that scores no steps is always 0")
	}
	return u, nil
}

// of is r̂/(1+α) for scores that are probabilities; a reward without bounds goes through the sigmoid.
func (u unitScale) of(reward float64) float64 {
	if !u.bounded {
		return 1 / (1 + math.Exp(-reward))
	}
	return (reward - u.low) / (u.high - u.low)
}
