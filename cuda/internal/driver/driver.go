//go:build linux && (amd64 || arm64) && !nocuda

// Package driver calls the CUDA driver, which it finds at run time: no cgo, no headers, no toolkit. It is all that knows
// purego. Every call is checked; an Error names the call and the driver's code. With the tag gorgonia_cu the calls that
// gorgonia.org/cu has go through it, with cgo; see calls_gorgonia.go.
package driver

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"github.com/ebitengine/purego"
)

// LibraryEnv names another library than libcuda.so.1; tests put the emulator there.
const LibraryEnv = "GOPRM_CUDA_DRIVER"

// MinVersion is the oldest driver that has every call and whose PTX compiler knows every kernel: CUDA 11.4.
const MinVersion = 11040

// ErrNoDriver means that this machine has no NVIDIA driver.
var ErrNoDriver = errors.New("no NVIDIA driver: libcuda.so.1 was not found")

// Handles of the driver.
type (
	Ptr      uint64
	Module   uintptr
	Function uintptr
	Stream   uintptr
	Event    uintptr
)

// Attributes of a device and a function, as cuda.h numbers them.
const (
	ClockRate       = 13 // kHz
	Multiprocessors = 16
	MemoryClockRate = 36 // kHz
	MemoryBusWidth  = 37 // bits
	L2CacheSize     = 38 // bytes
	Major           = 75
	Minor           = 76
	SharedOptIn     = 97
	sharedAttribute = 8 // CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
	nonBlocking     = 1 // CU_STREAM_NON_BLOCKING
	threadLocal     = 1 // CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
	withoutTiming   = 2 // CU_EVENT_DISABLE_TIMING
)

// OutOfMemory is CUDA_ERROR_OUT_OF_MEMORY.
const OutOfMemory = 2

// notReady is CUDA_ERROR_NOT_READY.
const notReady = 600

// done takes the answer of cuEventQuery.
func done(err error) (bool, error) {
	var failed *Error
	if errors.As(err, &failed) && failed.Code == notReady {
		return false, nil
	}
	return err == nil, err
}

// Error is a failed call.
type Error struct {
	Call string
	Code int
	Name string // of the code
	Text string
}

func (e *Error) Error() string {
	if strings.HasPrefix(e.Text, "as named") || e.Text == "" {
		return fmt.Sprintf("%s: %s (%d)", e.Call, e.Name, e.Code)
	}
	return fmt.Sprintf("%s: %s (%d): %s", e.Call, e.Name, e.Code, e.Text)
}

// lostCodes are those of cuda.h after which a context answers nothing any more, and all its memory is gone.
var lostCodes = []int{
	46,            // DEVICE_UNAVAILABLE
	214, 220, 226, // ECC, NVLINK and CONTAINED: hardware
	700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 721, // what a kernel did, LAUNCH_FAILED among it, or a limit of its time
	999, // UNKNOWN
}

// DeviceLost is what engine.DeviceLost asks.
func (e *Error) DeviceLost() bool { return slices.Contains(lostCodes, e.Code) }

// call is an entry point of the driver, found when the library is loaded.
type call struct {
	name    string
	address uintptr
}

