//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"errors"
	"os"
	"testing"

	"github.com/goprm/goprm/cuda/internal/driver"
	"github.com/goprm/goprm/internal/compliance"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/parity"
	"github.com/stretchr/testify/require"
)

// standIn says that the stand-in driver is to be taken for a GPU, to see that these tests and benchmarks run: at sizes that it
// can manage.
var standIn = os.Getenv("GOPRM_GPU") == "stand-in"

// needGPU skips unless this machine has a GPU that can be used. These tests and benchmarks run from one file, which
// scripts/gpu.sh builds and which needs neither Go nor this repository where the GPU is.
func needGPU(t testing.TB) {
	t.Helper()
	if os.Getenv(driver.LibraryEnv) != "" && !standIn {
		t.Skip("this process has the emulated GPU")
	}
	if err := driver.Load(); errors.Is(err, driver.ErrNoDriver) {
		t.Skip("no NVIDIA GPU here")
	} else if err != nil {
		t.Fatal(err)
	}
}

// openFamily opens the GPU with one family of kernels, where it has them.
func openFamily(t testing.TB, kernels string) engine.Backend {
	needGPU(t)
	if d, err := describe(0); kernels == "sm90a" && err == nil && d.Kernels != kernels {
		t.Skip("kernels sm90a need compute capability 9.0")
	}
	b, err := engine.Open("cuda:0", engine.Options{Kernels: kernels})
	require.NoError(t, err)
	return b
}

// families runs a test with each.
func families(t *testing.T, test func(t *testing.T, open func(t testing.TB) engine.Backend)) {
	needGPU(t)
	for _, kernels := range []string{"sm80", "sm90a"} {
		t.Run(kernels, func(t *testing.T) {
			open := func(t testing.TB) engine.Backend { return openFamily(t, kernels) }
			require.NoError(t, open(t).Close())
			test(t, open)
		})
	}
}

// The whole suite on the hardware: every op, dtype and size, gradients, packing, bad input.
func TestGPUCompliance(t *testing.T) {
	families(t, func(t *testing.T, open func(t testing.TB) engine.Backend) {
		opt := compliance.Options{BF16: true}
		if standIn {
			opt.Elements = 100
		}
		compliance.Run(t, func(int) engine.Backend { return open(t) }, opt)
	})
}

// Training on the hardware against the f32 CPU run, with graphs and without.
func TestGPUTraining(t *testing.T) {
	families(t, func(t *testing.T, open func(t testing.TB) engine.Backend) {
		if standIn {
			trains(t, open, "dim128", nnet.TrainLoRA, 2)
			return
		}
		training(t, open)
	})
}

// Whole models against PyTorch's numbers.
func TestGPUGoldens(t *testing.T) {
	families(t, func(t *testing.T, open func(t testing.TB) engine.Backend) {
		if standIn {
			goldens(t, open, parity.Options{DType: engine.BFloat16, OnePass: true}, "dim64")
			return
		}
		goldens(t, open, parity.Options{DType: engine.BFloat16}, "dim64", "dim128", "qwen3")
		goldens(t, open, parity.Options{DType: engine.F32}, "dim64", "dim128", "qwen3")
	})
}
