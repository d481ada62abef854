package dist

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// Local makes groups whose ranks are goroutines of this process, for tests.
func Local(world int, timeout time.Duration) []*Group {
	m := &meeting{world: world, parts: make([]part, world)}
	m.all = sync.NewCond(&m.Mutex)
	groups := make([]*Group, world)
	for r := range groups {
		launch := Launch{Launcher: "test", Rank: r, World: world, LocalRank: r, LocalWorld: world}
		groups[r], _ = newGroup(launch, timeout, func() (Engine, error) { return &local{m, r}, nil }) // its opener cannot fail
	}
	return groups
}

// meeting is where the goroutines of a call wait for each other.
type meeting struct {
	sync.Mutex
	all     *sync.Cond
	world   int
	came    int
	round   int
	parts   []part // by rank
	aborted bool
}

// part is what one rank brings to a call.
type part struct {
	call   string
	send   []byte
	counts []int
}

var errGaveUp = errors.New("another rank gave up")

// wait returns when all ranks have called it; m is locked.
func (m *meeting) wait() error {
	round := m.round
	if m.came++; m.came == m.world {
		m.came, m.round = 0, round+1
		m.all.Broadcast()
	}
	for m.round == round && !m.aborted {
		m.all.Wait()
	}
	if m.round == round {
		return errGaveUp
	}
	return nil
}

type local struct {
	*meeting
	rank int
}

func (l *local) Name() string { return "goroutines" }
func (l *local) Rank() int    { return l.rank }
func (l *local) World() int   { return l.world }

// meet shows every rank's part to take, between two meetings: nobody changes its buffers before all have read them.
func (l *local) meet(mine part, take func(parts []part)) error {
	l.Lock()
	defer l.Unlock()
	l.parts[l.rank] = mine
	if err := l.wait(); err != nil {
		return err
	}
	for r, p := range l.parts {
		if p.call != mine.call {
			return fmt.Errorf("rank %d calls %s", r, p.call)
		}
	}
	take(l.parts)
	return l.wait()
}

func (l *local) Exchange(send []byte, sendCounts []int, recv []byte, _ []int) error {
	return l.meet(part{"exchange", send, sendCounts}, func(parts []part) {
		at := 0
		for _, p := range parts {
			at += copy(recv[at:], cut(p.send, p.counts, l.rank))
		}
	})
}

func (l *local) AllGather(mine, all []byte, _ []int) error {
	return l.meet(part{call: "all-gather", send: mine}, func(parts []part) {
		at := 0
		for _, p := range parts {
			at += copy(all[at:], p.send)
		}
	})
}

func (l *local) Broadcast(b []byte, root int) error {
	return l.meet(part{call: "broadcast", send: b}, func(parts []part) { copy(b, parts[root].send) })
}

func (l *local) Barrier() error { return l.meet(part{call: "barrier"}, func([]part) {}) }

func (l *local) Close() error { return l.Barrier() }

// Abort ends every call of every rank.
func (l *local) Abort() {
	l.Lock()
	defer l.Unlock()
	l.aborted = true
	l.all.Broadcast()
}
