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
func agrees(t *testing.T, dir string, dtype tensor.Dtype) {
	t.Run(filepath.Base(dir)+"/"+engine.DTypeName(dtype), func(t *testing.T) {
		b := openEmulated(t)
		defer func() { require.NoError(t, b.Close()) }()
		require.NoError(t, emulator.Configure(emulator.Mode{Jobs: 2}))
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
	if os.Getenv("GOPRM_EMULATED") != "all" {
		t.Skip("minutes of the emulator: set GOPRM_EMULATED=all")
	}
	emulator.Use(t)
	goldens := filepath.Join(shareddata.Dir(t), "data", "goldens")
	for _, dir := range []string{filepath.Join(goldens, "D"), filepath.Join(goldens, "E"), "../internal/parity/testdata/wide", "../internal/parity/testdata/sharded"} {
		agrees(t, dir, engine.BFloat16)
		agrees(t, dir, engine.F32)
	}
}
