//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"embed"
	"errors"
	"fmt"
	"math"
	"path"
	"strings"
	"unsafe"

	"github.com/goprm/goprm/cuda/internal/driver"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
)

//go:embed ptx/*.ptx
var ptx embed.FS

func init() {
	engine.Register("cuda", open)
	engine.Prefer("cuda")
}

type backend struct {
	name      string
	device    int // the driver's handle
	model     Device
	context   driver.Context
	stream    driver.Stream
	staging   *staging
	modules   []driver.Module
	functions map[string]driver.Function
	owned     map[driver.Ptr]int // bytes
	lent      map[uintptr]int    // host memory that kernels use, bytes
	scratch   driver.Ptr         // what kernels of one op leave for each other; an outgrown one stays until Close, for recorded launches
	room      int                // of scratch
	fault     driver.Ptr         // the first fault of the launches since the last Sync, see Bound in gpu.h
	found     unsafe.Pointer     // page-locked, where Sync reads it
	tables    map[ops.RoPE]driver.Ptr
	calls     []engine.Call // by the number that faults carry
	closed    bool
	launched  map[string]*kernel // a test's: every kernel that was compiled
}

func open(index int, opt engine.Options) (engine.Backend, error) {
	if opt.Kernels != "" && opt.Kernels != "auto" && opt.Kernels != "sm80" && opt.Kernels != "sm90a" {
		return nil, fmt.Errorf("device cuda:%d: kernels %q: want auto, sm80 or sm90a", index, opt.Kernels)
	}
	if err := driver.Load(); err != nil {
		return nil, fmt.Errorf("device cuda:%d: %w", index, err)
	}
	count, err := driver.DeviceCount()
	if err != nil {
		return nil, fmt.Errorf("device cuda:%d: %w", index, err)
	}
	if index >= count {
		return nil, fmt.Errorf("device cuda:%d: this machine has %d NVIDIA GPUs", index, count)
	}
	kernels := opt.Kernels
	if kernels == "" || kernels == "auto" {
		d, _, err := describe(index)
		if err != nil {
			return nil, fmt.Errorf("device cuda:%d: %w", index, err)
		}
		if kernels = d.Kernels; kernels == "sm90a" {
			return nonNil(openTried(index, trialLimit))
		}
	}
	return nonNil(openWith(index, kernels))
}

// nonNil keeps a nil backend from becoming an interface that is not.
func nonNil(b *backend, err error) (engine.Backend, error) {
	if err != nil {
		return nil, err
	}
	return b, nil
}

// openWith opens the GPU with one family of kernels.
func openWith(index int, kernels string) (*backend, error) {
	var err error
	b := &backend{functions: map[string]driver.Function{}, owned: map[driver.Ptr]int{}, lent: map[uintptr]int{}, tables: map[ops.RoPE]driver.Ptr{}}
	if b.model, b.device, err = describe(index); err != nil {
		return nil, fmt.Errorf("device cuda:%d: %w", index, err)
	}
	if b.model.Reason != "" {
		return nil, fmt.Errorf("device cuda:%d (%s): %s", index, b.model.Model, b.model.Reason)
	}
	if kernels == "sm90a" && b.model.Kernels != kernels {
		return nil, fmt.Errorf("device cuda:%d (%s): kernels sm90a need compute capability 9.0 and a driver for CUDA 12; it has %s", index, b.model.Model, b.model.Capability)
	}
	b.model.Kernels = kernels
	b.name = fmt.Sprintf("cuda:%d/%s", index, b.model.Kernels)
	if b.context, err = driver.Retain(b.device); err != nil {
		return nil, fmt.Errorf("device cuda:%d: %w", index, err)
	}
	if err := b.do(b.prepare); err != nil {
		return nil, errors.Join(fmt.Errorf("device cuda:%d: %w", index, err), b.Close())
	}
	return b, nil
}

