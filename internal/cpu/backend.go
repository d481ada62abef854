// Package cpu runs goprm's ops on the processor: portable Go, which is the specification of every kernel, and assembly
// for some of them. Importing it registers the device "cpu".
package cpu

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"gorgonia.org/tensor"
)

// KernelsEnv forces the kernels of backends opened with Options.Kernels "" or "auto"; for tests.
const KernelsEnv = "GOPRM_CPU_KERNELS"

const alignment = 64 // bytes: a cache line, and more than any vector needs

func init() { engine.Register("cpu", open) }

// compile prepares one kernel for a call whose signature holds (see ops.Check). The launch reads the addresses of
// the call's tensors and the live counts each time, and allocates nothing. A table may decline a call by returning
// neither a launch nor an error; the portable table never does.
type compile func(b *backend, c engine.Call) (engine.Launch, error)

type backend struct {
	name   string
	tables []map[string]compile // in order of preference; the last one is portable
	narrow *narrowing           // nil: these kernels do not compute in bf16
	pool   *pool
	memory memory
}

// Fusions are those that kernels in assembly have.
func (b *backend) Fusions() []engine.Fusion { return fusionsOf(b.tables[0]) }

func fusionsOf(table map[string]compile) []engine.Fusion {
	if table["linear_swiglu"] == nil {
		return nil
	}
	return []engine.Fusion{ops.Gated(engine.F32), ops.Gated(engine.BFloat16)}
}

// Rules are those of the kernels that "auto" takes on this machine.
func Rules(dtype string) engine.Rules {
	chosen, err := choose("auto", dtype)
	if err != nil || chosen.table == nil {
		return engine.Rules{}
	}
	return engine.Rules{Fusions: fusionsOf(chosen.table())}
}

// ComputesInt8: products of int8 are in every table.
func (*backend) ComputesInt8() {}

// narrowBackend is a backend that computes in bf16 too.
type narrowBackend struct{ *backend }

func (narrowBackend) ComputesBF16() {}

// pairsBackend is a backend whose attention of f32 tensors is faster by products of bf16.
type pairsBackend struct{ narrowBackend }

func (pairsBackend) AttendsInBF16() {}

func open(index int, opt engine.Options) (engine.Backend, error) {
	if index != 0 {
		return nil, fmt.Errorf("device cpu:%d: there is only cpu:0", index)
	}
	if opt.Workers < 0 {
		return nil, fmt.Errorf("device cpu: %d workers", opt.Workers)
	}
	kernels, source := opt.Kernels, "kernels"
	if kernels == "" || kernels == "auto" {
		if kernels = os.Getenv(KernelsEnv); kernels != "" {
			source = KernelsEnv
		}
	}
	chosen, err := choose(kernels, opt.DType)
	if err != nil {
		return nil, fmt.Errorf("device cpu: %s %q: %w", source, kernels, err)
	}
	b := &backend{name: "cpu/" + chosen.name}
	if chosen.table != nil {
		b.tables = append(b.tables, chosen.table())
	}
	b.tables = append(b.tables, portable)
	workers := opt.Workers
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	b.pool = newPool(workers)
	if chosen.narrow != nil {
		b.narrow = chosen.narrow()
		if chosen.pairs {
			return pairsBackend{narrowBackend{b}}, nil
		}
		return narrowBackend{b}, nil
	}
	return b, nil
}

// kernels are those of one instruction set.
type kernels struct {
	name   string
	needs  string                    // of the processor, in words
	runs   func() bool               // whether processor and operating system do
	auto   func() bool               // whether "auto" takes them where they run; nil: never
	table  func() map[string]compile // with scratch memory of its own; calls that it declines are left to portable Go
	narrow func() *narrowing         // nil: they do not compute in bf16
	pairs  bool                      // dtype int8 has attention's products in bf16
}

