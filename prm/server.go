package prm

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/grade"
	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/data/tokenizer"
	"github.com/goprm/goprm/internal/modelfolder"
	"github.com/goprm/goprm/internal/served"
)

// ServerOptions say how a Server answers. Zero fields have the defaults that their comments name.
type ServerOptions struct {
	Name  string   // of the model, in requests and answers: the name of its folder
	Alpha *float64 // weight of the trajectory's score in the reward r̂: the model's
	Parts string   // which steps r̂ averages: trained, thinking, response, all: the model's choice

	// With a label given, the reward is (1−Beta)·outcome + Beta·r̂.
	Beta       *float64 // 0.75
	BlendScale string   // what the blend takes of the model: paper (r̂ as it is) or unit (r̂/(1+Alpha), as [Blend] has it): paper
	// Verifier tells outcomes: [grade.Verifier]. Where it has a method CheckGold(gold string) error that finds nothing wrong with the
	// gold answer, an error of Verify is the answer's, whose outcome is then 0.
	Verifier label.Verifier
	// Ungraded says what a label does that the verifier cannot compare: error (status 422; the default), or prm-only (the text is answered
	// as one without a label, and extra_logs say so).
	Ungraded string
	// TooLong says what a text does that is longer than the model was trained for: window (it is read in windows over whole steps; the
	// default) or error (status 422).
	TooLong string
	// Unscored says what trainers are told of a text without a reward (it cannot be taken apart, has no step, is too long, or its label
	// cannot be compared, each where the other policies make an error of it): error (status 422 or 413; the default), null, or a number.
	Unscored string

	BatchTokens int           // most tokens scored at once, more only where one text has more: 8192
	CacheTokens *int          // the model's cache from now on, as OpenOptions has it: what the model was opened with, else 16384
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
	Tokens      []ServerToken // further ones, with names and limits; see ReadServerTokens
	// HostNames are those by which requests may call the server where no token is asked for, beside loopback's names and addresses;
	// "*": any. Without them a web page could ask by a name that it makes resolve to this machine.
	HostNames []string
	Logger    *slog.Logger // of warnings; nil: slog.Default
	AccessLog *slog.Logger // of each request: route, status, bytes, seconds, token's name and request id, never a text; nil: none

	// Audit, if set, gets a line of JSON for a share of the scored trajectories, chosen by their content, which Replay scores again. A write
	// that fails is a warning, and the last one. The texts are in it: keep it as private as they are.
	Audit      io.Writer
	AuditShare float64 // above 0, to 1
}

func (o ServerOptions) serve() served.Options {
	if o.Verifier == nil {
		o.Verifier = grade.Verifier{}
	}
	return served.Options{
		Beta: o.Beta, BlendScale: o.BlendScale, Verifier: o.Verifier, Ungraded: o.Ungraded, TooLong: o.TooLong, Unscored: o.Unscored,
		BatchTokens: o.BatchTokens, MaxWait: o.MaxWait, Queue: o.Queue, MaxBody: o.MaxBody, MaxTokens: o.MaxTokens,
		MaxText: o.MaxText, MaxSteps: o.MaxSteps, Memory: o.Memory, Unread: o.Unread, HostNames: o.HostNames, AccessLog: o.AccessLog,
		ReadTimeout: o.ReadTimeout, Timeout: o.Timeout, Token: o.Token, Tokens: serveTokens(o.Tokens), Logger: o.Logger,
	}
}

// Validate reports the first option that cannot be used.
func (o ServerOptions) Validate() error {
	if o.CacheTokens != nil && *o.CacheTokens < 0 {
		return fmt.Errorf("cache_tokens: %d is negative", *o.CacheTokens)
	}
	if o.Audit != nil && !(o.AuditShare > 0 && o.AuditShare <= 1) {
		return fmt.Errorf("audit_share: %v is not above 0 and at most 1", o.AuditShare)
	}
	return errors.Join(ScoreOptions{Alpha: o.Alpha, Parts: o.Parts, Tokens: o.BatchTokens}.Validate(), o.serve().Validate())
}

// Server answers the reward requests of OpenRLHF, slime, LLaMA-Factory, vLLM's and SGLang's clients, and its own; GET /openapi.json
// describes them, GET / is a page for people. It is an http.Handler, safe for concurrent use.
type Server struct {
	server served.Server
	opt    ServerOptions
	cache  atomic.Pointer[CacheInfo]
}

