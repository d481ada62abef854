package dist

import (
	"encoding/json"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// onTCP runs f on every rank of a world that meets on loopback, and returns their errors.
func onTCP(t testing.TB, world int, timeout time.Duration, f func(g *Group) error) []error {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := free.Addr().(*net.TCPAddr).Port
	require.NoError(t, free.Close())
	errs := make([]error, world)
	var work sync.WaitGroup
	for r := range world {
		work.Go(func() {
			time.Sleep(time.Duration(world-r) * 20 * time.Millisecond) // rank 0 comes last
			g, err := Join(Launch{Launcher: "torchrun", Rank: r, World: world, Master: "localhost", MasterPort: port}, timeout)
			if err == nil {
				err = f(g)
			}
			errs[r] = err
		})
	}
	work.Wait()
	return errs
}

func TestTCPCollectives(t *testing.T) {
	for world := 2; world <= 5; world++ {
		requireAll(t, onTCP(t, world, time.Minute, func(g *Group) error { return errors.Join(Exercise(g), g.Close()) }))
	}
}

// A rank that ends closes its connections: the others know at once, long before the time for a call is over.
func TestTCPKnowsAtOnceThatARankEnded(t *testing.T) {
	began := time.Now()
	errs := onTCP(t, 3, time.Hour, func(g *Group) error {
		if g.Rank == 1 {
			g.Fail(errors.New("disk full"))
			return nil
		}
		return g.Barrier()
	})
	require.Less(t, time.Since(began), 10*time.Second)
	require.ErrorContains(t, errs[0], "rank 0 of 3: barrier of 0 bytes: rank ")
	require.Error(t, errs[2])
}

func TestTCPFindsDifferentCalls(t *testing.T) {
	errs := onTCP(t, 2, time.Minute, func(g *Group) error {
		if g.Rank == 1 {
			return g.Barrier()
		}
		return g.Broadcast([]byte{1}, 0)
	})
	require.ErrorContains(t, errors.Join(errs...), "the ranks are not at the same place")
}

func TestTCPRanksThatDoNotCome(t *testing.T) {
	_, err := Join(Launch{Launcher: "torchrun", Rank: 1, World: 2, Master: "127.0.0.1", MasterPort: 9}, 200*time.Millisecond)
	require.ErrorContains(t, err, "rank 1 of 2: join")
	_, err = Join(Launch{Launcher: "torchrun", Rank: 1, World: 2}, time.Second)
	require.ErrorContains(t, err, "MASTER_ADDR and MASTER_PORT are not both set")
	_, err = Join(Launch{Launcher: "Open MPI", Rank: 1, World: 2}, time.Second)
	require.ErrorContains(t, err, `import _ "github.com/goprm/goprm/mpi"`)
}

// Callers that are no ranks of the job are sent away, and do not keep it from starting.
func TestTCPStrangers(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, listener.Close()) }()
	m := mesh{Launch: Launch{Rank: 0, World: 2}, job: "mine", tcp: &tcp{world: 2, peers: make([]net.Conn, 2)}}
	for _, line := range []string{"GET / HTTP/1.1\r\n\r\n", `{"job":"other","world":2,"rank":1}` + "\n", "", `{"job":"mine","world":2,"rank":1,"port":5}` + "\n"} {
		conn, err := net.Dial("tcp", listener.Addr().String())
		require.NoError(t, err)
		_, err = conn.Write([]byte(line))
		require.NoError(t, err)
		if line == "" {
			require.NoError(t, conn.Close())
		} else {
			defer func() { require.NoError(t, conn.Close()) }()
		}
	}
	_, h, err := m.accept(listener)
	require.NoError(t, err)
	require.Equal(t, hello{Job: "mine", World: 2, Rank: 1, Port: 5}, h)

	conn, err := net.Dial("tcp", listener.Addr().String()) // the same rank once more
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	require.NoError(t, json.NewEncoder(conn).Encode(h))
	_, _, err = m.accept(listener)
	require.ErrorContains(t, err, "rank 1 of 2, which is not expected")
}

// A rank that ends is known to the others without a call; while all are there, whatever they have sent, nothing is lost.
func TestTCPLost(t *testing.T) {
	if _, ok := any(&tcp{}).(interface{ Lost() error }); !ok {
		t.Skip("this system does not tell")
	}
	ended := make(chan struct{})
	requireAll(t, onTCP(t, 3, time.Minute, func(g *Group) error {
		if err := errors.Join(g.Lost(), g.Barrier(), g.Lost(), g.Barrier()); err != nil || g.Rank == 1 {
			if g.Rank == 1 {
				g.Fail(errors.New("over"))
				close(ended)
			}
			return err
		}
		<-ended
		for begin := time.Now(); time.Since(begin) < 10*time.Second; time.Sleep(time.Millisecond) {
			if err := g.Lost(); err != nil {
				if err.Error() != "rank 1: it has ended" {
					return err
				}
				return nil
			}
		}
		return errors.New("nothing was noticed")
	}))
}