// do runs f with the device's context current.
func (b *backend) do(f func() error) error {
	if b.closed {
		return fmt.Errorf("device %s: closed", b.name)
	}
	if err := b.context.Enter(); err != nil {
		return err
	}
	defer b.context.Leave()
	return f()
}

func (b *backend) prepare() error {
	var err error
	if b.stream, err = driver.NewStream(); err != nil {
		return err
	}
	if b.staging, err = newStaging(b.stream); err != nil {
		return err
	}
	files, err := ptx.ReadDir("ptx")
	if err != nil {
		return err
	}
	for _, f := range files {
		if strings.HasSuffix(f.Name(), "_sm90.ptx") && b.model.Kernels != "sm90a" {
			continue
		}
		text, err := ptx.ReadFile(path.Join("ptx", f.Name()))
		if err != nil {
			return err
		}
		m, err := driver.LoadModule(text)
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name(), err)
		}
		b.modules = append(b.modules, m)
	}
	if b.found, err = driver.AllocHost(8); err != nil {
		return err
	}
	if b.fault, err = b.take(8); err != nil {
		return err
	}
	return driver.Fill(b.fault, 0xff, 8, b.stream)
}

// take allocates in the current context.
func (b *backend) take(bytes int) (driver.Ptr, error) {
	p, err := driver.Alloc(bytes)
	var failed *driver.Error
	if errors.As(err, &failed) && failed.Code == driver.OutOfMemory {
		if free, total, err := driver.MemoryInfo(); err == nil {
			return 0, &engine.MemoryError{Device: fmt.Sprintf("%s (%s)", b.name, b.model.Model), Wanted: bytes, Free: free, Total: total, Held: b.held()}
		}
	}
	if err != nil {
		return 0, err
	}
	b.owned[p] = bytes
	return p, nil
}

func (b *backend) held() int {
	n := 0
	for _, bytes := range b.owned {
		n += bytes
	}
	return n
}

func (b *backend) Name() string { return b.name }

func (b *backend) Alloc(bytes int) (unsafe.Pointer, error) {
	if bytes <= 0 {
		return nil, fmt.Errorf("device %s: allocation of %d bytes", b.name, bytes)
	}
	var p driver.Ptr
	err := b.do(func() (err error) {
		if p, err = b.take(bytes); err == nil {
			err = driver.Fill(p, 0, bytes, b.stream)
		}
		return err
	})
	return pointer(p), err
}

// AllocHost returns page-locked memory, which kernels address as the host does: the driver maps it for every device of this
// capability on 64-bit systems.
func (b *backend) AllocHost(bytes int) (unsafe.Pointer, error) {
	if bytes <= 0 {
		return nil, fmt.Errorf("device %s: allocation of %d bytes", b.name, bytes)
	}
	var p unsafe.Pointer
	if err := b.do(func() (err error) { p, err = driver.AllocHost(bytes); return err }); err != nil {
		return nil, fmt.Errorf("%d bytes of page-locked host memory: %w", bytes, err)
	}
	host := unsafe.Slice((*byte)(p), bytes)
	for i := range host {
		host[i] = 0
	}
	b.lent[uintptr(p)] = bytes
	return p, nil
}

// onHost is the host memory of a tensor that lies there whole, once nothing on the stream uses it; nil for any other.
func (b *backend) onHost(t *engine.Tensor) ([]byte, error) {
	if bytes, lent := b.lent[uintptr(t.Ptr)]; !lent || bytes < int(t.MemSize()) {
		return nil, nil
	}
	return unsafe.Slice((*byte)(t.Ptr), t.MemSize()), b.do(b.stream.Synchronise)
}

// pointer is a device address in the form that tensors hold; Go never follows it.
func pointer(p driver.Ptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&p)) }

func (b *backend) Free(ptr unsafe.Pointer) {
	if _, host := b.lent[uintptr(ptr)]; host {
		delete(b.lent, uintptr(ptr))
		_ = b.do(func() error { return driver.FreeHost(ptr) })
		return
	}
	p := driver.Ptr(uintptr(ptr))
	if _, mine := b.owned[p]; !mine {
		return
	}
	delete(b.owned, p)
	_ = b.do(func() error { return driver.Free(p) }) // the driver waits for what uses it; a lost context has freed it
}