// NewServer serves a model, which stays the caller's: to use beside the server, and to close after it. What is kept of scored texts
// stays until then. The program must import _ "github.com/goprm/goprm/prm/server"; one that only trains and scores holds no server.
func NewServer(model *Model, opt ServerOptions) (*Server, error) {
	if err := opt.Validate(); err != nil {
		return nil, err
	}
	serving, err := model.serving(opt)
	if err != nil {
		return nil, err
	}
	s := &Server{opt: opt}
	if s.server, err = served.New(serving, opt.serve()); err != nil {
		return nil, err
	}
	s.cache.Store(&serving.cache)
	return s, nil
}

// Swap serves another model from now on, and returns when the last request of the one before is answered; that one is then the caller's
// to close. After an error the model before is still served. Name, Alpha and Parts of the options hold for the new one too.
func (s *Server) Swap(model *Model) error {
	serving, err := model.serving(s.opt)
	if err != nil {
		return err
	}
	if err := s.server.Swap(serving); err != nil {
		return err
	}
	s.cache.Store(&serving.cache)
	return nil
}

// SetTokens replaces the tokens that requests may bring, Token of the options included.
func (s *Server) SetTokens(list []ServerToken) error { return s.server.SetTokens(serveTokens(list)) }

func serveTokens(list []ServerToken) []served.Token {
	tokens := make([]served.Token, len(list))
	for i, t := range list {
		tokens[i] = served.Token(t)
	}
	return tokens
}

// Cache says what is kept of scored texts.
func (s *Server) Cache() CacheInfo { return *s.cache.Load() }

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.server.ServeHTTP(w, r) }

// Serve answers what arrives at the listener until the context ends, then what it has taken by then, for at most grace, and closes
// the server. Clients that are slow to send or to read are cut off. No client sees a cut answer: what arrives while the server shuts down
// is answered with status 503, and every answer then closes its connection. Linux has a way to close a listener without cutting off
// connections that are just being made, but not with multipath TCP, which [net.ListenConfig.SetMultipathTCP] leaves out.
func (s *Server) Serve(ctx context.Context, l net.Listener, grace time.Duration) error {
	return s.server.Serve(ctx, l, grace, nil)
}

// ServeTLS is Serve over TLS, in HTTP/1.1. [Certificate] gives a configuration whose certificate can be replaced.
func (s *Server) ServeTLS(ctx context.Context, l net.Listener, grace time.Duration, config *tls.Config) error {
	if config == nil {
		return errors.New("TLS without a configuration")
	}
	return s.server.Serve(ctx, l, grace, config)
}

// Drain refuses new requests and returns when those before it are answered, or with the context's error.
func (s *Server) Drain(ctx context.Context) error { return s.server.Drain(ctx) }

// Close ends the server; requests that are not answered yet fail.
func (s *Server) Close() error { return s.server.Close() }

// servedModel is a model as the server sees it.
type servedModel struct {
	model  *Model
	opt    ScoreOptions
	info   served.Info
	tok    tokenizer.Tokenizer
	mark   int32
	chat   *data.Chat
	unchat error // why there is no chat
	cache  CacheInfo
	audit  *audit // nil: none
}

