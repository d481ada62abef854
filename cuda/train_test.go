//go:build linux && (amd64 || arm64) && !nocuda && !gpuonly

package cuda

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goprm/goprm/cuda/internal/emulator"
	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/rng"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/goprm/goprm/prm"
	"github.com/stretchr/testify/require"
)

// run is a short training run on the emulated GPU.
func run(t *testing.T, base, train string) prm.TrainConfig {
	var list []*data.Trajectory
	for i := range 4 {
		e := &data.Trajectory{ID: fmt.Sprint(i), Problem: fmt.Sprintf("Sheet %d.", i)}
		for j := range 2 + i%2 {
			e.Steps = append(e.Steps, fmt.Sprintf("%d+%d=%d", i, j, i+j))
			e.Labels.Steps = append(e.Labels.Steps, data.Float(float64((i+j)%3)/2))
		}
		list = append(list, e)
	}
	c := prm.DefaultTrainConfig()
	c.Model, c.Out = base, filepath.Join(t.TempDir(), "run")
	c.Data.Trajectories, c.Data.EvalShare = prm.Slice(list), new(0.0)
	c.Text.Template, c.Train, c.LoRA.Rank = "none", train, 4
	c.Batch = prm.Batch{Trajectories: 2, Tokens: 64}
	c.Optim.Epochs, c.Optim.LR, c.Optim.Moments, c.Checkpoint.Every = 2, new(1e-3), "bf16", new(1)
	c.Device, c.DType, c.Progress, c.Quiet = "cuda:0", "f32", &bytes.Buffer{}, true
	return c
}

func tinyBase(t *testing.T, hidden int) string {
	base := filepath.Join(t.TempDir(), "base")
	require.NoError(t, tinymodel.Write(base, tinymodel.Options{Hidden: hidden, Scale: 0.1}))
	return base
}

func weightsOf(t *testing.T, c prm.TrainConfig) string {
	files, err := filepath.Glob(filepath.Join(c.Out, "model", "*.safetensors"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	var all strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(f)
		require.NoError(t, err)
		all.Write(text)
	}
	return all.String()
}

// A kernel that fails, whichever it is, ends the run with an error that says what is left, and the run goes on from there to
// the bits of one that nothing happened to; so does one whose moments lie on the host.
func TestEmulatedLostRun(t *testing.T) {
	if testing.Short() {
		t.Skip("short: seconds of the emulator")
	}
	emulator.Use(t)
	require.NoError(t, emulator.Configure(emulator.Mode{Jobs: 2}))
	base := tinyBase(t, 32)
	whole := run(t, base, "lora")
	b := openEmulated(t) // which loads the driver
	require.NoError(t, b.Close())
	_, err := emulator.FailAt(0)
	require.NoError(t, err)
	r, err := prm.Train(context.Background(), whole)
	require.NoError(t, err)
	require.Equal(t, 4, r.Steps)
	launches, err := emulator.FailAt(0)
	require.NoError(t, err)
	random := rng.New(uint64(os.Getpid()), "launch")
	tries := 2
	if os.Getenv("GOPRM_EMULATED") == "all" {
		tries = 8
	}
	for i := range tries {
		c := run(t, base, "lora")
		c.Optim.Offload = i%2 == 0
		at := 1 + int(random.Float64(uint64(i))*float64(launches))
		_, err = emulator.FailAt(at)
		require.NoError(t, err)
		_, err := prm.Train(context.Background(), c)
		require.ErrorContains(t, err, "CUDA_ERROR_LAUNCH_FAILED (719)", "launch %d of %d", at, launches)
		require.ErrorContains(t, err, "made to fail")
		var step int
		_, scanned := fmt.Sscanf(err.Error(), "step %d:", &step)
		require.NoError(t, scanned, err)
		left := "there is no checkpoint yet"
		if step > 1 {
			left = fmt.Sprintf("the checkpoint of step %d is intact", step-1)
		}
		require.ErrorContains(t, err, left)
		_, err = emulator.Revive()
		require.NoError(t, err)
		c.Resume = true
		r, err := prm.Train(context.Background(), c)
		require.NoError(t, err)
		require.Equal(t, step-1, r.ResumedFrom)
		require.True(t, weightsOf(t, whole) == weightsOf(t, c), "launch %d of %d", at, launches)
	}
}

// A device that is too small for a run says what was planned, what is there and which settings would fit; with one of them it
// does.
func TestEmulatedOutOfMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("short: seconds of the emulator")
	}
	if os.Getenv("GOPRM_CHILD") != "" {
		for _, offload := range []bool{false, true} {
			c := run(t, os.Getenv("GOPRM_BASE"), "full")
			c.Optim.Moments, c.Optim.Offload, c.Optim.Steps, c.Batch.Tokens = "f32", offload, 1, 128
			_, err := prm.Train(context.Background(), c)
			t.Logf("offload %v: %v", offload, err)
		}
		return
	}
	emulator.Use(t)
	base := tinyBase(t, 192)
	plan := func(offload bool) prm.PlanReport {
		r, err := prm.Plan(prm.PlanOptions{Model: base, Train: "full", DType: "f32", Tokens: 128, MicroBatches: 1, Offload: offload})
		require.NoError(t, err)
		return r
	}
	memory := plan(true).Total + plan(true).Host/4
	require.Less(t, memory, plan(false).Total)
	out := child(t, "TestEmulatedOutOfMemory", fmt.Sprint("GOPRM_EMU_MEMORY=", memory), "GOPRM_BASE="+base)
	require.Regexp(t, `offload false: .*out of memory on cuda:0/sm80 \(emulated sm_80\): \d+ bytes wanted, \d+ of \d+ free, \d+ held here; `+
		`planned for micro-batches of 128 tokens: weights \d\.\d MiB, .*optim\.offload: true fits, with \d\.\d MiB and \d\.\d MiB on the host`,
		out)
	require.Contains(t, out, "offload true: <nil>")
}

