//go:build linux && (amd64 || arm64) && !nocuda

package nccl

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// LibraryEnv names another library than libnccl.so.2.
const LibraryEnv = "GOPRM_NCCL"

// ErrNotHere means that this machine has no NCCL.
var ErrNotHere = errors.New("libnccl.so.2 was not found; install NCCL, or name the library by " + LibraryEnv)

// Answers of a call, ncclResult_t.
const (
	success    = 0
	inProgress = 7
)

// Type is ncclDataType_t.
type Type int

// Types of what is sent.
const (
	F32 Type = 7
	F64 Type = 8
)

// Error is a failed call.
type Error struct {
	Call, Text string
	Code       int
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s (%d)", e.Call, e.Text, e.Code) }

// The entry points, by number.
const (
	getVersion = iota
	getErrorString
	getUniqueID
	commInitRankConfig
	commGetAsyncError
	commFinalize
	commDestroy
	commAbort
	groupStart
	groupEnd
	send
	receive
	broadcast
	entries
)

var names = [entries]string{"ncclGetVersion", "ncclGetErrorString", "ncclGetUniqueId", "ncclCommInitRankConfig", "ncclCommGetAsyncError",
	"ncclCommFinalize", "ncclCommDestroy", "ncclCommAbort", "ncclGroupStart", "ncclGroupEnd", "ncclSend", "ncclRecv", "ncclBroadcast"}

var library struct {
	calls     [entries]uintptr
	lastError uintptr // ncclGetLastError, of later versions; 0: it has none
	version   int32
}

// Load finds the library, once a process. After the driver: NCCL opens it too.
var Load = sync.OnceValue(func() error {
	path := "libnccl.so.2"
	if other := os.Getenv(LibraryEnv); other != "" {
		path = other
	}
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	switch {
	case err != nil && os.Getenv(LibraryEnv) != "":
		return fmt.Errorf("%s: %w", LibraryEnv, err)
	case err != nil:
		return ErrNotHere
	}
	for i, name := range names {
		if library.calls[i], err = purego.Dlsym(handle, name); err != nil {
			return fmt.Errorf("%s is too old: it has no %s, which came with NCCL 2.14", path, name)
		}
	}
	library.lastError, _ = purego.Dlsym(handle, "ncclGetLastError")
	return do(getVersion, 0, uintptr(unsafe.Pointer(&library.version)))
})

// Version is that of the library that was loaded, such as 2.27.3.
func Version() string {
	v := library.version
	if v < 10000 { // up to 2.8
		return fmt.Sprintf("%d.%d.%d", v/1000, v/100%10, v%100)
	}
	return fmt.Sprintf("%d.%d.%d", v/10000, v/100%100, v%100)
}

// do makes a call; its arguments are integers and addresses, of memory that the directive keeps where it is. What is in progress is no
// error. comm is for what the library has to say of it.
//
//go:uintptrescapes
func do(entry int, comm uintptr, args ...uintptr) error {
	r, _, _ := purego.SyscallN(library.calls[entry], args...)
	if code := int32(r); code != success && code != inProgress {
		return failed(names[entry], comm, code)
	}
	return nil
}

func failed(call string, comm uintptr, code int32) error {
	text, _, _ := purego.SyscallN(library.calls[getErrorString], uintptr(code))
	e := &Error{Call: call, Code: int(code), Text: goString(text)}
	if library.lastError != 0 {
		if last, _, _ := purego.SyscallN(library.lastError, comm); goString(last) != "" {
			e.Text += ": " + goString(last)
		}
	}
	return e
}

func goString(at uintptr) string {
	if at == 0 {
		return ""
	}
	p, n := *(*unsafe.Pointer)(unsafe.Pointer(&at)), 0
	for *(*byte)(unsafe.Add(p, n)) != 0 {
		n++
	}
	return string(unsafe.Slice((*byte)(p), n))
}

// ID is what the ranks of a communicator join by, ncclUniqueId.
type ID [128]byte

// NewID makes one, on the machine of a rank that will join.
func NewID() (ID, error) {
	id := new(ID)
	err := do(getUniqueID, 0, uintptr(unsafe.Pointer(id)))
	return *id, err
}

// config is ncclConfig_t as it was in 2.14, which later versions take.
type config struct {
	size           uint64
	magic, version uint32
	blocking       int32
	_              int32
}

// Comm is a communicator of the current context's device. The thread that calls it has that context.
type Comm struct {
	handle uintptr
	id     ID
	config config
}

// Join begins to make this process a rank; State tells when all have come.
func Join(id ID, world, rank int) (*Comm, error) {
	c := &Comm{id: id, config: config{size: 24, magic: 0xcafebeef, version: 21400}} // on the heap, which does not move
	at, settings := uintptr(unsafe.Pointer(&c.handle)), uintptr(unsafe.Pointer(&c.config))
	args := []uintptr{at, uintptr(world), uintptr(unsafe.Pointer(&c.id)), uintptr(rank), settings}
	if runtime.GOARCH == "amd64" { // a struct of 128 bytes goes on the stack, behind the six registers
		args = []uintptr{at, uintptr(world), uintptr(rank), settings, 0, 0}
		for _, word := range *(*[16]uintptr)(unsafe.Pointer(&c.id)) {
			args = append(args, word)
		}
	}
	err := do(commInitRankConfig, 0, args...)
	runtime.KeepAlive(c)
	return c, err
}

// State is whether the last call is still in progress, or what has gone wrong since, on any rank.
func (c *Comm) State() (busy bool, err error) {
	var state int32
	if err := do(commGetAsyncError, c.handle, c.handle, uintptr(unsafe.Pointer(&state))); err != nil {
		return false, err
	}
	if state != success && state != inProgress {
		return false, failed("a collective", c.handle, state)
	}
	return state == inProgress, nil
}

// GroupStart begins calls that are one.
func (c *Comm) GroupStart() error { return do(groupStart, c.handle) }

// GroupEnd queues what the group holds.
func (c *Comm) GroupEnd() error { return do(groupEnd, c.handle) }

// Send gives count numbers to a rank, which receives as many.
func (c *Comm) Send(from uintptr, count int, t Type, peer int, stream uintptr) error {
	return do(send, c.handle, from, uintptr(count), uintptr(t), uintptr(peer), c.handle, stream)
}

// Receive takes what a rank sends.
func (c *Comm) Receive(to uintptr, count int, t Type, peer int, stream uintptr) error {
	return do(receive, c.handle, to, uintptr(count), uintptr(t), uintptr(peer), c.handle, stream)
}

// Broadcast copies root's numbers to those of every rank.
func (c *Comm) Broadcast(at uintptr, count int, t Type, root int, stream uintptr) error {
	return do(broadcast, c.handle, at, at, uintptr(count), uintptr(t), uintptr(root), c.handle, stream)
}

// Abort ends what is queued, and the communicator.
func (c *Comm) Abort() error { return do(commAbort, 0, c.handle) }

// Finalize begins the end of the communicator in good order; when State is no longer busy, Destroy frees it.
func (c *Comm) Finalize() error { return do(commFinalize, c.handle, c.handle) }

// Destroy frees a communicator that was finalized.
func (c *Comm) Destroy() error { return do(commDestroy, 0, c.handle) }
