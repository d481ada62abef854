package engine

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unsafe"
)

// The live counts of a run, by index into the parameter buffer: graphs are compiled for a capacity, and kernels read
// how much of it this run uses; a negative count means the capacity. Rows past the live count hold garbage and are never read.
const (
	Tokens   Dim = iota // packed tokens
	Segments            // packed segments
	Reads               // read-outs
	NumDims
	Fixed Dim = -1 // the leading dimension as compiled
)

// Dim names the live count that bounds the rows of an op.
type Dim int

// Call is one application of an op, as a backend compiles it.
type Call struct {
	Op   string
	Attr any       // the op's attributes, see internal/ops
	Rows Dim       // what bounds the op's rows
	In   []*Tensor // addresses may change between launches (weight slots); dtypes and shapes do not
	Out  *Tensor   // may be an input's memory where the op allows it
	Live *Tensor   // i32 [NumDims]
	// SameFirst: In[0] is that of an earlier call of the sequence, of the same op and dtypes, and no launch between the two writes to its
	// memory. What the kernel prepared of it then, packed or rounded, is still right.
	SameFirst bool
}

// Launch runs a compiled call. It allocates nothing. Input that leads outside of the tensors is an error of the launch, or
// of the next Sync where launches do not wait.
type Launch func() error

// Backend owns memory and kernels of one device. Its methods are not safe for concurrent use. Uploads, launches and
// downloads take effect in the order of the calls.
type Backend interface {
	// Name identifies device and kernels, e.g. "cpu/avx2"; equal names promise equal bits for equal versions.
	Name() string
	// Alloc returns zeroed memory aligned for the kernels (64 bytes at least); it lives until Free or Close.
	Alloc(bytes int) (unsafe.Pointer, error)
	Free(unsafe.Pointer)
	// Upload copies src to the start of dst, which may be longer; Download copies the start of src, as much as dst holds.
	Upload(dst *Tensor, src []byte) error
	Download(dst []byte, src *Tensor) error
	// Compile looks the kernel up by op and dtype, once; an unknown op or shape is an error that names it.
	Compile(Call) (Launch, error)
	// Sync waits until every launch so far is done, and tells what went wrong since the last Sync.
	Sync() error
	Close() error
}

// BitsOf stands for all backends with the same bits in a dtype, given the name of one, or of its kernels: devices of the same kernels have
// the same bits, and the kernels of AVX-512 have those of AVX2, save in bf16, and in int8 where attention is computed in bf16.
func BitsOf(name, dtype string) string {
	kernels := name[strings.LastIndexByte(name, '/')+1:]
	if dtype != "bf16" && (kernels == "avx512" || kernels == "avx512bf16" && dtype != Int8) {
		return "avx2"
	}
	return kernels
}

// Options select and configure a backend.
type Options struct {
	Kernels string // which kernels, e.g. "portable" or "avx2"; "" or "auto": the best this machine runs
	Workers int    // threads; 0: GOMAXPROCS. Results do not depend on it
	DType   string // of the arithmetic, "" or "auto" where it is open; kernels that are chosen are such as compute in it, if there are
}

var registry struct {
	sync.Mutex
	open      map[string]func(index int, opt Options) (Backend, error)
	preferred string // the kind of device that "auto" tries before the CPU
}

// Register makes a kind of device available, as database/sql drivers do; called from init functions.
func Register(device string, open func(index int, opt Options) (Backend, error)) {
	registry.Lock()
	defer registry.Unlock()
	if registry.open == nil {
		registry.open = map[string]func(int, Options) (Backend, error){}
	}
	registry.open[device] = open
}

// Prefer makes "auto" take the first device of a registered kind where there is one that opens with the same options.
func Prefer(device string) {
	registry.Lock()
	defer registry.Unlock()
	registry.preferred = device
}

// Open opens a device by name: "cpu", "cuda:0"; "" and "auto" take the preferred kind if it opens, else cpu.
func Open(device string, opt Options) (Backend, error) {
	if strings.Contains(device, ",") {
		return nil, fmt.Errorf("device %q: one device at a time; training takes several by ranks, a process each (docs/scale.md)", device)
	}
	kind, index := device, 0
	if kind == "" || kind == "auto" {
		registry.Lock()
		preferred := registry.open[registry.preferred]
		registry.Unlock()
		if preferred != nil {
			if b, err := preferred(0, opt); err == nil {
				return b, nil
			}
		}
		kind = "cpu"
	}
	for i := range kind {
		if kind[i] == ':' {
			if _, err := fmt.Sscanf(kind[i+1:], "%d", &index); err != nil || index < 0 || fmt.Sprint(index) != kind[i+1:] {
				return nil, fmt.Errorf("device %q: what follows the colon is not a number", device)
			}
			kind = kind[:i]
			break
		}
	}
	registry.Lock()
	open := registry.open[kind]
	var have []string
	for k := range registry.open {
		have = append(have, k)
	}
	registry.Unlock()
	if open == nil {
		slices.Sort(have)
		hint := ""
		if kind == "cuda" { // the one that a program has only if it asks for it
			hint = `; a program that is to have it needs: import _ "github.com/goprm/goprm/cuda"`
		}
		return nil, fmt.Errorf("device %q: no such backend in this program; it has %v%s", device, have, hint)
	}
	return open(index, opt)
}

