package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

var errDraining = errors.New("the server is shutting down")

func (s *Server) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

func (s *Server) beginDrain() {
	s.mu.Lock()
	if !s.draining {
		s.draining = true
		if s.inFlight == 0 {
			close(s.idle)
		}
	}
	s.mu.Unlock()
	s.budget.hurry(time.Now().Add(drainBody))
}

// Drain refuses new requests and returns when those before it are answered, or with the context's error.
func (s *Server) Drain(ctx context.Context) error {
	s.beginDrain()
	select {
	case <-s.idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("requests are still being answered: %w", ctx.Err())
	}
}

// closePatience is how long Close lets end what is being computed.
const closePatience = 500 * time.Millisecond

// Close ends the server. Requests that are not answered yet fail; when it returns, the model may be closed.
func (s *Server) Close() error {
	s.beginDrain()
	patience, cancel := context.WithTimeout(context.Background(), closePatience)
	defer cancel()
	defer context.AfterFunc(patience, s.stop)()
	s.current().batches.close(patience)
	s.stop()
	return nil
}

// Serve answers what arrives at the listener until the context ends; then it takes no more, answers what it has taken, for at most
// grace, and closes the server. Clients that are slow to send or to read are cut off. With a TLS configuration it speaks TLS.
//
// No client sees a cut: what arrives in the drain is answered, with status 503 and Connection: close; connections that are made by then
// are all taken before the listener is closed; and idle ones are kept for a moment, for a request that may be on its way.
func (s *Server) Serve(ctx context.Context, l net.Listener, grace time.Duration, secure *tls.Config) error {
	arrivals := &countedListener{Listener: l}
	h, open := s.newHTTP(), connections{waiting: map[net.Conn]bool{}}
	h.ConnState = open.follow
	failed := make(chan error, 1)
	go func() {
		if secure == nil {
			failed <- h.Serve(arrivals)
			return
		}
		failed <- h.Serve(tls.NewListener(arrivals, secure))
	}()
	select {
	case err := <-failed:
		return errors.Join(err, s.Close())
	case <-ctx.Done():
	}
	left, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	s.beginDrain()
	refuseConnections(l)
	err := s.Drain(left)
	for end := time.Now().Add(min(linger, grace)); time.Now().Before(end) && !(arrivals.quiet() && open.none()); {
		time.Sleep(5 * time.Millisecond)
	}
	return errors.Join(err, s.Close(), h.Shutdown(left), h.Close())
}

// linger is how long connections without a request are kept when the server shuts down.
const linger = 2 * time.Second

// newHTTP is HTTP/1 alone: the bounds here are those of connections with one request at a time.
func (s *Server) newHTTP() *http.Server {
	h := &http.Server{
		Handler: s, ReadHeaderTimeout: s.headerTimeout, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		WriteTimeout: s.opt.ReadTimeout + s.opt.Timeout + 30*time.Second, Protocols: new(http.Protocols),
	}
	h.Protocols.SetHTTP1(true)
	return h
}

// countedListener knows when the last connection was taken.
type countedListener struct {
	net.Listener
	mu   sync.Mutex
	last time.Time
}

// Accept takes a connection.
func (l *countedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = time.Now()
	return c, err
}

// quiet tells whether no connection has been taken for a while.
func (l *countedListener) quiet() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Since(l.last) > 50*time.Millisecond
}

// connections are those that wait for a request.
type connections struct {
	mu      sync.Mutex
	waiting map[net.Conn]bool
}

func (c *connections) follow(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if state == http.StateNew || state == http.StateIdle {
		c.waiting[conn] = true
	} else {
		delete(c.waiting, conn)
	}
}

func (c *connections) none() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waiting) == 0
}
