//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
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
	b.(*backend).limit = trialLimit // so that a kernel that does not end is named before its step is out of time
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

// seen is what a test on hardware writes down beside its verdict, in lines that scripts/first_contact.sh puts into its table.
type seen struct {
	worst                           float64 // error, as a share of what is allowed
	comparisons, numbers, differing int     // of wgmma's products with mma.sync's
}

func (s *seen) error(share float64) { s.worst = max(s.worst, share) }

// bits counts where products by wgmma have other bits than those by mma.sync. No source says that they have the same, so it is written
// down and not demanded.
func (s *seen) bits(_ string, numbers, differing int) {
	s.comparisons, s.numbers, s.differing = s.comparisons+1, s.numbers+numbers, s.differing+differing
}

func (s *seen) tell(t *testing.T) {
	t.Helper()
	t.Logf("WORST %.3g of what is allowed", s.worst)
	if s.comparisons > 0 {
		t.Logf("NOTE wgmma and mma.sync: %d of %d numbers have other bits, in %d comparisons", s.differing, s.numbers, s.comparisons)
	}
}

// What the device is; the first line of what is written down.
func TestGPUDevice(t *testing.T) {
	needGPU(t)
	r, err := Devices()
	require.NoError(t, err)
	require.NotEmpty(t, r.Devices)
	d := r.Devices[0]
	require.Empty(t, d.Reason)
	t.Logf("DEVICE %s: compute capability %s, %d multiprocessors, %.0f GB, driver for CUDA %s", d.Model, d.Capability, d.Multiprocessors,
		float64(d.Memory)/1e9, r.Driver)
}

// The driver takes every PTX file, each by itself; GOPRM_PTX_DIR is a folder that they are written to, for other tools.
func TestGPUPTX(t *testing.T) {
	needGPU(t)
	d, err := describe(0)
	require.NoError(t, err)
	context, err := driver.Retain(d.handle)
	require.NoError(t, err)
	files, err := ptx.ReadDir("ptx")
	require.NoError(t, err)
	for _, f := range files {
		text, err := ptx.ReadFile("ptx/" + f.Name())
		require.NoError(t, err)
		if dir := os.Getenv("GOPRM_PTX_DIR"); dir != "" {
			require.NoError(t, os.WriteFile(filepath.Join(dir, f.Name()), text, 0o666))
		}
		t.Run(strings.TrimSuffix(f.Name(), ".ptx"), func(t *testing.T) {
			if strings.HasSuffix(f.Name(), "_sm90.ptx") && d.Kernels != "sm90a" {
				t.Skip("for compute capability 9.0")
			}
			require.NoError(t, context.Enter())
			defer context.Leave()
			m, err := driver.LoadModule(text)
			require.NoError(t, err)
			require.NoError(t, m.Unload())
		})
	}
}

// Hopper's kernels pass the trial that opening a device makes of them.
func TestGPUTrial(t *testing.T) {
	b := openFamily(t, "sm90a").(*backend)
	require.NoError(t, b.trial(trialLimit))
	require.NoError(t, b.Close())
}

// The whole suite on the hardware: every op, dtype and size, gradients, packing, bad input.
func TestGPUCompliance(t *testing.T) {
	families(t, func(t *testing.T, open func(t testing.TB) engine.Backend) {
		saw := &seen{}
		opt := compliance.Options{BF16: true, Error: saw.error}
		if standIn {
			opt.Elements = 100
		}
		if strings.HasSuffix(t.Name(), "sm90a") {
			opt.OtherKernels = saw.bits
		}
		defer saw.tell(t)
		compliance.Run(t, func(int) engine.Backend { return open(t) }, opt)
	})
}

// What sm90a has kernels of its own for, at sizes about their tiles and rings of stages, which the whole suite leaves out: with the
// blocks of two multiprocessors, which take several tiles each, and of all.
func TestGPUHopper(t *testing.T) {
	require.NoError(t, openFamily(t, "sm90a").Close())
	for name, only := range map[string][]string{
		"linear":    {"linear", "linear_dx", "linear_dw", "linear_add", "linear_dx_add", "linear_swiglu"},
		"attention": {"attention", "attention_backward"},
	} {
		eachCount(t, name, func(t *testing.T, count int) {
			saw := &seen{}
			defer saw.tell(t)
			opt := compliance.Options{BF16: true, Only: only, OtherKernels: saw.bits, Error: saw.error}
			if standIn {
				opt.Elements = 60000
			}
			compliance.Run(t, func(int) engine.Backend { return openBlocks(t, count) }, opt)
		})
	}
}

// eachCount runs a test with few multiprocessors and with all that the device has.
func eachCount(t *testing.T, name string, test func(t *testing.T, count int)) {
	d, err := describe(0)
	require.NoError(t, err)
	for what, count := range map[string]int{"few": min(fewMultiprocessors, d.Multiprocessors), "all": d.Multiprocessors} {
		t.Run(name+"/"+what, func(t *testing.T) { test(t, count) })
	}
}

// openBlocks opens sm90a's kernels with the blocks of so many multiprocessors.
func openBlocks(t testing.TB, multiprocessors int) *backend {
	b := openFamily(t, "sm90a").(*backend)
	b.model.Multiprocessors = multiprocessors
	return b
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
