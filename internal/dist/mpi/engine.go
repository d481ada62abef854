//go:build linux && (amd64 || arm64) && !nocuda

package mpi

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"github.com/goprm/goprm/internal/dist"
)

func init() { dist.Register("MPI", open) }

// threadFunneled is MPI_THREAD_FUNNELED of both ABIs: the thread that initialises MPI makes all calls.
const threadFunneled = 1

// Library says which MPI library the ranks of a launch would use; it does not initialise it.
func Library(launch dist.Launch) (string, error) {
	l, err := load(preferred(launch))
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s (%s)", l.version, l.path), nil
}

// preferred are the libraries that fit the launcher best.
func preferred(launch dist.Launch) []string {
	if launch.Launcher == "MPICH" || os.Getenv("PMI_RANK") != "" {
		return mpich
	}
	return openMPI
}

// open joins the ranks of mpirun or srun.
func open(_ context.Context, launch dist.Launch) (dist.Engine, error) {
	switch launch.Launcher {
	case "Open MPI", "MPICH", "Slurm":
	default:
		return nil, fmt.Errorf("%w: %s starts no MPI processes", dist.ErrNotHere, launch.Launcher)
	}
	l, err := load(preferred(launch))
	if err != nil {
		return nil, err
	}
	if l.initialized {
		return nil, errors.New("MPI can be initialised once a process, and was")
	}
	l.initialized = true
	var provided, rank, world int32
	if err := l.check("MPI_Init_thread", l.raw("MPI_Init_thread", 0, 0, threadFunneled, uintptr(unsafe.Pointer(&provided)))); err != nil {
		return nil, err
	}
	if provided < threadFunneled {
		return nil, fmt.Errorf("%s does not allow programs with threads", l.version)
	}
	if err := l.check("MPI_Comm_set_errhandler", l.raw("MPI_Comm_set_errhandler", l.world, l.errorsReturn)); err != nil {
		return nil, err
	}
	if err := l.check("MPI_Comm_rank", l.raw("MPI_Comm_rank", l.world, uintptr(unsafe.Pointer(&rank)))); err != nil {
		return nil, err
	}
	if err := l.check("MPI_Comm_size", l.raw("MPI_Comm_size", l.world, uintptr(unsafe.Pointer(&world)))); err != nil {
		return nil, err
	}
	return &engine{l, int(rank), int(world)}, nil
}

type engine struct {
	*library
	rank, size int
}

func (e *engine) Name() string { return e.version }
func (e *engine) Rank() int    { return e.rank }
func (e *engine) World() int   { return e.size }

func (e *engine) Exchange(send []byte, sendCounts []int, recv []byte, recvCounts []int) error {
	defer keep(send, recv)
	s, r := layout(sendCounts), layout(recvCounts)
	return e.check("MPI_Alltoallv", e.raw("MPI_Alltoallv",
		start(send), uintptr(unsafe.Pointer(&s.counts[0])), uintptr(unsafe.Pointer(&s.from[0])), e.bytes,
		start(recv), uintptr(unsafe.Pointer(&r.counts[0])), uintptr(unsafe.Pointer(&r.from[0])), e.bytes, e.library.world))
}

func (e *engine) AllGather(mine, all []byte, counts []int) error {
	defer keep(mine, all)
	a := layout(counts)
	return e.check("MPI_Allgatherv", e.raw("MPI_Allgatherv", start(mine), uintptr(len(mine)), e.bytes,
		start(all), uintptr(unsafe.Pointer(&a.counts[0])), uintptr(unsafe.Pointer(&a.from[0])), e.bytes, e.library.world))
}

func (e *engine) Broadcast(b []byte, root int) error {
	defer keep(b)
	return e.check("MPI_Bcast", e.raw("MPI_Bcast", start(b), uintptr(len(b)), e.bytes, uintptr(root), e.library.world))
}

func (e *engine) Barrier() error {
	return e.check("MPI_Barrier", e.raw("MPI_Barrier", e.library.world))
}

func (e *engine) Close() error {
	err := e.check("MPI_Finalize", e.raw("MPI_Finalize"))
	if err == nil && e.atExit {
		err = e.runExitHandlers()
	}
	return err
}

// ints are counts and displacements as C ints.
type ints struct{ counts, from []int32 }

func layout(counts []int) ints {
	var l ints
	at := 0
	for _, n := range counts {
		l.counts, l.from = append(l.counts, int32(n)), append(l.from, int32(at))
		at += n
	}
	return l
}

// start is the address of a slice's memory, which Go does not move; keep must follow the call, or the collector may take it.
func start(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

func keep(slices ...[]byte) {
	for _, b := range slices {
		runtime.KeepAlive(unsafe.SliceData(b))
	}
}
