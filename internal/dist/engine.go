package dist

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
)

// Engine moves bytes among the ranks. A [Group] calls it on one locked thread, each rank the same calls in the same order. Sizes are in
// bytes and never more than [MaxMessage] together.
type Engine interface {
	// Name is what runs underneath, such as "Open MPI v4.1.4".
	Name() string
	Rank() int
	World() int
	// Exchange gives rank r the r-th part of send; recv gets what each rank has for this one, in the order of ranks.
	Exchange(send []byte, sendCounts []int, recv []byte, recvCounts []int) error
	// AllGather puts every rank's mine into all, in the order of ranks.
	AllGather(mine, all []byte, counts []int) error
	// Broadcast copies root's b to every rank's b.
	Broadcast(b []byte, root int) error
	Barrier() error
	// Close leaves in good order, together with all others.
	Close() error
}

// MaxMessage bounds the buffers of one call: MPI counts in 32 bits.
const MaxMessage = 1 << 30

// Opener makes the engine of a launch; ErrNotHere if that kind of engine cannot join the ranks of this launch.
type Opener func(context.Context, Launch) (Engine, error)

// ErrNotHere is what an Opener returns whose engine is not installed or not meant.
var ErrNotHere = errors.New("not here")

// kind is a kind of engine.
type kind struct {
	name string
	open Opener
}

// registry is a global, as that of the compute backends is: MPI links a program to libc, so only programs that import package mpi hold it,
// and this package cannot name it.
var registry struct {
	sync.Mutex
	kinds []kind
}

// Register makes a kind of engine available besides TCP, as database/sql drivers do; called from init functions. The first that can join is
// taken, TCP before all others.
func Register(name string, open Opener) {
	registry.Lock()
	defer registry.Unlock()
	registry.kinds = append(registry.kinds, kind{name, open})
}

// open makes the engine of a launch.
func open(ctx context.Context, launch Launch) (Engine, error) {
	registry.Lock()
	registered := registry.kinds
	registry.Unlock()
	var reasons []string
	for _, k := range append([]kind{{"TCP", joinTCP}}, registered...) {
		engine, err := k.open(ctx, launch)
		if err == nil {
			return engine, check(engine, launch)
		}
		if !errors.Is(err, ErrNotHere) {
			return nil, fmt.Errorf("%s: %w", k.name, err)
		}
		reasons = append(reasons, fmt.Sprintf("%s: %v", k.name, err))
	}
	if len(registered) == 0 {
		reasons = append(reasons, `MPI: this program does not import _ "github.com/goprm/goprm/mpi"`)
	}
	return nil, fmt.Errorf("no engine joins these ranks: %s", strings.Join(reasons, "; "))
}

// check holds the engine to what the launcher's variables say.
func check(e Engine, launch Launch) error {
	if e.World() != launch.World || e.Rank() != launch.Rank {
		return fmt.Errorf("%s says rank %d of %d, the variables of %s say rank %d of %d: the ranks were started by something that this library "+
			"does not belong to", e.Name(), e.Rank(), e.World(), launch.Launcher, launch.Rank, launch.World)
	}
	return nil
}
