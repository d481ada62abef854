package served

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// Server is a server of one model.
type Server interface {
	http.Handler
	Serve(ctx context.Context, l net.Listener, grace time.Duration, config *tls.Config) error
	Swap(model Model) error
	SetTokens(list []Token) error
	Drain(ctx context.Context) error
	Close() error
}

type starter func(Model, Options) (Server, error)

var registered atomic.Pointer[starter]

// Register makes a server available to New.
func Register(start func(Model, Options) (Server, error)) {
	s := starter(start)
	registered.Store(&s)
}

// New starts the server that is in the program.
func New(model Model, opt Options) (Server, error) {
	start := registered.Load()
	if start == nil {
		return nil, errors.New(`this program has no server: import _ "github.com/goprm/goprm/prm/server"`)
	}
	return (*start)(model, opt)
}