var (
	cuInit                      = entry("cuInit")
	cuDriverGetVersion          = entry("cuDriverGetVersion")
	cuDeviceGetCount            = entry("cuDeviceGetCount")
	cuDeviceGet                 = entry("cuDeviceGet")
	cuDeviceGetName             = entry("cuDeviceGetName")
	cuDeviceGetAttribute        = entry("cuDeviceGetAttribute")
	cuDeviceTotalMem            = entry("cuDeviceTotalMem_v2")
	cuDevicePrimaryCtxRetain    = entry("cuDevicePrimaryCtxRetain")
	cuDevicePrimaryCtxRelease   = entry("cuDevicePrimaryCtxRelease_v2")
	cuCtxSetCurrent             = entry("cuCtxSetCurrent")
	cuMemGetInfo                = entry("cuMemGetInfo_v2")
	cuMemAlloc                  = entry("cuMemAlloc_v2")
	cuMemFree                   = entry("cuMemFree_v2")
	cuMemHostAlloc              = entry("cuMemHostAlloc")
	cuMemFreeHost               = entry("cuMemFreeHost")
	cuMemcpyHtoDAsync           = entry("cuMemcpyHtoDAsync_v2")
	cuMemcpyDtoHAsync           = entry("cuMemcpyDtoHAsync_v2")
	cuMemsetD8Async             = entry("cuMemsetD8Async")
	cuModuleLoadDataEx          = entry("cuModuleLoadDataEx")
	cuModuleUnload              = entry("cuModuleUnload")
	cuModuleGetFunction         = entry("cuModuleGetFunction")
	cuFuncSetAttribute          = entry("cuFuncSetAttribute")
	cuLaunchKernel              = entry("cuLaunchKernel")
	cuTensorMapEncodeTiled      = optional("cuTensorMapEncodeTiled") // of CUDA 12
	cuStreamCreate              = entry("cuStreamCreate")
	cuStreamDestroy             = entry("cuStreamDestroy_v2")
	cuStreamSynchronize         = entry("cuStreamSynchronize")
	cuStreamWaitEvent           = entry("cuStreamWaitEvent")
	cuStreamBeginCapture        = entry("cuStreamBeginCapture_v2")
	cuStreamEndCapture          = entry("cuStreamEndCapture")
	cuGraphInstantiateWithFlags = entry("cuGraphInstantiateWithFlags")
	cuGraphLaunch               = entry("cuGraphLaunch")
	cuGraphExecDestroy          = entry("cuGraphExecDestroy")
	cuGraphDestroy              = entry("cuGraphDestroy")
	cuEventCreate               = entry("cuEventCreate")
	cuEventRecord               = entry("cuEventRecord")
	cuEventQuery                = entry("cuEventQuery")
	cuEventSynchronize          = entry("cuEventSynchronize")
	cuEventDestroy              = entry("cuEventDestroy_v2")
	cuEventElapsedTime          = entry("cuEventElapsedTime")
	cuGetErrorName              = entry("cuGetErrorName")
	cuGetErrorString            = entry("cuGetErrorString")
)

var entries, optionals []*call

func optional(name string) *call {
	c := &call{name: name}
	optionals = append(optionals, c)
	return c
}

func entry(name string) *call {
	c := &call{name: name}
	entries = append(entries, c)
	return c
}

// do makes the call; its arguments are integers and addresses, of memory that the directive keeps off the moving stack.
//
//go:uintptrescapes
func (c *call) do(args ...uintptr) error {
	r, _, _ := purego.SyscallN(c.address, args...)
	if code := int32(r); code != 0 {
		return c.failed(int(code))
	}
	return nil
}

// Prepared is a call with its arguments. Doing it allocates nothing.
type Prepared struct {
	call *call
	args []uintptr
	keep any          // what the arguments point to
	by   func() error // makes the call, where that is not ours
}

// Do makes the call.
func (p *Prepared) Do() error {
	if p.by != nil {
		return p.by()
	}
	if r, _, _ := purego.SyscallN(p.call.address, p.args...); int32(r) != 0 {
		return p.call.failed(int(int32(r)))
	}
	return nil
}

func (c *call) failed(code int) error {
	e := &Error{Call: strings.TrimSuffix(c.name, "_v2"), Code: code, Name: "unknown error"}
	var text *byte
	if r, _, _ := purego.SyscallN(cuGetErrorName.address, uintptr(code), uintptr(unsafe.Pointer(&text))); int32(r) == 0 {
		e.Name = goString(text)
	}
	if r, _, _ := purego.SyscallN(cuGetErrorString.address, uintptr(code), uintptr(unsafe.Pointer(&text))); int32(r) == 0 {
		e.Text = goString(text)
	}
	return e
}

func goString(p *byte) string {
	if p == nil {
		return ""
	}
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(p), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(p, n))
}

// Load finds the driver and initialises it, once a process.
var Load = sync.OnceValue(func() error {
	libraries := []string{"libcuda.so.1", "libcuda.so"}
	if path := os.Getenv(LibraryEnv); path != "" {
		libraries = []string{path}
	}
	var library uintptr
	var failed error
	for _, path := range libraries {
		var err error
		if library, err = purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_GLOBAL); err == nil {
			break
		}
		failed = errors.Join(failed, err)
	}
	if library == 0 {
		if os.Getenv(LibraryEnv) != "" {
			return fmt.Errorf("%s: %w", LibraryEnv, failed)
		}
		return ErrNoDriver
	}
	for _, c := range entries {
		var err error
		if c.address, err = purego.Dlsym(library, c.name); err != nil {
			return fmt.Errorf("the NVIDIA driver is too old: it has no %s", c.name)
		}
	}
	for _, c := range optionals {
		c.address, _ = purego.Dlsym(library, c.name)
	}
	if err := linked(cuInit.address); err != nil {
		return err
	}
	if err := placeCache(); err != nil {
		return err
	}
	if err := cuInit.do(0); err != nil {
		return err
	}
	version, err := Version()
	if err != nil {
		return err
	}
	if version < MinVersion {
		return fmt.Errorf("the NVIDIA driver is too old: it is for CUDA %d.%d, the kernels need %d.%d",
			version/1000, version%1000/10, MinVersion/1000, MinVersion%1000/10)
	}
	return nil
})