// A step with a gradient that is not finite changes nothing, also when it is replayed, and names the tensor that the CPU does.
func TestEmulatedNonFinite(t *testing.T) {
	b := openEmulated(t)
	defer func() { require.NoError(t, b.Close()) }()
	cpu, err := engine.Open("cpu", engine.Options{})
	require.NoError(t, err)
	m := newTiny(t, "dim64")
	gpu := m.network(t, b, engine.F32, nnet.TrainLoRA)
	exact := m.network(t, cpu, engine.F32, nnet.TrainLoRA)
	snapshot := func(n *nnet.Network) string {
		tensors, updates, err := n.State()
		require.NoError(t, err)
		w := bytes.NewBufferString(fmt.Sprint(updates))
		for _, s := range tensors {
			require.NoError(t, s.Write(w))
		}
		return w.String()
	}
	for s := range 4 {
		target, weight := m.batches[0].Target[0], m.batches[0].Weight[0]
		if s%2 == 1 {
			m.batches[0].Target[0], m.batches[0].Weight[0] = 1e30, 1e20
		}
		before := snapshot(gpu)
		r, err := gpu.TrainStep(context.Background(), m.batches[:1], update)
		want, wanted := exact.TrainStep(context.Background(), m.batches[:1], update)
		m.batches[0].Target[0], m.batches[0].Weight[0] = target, weight
		if s%2 == 1 {
			require.ErrorContains(t, err, "the gradient of ")
			require.Equal(t, wanted, err)
			require.True(t, before == snapshot(gpu), "step %d", s)
			continue
		}
		require.NoError(t, err)
		require.NoError(t, wanted)
		require.InEpsilon(t, want.GradNorm, r.GradNorm, 1e-4)
		require.LessOrEqual(t, math.Abs(want.Loss-r.Loss), 1e-5*want.Loss)
		require.False(t, before == snapshot(gpu))
	}
}
