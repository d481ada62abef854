// Package serve answers the reward requests of the trainers and inference engines in use over HTTP. Requests are read and rendered
// concurrently; what they ask for is scored by one goroutine, in packed batches. No score depends on its company.
package serve

import (
	"context"
	"errors"
	"math"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/goprm/goprm/internal/served"
)

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
	s := &Server{opt: opt.Filled(), started: time.Now(), idle: make(chan struct{}), headerTimeout: 10 * time.Second}
	var err error
	if s.unscored, err = parseUnscored(s.opt.Unscored); err != nil {
		return nil, err
	}
	s.tokens.set(opt.AllTokens())
	s.budget, s.large = newBudget(s.opt), make(chan struct{}, max(1, min(runtime.GOMAXPROCS(0), runtime.NumCPU())/2))
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
	if err := served.CheckTokens(list); err != nil {
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
