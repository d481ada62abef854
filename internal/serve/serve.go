// Package serve answers the reward requests of the trainers and inference engines in use over HTTP. Requests are read and rendered
// concurrently; what they ask for is scored by one goroutine, in packed batches. No score depends on its company.
package serve

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/internal/blend"
)

// Model is what a server asks of a model. All but Score may be called by several goroutines, also while Score runs.
type Model interface {
	Info() Info
	// Render lays a trajectory out.
	Render(t *data.Trajectory) (Text, error)
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
	// Score scores texts, each of them or none; what ails one of them alone is its score's Err. One goroutine calls it.
	Score(ctx context.Context, texts []Text) ([]Score, error)
}

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
	MaxTokens   int           // of one text; status 413 beyond: 131072
	ReadTimeout time.Duration // for a request's body: 30s
	Timeout     time.Duration // for an answer; status 504 beyond: 170s, less than the 180s that OpenRLHF waits
	Token       string        // that requests must bring as Authorization: Bearer; "": none
	Logger      *slog.Logger  // of warnings; nil: slog.Default
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
	}{{&o.BatchTokens, 8192}, {&o.Queue, 4096}, {&o.MaxTokens, 131072}} {
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
	if o.MaxBody == 0 {
		o.MaxBody = 16 << 20
	}
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
		{"max_wait", int64(o.MaxWait)}, {"read_timeout", int64(o.ReadTimeout)}, {"timeout", int64(o.Timeout)},
	} {
		if f.value < 0 {
			return fmt.Errorf("%s: %d is negative", f.name, f.value)
		}
	}
	return nil
}

// Server is an http.Handler.
type Server struct {
	model    Model
	info     Info
	opt      Options
	unit     unitScale
	blend    struct{ outcome, process float64 }
	unscored unscored
	mux      *http.ServeMux
	batches  *batcher
	metrics  *metrics
	started  time.Time

	mu       sync.Mutex
	inFlight int
	draining bool
	idle     chan struct{} // closed when draining and nothing is in flight
	closing  sync.Once

	warnControl sync.Once
}

// New starts a server.
func New(model Model, opt Options) (*Server, error) {
	if err := opt.Validate(); err != nil {
		return nil, err
	}
	s := &Server{model: model, info: model.Info(), opt: opt.filled(), started: time.Now(), idle: make(chan struct{})}
	var err error
	if s.unit, err = newUnitScale(s.info); err != nil {
		return nil, err
	}
	if s.unscored, err = parseUnscored(s.opt.Unscored); err != nil {
		return nil, err
	}
	if s.blend.outcome, s.blend.process, err = blend.Weights(opt.Beta, opt.BlendScale, s.info.most()); err != nil {
		return nil, err
	}
	s.batches = newBatcher(model, s.opt)
	s.metrics = newMetrics(s)
	s.batches.metrics = s.metrics
	s.routes()
	go s.batches.run()
	return s, nil
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// enter admits a request, or says why not; leave ends it.
func (s *Server) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return &RequestError{http.StatusServiceUnavailable, errDraining}
	}
	if s.inFlight >= s.opt.Queue {
		return &RequestError{http.StatusTooManyRequests, fmt.Errorf("%d requests are being answered; ask again", s.inFlight)}
	}
	s.inFlight++
	return nil
}

func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight--
	if s.draining && s.inFlight == 0 {
		close(s.idle)
	}
}

var errDraining = errors.New("the server is shutting down")

// Drain refuses new requests and returns when those before it are answered, or with the context's error.
func (s *Server) Drain(ctx context.Context) error {
	s.mu.Lock()
	if !s.draining {
		s.draining = true
		if s.inFlight == 0 {
			close(s.idle)
		}
	}
	s.mu.Unlock()
	select {
	case <-s.idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("requests are still being answered: %w", ctx.Err())
	}
}

// Close ends the server. Requests that are not answered yet fail; when it returns, the model may be closed.
func (s *Server) Close() error {
	s.mu.Lock()
	if !s.draining {
		s.draining = true
		if s.inFlight == 0 {
			close(s.idle)
		}
	}
	s.mu.Unlock()
	s.closing.Do(s.batches.close)
	<-s.batches.ended
	return nil
}

// Serve answers what arrives at the listener until the context ends; then it takes no more, answers what it has taken, for at most
// grace, and closes the server. Clients that are slow to send or to read are cut off.
func (s *Server) Serve(ctx context.Context, l net.Listener, grace time.Duration) error {
	h := &http.Server{
		Handler: s, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		WriteTimeout: s.opt.ReadTimeout + s.opt.Timeout + 30*time.Second,
	}
	failed := make(chan error, 1)
	go func() { failed <- h.Serve(l) }()
	select {
	case err := <-failed:
		return errors.Join(err, s.Close())
	case <-ctx.Done():
	}
	left, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err := s.Drain(left)
	return errors.Join(err, s.Close(), h.Shutdown(left))
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
