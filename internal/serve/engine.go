package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/goprm/goprm/internal/blend"
	"github.com/goprm/goprm/internal/served"
)

// engine is a model that is served, with what follows from it. A request keeps the one that it began with.
type engine struct {
	model   Model
	info    Info
	unit    unitScale
	blend   struct{ outcome, process float64 }
	batches *lanes
	page    page

	// The server's lock guards these.
	users   int
	retired bool
	unused  chan struct{} // closed when it is retired and has no users
	lost    error         // why the model is of no more use
}

func (s *Server) newEngine(model Model) (*engine, error) {
	e := &engine{model: model, info: model.Info(), unused: make(chan struct{})}
	var err error
	if e.unit, err = newUnitScale(e.info); err != nil {
		return nil, err
	}
	if e.blend.outcome, e.blend.process, err = blend.Weights(s.opt.Beta, s.opt.BlendScale, e.info.Most()); err != nil {
		return nil, err
	}
	if e.page, err = e.newPage(!s.tokens.none()); err != nil {
		return nil, err
	}
	e.batches = newLanes(model, s.opt, s.metrics, func() bool { return len(s.large) > 0 })
	return e, nil
}

// sign says in an answer's header which model gave it.
func (e *engine) sign(w http.ResponseWriter) {
	w.Header().Set("X-Goprm-Model", e.info.Identity)
	w.Header().Set("X-Goprm-Settings", e.info.Settings)
}

func (s *Server) current() *engine {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.serving
}

// enter admits a request whose body is there, or says why not; leave ends it.
func (s *Server) enter() (*engine, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.serving
	switch {
	case s.draining:
		return nil, withStatus(http.StatusServiceUnavailable, errDraining)
	case e.why() != nil:
		return nil, withStatus(http.StatusServiceUnavailable, e.why())
	case s.inFlight >= s.opt.Queue:
		return nil, withStatus(http.StatusTooManyRequests, fmt.Errorf("%d requests are being answered; ask again", s.inFlight))
	}
	s.inFlight++
	e.users++
	return e, nil
}

func (s *Server) leave(e *engine, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(err, served.ErrLost) && e.lost == nil {
		e.lost = err
		s.opt.Logger.Error("the model is lost: requests are refused until another one is served", "error", err)
	}
	s.inFlight--
	if e.users--; e.retired && e.users == 0 {
		close(e.unused)
	}
	if s.draining && s.inFlight == 0 {
		close(s.idle)
	}
}

// Swap serves another model from now on, and returns when the last request of the one before is answered, which is then the caller's
// to close. Where the new one cannot be served, or the server is closed, the old one stays.
func (s *Server) Swap(model Model) error {
	fresh, err := s.newEngine(model)
	if err != nil {
		return err
	}
	s.mu.Lock()
	if s.draining {
		s.mu.Unlock()
		fresh.close()
		return errDraining
	}
	old := s.serving
	s.serving, old.retired = fresh, true
	if old.users == 0 {
		close(old.unused)
	}
	s.mu.Unlock()
	select {
	case <-old.unused:
	case <-s.ctx.Done():
	}
	old.close()
	return nil
}

// close ends its batches; when it returns, nothing is asked of the model.
func (e *engine) close() {
	e.batches.close(context.Background())
}
