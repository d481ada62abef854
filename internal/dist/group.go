package dist

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"time"
)

// Group is this process among its ranks. A nil Group is a single rank, of which nothing is communicated. Its methods are collective: every
// rank makes the same calls in the same order. They are not for use by several goroutines.
//
// After an error a group is of no use: every later call returns that error, and Close does not wait for the others. The others learn of
// it when the process ends, from their launcher, or when the time for a call is over.
type Group struct {
	Launch
	engine  Engine
	timeout time.Duration
	calls   chan func()
	done    chan struct{}
	failure error
	scratch []byte

	Sent int64 // bytes that this rank has given to others
}

// Join makes the process a rank of its launch: nil for a single one. A call that takes longer than timeout fails.
func Join(launch Launch, timeout time.Duration) (*Group, error) {
	if launch.World == 1 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return newGroup(launch, timeout, func() (Engine, error) { return open(ctx, launch) })
}

func newGroup(launch Launch, timeout time.Duration, open func() (Engine, error)) (*Group, error) {
	g := &Group{Launch: launch, timeout: timeout, calls: make(chan func()), done: make(chan struct{}, 1)}
	go func() {
		runtime.LockOSThread() // an MPI library is called by the thread that initialised it
		for call := range g.calls {
			call()
		}
	}()
	err := g.do("join", 0, func() (err error) {
		g.engine, err = open()
		return err
	})
	if err != nil {
		close(g.calls)
		return nil, err
	}
	return g, nil
}

// Size is the number of ranks.
func (g *Group) Size() int {
	if g == nil {
		return 1
	}
	return g.World
}

// Number is this process's rank.
func (g *Group) Number() int {
	if g == nil {
		return 0
	}
	return g.Rank
}

// IsFirst reports whether this is rank 0, which writes what one process alone would write.
func (g *Group) IsFirst() bool { return g.Number() == 0 }

// EngineName is what the ranks communicate by.
func (g *Group) EngineName() string { return g.engine.Name() }

// CallError says which call of which rank failed.
type CallError struct {
	Rank, World int
	Call        string
	Bytes       int
	Err         error
}

func (e *CallError) Error() string {
	return fmt.Sprintf("rank %d of %d: %s of %d bytes: %v", e.Rank, e.World, e.Call, e.Bytes, e.Err)
}

func (e *CallError) Unwrap() error { return e.Err }

// ErrTimeout is the error of a call that not all ranks came to in time.
var ErrTimeout = errors.New("not all ranks came to it in time: one has died, hangs, or is slower than dist.timeout allows")

// do makes one call of the engine on its thread, and waits for it until the time is over.
func (g *Group) do(name string, bytes int, call func() error) error {
	if g.failure != nil {
		return g.failure
	}
	result := make(chan error, 1)
	g.calls <- func() { result <- call() }
	timer := time.NewTimer(g.timeout)
	defer timer.Stop()
	var err error
	select {
	case err = <-result:
	case <-timer.C:
		err = fmt.Errorf("%w (%v)", ErrTimeout, g.timeout)
	}
	if err != nil {
		g.failure = &CallError{Rank: g.Rank, World: g.World, Call: name, Bytes: bytes, Err: err}
	}
	return g.failure
}

// Timeout is how long a call may take.
func (g *Group) Timeout() time.Duration { return g.timeout }

// Lost is an error once another rank is known to have ended, where the engine can tell without a call.
func (g *Group) Lost() error {
	if e, ok := g.engine.(interface{ Lost() error }); ok {
		return e.Lost()
	}
	return nil
}

// Fail makes the group useless for a reason of this rank's own: the others are not waited for.
func (g *Group) Fail(err error) {
	if g == nil || g.failure != nil {
		return
	}
	g.failure = err
	if a, ok := g.engine.(interface{ Abort() }); ok {
		a.Abort()
	}
}

// Close leaves the group, together with all others unless it has failed.
func (g *Group) Close() error {
	if g == nil || g.failure != nil {
		return nil
	}
	err := g.do("leave", 0, g.engine.Close)
	g.failure = errors.New("the ranks have parted")
	return err
}

