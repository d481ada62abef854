package speed

import (
	"time"

	"github.com/goprm/goprm/internal/engine"
)

// profiled is a backend whose launches are timed. It is for backends whose launches return when they are done.
type profiled struct {
	engine.Backend
	ops map[string]*tally
}

// tally adds up the launches of one kind.
type tally struct {
	op           string
	products     string // their dtype
	launches     int
	elapsed      time.Duration
	flops, bytes float64
}

// Unwrap is part of engine.As.
func (p *profiled) Unwrap() engine.Backend { return p.Backend }

// SharesHostMemory is what makes a network use mappings as they are.
func (*profiled) SharesHostMemory() {}

// Compile is part of engine.Backend.
func (p *profiled) Compile(c engine.Call) (engine.Launch, error) {
	launch, err := p.Backend.Compile(c)
	if err != nil {
		return nil, err
	}
	name := label(c)
	return func() error {
		began := time.Now()
		err := launch()
		elapsed := time.Since(began)
		flops, bytes := executed(c)
		t := p.ops[name]
		if t == nil {
			t = &tally{op: c.Op, products: products(c)}
			p.ops[name] = t
		}
		t.launches, t.elapsed, t.flops, t.bytes = t.launches+1, t.elapsed+elapsed, t.flops+flops, t.bytes+bytes
		return err
	}, nil
}
