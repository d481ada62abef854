//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"embed"
	"fmt"
	"math"
	"slices"
	"time"
	"unsafe"

	"github.com/goprm/goprm/cuda/internal/driver"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"gorgonia.org/tensor"
)

//go:embed ptx/*.ptx
var ptx embed.FS

func init() {
	engine.Register("cuda", open)
	engine.Prefer("cuda")
}

type backend struct {
	name      string
	model     Device
	context   driver.Context
	stream    driver.Stream
	mark      driver.Event  // of idle
	limit     time.Duration // of a wait
	hung      bool          // a wait was in vain
	staging   *staging
	modules   []driver.Module
	functions map[string]driver.Function
	owned     map[driver.Ptr]int     // bytes
	lent      map[uintptr]int        // host memory that kernels use, bytes
	scratch   driver.Ptr             // what kernels of one op leave for each other
	room      int                    // of scratch, bytes
	recorded  map[driver.Ptr]int     // open recordings, by where scratch lay
	fault     driver.Ptr             // the first fault of the launches since the last Sync, see Bound in gpu.h
	found     unsafe.Pointer         // page-locked, where Sync reads it
	copies    map[driver.Ptr]*copied // bf16, of f32 weights, by where these lie
	tables    map[ops.RoPE]driver.Ptr
	calls     []engine.Call // by the number that faults carry
	peers     *peers        // nil: no other ranks, or they are not reached from here
	closed    bool
	launched  map[string]*kernel // a test's: every kernel that was compiled
}

// do runs f with the device's context current.
func (b *backend) do(f func() error) error {
	if err := b.enter(); err != nil {
		return err
	}
	defer b.context.Leave()
	return f()
}

// enter makes the device's context current, for calls that can be answered.
func (b *backend) enter() error {
	if b.closed {
		return fmt.Errorf("device %s: closed", b.name)
	}
	if b.hung {
		return fmt.Errorf("device %s: %w", b.name, driver.ErrHung)
	}
	return b.context.Enter()
}

func (b *backend) Name() string { return b.name }

func (b *backend) Compile(c engine.Call) (engine.Launch, error) {
	compute, err := ops.Check(c)
	if err != nil {
		return nil, err
	}
	build := table[c.Op]
	if build == nil || compute != engine.BFloat16 && slices.Contains(ops.FusedOps(), c.Op) {
		return nil, fmt.Errorf("%s: the GPU has no kernel for it in %s", c.Op, engine.DTypeName(compute))
	}
	return b.compile(c, compute, build)
}

// compile compiles the steps of a call, or of several that have its op.
func (b *backend) compile(c engine.Call, compute tensor.Dtype, build func(*builder) ([]step, error)) (engine.Launch, error) {
	if len(b.calls) == math.MaxInt32 {
		return nil, fmt.Errorf("%s: too many compiled calls", c.Op)
	}
	b.calls = append(b.calls, c)
	var steps []step
	builder := &builder{backend: b, Call: c, compute: compute, number: len(b.calls) - 1}
	if err := b.do(func() (err error) {
		if steps, err = build(builder); err == nil {
			err = b.reserve(builder.temporaries)
		}
		return err
	}); err != nil {
		return nil, fmt.Errorf("%s: %w", c.Op, err)
	}
	return func() error {
		if err := b.enter(); err != nil {
			return fmt.Errorf("%s: %w", c.Op, err)
		}
		defer b.context.Leave()
		if err := b.reserve(builder.temporaries); err != nil { // there, unless more was wanted in vain since
			return fmt.Errorf("%s: %w", c.Op, err)
		}
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

// Sync waits, though not for ever, and then tells what the launches found wrong with their input.
func (b *backend) Sync() error {
	var number uint64
	if err := b.do(func() error {
		if err := driver.Download(b.found, b.fault, 8, b.stream); err != nil {
			return err
		}
		if err := b.idle(); err != nil {
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

// ComputesBF16: activations are bf16 and sums f32, on tensor cores.
func (b *backend) ComputesBF16() {}

// PrefersBF16: it is what a dtype of auto means.
func (b *backend) PrefersBF16() {}

// Fusions: products do what comes after them.
func (b *backend) Fusions() []engine.Fusion { return ops.Fusions() }