// Barrier returns when every rank has called it.
func (g *Group) Barrier() error {
	if g == nil {
		return nil
	}
	return g.do("barrier", 0, g.engine.Barrier)
}

// Broadcast copies the bytes of rank root into those of every other rank, which have the same length.
func (g *Group) Broadcast(b []byte, root int) error {
	if g == nil {
		return nil
	}
	if g.Rank == root {
		g.Sent += int64(len(b)) * int64(g.World-1)
	}
	return g.pieces(len(b), func(from, to int) error {
		return g.do("broadcast", to-from, func() error { return g.engine.Broadcast(b[from:to], root) })
	})
}

func (g *Group) pieces(size int, visit func(from, to int) error) error {
	for from := 0; from < size; from += MaxMessage {
		if err := visit(from, min(from+MaxMessage, size)); err != nil {
			return err
		}
	}
	return nil
}

// AllGather puts every rank's bytes into all, one behind the other; counts are their lengths, the same on every rank.
func (g *Group) AllGather(mine, all []byte, counts []int) error {
	if g == nil {
		copy(all, mine)
		return nil
	}
	if err := g.fits("all-gather", len(all), counts, len(mine)); err != nil {
		return err
	}
	g.Sent += int64(len(mine)) * int64(g.World-1)
	return g.do("all-gather", len(all), func() error { return g.engine.AllGather(mine, all, counts) })
}

// Exchange gives rank r the r-th part of send; recv gets what each rank has for this one, one behind the other. Counts are bytes.
func (g *Group) Exchange(send []byte, sendCounts []int, recv []byte, recvCounts []int) error {
	if g == nil {
		copy(recv, send)
		return nil
	}
	for _, c := range []struct {
		b      []byte
		counts []int
	}{{send, sendCounts}, {recv, recvCounts}} {
		if len(c.counts) != g.World || sendCounts[g.Rank] != recvCounts[g.Rank] {
			return &CallError{g.Rank, g.World, "exchange", len(c.b), fmt.Errorf("parts of %v and %v bytes", sendCounts, recvCounts)}
		}
		if err := g.fits("exchange", len(c.b), c.counts, c.counts[g.Rank]); err != nil {
			return err
		}
	}
	g.Sent += int64(len(send) - sendCounts[g.Rank])
	return g.do("exchange", len(send), func() error { return g.engine.Exchange(send, sendCounts, recv, recvCounts) })
}

// fits checks the lengths of a call before it reaches the engine.
func (g *Group) fits(call string, size int, counts []int, mine int) error {
	sum := 0
	for _, n := range counts {
		sum += n
	}
	if len(counts) == g.World && sum == size && counts[g.Rank] == mine && size <= MaxMessage {
		return nil
	}
	return &CallError{Rank: g.Rank, World: g.World, Call: call, Bytes: size,
		Err: fmt.Errorf("parts of %v bytes for %d ranks, of which this one's has %d; at most %d together", counts, g.World, mine, MaxMessage)}
}

// Gather returns the bytes of every rank, which may differ in length.
func (g *Group) Gather(mine []byte) ([][]byte, error) {
	if g == nil {
		return [][]byte{mine}, nil
	}
	lengths, eights := make([]byte, 8*g.World), make([]int, g.World)
	for r := range eights {
		eights[r] = 8
	}
	if err := g.AllGather(binary.LittleEndian.AppendUint64(nil, uint64(len(mine))), lengths, eights); err != nil {
		return nil, err
	}
	counts, sum := make([]int, g.World), 0
	for r := range counts {
		counts[r] = int(binary.LittleEndian.Uint64(lengths[8*r:]))
		sum += counts[r]
	}
	all, parts := make([]byte, sum), make([][]byte, g.World)
	if err := g.AllGather(mine, all, counts); err != nil {
		return nil, err
	}
	for r, n := range counts {
		parts[r], all = all[:n:n], all[n:]
	}
	return parts, nil
}
