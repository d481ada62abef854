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
	"github.com/stretchr/testify/require"
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
	of := func(shape ...int) *engine.Tensor { return engine.NewTensor(nil, engine.BFloat16, shape, nil) }
	for _, op := range []string{"linear", "linear_dx", "linear_dw"} {
		_, err := b.Compile(engine.Call{Op: op, Rows: engine.Fixed, In: []*engine.Tensor{of(8, 8), of(8, 8)}, Out: of(8, 8)})
		require.NoError(t, err)
	}
}

// openHopper opens the emulated device as one of compute capability 9.0, with the kernels made for it.
func openHopper(t *testing.T) engine.Backend {
	t.Helper()
	emulator.Use(t)
	require.NoError(t, driver.Load())
	require.NoError(t, emulator.SetCapability(90))
	t.Cleanup(func() { require.NoError(t, emulator.SetCapability(0)) })
	b, err := engine.Open("cuda:0", engine.Options{Kernels: "sm90a"})
	require.NoError(t, err)
	return b
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
		require.NoError(t, emulator.Configure(mode))
		opt := compliance.Options{BF16: true, Only: []string{"linear", "linear_dx", "linear_dw"}}
		compliance.Run(t, func(int) engine.Backend { return openHopper(t) }, opt)
	}
}

// Every op in f32, f64 and bf16, with the threads of a block in a random order and its copies as late as may be. The whole
// suite takes minutes of the emulator, so it waits for GOPRM_EMULATED=all.
func TestEmulatedSM80Compliance(t *testing.T) {
	b := openEmulated(t)
	require.NoError(t, b.Close())
	require.NoError(t, emulator.Configure(emulator.Mode{Late: true, Seed: 1, Jobs: 2}))
	opt := compliance.Options{BF16: true, Elements: 10000}
	if os.Getenv("GOPRM_EMULATED") == "all" {
		opt.Elements = 0
	}
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