// choose finds kernels by name; "" and "auto" are the best that this machine runs for arithmetic in a dtype.
func choose(name, dtype string) (kernels, error) {
	names, auto := "auto, portable", name == "" || name == "auto"
	narrow := dtype == "bf16" || dtype == engine.Int8
	for _, k := range instances() {
		names += ", " + k.name
		switch {
		case auto && narrow && k.narrow != nil && k.runs(), auto && k.auto != nil && k.runs() && k.auto(), name == k.name && k.runs():
			return k, nil
		case name == k.name:
			return k, fmt.Errorf("they need a processor with %s", k.needs)
		}
	}
	switch name {
	case "", "auto", "portable":
		return kernels{name: "portable", narrow: portableNarrowing}, nil
	}
	return kernels{}, fmt.Errorf("want %s", names)
}

func (b *backend) Name() string { return b.name }

// ReadsInFloat32 is part of engine.ReadsInFloat32.
func (b *backend) ReadsInFloat32() {}

func (b *backend) Upload(dst *engine.Tensor, src []byte) error {
	if uintptr(len(src)) > dst.MemSize() {
		return fmt.Errorf("device cpu: %d bytes for a tensor of %d", len(src), dst.MemSize())
	}
	copy(dst.Bytes(), src)
	return nil
}

func (b *backend) Download(dst []byte, src *engine.Tensor) error {
	if uintptr(len(dst)) > src.MemSize() {
		return fmt.Errorf("device cpu: %d bytes wanted of a tensor of %d", len(dst), src.MemSize())
	}
	copy(dst, src.Bytes())
	return nil
}

func (b *backend) Compile(c engine.Call) (engine.Launch, error) {
	compute, err := ops.Check(c)
	if err != nil {
		return nil, err
	}
	if compute == engine.BFloat16 {
		if b.narrow == nil {
			return nil, fmt.Errorf("%s: %w", c.Op, errDtype(compute))
		}
		launch, err := b.compileNarrow(c)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Op, err)
		}
		return guarded(c.Op, launch), nil
	}
	for _, table := range b.tables {
		kernel := table[c.Op]
		if kernel == nil {
			continue
		}
		launch, err := kernel(b, c)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Op, err)
		}
		if launch != nil {
			return guarded(c.Op, launch), nil
		}
	}
	return nil, fmt.Errorf("%s: no kernel for %v", c.Op, c.Out)
}

// SharesHostMemory: kernels read whatever memory the program can read.
func (b *backend) SharesHostMemory() {}

func (b *backend) Sync() error { return nil }

func (b *backend) Close() error {
	b.pool.close()
	return b.memory.close()
}

// guarded names the op in a launch's errors and turns a panic into one, a fault of a mapped file among them.
func guarded(op string, launch engine.Launch) engine.Launch {
	return func() (err error) {
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("%s: %w", op, asError(r))
			}
		}()
		if err = launch(); err != nil {
			err = fmt.Errorf("%s: %w", op, err)
		}
		return err
	}
}

// live is how many of a dimension's capacity rows this launch treats.
func live(c engine.Call, dim engine.Dim, capacity int) (int, error) {
	if dim == engine.Fixed {
		return capacity, nil
	}
	n := int(engine.Slice[int32](c.Live)[dim])
	if n > capacity {
		return 0, fmt.Errorf("live count %d is %d, beyond the capacity of %d", dim, n, capacity)
	}
	if n < 0 {
		n = capacity
	}
	return n, nil
}

// rowwise makes the launch of work that treats every live row by itself, chunk rows a task.
func (b *backend) rowwise(c engine.Call, capacity, chunk int, work func(from, to int)) engine.Launch {
	var rows int
	task := func(i int) { work(i*chunk, min(rows, (i+1)*chunk)) }
	return func() error {
		var err error
		if rows, err = live(c, c.Rows, capacity); err != nil {
			return err
		}
		return b.pool.run(ceilDiv(rows, chunk), task)
	}
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

type float interface{ float32 | float64 }

// floats picks a kernel by the compute dtype, which is the result's.
func floats(f32, f64 compile) compile {
	return func(b *backend, c engine.Call) (engine.Launch, error) {
		switch c.Out.Dtype() {
		case engine.F32:
			return f32(b, c)
		case engine.F64:
			return f64(b, c)
		}
		return nil, errDtype(c.Out.Dtype())
	}
}

func errDtype(d tensor.Dtype) error {
	return fmt.Errorf("compute dtype %s: want f32 or f64", engine.DTypeName(d))
}