func (b *backend) Upload(dst *engine.Tensor, src []byte) error {
	if uintptr(len(src)) > dst.MemSize() {
		return fmt.Errorf("device %s: %d bytes for a tensor of %d", b.name, len(src), dst.MemSize())
	}
	if host, err := b.onHost(dst); host != nil || err != nil {
		copy(host, src)
		return err
	}
	return b.do(func() error { return b.staging.upload(driver.Ptr(uintptr(dst.Ptr)), src) })
}

func (b *backend) Download(dst []byte, src *engine.Tensor) error {
	if uintptr(len(dst)) > src.MemSize() {
		return fmt.Errorf("device %s: %d bytes wanted of a tensor of %d", b.name, len(dst), src.MemSize())
	}
	if host, err := b.onHost(src); host != nil || err != nil {
		copy(dst, host)
		return err
	}
	return b.do(func() error { return b.staging.download(dst, driver.Ptr(uintptr(src.Ptr))) })
}

func (b *backend) Compile(c engine.Call) (engine.Launch, error) {
	compute, err := ops.Check(c)
	if err != nil {
		return nil, err
	}
	build := table[c.Op]
	if build == nil {
		return nil, fmt.Errorf("%s: the GPU has no kernel for it", c.Op)
	}
	if len(b.calls) == math.MaxInt32 {
		return nil, fmt.Errorf("%s: too many compiled calls", c.Op)
	}
	b.calls = append(b.calls, c)
	var steps []step
	if err := b.do(func() (err error) {
		steps, err = build(&builder{backend: b, Call: c, compute: compute, number: len(b.calls) - 1})
		return err
	}); err != nil {
		return nil, fmt.Errorf("%s: %w", c.Op, err)
	}
	return func() error {
		if b.closed {
			return fmt.Errorf("%s: device %s: closed", c.Op, b.name)
		}
		if err := b.context.Enter(); err != nil {
			return err
		}
		defer b.context.Leave()
		for _, s := range steps {
			if err := s.launch(); err != nil {
				return fmt.Errorf("%s %v > %v: %w", c.Op, c.In, c.Out, err)
			}
		}
		return nil
	}, nil
}

// function finds a kernel, once.
func (b *backend) function(name string) (driver.Function, error) {
	if f, ok := b.functions[name]; ok {
		return f, nil
	}
	var failed error
	for _, m := range b.modules {
		f, err := m.Function(name)
		if err == nil {
			b.functions[name] = f
			return f, nil
		}
		failed = err
	}
	return 0, fmt.Errorf("kernel %s: %w", name, failed)
}

// temporary is memory for what kernels of one call leave for each other.
func (b *backend) temporary(bytes int) (driver.Ptr, error) {
	if bytes > b.room {
		p, err := b.take(max(bytes, 2*b.room))
		if err != nil {
			return 0, err
		}
		b.scratch, b.room = p, max(bytes, 2*b.room)
	}
	return b.scratch, nil
}

// Sync waits, and then tells what the launches found wrong with their input.
func (b *backend) Sync() error {
	var number uint64
	if err := b.do(func() error {
		if err := driver.Download(b.found, b.fault, 8, b.stream); err != nil {
			return err
		}
		if err := b.stream.Synchronise(); err != nil {
			return err
		}
		if number = *(*uint64)(b.found); number == math.MaxUint64 {
			return nil
		}
		return driver.Fill(b.fault, 0xff, 8, b.stream)
	}); err != nil {
		return fmt.Errorf("device %s (%s): %w", b.name, b.model.Model, err)
	}
	if number == math.MaxUint64 {
		return nil
	}
	c := b.calls[number>>32]
	if err := b.diagnose(c); err != nil {
		return fmt.Errorf("%s: %w", c.Op, err)
	}
	return fmt.Errorf("%s: row %d: its input leads outside of the tensors", c.Op, uint32(number))
}

