//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goprm/goprm/cuda/internal/emulator"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/parity"
	"github.com/goprm/goprm/internal/shareddata"
	"github.com/stretchr/testify/require"
)

// agrees compares a golden folder with what a GPU computes.
func agrees(t *testing.T, dir string, open func(t testing.TB) engine.Backend, opt parity.Options) {
	t.Run(filepath.Base(dir)+"/"+engine.DTypeName(opt.DType), func(t *testing.T) {
		opt.Backend = open(t)
		defer func() { require.NoError(t, opt.Backend.Close()) }()
		report, err := parity.Run(dir, opt)
		require.NoError(t, err)
		var table strings.Builder
		require.NoError(t, report.Write(&table))
		require.True(t, report.OK(), table.String())
		t.Log(table.String())
		saw := &seen{}
		for _, row := range report.Rows {
			if row.Tolerance > 0 {
				saw.error(row.Worst / row.Tolerance)
			}
		}
		saw.tell(t)
	})
}

// goldens compares the models that this program carries with PyTorch's numbers.
func goldens(t *testing.T, open func(t testing.TB) engine.Backend, opt parity.Options, names ...string) {
	for _, name := range names {
		agrees(t, unpack(t, name), open, opt)
	}
}

// emulatedGoldens: forward and gradients of a few models; with GOPRM_EMULATED=all of all three, and 50 steps of each kind of
// training, which take minutes.
func emulatedGoldens(t *testing.T, open func(t testing.TB) engine.Backend, few ...string) (all bool) {
	if testing.Short() {
		t.Skip("short: seconds of the emulator")
	}
	require.NoError(t, open(t).Close())
	require.NoError(t, emulator.Configure(emulator.Mode{Jobs: 2}))
	if os.Getenv("GOPRM_EMULATED") != "all" {
		goldens(t, open, parity.Options{DType: engine.BFloat16, OnePass: true}, few...)
		return false
	}
	goldens(t, open, parity.Options{DType: engine.BFloat16}, "dim64", "dim128", "qwen3")
	return true
}

// The whole of GOPRM_EMULATED=all has golden sets of the shared data too, and one folder in f32.
func TestEmulatedSM80Goldens(t *testing.T) {
	if !emulatedGoldens(t, openEmulated, "dim64", "qwen3") {
		return
	}
	agrees(t, filepath.Join("..", "internal", "parity", "testdata", "wide"), openEmulated, parity.Options{DType: engine.F32})
	goldens(t, openEmulated, parity.Options{DType: engine.F32}, "qwen3")
	shared := filepath.Join(shareddata.Dir(t), "data", "goldens")
	for _, name := range []string{"D", "E"} {
		agrees(t, filepath.Join(shared, name), openEmulated, parity.Options{DType: engine.BFloat16})
	}
}

func TestEmulatedSM90Goldens(t *testing.T) { emulatedGoldens(t, openHopper, "dim128") }
