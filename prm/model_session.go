package prm

import (
	"context"
	"slices"
	"sync"

	"github.com/goprm/goprm/data"
)

// Session is a trajectory that grows by a step at a time, as in a search over steps. After each it has the score of the whole, at the
// cost of what is new: the beginning that the text has in common with earlier ones, of any session, is found in the model's cache of
// keys and values, in blocks of 16 tokens. Scores have the bits of Model.Score of the same trajectory.
//
// A model without such a cache (see Session.Cache) computes every text in whole. So it does with the part of a text behind a place at
// which something was put in: a thinking step that is appended after response steps, or a response step in a model that reads the
// response first (see Model.ResponseFirst).
//
// On several devices a session stays with one of them, whose cache has its beginning; when that device is lost, the next append goes to
// another.
//
// A session is a few strings and may be dropped at any time. It is safe for concurrent use: appends take turns, in no certain order.
type Session struct {
	model *Model
	home  *Model        // on the device that has the session's keys and values
	turn  chan struct{} // holds a value while a step is appended

	mu             sync.Mutex
	trajectory     data.Trajectory
	tokens, reused int // of the text read last
}

// Session begins a trajectory of the problem, without steps. The first session of a model brings the cache that OpenOptions.CacheTokens
// describes.
func (m *Model) Session(problem string) (*Session, error) {
	if err := m.usable(); err != nil {
		return nil, err
	}
	t := data.Trajectory{Problem: problem}
	if err := t.Validate(); err != nil {
		return nil, err
	}
	home := m.newHome()
	if err := home.planCache(); err != nil {
		return nil, err
	}
	return &Session{model: m, home: home, turn: make(chan struct{}, 1), trajectory: t}, nil
}

// Append adds thinking steps and scores the trajectory as it is then. After an error the session is as it was before.
func (s *Session) Append(ctx context.Context, steps ...string) (*Score, error) {
	return s.add(ctx, func(t *data.Trajectory) { t.Steps = append(t.Steps, steps...) })
}

// AppendResponse is Append of response steps.
func (s *Session) AppendResponse(ctx context.Context, steps ...string) (*Score, error) {
	return s.add(ctx, func(t *data.Trajectory) { t.ResponseSteps = append(t.ResponseSteps, steps...) })
}

func (s *Session) add(ctx context.Context, change func(*data.Trajectory)) (*Score, error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	m, next := s.model, s.Trajectory()
	change(next)
	if s.home.lost() != nil { // for good: another device takes over, if there is one
		s.mu.Lock()
		s.home = m.newHome()
		s.mu.Unlock()
	}
	if err := s.home.queue.check(); err != nil {
		return nil, err
	}
	if err := s.home.planCache(); err != nil {
		return nil, err
	}
	bare, text, err := m.text(ctx, next, 0)
	if err != nil {
		return nil, err
	}
	text.session = true
	if err := s.home.queue.do(ctx, []*queued{text}, defaultScoreTokens); err != nil {
		return nil, err
	}
	if text.err != nil {
		return nil, text.err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trajectory, s.tokens, s.reused = *next, text.tokens, text.reused
	return m.score(bare, text.examples, text.values, ScoreOptions{}), nil
}

// Fork returns a session of its own with the steps that this one has.
func (s *Session) Fork() *Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &Session{model: s.model, home: s.home, turn: make(chan struct{}, 1), trajectory: copied(s.trajectory), tokens: s.tokens,
		reused: s.reused}
}

// Trajectory is a copy of what was appended.
func (s *Session) Trajectory() *data.Trajectory {
	s.mu.Lock()
	defer s.mu.Unlock()
	return new(copied(s.trajectory))
}

func copied(t data.Trajectory) data.Trajectory {
	t.Steps, t.ResponseSteps = slices.Clone(t.Steps), slices.Clone(t.ResponseSteps)
	return t
}

// Tokens is how many tokens the last append had read: those of the whole text, in all its windows.
func (s *Session) Tokens() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens
}

// Reused is how many of Tokens were not computed, since the model's cache had them.
func (s *Session) Reused() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reused
}

// Cache says what the model keeps of texts, or why it keeps nothing.
func (s *Session) Cache() CacheInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.home.Cache()
}