func (m *Model) serving(opt ServerOptions) (*servedModel, error) {
	s := &servedModel{model: m, opt: ScoreOptions{Alpha: opt.Alpha, Parts: opt.Parts, Tokens: opt.BatchTokens}}
	if s.opt.Tokens == 0 {
		s.opt.Tokens = defaultScoreTokens
	}
	if s.opt.Parts == "" {
		s.opt.Parts = m.card.Over
	}
	s.info = served.Info{
		Name: opt.Name, MaxTokens: m.card.Text.MaxTokens, Alpha: m.card.Alpha, Trajectory: m.hasTrajectory(), Range: m.scoreRange(),
		Steps: s.opt.Parts != "trained" || len(without(m.card.Parts, modelfolder.PartTrajectory)) > 0,
	}
	if s.info.Name == "" {
		s.info.Name = filepath.Base(m.folder.Dir)
	}
	if opt.Alpha != nil {
		s.info.Alpha = *opt.Alpha
	}
	var err error
	if s.info.Identity, err = m.ContentHash(); err != nil {
		return nil, err
	}
	s.info.Settings = m.settingsHash(opt, s.info)
	if opt.Audit != nil {
		s.audit = newAudit(opt, s)
	}
	if s.tok, err = openTokenizer(m.folder); err != nil {
		return nil, err
	}
	files, err := data.ReadModelText(m.folder.TextDir)
	if err != nil {
		return nil, err
	}
	s.chat, s.unchat = data.NewChat(files)
	mark := ""
	switch {
	case m.public != nil:
		mark = m.public.Mark
	case m.card.Text.Read == "mark":
		mark = m.card.Text.StepMark
	}
	if mark != "" {
		id, ok, err := tokenizer.OneToken(s.tok, mark)
		if err != nil {
			return nil, err
		}
		if ok {
			s.info.Mark, s.mark = mark, id
		}
	}
	for _, d := range slices.Backward(m.devices()) { // the first one's is told
		if s.cache, err = d.serveCache(opt.CacheTokens); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// serveCache gives the model's device the cache that a server is to have.
func (m *Model) serveCache(want *int) (info CacheInfo, err error) {
	return info, m.queue.exclusive(func() error {
		if info = m.Cache(); want == nil && info.Tokens > 0 {
			return m.startCache()
		}
		info, err = m.keepPrefixes(cmp.Or(want, m.cache.want))
		return err
	})
}

// scoreRange is where the model's scores lie.
func (m *Model) scoreRange() served.Range {
	switch {
	case m.public != nil && m.public.Signed:
		return served.Symmetric
	case m.public != nil && m.public.Unbounded(), m.card.Head.Activation == "identity":
		return served.Unbounded
	}
	return served.Probability
}

// rendered is a trajectory, or tokens without one, ready to be scored.
type rendered struct {
	trajectory *data.Trajectory // nil: tokens
	*queued
}

// Tokens is how many tokens are read.
func (r *rendered) Tokens() int { return r.tokens }

// Windows is in how many windows the steps are read.
func (r *rendered) Windows() int {
	last := 0
	for _, e := range r.examples {
		for _, read := range e.Reads {
			last = max(last, read.Window)
		}
	}
	return last + 1
}

func (s *servedModel) Info() served.Info { return s.info }

// Lost is part of served.Losable.
func (s *servedModel) Lost() error { return s.model.Err() }

func (s *servedModel) Render(ctx context.Context, t *data.Trajectory, limits served.Limits) (served.Text, error) {
	thinking, response := s.model.cut(t)
	if n := len(thinking.Steps) + len(response.Steps); n > limits.Steps {
		return nil, tooLarge(fmt.Errorf("%d steps, at most %d are taken", n, limits.Steps))
	}
	t, text, err := s.model.text(ctx, t, limits.Tokens)
	if long := new(TooLongError); errors.As(err, &long) && long.Limit == limits.Tokens {
		return nil, tooLarge(err)
	}
	if err != nil {
		return nil, err
	}
	return &rendered{t, text}, nil
}

func tooLarge(err error) error {
	return &served.RequestError{Status: http.StatusRequestEntityTooLarge, Err: err}
}

// lost marks an error by which the server knows that its model is of no more use, and that of a device beside which others go on.
func (s *servedModel) lost(err error) error {
	if gone := new(LostError); errors.As(err, &gone) {
		return fmt.Errorf("%w: %w", served.ErrLost, err)
	}
	if gone := new(DeviceLostError); !errors.As(err, &gone) {
		return err
	}
	if s.model.Err() != nil {
		return fmt.Errorf("%w: %w", served.ErrLost, err)
	}
	return &served.RequestError{Status: http.StatusServiceUnavailable, Err: err}
}

func (s *servedModel) RenderTokens(ids []int32) (served.Text, error) {
	e := &data.Example{Tokens: ids}
	for i, id := range ids {
		if id < 0 || int(id) >= s.model.folder.Config.VocabSize {
			return nil, fmt.Errorf("token %d: id %d is not in the vocabulary of %d", i, id, s.model.folder.Config.VocabSize)
		}
		if id == s.mark {
			e.Reads = append(e.Reads, data.ReadOut{Pos: int32(i), Kind: data.KindStep, Part: data.PartResponse, Index: len(e.Reads)})
		}
	}
	if len(e.Reads) == 0 {
		return nil, fmt.Errorf("no step mark %q in %d tokens", s.info.Mark, len(ids))
	}
	return &rendered{nil, newQueued([]*data.Example{e})}, nil
}

func (s *servedModel) Encode(text string) ([]int32, error) {
	ids, _, err := s.tok.Encode(text)
	return ids, err
}

func (s *servedModel) Decode(ids []int32) (string, error) { return s.tok.Decode(ids) }

func (s *servedModel) Chat(turns []data.Turn) (string, error) {
	if s.unchat != nil {
		return "", s.unchat
	}
	text, _, err := s.chat.Render(turns)
	return text, err
}

func (s *servedModel) ChatPrompt(turns []data.Turn) (string, error) {
	if s.unchat != nil {
		return "", s.unchat
	}
	return s.chat.Prompt(turns)
}

func (s *servedModel) Token(id int32) (string, bool) { return s.tok.Token(id) }

func (s *servedModel) Surround() (before, after []int32, err error) {
	if s.model.folder.Own != nil {
		return nil, nil, errors.New("the tokenizer is a program's own, which does not say what it adds")
	}
	return tokenizer.Surround(s.model.folder.TextDir)
}

// Devices is part of served.Spread.
func (s *servedModel) Devices() (list []served.Device) {
	for _, d := range s.model.devices() {
		list = append(list, servedDevice{s, d})
	}
	return list
}

// servedDevice is a model on one of its devices.
type servedDevice struct {
	*servedModel
	on *Model
}

// Device is its name.
func (d servedDevice) Device() string { return d.on.device() }

// Lost is part of served.Losable.
func (d servedDevice) Lost() error { return d.on.lost() }

func (d servedDevice) Score(ctx context.Context, texts []served.Text) ([]served.Score, error) {
	return d.scoreOn(ctx, d.on, texts)
}

func (s *servedModel) Score(ctx context.Context, texts []served.Text) ([]served.Score, error) {
	return s.scoreOn(ctx, s.model.leastLoaded(), texts)
}

func (s *servedModel) scoreOn(ctx context.Context, device *Model, texts []served.Text) ([]served.Score, error) {
	list, given := make([]*queued, len(texts)), make([]*data.Trajectory, len(texts))
	for i, t := range texts {
		alone, uncached := t.(served.Uncached)
		if uncached {
			t = alone.Text
		}
		r := t.(*rendered)
		list[i], given[i] = newQueued(r.examples), r.trajectory // a text may be asked for again while a former call still has it
		list[i].uncached = uncached
	}
	if err := device.queue.share(ctx, list, s.opt.Tokens, served.LongText); err != nil {
		return nil, s.lost(err)
	}
	out := make([]served.Score, len(texts))
	for i, text := range list {
		if out[i] = (served.Score{Err: s.lost(text.err), Cached: text.reused}); text.err != nil {
			continue
		}
		if given[i] == nil {
			out[i].Steps, out[i].Reward = text.values[0], math.NaN()
			if text.uncached {
				out[i].Logits = text.logits[0]
			}
			continue
		}
		score := s.model.score(given[i], text.examples, text.values, s.opt)
		out[i].Trajectory, out[i].Reward, out[i].Line = score.Trajectory, score.Reward, score
		for _, step := range score.Steps {
			out[i].Steps = append(out[i].Steps, step.Score)
		}
		out[i].Shares = s.model.shares(score.Steps, s.opt.Parts)
		s.audit.add(given[i], score)
		if text.uncached {
			out[i].Logits = s.model.stepLogits(text)
		}
	}
	return out, nil
}

// shares say where the steps end and what each weighs in the reward.
func (m *Model) shares(steps []StepScore, over string) []served.StepShare {
	parts, n := m.averaged(over), 0
	list := make([]served.StepShare, len(steps))
	for i, s := range steps {
		list[i] = served.StepShare{Thinking: s.Part == modelfolder.PartThinking, End: s.End}
		if s.TextOf != data.Given {
			list[i].End = -1
		}
		if slices.Contains(parts, s.Part) {
			n++
		}
	}
	for i, s := range steps {
		if slices.Contains(parts, s.Part) {
			list[i].Weight = 1 / float64(n)
		}
	}
	return list
}

// stepLogits are the logits of a text's steps in their order, or those of its only read-out where it has none. Implicit rewards have none.
func (m *Model) stepLogits(text *queued) [][]float64 {
	if m.public != nil && m.public.Implicit != 0 {
		return nil
	}
	steps, final := map[int][]float64{}, [][]float64(nil)
	for i, e := range text.examples {
		for j, r := range e.Reads {
			if r.Kind == data.KindTrajectory {
				final = [][]float64{text.logits[i][j]}
			} else {
				steps[r.Index] = text.logits[i][j]
			}
		}
	}
	if len(steps) == 0 {
		return final
	}
	list := make([][]float64, 0, len(steps))
	for _, i := range slices.Sorted(maps.Keys(steps)) {
		list = append(list, steps[i])
	}
	return list
}
