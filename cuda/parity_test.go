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
	"gorgonia.org/tensor"
)

// agrees compares a golden folder with what the emulated GPU computes.
func agrees(t *testing.T, dir string, dtype tensor.Dtype, open func(t testing.TB) engine.Backend) {
	t.Run(filepath.Base(dir)+"/"+engine.DTypeName(dtype), func(t *testing.T) {
		b := open(t)
		defer func() { require.NoError(t, b.Close()) }()
		report, err := parity.Run(dir, parity.Options{DType: dtype, Backend: b})
		require.NoError(t, err)
		var table strings.Builder
		require.NoError(t, report.Write(&table))
		require.True(t, report.OK(), table.String())
		t.Log(table.String())
	})
}

// The models of internal/parity and of the shared data, against PyTorch's numbers: forward, gradients and 50 steps of each
// kind of training.
func TestEmulatedSM80Goldens(t *testing.T) {
	goldens(t, openEmulated, engine.BFloat16)
	agrees(t, filepath.Join("..", "internal", "parity", "testdata", "wide"), engine.F32, openEmulated)
	shared := filepath.Join(shareddata.Dir(t), "data", "goldens")
	for _, name := range []string{"D", "E"} {
		agrees(t, filepath.Join(shared, name), engine.BFloat16, openEmulated)
	}
}

func TestEmulatedSM90Goldens(t *testing.T) {
	goldens(t, openHopper, engine.BFloat16)
}

func goldens(t *testing.T, open func(t testing.TB) engine.Backend, dtype tensor.Dtype) {
	if os.Getenv("GOPRM_EMULATED") != "all" {
		t.Skip("minutes of the emulator: set GOPRM_EMULATED=all")
	}
	emulator.Use(t)
	require.NoError(t, open(t).Close())
	require.NoError(t, emulator.Configure(emulator.Mode{Jobs: 2}))
	for _, name := range []string{"dim64", "dim128"} {
		agrees(t, unpack(t, name), dtype, open)
	}
}
