package engine_test

import (
	"context"
	"testing"

	"github.com/goprm/goprm/internal/engine"
	"github.com/stretchr/testify/require"
)

// taping records by keeping what it is given; while it does, launches take no effect.
type taping struct {
	engine.Backend
	recording bool
	replayed  int
}

func (r *taping) Record(launches func() error) (engine.Recording, error) {
	r.recording = true
	defer func() { r.recording = false }()
	return r, launches()
}

func (r *taping) Replay() error { r.replayed++; return nil }
func (r *taping) Close() error  { return nil }

// A sequence that was stopped is not recorded before it has run once as a whole, and a recording always holds all launches.
func TestStoppedSequenceIsNotRecorded(t *testing.T) {
	r := &taping{}
	done, recorded := 0, 0
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop := true
	launch := func() error {
		if r.recording {
			recorded++
			return nil
		}
		if done++; stop && done == 2 {
			cancel()
		}
		return nil
	}
	s := engine.Sequence{Backend: r, Launches: []engine.Launch{launch, launch, launch}}
	require.ErrorIs(t, s.RunContext(ctx), context.Canceled)
	require.Equal(t, 2, done)
	stop = false
	require.NoError(t, s.Run())
	require.Equal(t, 5, done)
	require.Zero(t, recorded)
	require.NoError(t, s.Run())
	require.Equal(t, []int{5, 3, 1}, []int{done, recorded, r.replayed})
	require.ErrorIs(t, s.RunContext(ctx), context.Canceled)
	require.NoError(t, s.Run())
	require.Equal(t, []int{5, 3, 2}, []int{done, recorded, r.replayed})
}