// As finds what marks a backend, or one that it wraps and names by Unwrap: for what decides the graph, and with it the bits, which a
// wrapper must not change.
func As[T any](b Backend) (T, bool) {
	for {
		if found, ok := b.(T); ok {
			return found, true
		}
		wrapper, ok := b.(interface{ Unwrap() Backend })
		if !ok {
			var none T
			return none, false
		}
		b = wrapper.Unwrap()
	}
}

// SharesHostMemory marks backends whose kernels read host memory, mappings of files included.
type SharesHostMemory interface{ SharesHostMemory() }

// ComputesBF16 marks backends that have bf16 as a compute dtype.
type ComputesBF16 interface{ ComputesBF16() }

// AttendsInBF16 marks backends that multiply f32 tensors of attention as bf16, if its attributes say so, faster than as f32.
type AttendsInBF16 interface{ AttendsInBF16() }

// ComputesInt8 marks backends that have products of int8, for scoring.
type ComputesInt8 interface{ ComputesInt8() }

// PrefersBF16 marks those of them on which bf16 is what a dtype of auto means.
type PrefersBF16 interface {
	ComputesBF16
	PrefersBF16()
}

// ReportsMemory marks backends with memory of their own.
type ReportsMemory interface {
	// FreeMemory is how many bytes of it nothing has taken.
	FreeMemory() (int64, error)
}

// MeasuresPeaks marks backends that measure what the machine's instructions reach at best.
type MeasuresPeaks interface {
	// MeasurePeaks takes some milliseconds for each dtype of products, with as many threads as launches take.
	MeasurePeaks() ([]Peak, error)
}

// Peak is a rate of multiplications and additions, each counted as one, on registers alone.
type Peak struct {
	DType       string // of the products
	Instruction string
	PerSecond   float64
}

// MemoryError says that a device has not the memory that was wanted, in bytes.
type MemoryError struct {
	Device                    string // name and model
	Wanted, Free, Total, Held int    // Held is what this backend has allocated
}

func (e *MemoryError) Error() string {
	return fmt.Sprintf("out of memory on %s: %d bytes wanted, %d of %d free, %d held here", e.Device, e.Wanted, e.Free, e.Total, e.Held)
}

// DeviceLost tells of an error whether the device answers nothing any more in this process.
func DeviceLost(err error) bool {
	var lost interface{ DeviceLost() bool }
	return errors.As(err, &lost) && lost.DeviceLost()
}

// HostMemory marks backends whose kernels also read and write memory that lies on the host, more slowly.
type HostMemory interface {
	// AllocHost returns zeroed memory of the host as Alloc does of the device; Upload, Download and Free take it too.
	AllocHost(bytes int) (unsafe.Pointer, error)
}

// ReadsInFloat32 marks backends that, computing in bf16, take less time for the rows of the read-outs in float32 than for those of all
// tokens in bf16. With tensor cores it is the other way round.
type ReadsInFloat32 interface{ ReadsInFloat32() }

// RoundsWeights is a backend whose products in bf16 read bf16 copies of f32 weights.
type RoundsWeights interface {
	// KeepRounded gives an f32 tensor a bf16 copy that lives as long as its memory: Upload, and the ops that update parameters, write
	// both. Products round a weight that has no copy at every launch.
	KeepRounded(*Tensor) error
}

// Recorder is a backend that repeats a list of launches at less cost than making them one by one.
type Recorder interface {
	// Record calls launches, whose launches are recorded instead of done. Addresses are recorded as they are.
	Record(launches func() error) (Recording, error)
}

// Recording is a list of launches. It allocates nothing when it is replayed.
type Recording interface {
	Replay() error
	Close() error
}

// Place brings a host tensor where the backend's kernels can read it: itself, or a copy.
func Place(b Backend, host *Tensor) (*Tensor, error) {
	if _, ok := b.(SharesHostMemory); ok {
		return host, nil
	}
	return CopyTo(b, host)
}

// CopyTo copies a host tensor into memory of the backend.
func CopyTo(b Backend, host *Tensor) (*Tensor, error) {
	ptr, err := b.Alloc(max(1, int(host.MemSize())))
	if err != nil {
		return nil, err
	}
	t := NewTensor(ptr, host.dtype, host.shape, nil)
	return t, b.Upload(t, host.Bytes())
}
