//go:build linux && (amd64 || arm64) && !nocuda

package mpi

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
	"github.com/goprm/goprm/internal/dist"
)

// LibraryEnv names the MPI library where it is none of those that are looked for.
const LibraryEnv = "GOPRM_MPI"

// The libraries of Open MPI, whose versions 4 and 5 share a name and the symbols of their constants, and those with MPICH's ABI: MPICH,
// Intel MPI, MVAPICH. Debian's MPICH has the last name.
var (
	openMPI = []string{"libmpi.so.40", "libmpi.so"}
	mpich   = []string{"libmpi.so.12", "libmpich.so.12"}
)

// library is a loaded MPI library. Open MPI's handles are addresses of objects in it, MPICH's are numbers.
type library struct {
	path, version              string
	handle                     uintptr
	world, bytes, errorsReturn uintptr
	calls                      map[string]uintptr
	initialized                bool
	atExit                     bool // it leaves its launcher when the process ends
}

var names = []string{"MPI_Init_thread", "MPI_Finalize", "MPI_Comm_rank", "MPI_Comm_size", "MPI_Comm_set_errhandler", "MPI_Barrier",
	"MPI_Bcast", "MPI_Allgatherv", "MPI_Alltoallv", "MPI_Error_string", "MPI_Get_library_version"}

var loaded struct {
	sync.Mutex
	library *library
}

// load finds the library once a process; first are the names that fit the launcher.
func load(first []string) (*library, error) {
	loaded.Lock()
	defer loaded.Unlock()
	if loaded.library != nil {
		return loaded.library, nil
	}
	paths := append(append([]string{}, first...), append(openMPI, mpich...)...)
	if path := os.Getenv(LibraryEnv); path != "" {
		paths = []string{path}
	}
	if err := keepSignals(); err != nil {
		return nil, err
	}
	var failed error
	for _, path := range paths {
		handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_GLOBAL) // global: Open MPI's own plug-ins look for its symbols
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		l, err := resolve(path, handle)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		loaded.library = l
		return l, nil
	}
	if os.Getenv(LibraryEnv) != "" {
		return nil, fmt.Errorf("%s: %w", LibraryEnv, failed)
	}
	return nil, fmt.Errorf("%w: no MPI library was found (%s); install it (Debian: libopenmpi3 or libmpich12), or name it by %s",
		dist.ErrNotHere, strings.Join(append(openMPI, mpich...), ", "), LibraryEnv)
}

// keepSignals stops UCX, which MPI libraries load, from taking over the signals by which Go tells a lost page of a mapped file. It reads
// its settings when it is loaded; C's environment is not Go's.
func keepSignals() error {
	const name = "UCX_ERROR_SIGNALS"
	if os.Getenv(name) != "" {
		return nil
	}
	setenv, err := purego.Dlsym(purego.RTLD_DEFAULT, "setenv")
	if err != nil {
		return fmt.Errorf("libc: %w", err)
	}
	key, none := append([]byte(name), 0), []byte{0}
	call(setenv, start(key), start(none), 1)
	keep(key, none)
	return nil
}

func resolve(path string, handle uintptr) (*library, error) {
	l := &library{path: path, handle: handle, calls: map[string]uintptr{}}
	for _, name := range names {
		var err error
		if l.calls[name], err = purego.Dlsym(handle, name); err != nil {
			return nil, fmt.Errorf("it is no MPI library: it has no %s", name)
		}
	}
	text, length := make([]byte, 8192), int32(0) // longer than MPI_MAX_LIBRARY_VERSION_STRING of any
	if code := l.raw("MPI_Get_library_version", uintptr(unsafe.Pointer(&text[0])), uintptr(unsafe.Pointer(&length))); code != 0 {
		return nil, fmt.Errorf("MPI_Get_library_version: code %d", code)
	}
	l.version, _, _ = strings.Cut(strings.TrimRight(string(text[:max(0, min(int(length), len(text)))]), "\x00"), "\n")
	l.version, _, _ = strings.Cut(l.version, ",")
	l.version = strings.Join(strings.Fields(l.version), " ")
	switch world, err := purego.Dlsym(handle, "ompi_mpi_comm_world"); {
	case err == nil:
		l.world = world
		if l.bytes, err = purego.Dlsym(handle, "ompi_mpi_byte"); err == nil {
			l.errorsReturn, err = purego.Dlsym(handle, "ompi_mpi_errors_return")
		}
		return l, err
	case strings.Contains(l.version, "MPICH"), strings.Contains(l.version, "Intel"), strings.Contains(l.version, "MVAPICH"):
		l.world, l.bytes, l.errorsReturn = 0x44000000, 0x4c00010d, 0x54000001 // mpi.h of MPICH's ABI
		l.atExit = true
		return l, nil
	}
	return nil, fmt.Errorf("%q has neither Open MPI's ABI nor MPICH's", l.version)
}

// call calls a function; its arguments are integers and addresses, of memory that the directive keeps where it is.
//
//go:uintptrescapes
func call(address uintptr, args ...uintptr) int32 {
	r, _, _ := purego.SyscallN(address, args...)
	return int32(r)
}

//go:uintptrescapes
func (l *library) raw(name string, args ...uintptr) int32 { return call(l.calls[name], args...) }

// check turns a code into an error that names the call.
func (l *library) check(name string, code int32) error {
	if code == 0 {
		return nil
	}
	text, length := make([]byte, 8192), int32(0)
	if l.raw("MPI_Error_string", uintptr(code), uintptr(unsafe.Pointer(&text[0])), uintptr(unsafe.Pointer(&length))) != 0 {
		return fmt.Errorf("%s: code %d", name, code)
	}
	return fmt.Errorf("%s: %s (code %d)", name, strings.TrimRight(string(text[:max(0, min(int(length), len(text)))]), "\x00\n"), code)
}
