package parity

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/shareddata"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	_ "github.com/goprm/goprm/internal/cpu"
)

// run compares a folder on a backend and prints the table.
func run(t *testing.T, dir string, dtype tensor.Dtype, kernels string) *Report {
	t.Helper()
	backend, err := engine.Open("cpu", engine.Options{Kernels: kernels})
	require.NoError(t, err)
	defer func() { require.NoError(t, backend.Close()) }()
	report, err := Run(dir, Options{DType: dtype, Backend: backend})
	require.NoError(t, err)
	require.NoError(t, report.Write(os.Stderr))
	return report
}

func TestSharedGoldens(t *testing.T) {
	goldens := filepath.Join(shareddata.Dir(t), "data", "goldens")
	for _, name := range []string{"D", "E", "heads/qwen_math_prm", "heads/token_classification"} {
		for _, c := range []struct {
			dtype   tensor.Dtype
			kernels string
		}{{engine.F32, "auto"}, {engine.F32, "portable"}, {engine.F64, "auto"}} {
			t.Run(name+"/"+engine.DTypeName(c.dtype)+"/"+c.kernels, func(t *testing.T) {
				require.True(t, run(t, filepath.Join(goldens, name), c.dtype, c.kernels).OK())
			})
		}
	}
}
