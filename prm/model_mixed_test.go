package prm

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/prefix"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// growing are trajectories of four problems, of up to three steps with three choices each; a response step stands last.
func growing() (problems []string, steps [3]string, all []*data.Trajectory) {
	steps = [3]string{"Add them.", "It is 7, or 8.", "So"}
	for p := range 4 {
		problem := strings.Repeat("Again: ", p) + "what is 3+4?"
		problems = append(problems, problem)
		paths := [][]string{nil}
		for len(paths) > 0 {
			path := paths[0]
			paths = paths[1:]
			if len(path) > 0 {
				all = append(all, &data.Trajectory{Problem: problem, Steps: path})
				all = append(all, &data.Trajectory{Problem: problem, Steps: path, ResponseSteps: []string{"7"}})
			}
			for _, s := range steps {
				if len(path) < 3 {
					paths = append(paths, append(slices.Clone(path), s))
				}
			}
		}
	}
	return problems, steps, all
}

func keyOf(t *data.Trajectory) string {
	return fmt.Sprintf("%q %q %q", t.Problem, t.Steps, t.ResponseSteps)
}

// mixed makes calls of all kinds on one model.
type mixed struct {
	t     *testing.T
	model *Model
	want  map[string]string // each trajectory's score, computed alone
	all   []*data.Trajectory
	ops   atomic.Int64
	done  struct{ scored, cancelled, closed, reused atomic.Int64 }
}

// check compares a result with the serial one, and tells whether the model is open.
func (x *mixed) check(ctx context.Context, t *data.Trajectory, s *Score, err error) bool {
	switch {
	case err == nil:
		x.done.scored.Add(1)
		return assert.Equal(x.t, x.want[keyOf(t)], lines(x.t, s))
	case errors.Is(err, ErrClosed):
		x.done.closed.Add(1)
		return false
	}
	x.done.cancelled.Add(1)
	return assert.Error(x.t, ctx.Err(), "%v", err) && assert.ErrorIs(x.t, err, ctx.Err())
}

// hurried is a context that ends before, during or after a call.
func hurried(r *rand.Rand) (context.Context, context.CancelFunc) {
	if r.IntN(4) == 0 {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		return ctx, cancel
	}
	return context.WithTimeout(context.Background(), time.Duration(r.IntN(2000))*time.Microsecond)
}

// call makes one call of some kind.
func (x *mixed) call(r *rand.Rand) {
	ctx, t := context.Background(), x.all[r.IntN(len(x.all))]
	switch r.IntN(8) {
	case 0, 1:
		s, err := x.model.Score(ctx, t)
		x.check(ctx, t, s, err)
	case 2:
		ctx, cancel := hurried(r)
		defer cancel()
		s, err := x.model.Score(ctx, t)
		x.check(ctx, t, s, err)
	case 3:
		list := []*data.Trajectory{t, x.all[r.IntN(len(x.all))], x.all[r.IntN(len(x.all))]}
		i := 0
		for s, err := range x.model.ScoreAll(ctx, Slice(list), ScoreOptions{Tokens: 1 + r.IntN(400)}) {
			x.check(ctx, list[i], s, err)
			i++
		}
	default:
		x.session(r, t)
	}
}

// session walks to a trajectory, a fork of it at some step, some appends in a hurry and again where they came to nothing.
func (x *mixed) session(r *rand.Rand, to *data.Trajectory) {
	s, err := x.model.Session(to.Problem)
	if err != nil {
		assert.ErrorIs(x.t, err, ErrClosed)
		x.done.closed.Add(1)
		return
	}
	for _, step := range to.Steps {
		if r.IntN(3) == 0 {
			s = s.Fork()
		}
		ctx, cancel := context.Background(), func() {}
		if r.IntN(4) == 0 {
			ctx, cancel = hurried(r)
		}
		next := s.Trajectory()
		next.Steps = append(next.Steps, step)
		score, err := s.Append(ctx, step)
		open := x.check(ctx, next, score, err)
		cancel()
		if err != nil && open {
			score, err = s.Append(context.Background(), step)
			open = x.check(context.Background(), next, score, err)
		}
		if !open {
			return
		}
		x.done.reused.Add(int64(s.Reused()))
	}
	if len(to.ResponseSteps) > 0 {
		score, err := s.Fork().AppendResponse(context.Background(), to.ResponseSteps...)
		x.check(context.Background(), to, score, err)
	}
}

// Ten thousand calls by 32 goroutines, with room for all prefixes or for next to none, have the bits of calls one by one; models are
// closed while they are used, and every call after that says so.
func TestOneModelForManyGoroutines(t *testing.T) {
	dir := train(t, config(t, tiny(t, tinymodel.Options{}))).Model
	_, _, all := growing()
	for _, kernels := range []string{"portable", "auto"} {
		want := map[string]string{}
		alone, err := Open(dir, OpenOptions{Backend: kernels})
		require.NoError(t, err)
		for _, trajectory := range all {
			s, err := alone.Score(context.Background(), trajectory)
			require.NoError(t, err)
			want[keyOf(trajectory)] = lines(t, s)
		}
		require.NoError(t, alone.Close())
		calls, room := 1250, 8*prefix.Block
		if testing.Short() {
			calls = 150
		}
		for round, tokens := range []*int{nil, new(0), &room, new(4096)} {
			m, err := Open(dir, OpenOptions{Backend: kernels, CacheTokens: tokens})
			require.NoError(t, err)
			x := &mixed{t: t, model: m, want: want, all: all}
			var wait sync.WaitGroup
			for c := range 32 {
				wait.Go(func() {
					r := rand.New(rand.NewPCG(uint64(round), uint64(c)))
					for n := x.ops.Add(1); int(n) <= calls; n = x.ops.Add(1) {
						if int(n) > calls*9/10 && n%11 == 0 {
							assert.NoError(t, m.Close())
							_, err := m.Score(context.Background(), all[0])
							assert.ErrorIs(t, err, ErrClosed)
							continue
						}
						x.call(r)
					}
				})
			}
			wait.Wait()
			require.False(t, t.Failed())
			d := &x.done
			t.Logf("%s, cache %+v: %d scored, %d cancelled, %d closed, %d tokens reused",
				kernels, m.Cache(), d.scored.Load(), d.cancelled.Load(), d.closed.Load(), d.reused.Load())
			require.Positive(t, d.scored.Load())
			require.Positive(t, d.cancelled.Load())
			require.Positive(t, d.closed.Load())
			require.Equal(t, m.Cache().Off == "", d.reused.Load() > 0)
		}
	}
}
