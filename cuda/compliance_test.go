//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/goprm/goprm/cuda/internal/driver"
	"github.com/goprm/goprm/cuda/internal/emulator"
	"github.com/goprm/goprm/internal/compliance"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

func openEmulated(t testing.TB) engine.Backend {
	t.Helper()
	emulator.Use(t)
	b, err := engine.Open("cuda:0", engine.Options{})
	require.NoError(t, err)
	return b
}

// hopper notes the kernels of sm90a, which a device of that capability compiles.
func hopper(t *testing.T, launched map[string]*kernel) {
	b := openHopper(t)
	defer func() { require.NoError(t, b.Close()) }()
	b.(*backend).launched = launched
	typed := func(dtype tensor.Dtype, shape ...int) *engine.Tensor { return engine.NewTensor(nil, dtype, shape, nil) }
	of := func(shape ...int) *engine.Tensor { return typed(engine.BFloat16, shape...) }
	compile := func(c engine.Call) {
		_, err := b.Compile(c)
		require.NoError(t, err, c.Op)
	}
	for _, op := range []string{"linear", "linear_dx", "linear_dw"} {
		out := of(8, 8)
		if op == "linear_dw" {
			out = typed(engine.F32, 8, 8)
		}
		compile(engine.Call{Op: op, Rows: engine.Fixed, In: []*engine.Tensor{of(8, 8), of(8, 8)}, Out: out})
	}
	for _, dim := range []int{64, 128} {
		a := ops.Attention{Heads: 1, KVHeads: 1, HeadDim: dim}
		packed := of(8*dim + ops.LSELen(engine.BFloat16, 8))
		in := []*engine.Tensor{of(8, dim), of(8, dim), of(8, dim), typed(engine.I32, 2), typed(engine.I32, 2), typed(engine.I32, 1, ops.RangeLen)}
		compile(engine.Call{Op: "attention", Attr: a, Rows: engine.Tokens, Live: typed(engine.I32, 3), In: in, Out: packed})
		compile(engine.Call{Op: "attention_backward", Attr: a, Rows: engine.Tokens, Live: typed(engine.I32, 3), In: append(in, packed, of(8, dim)), Out: of(3 * 8 * dim)})
	}
}

// openHopper opens the emulated device as one of compute capability 9.0, with the kernels made for it.
func openHopper(t testing.TB) engine.Backend {
	t.Helper()
	emulator.Use(t)
	require.NoError(t, driver.Load())
	require.NoError(t, emulator.SetCapability(90))
	t.Cleanup(func() { require.NoError(t, emulator.SetCapability(0)) })
	b, err := engine.Open("cuda:0", engine.Options{Kernels: "sm90a"})
	require.NoError(t, err)
	return b
}

// Attention of sm90a. The small cases leave out the packing, whose bits take minutes.
func TestEmulatedSM90Attention(t *testing.T) {
	b := openHopper(t)
	require.NoError(t, b.Close())
	require.NoError(t, emulator.Configure(emulator.Mode{Late: true, Seed: 1, Jobs: 2}))
	opt := compliance.Options{BF16: true, Only: []string{"attention", "attention_backward"}}
	compliance.Run(t, func(int) engine.Backend { return openHopper(t) }, opt)
}

// The products of sm90a, which pass what sm80's do; the other kernels are the same.
func TestEmulatedSM90Products(t *testing.T) {
	b := openHopper(t)
	require.NoError(t, b.Close())
	modes := []emulator.Mode{{Late: true, Seed: 1, Jobs: 2}, {Jobs: 2}, {Late: true, Jobs: 2}, {Seed: 2, Jobs: 2}}
	if os.Getenv("GOPRM_EMULATED") != "all" {
		modes = modes[:1]
	}
	for _, mode := range modes {
		mode.Races = len(modes) > 1
		require.NoError(t, emulator.Configure(mode))
		opt := compliance.Options{BF16: true, Only: []string{"linear", "linear_dx", "linear_dw"}}
		compliance.Run(t, func(int) engine.Backend { return openHopper(t) }, opt)
	}
}

// Every op in f32, f64 and bf16, with the threads of a block in a random order and its copies as late as may be. The whole
// suite, watched for races, takes minutes of the emulator, so it waits for GOPRM_EMULATED=all.
func TestEmulatedSM80Compliance(t *testing.T) {
	b := openEmulated(t)
	require.NoError(t, b.Close())
	mode, opt := emulator.Mode{Late: true, Seed: 1, Jobs: 2}, compliance.Options{BF16: true, Elements: 10000}
	if os.Getenv("GOPRM_EMULATED") == "all" {
		mode.Races, opt.Elements = true, 0
	}
	require.NoError(t, emulator.Configure(mode))
	launched := map[string]*kernel{}
	compliance.Run(t, func(int) engine.Backend {
		b := openEmulated(t)
		b.(*backend).launched = launched
		return b
	}, opt)
	hopper(t, launched)
	if !testing.Short() && !t.Failed() && !strings.Contains(flag.Lookup("test.run").Value.String(), "/") {
		checkLaunches(t, launched)
	}
}