// placeCache names a folder that can be written for the driver's cache of compiled PTX, where neither the user nor HOME gives it
// one: without a cache every process compiles all kernels, some 15 seconds of it.
func placeCache() error {
	const cacheEnv = "CUDA_CACHE_PATH"
	if os.Getenv(cacheEnv) != "" {
		return nil
	}
	if home := os.Getenv("HOME"); home != "" && writable(filepath.Join(home, ".nv")) {
		return nil // where the driver looks by itself
	}
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("goprm-cuda-cache-%d", os.Getuid()))
	if !writable(dir) || !private(dir) {
		return nil // then there is no cache, as before
	}
	return os.Setenv(cacheEnv, dir) // which is libc's too, as purego is linked in
}

// writable makes the folder if it is not there, and tries to make a file in it.
func writable(dir string) bool {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false
	}
	f, err := os.CreateTemp(dir, "goprm")
	if err != nil {
		return false
	}
	return errors.Join(f.Close(), os.Remove(f.Name())) == nil
}

// private reports whether the folder is this user's alone, as what lies there is run.
func private(dir string) bool {
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() || info.Mode().Perm() != 0o700 {
		return false
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(s.Uid) == os.Getuid()
}

// Context is a device's primary context.
type Context struct{ enter *Prepared }

// Enter makes the context current on this thread, to which the goroutine is locked until Leave: the driver keeps the
// current context by thread.
func (c Context) Enter() error {
	runtime.LockOSThread()
	if err := c.enter.Do(); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	return nil
}

// Leave ends what Enter began.
func (Context) Leave() { runtime.UnlockOSThread() }

// The rest needs a current context.

// AllocHost takes page-locked host memory.
func AllocHost(bytes int) (unsafe.Pointer, error) {
	var p unsafe.Pointer
	err := cuMemHostAlloc.do(uintptr(unsafe.Pointer(&p)), uintptr(bytes), 0)
	return p, err
}

// LoadModule compiles PTX for the current device. Where the driver refuses it, the error's text is what its assembler said. It
// is called here for both sets of calls, as cu gives the assembler no room to say anything.
func LoadModule(ptx []byte) (Module, error) {
	const errorLog, errorLogBytes = 5, 6 // CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES
	text, log := append(slices.Clone(ptx), 0), make([]byte, 8<<10)
	options := []int32{errorLog, errorLogBytes}
	values := onHeap(uintptr(unsafe.Pointer(&log[0])), uintptr(len(log)-1))
	var m Module
	err := cuModuleLoadDataEx.do(uintptr(unsafe.Pointer(&m)), uintptr(unsafe.Pointer(&text[0])), uintptr(len(options)),
		uintptr(unsafe.Pointer(&options[0])), uintptr(unsafe.Pointer(&values[0])))
	runtime.KeepAlive(text)
	runtime.KeepAlive(log)
	var failed *Error
	if said := strings.Join(strings.Fields(goString(&log[0])), " "); said != "" && errors.As(err, &failed) {
		failed.Text = said
	}
	return m, err
}

// onHeap is a list of arguments that lies in memory itself, which the directive does not follow: what they point to does not move, and
// the caller keeps it alive.
//
//go:uintptrescapes
func onHeap(args ...uintptr) []uintptr { return slices.Clone(args) }

// AllowShared lets a kernel use more than 48 KiB of shared memory a block.
func (f Function) AllowShared(bytes int) error {
	return cuFuncSetAttribute.do(uintptr(f), sharedAttribute, uintptr(bytes))
}

// prepare readies launches by ourselves.
func (f Function) prepare(gridX, gridY, threads, shared int, s Stream, params []unsafe.Pointer) *Prepared {
	return &Prepared{call: cuLaunchKernel, args: []uintptr{uintptr(f), uintptr(gridX), uintptr(gridY), 1, uintptr(threads), 1, 1,
		uintptr(shared), uintptr(s), uintptr(unsafe.Pointer(&params[0])), 0}, keep: params}
}

// SetTarget is the address that the next Do of a prepared Fill takes.
func (p *Prepared) SetTarget(dst Ptr) { p.args[0] = uintptr(dst) }

// HasTensorMaps tells whether the driver knows the copy engine's descriptions of matrices.
func HasTensorMaps() bool { return cuTensorMapEncodeTiled.address != 0 }

// TensorMap describes a matrix of bf16 or f32 to Hopper's copy engine, in boxes whose rows have 128 bytes.
type TensorMap struct {
	Words       *[16]uint64 // what a kernel takes
	dims, pitch [2]uint64
	box, step   [2]uint32
	encode      *Prepared
}

// NewTensorMap readies a map of rows × columns numbers of 2 bytes (bf16) or 4 (f32), whose rows follow each other.
func NewTensorMap(rows, columns, boxRows, bytes int) *TensorMap {
	raw := make([]uint64, 16+7) // the driver wants 64 bytes' alignment; the heap does not move
	for uintptr(unsafe.Pointer(&raw[0]))%64 != 0 {
		raw = raw[1:]
	}
	m := &TensorMap{Words: (*[16]uint64)(raw), dims: [2]uint64{uint64(columns), uint64(rows)}, pitch: [2]uint64{uint64(bytes * columns)},
		box: [2]uint32{uint32(128 / bytes), uint32(boxRows)}, step: [2]uint32{1, 1}}
	const float32s, bfloat16, swizzle128, promote256 = 7, 9, 3, 3
	kind := uintptr(bfloat16)
	if bytes == 4 {
		kind = float32s
	}
	m.encode = &Prepared{call: cuTensorMapEncodeTiled, args: []uintptr{
		uintptr(unsafe.Pointer(m.Words)), kind, 2, 0, uintptr(unsafe.Pointer(&m.dims)), uintptr(unsafe.Pointer(&m.pitch)),
		uintptr(unsafe.Pointer(&m.box)), uintptr(unsafe.Pointer(&m.step)), 0, swizzle128, promote256, 0}, keep: m}
	return m
}

// Encode makes the map one of the matrix at an address. It allocates nothing.
func (m *TensorMap) Encode(at Ptr) error {
	m.encode.args[3] = uintptr(at)
	return m.encode.Do()
}

// WaitFor makes what follows on the stream wait for where the event was recorded last, on another stream.
func (s Stream) WaitFor(e Event) error { return cuStreamWaitEvent.do(uintptr(s), uintptr(e), 0) }

// NewTimer makes an event that remembers when it was reached, which takes the device a little longer than other events.
func NewTimer() (Event, error) {
	var e Event
	err := cuEventCreate.do(uintptr(unsafe.Pointer(&e)), 0)
	return e, err
}

// Since is the time in milliseconds that the device took from one timer to another, both of which it has reached.
func (e Event) Since(begin Event) (float64, error) {
	var ms float32
	err := cuEventElapsedTime.do(uintptr(unsafe.Pointer(&ms)), uintptr(begin), uintptr(e))
	return float64(ms), err
}

// BeginCapture records what follows on the stream instead of doing it.
func (s Stream) BeginCapture() error { return cuStreamBeginCapture.do(uintptr(s), threadLocal) }

// Graph is a recorded sequence of launches.
type Graph struct{ launch *Prepared }

// EndCapture makes an executable graph of what was recorded.
func (s Stream) EndCapture() (Graph, error) {
	var recorded, executable uintptr
	if err := cuStreamEndCapture.do(uintptr(s), uintptr(unsafe.Pointer(&recorded))); err != nil {
		return Graph{}, err
	}
	err := cuGraphInstantiateWithFlags.do(uintptr(unsafe.Pointer(&executable)), recorded, 0)
	if err = errors.Join(err, cuGraphDestroy.do(recorded)); err != nil {
		return Graph{}, err
	}
	return Graph{&Prepared{call: cuGraphLaunch, args: []uintptr{executable, uintptr(s)}}}, nil
}

// Launch does everything that the graph recorded.
func (g Graph) Launch() error { return g.launch.Do() }

// Destroy frees the graph.
func (g Graph) Destroy() error { return cuGraphExecDestroy.do(g.launch.args[0]) }
