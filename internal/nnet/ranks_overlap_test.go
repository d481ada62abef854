package nnet_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goprm/goprm/internal/dist"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/stretchr/testify/require"
)

// apart is a backend whose memory the host does not see, so that its gradients are exchanged when the backward pass is over.
type apart struct{ engine.Backend }

// watched calls before ahead of each launch, and downloaded ahead of each download: gradients go that way to the exchange.
type watched struct {
	engine.Backend
	before     func(op string) error
	downloaded func()
}

func (w watched) SharesHostMemory() {}

func (w watched) Compile(c engine.Call) (engine.Launch, error) {
	launch, err := w.Backend.Compile(c)
	return func() error {
		if err := w.before(c.Op); err != nil {
			return err
		}
		return launch()
	}, err
}

func (w watched) Download(dst []byte, src *engine.Tensor) error {
	w.downloaded()
	return w.Backend.Download(dst, src)
}

// The first op of a pass, and the last of one that trains everything.
const firstOp, lastOp = "embedding", "embedding_dtable"

// wrapped trains two ranks whose backends are wrapped.
func wrapped(t *testing.T, timeout time.Duration, stage int, wrap func(rank int, b engine.Backend) engine.Backend) []trained {
	t.Helper()
	groups, out := dist.Local(2, timeout), make([]trained, 2)
	var work sync.WaitGroup
	for r, g := range groups {
		o := newOpener(t, "portable")
		o.backend = wrap(r, o.backend)
		work.Go(func() {
			out[r] = oneRank(t, o, nnet.Spec{Train: nnet.TrainFull}, g, stage, 2, nil)
			if out[r].err != nil {
				g.Fail(out[r].err)
			}
		})
	}
	work.Wait()
	return out
}

// Gradients are exchanged while the backward pass goes on: its last launch waits here until some have come, which they would not
// otherwise. The bits are those of exchanges that follow the pass.
func TestExchangesOverlapTheBackwardPass(t *testing.T) {
	for stage := 1; stage <= 2; stage++ {
		during := wrapped(t, time.Minute, stage, func(rank int, b engine.Backend) engine.Backend {
			passes, exchanging, downloads, begin := 0, len(share(t, rank, 2, 0)), atomic.Int64{}, atomic.Int64{}
			if stage == 2 {
				exchanging = 1 // every pass
			}
			return watched{b, func(op string) error {
				if op == firstOp {
					begin.Store(downloads.Load())
					passes++
				}
				if op != lastOp || passes%exchanging != 0 {
					return nil
				}
				for wait := time.Now(); downloads.Load() == begin.Load(); time.Sleep(time.Millisecond) {
					if time.Since(wait) > 20*time.Second {
						return errors.New("no gradient was exchanged during the backward pass")
					}
				}
				return nil
			}, func() { downloads.Add(1) }}
		})
		after := wrapped(t, time.Minute, stage, func(_ int, b engine.Backend) engine.Backend { return apart{b} })
		for r := range during {
			require.NoError(t, during[r].err)
			require.NoError(t, after[r].err)
			require.Equal(t, after[r].results, during[r].results)
			require.Equal(t, after[r].values, during[r].values)
			require.Equal(t, after[r].state, during[r].state)
			require.Zero(t, after[r].early)
			require.Equal(t, after[r].rounds, during[r].rounds)
			require.Greater(t, during[r].rounds, during[r].early)
			require.Positive(t, during[r].early)
		}
	}
}

// A rank that fails, or hangs, in the middle of its backward pass ends the others, whose error names the call.
func TestARankEndsInTheBackwardPass(t *testing.T) {
	broken := errors.New("broken")
	for _, hangs := range []bool{false, true} {
		timeout := time.Minute
		if hangs {
			timeout = time.Second
		}
		began := time.Now()
		out := wrapped(t, timeout, 1, func(rank int, b engine.Backend) engine.Backend {
			return watched{b, func(op string) error {
				switch {
				case rank == 0 || op != lastOp:
					return nil
				case hangs:
					time.Sleep(3 * timeout) // the launch ends some time: the test's goroutine must
				}
				return broken
			}, func() {}}
		})
		require.ErrorIs(t, out[1].err, broken)
		call := new(dist.CallError)
		require.ErrorAs(t, out[0].err, &call)
		require.Equal(t, "reduce-scatter", call.Call)
		require.Positive(t, call.Bytes)
		if hangs {
			require.ErrorIs(t, out[0].err, dist.ErrTimeout)
		}
		require.Less(t, time.Since(began), 15*time.Second)
	}
}