// diagnose looks at a faulty call's input again, on the host.
func (b *backend) diagnose(c engine.Call) error {
	live := []int32{-1, -1, -1}
	var err error
	if c.Rows != engine.Fixed {
		if live, err = b.integers(c.Live); err != nil {
			return err
		}
	}
	count := func(dim engine.Dim, capacity int) int {
		n := int(live[dim])
		if n > capacity && err == nil {
			err = fmt.Errorf("live count %d is %d, beyond the capacity of %d", dim, n, capacity)
		}
		if n < 0 || n > capacity {
			return capacity
		}
		return n
	}
	in := func(i int) []int32 {
		v, failed := b.integers(c.In[i])
		err = errors.Join(err, failed)
		return v
	}
	rows := func(capacity int) int {
		if c.Rows == engine.Fixed {
			return capacity
		}
		return count(c.Rows, capacity)
	}
	switch c.Op {
	case "embedding", "embedding_dtable", "pick", "pick_dx", "gather", "gather_dx":
		n, what := rows(c.In[1].Size()), "token id"
		var bound int
		switch c.Op {
		case "embedding":
			bound = c.In[0].Shape()[0]
		case "embedding_dtable":
			bound = c.Out.Shape()[0]
		case "pick":
			bound, what = c.In[0].Shape()[1], "column"
		case "pick_dx":
			bound, what = c.Out.Shape()[1], "column"
		case "gather":
			bound, what = count(engine.Tokens, c.In[0].Shape()[0]), "read-out position"
		case "gather_dx":
			bound, what = count(engine.Tokens, c.Out.Shape()[0]), "read-out position"
		}
		if ids := in(1); err == nil {
			err = ops.CheckIDs(what, ids[:n], bound)
		}
	case "attention", "attention_backward":
		tokens, segments := count(engine.Tokens, c.In[0].Shape()[0]), count(engine.Segments, c.In[3].Size()-1)
		cache := 0
		if hasCache(c) {
			cache = c.In[6].Shape()[0]
		}
		if cu, offsets, ranges := in(3), in(4), in(5); err == nil {
			err = ops.CheckKeys(cu[:segments+1], offsets[:segments+1], ranges, tokens, cache)
		}
	case "pool":
		segments, tokens := rows(first(c.Out)), count(engine.Tokens, first(c.In[0]))
		if cu := in(1); err == nil {
			err = ops.CheckSegments(cu[:segments+1], tokens)
		}
	default:
		rows(leading(c))
	}
	return err
}

func (b *backend) integers(t *engine.Tensor) ([]int32, error) {
	v := make([]int32, t.Size())
	return v, b.Download(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), 4*len(v)), t)
}

// ComputesBF16: activations are bf16 and sums f32, on tensor cores.
func (b *backend) ComputesBF16() {}

// Fusions: products do what comes after them.
func (b *backend) Fusions() []engine.Fusion { return ops.Fusions() }

// Close frees everything; a second time it does nothing.
func (b *backend) Close() error {
	if b.closed {
		return nil
	}
	err := b.do(func() error {
		var failed []error
		for p := range b.owned {
			failed = append(failed, driver.Free(p))
		}
		for p := range b.lent {
			failed = append(failed, driver.FreeHost(*(*unsafe.Pointer)(unsafe.Pointer(&p))))
		}
		for _, m := range b.modules {
			failed = append(failed, m.Unload())
		}
		if b.found != nil {
			failed = append(failed, driver.FreeHost(b.found))
		}
		if b.staging != nil {
			failed = append(failed, b.staging.close())
		}
		if b.stream != 0 {
			failed = append(failed, b.stream.Destroy())
		}
		return errors.Join(failed...)
	})
	b.closed = true
	return errors.Join(err, driver.Release(b.device))
}
