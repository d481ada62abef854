//go:build linux && (amd64 || arm64) && !nocuda && !gpuonly

package cuda

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goprm/goprm/cuda/internal/driver"
	"github.com/goprm/goprm/cuda/internal/emulator"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/mmap"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/safetensors"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/goprm/goprm/loss"
	"github.com/goprm/goprm/prm"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

// A model whose layers are streamed has the bits of the resident one, batch after batch, by both families of kernels. The emulator copies
// as late and as early as the program allows, so a place that is used too early or given away too soon holds other weights.
func TestEmulatedSM80Stream(t *testing.T) {
	streamed(t, openEmulated, false)
	streamed(t, openEmulated, true)
}
func TestEmulatedSM90Stream(t *testing.T) { streamed(t, openHopper, true) }

func streamed(t *testing.T, open func(testing.TB) engine.Backend, eager bool) {
	require.NoError(t, open(t).Close())
	require.NoError(t, emulator.Configure(emulator.Mode{Late: true, Seed: 1, Jobs: 2}))
	t.Setenv("GOPRM_EMU_EAGER", map[bool]string{true: "1"}[eager])
	gpu := open(t)
	defer func() { require.NoError(t, gpu.Close()) }()
	dir := filepath.Join(t.TempDir(), "deep")
	require.NoError(t, tinymodel.Write(dir, tinymodel.Options{Layers: 5, Hidden: 128, Intermediate: 64, Heads: 2, KVHeads: 1, Scale: 0.1,
		DType: safetensors.BF16}))
	m := openTiny(t, dir)
	for _, dtype := range []tensor.Dtype{engine.F32, engine.BFloat16} {
		spec := nnet.Spec{Config: m.config, DType: dtype, Loss: loss.MSE,
			Head: nnet.HeadSpec{Kind: nnet.Scalar, Activation: "sigmoid", Final: "shared"}}
		resident, err := nnet.New(spec, gpu, nnet.Weights{nnet.InWeights(m.weights)})
		require.NoError(t, err)
		spec.Streamed = true
		n, err := nnet.New(spec, gpu, nnet.Weights{nnet.InWeights(m.weights)})
		require.NoError(t, err)
		head := []float64{}
		for i := range m.config.HiddenSize {
			head = append(head, float64(i%5)/5-0.4)
		}
		const projection = "model.layers.1.mlp.down_proj.weight"
		before, err := n.Get(projection)
		require.NoError(t, err)
		for round := range 2 {
			if round == 1 { // another weight takes the place of what the file has
				for i := range before {
					before[i] *= 2
				}
				require.NoError(t, n.Set(projection, before))
				require.NoError(t, resident.Set(projection, before))
			}
			for _, b := range m.batches {
				for _, each := range []*nnet.Network{n, resident} {
					require.NoError(t, each.Set("score.weight", head))
				}
				want, err := resident.Score(context.Background(), b)
				require.NoError(t, err)
				got, err := n.Score(context.Background(), b)
				require.NoError(t, err)
				require.Equal(t, want, got, "%s, round %d, eager: %v", engine.DTypeName(dtype), round, eager)
			}
		}
		after, err := n.Get(projection)
		require.NoError(t, err)
		require.Equal(t, before, after)
		require.NoError(t, n.Close())
		require.NoError(t, resident.Close())
	}
	streamedTraining(t, m, gpu)
	_, err := nnet.New(nnet.Spec{Config: m.config, DType: engine.F32, Train: nnet.TrainFull, Loss: loss.MSE, Streamed: true,
		Head: nnet.HeadSpec{Kind: nnet.Scalar, Activation: "sigmoid", Final: "shared"}}, gpu, nnet.Weights{nnet.InWeights(m.weights)})
	require.ErrorContains(t, err, "streamed layers: they stay as they are")
}

// Adapters and a head learn the same bits over streamed layers, which a backward pass wants in reverse order, with layers recomputed and
// kept, and the scores in between are the same.
func streamedTraining(t *testing.T, m *tiny, gpu engine.Backend) {
	for _, recompute := range []bool{true, false} {
		var networks [2]*nnet.Network
		for i := range networks {
			m.streamed, m.kept = i == 1, !recompute
			networks[i] = m.network(t, gpu, engine.BFloat16, nnet.TrainLoRA)
		}
		for range 2 {
			var steps [2]nnet.StepResult
			var scores [2]nnet.Scores
			for i, n := range networks {
				var err error
				steps[i], err = n.TrainStep(context.Background(), m.batches, update)
				require.NoError(t, err)
				scores[i], err = n.Score(context.Background(), m.batches[0])
				require.NoError(t, err)
			}
			require.Equal(t, steps[0], steps[1])
			require.Equal(t, scores[0], scores[1])
		}
		for _, p := range networks[0].Parameters() {
			want, err := networks[0].Get(p.Name)
			require.NoError(t, err)
			got, err := networks[1].Get(p.Name)
			require.NoError(t, err)
			require.Equal(t, want, got, p.Name)
		}
		for _, n := range networks {
			require.NoError(t, n.Close())
		}
	}
}

// A model with adapters that is larger than the device is streamed, says so, and scores to the bits of the resident one; the plan says the
// same of that memory, and what is taken is what it says. A device with room for nothing but a batch is an error.
func TestEmulatedModelBeyondTheDevice(t *testing.T) {
	if testing.Short() {
		t.Skip("short: seconds of the emulator")
	}
	emulator.Use(t)
	require.NoError(t, driver.Load())
	require.NoError(t, emulator.Configure(emulator.Mode{Late: true, Jobs: 2}))
	base := filepath.Join(t.TempDir(), "base")
	require.NoError(t, tinymodel.Write(base, tinymodel.Options{Layers: 8, Intermediate: 512, MaxPositions: 96, Scale: 0.1}))
	c := run(t, base, "lora")
	c.Device = "cpu"
	_, err := prm.Train(context.Background(), c)
	require.NoError(t, err)
	dir := filepath.Join(c.Out, "model")
	list := shelves(4)

	var log bytes.Buffer
	usual := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(usual)
	open := func(bytes int) (*prm.Model, error) {
		require.NoError(t, emulator.SetMemory(bytes, false))
		t.Cleanup(func() { require.NoError(t, emulator.SetMemory(0, false)) })
		return prm.Open(dir, prm.OpenOptions{Device: "cuda:0", DType: "f32"})
	}
	resident, err := open(0)
	require.NoError(t, err)
	require.False(t, resident.Info().Streamed)
	require.Empty(t, log.String())
	want := scoreLines(t, resident, list)
	require.NoError(t, resident.Close())

	plan := func(memory int64) prm.PlanReport {
		r, err := prm.Plan(prm.PlanOptions{Model: base, Train: "score", DType: "f32", Tokens: 96, Memory: memory})
		require.NoError(t, err)
		return r
	}
	whole := plan(1 << 30)
	require.Zero(t, whole.Streamed)
	device := whole.Total - whole.Weights/4 // too little for all layers, enough for two
	less := plan(device)
	require.True(t, less.Fits)
	require.Equal(t, int64(8*4*(32*32*2+16*32*2+3*32*512+2*32+32+16*2)), less.Streamed, "matrices, norms and biases of eight layers")
	m, err := open(int(device))
	require.NoError(t, err)
	require.True(t, m.Info().Streamed)
	require.Contains(t, log.String(), "the model does not fit in the device's memory: its layers are brought there for each batch")
	require.Equal(t, want, scoreLines(t, m, list))
	s, err := m.Session(list[0].Problem)
	require.NoError(t, err)
	for _, step := range list[3].ResponseSteps {
		_, err := s.AppendResponse(t.Context(), step)
		require.NoError(t, err)
	}
	require.NoError(t, m.Close())
	_, err = open(int(less.Weights / 2))
	var memory *engine.MemoryError
	require.ErrorAs(t, err, &memory)
	require.ErrorContains(t, err, "streamed weights")
}

// Adapters, and a head, of a model that is larger than the device train over streamed layers to the bits of a device with room, as planned,
// and the run says so; training everything is an error there.
func TestEmulatedTrainingBeyondTheDevice(t *testing.T) {
	emulator.Use(t)
	require.NoError(t, driver.Load())
	require.NoError(t, emulator.Configure(emulator.Mode{Late: true, Jobs: 2}))
	base := filepath.Join(t.TempDir(), "base")
	require.NoError(t, tinymodel.Write(base, tinymodel.Options{Layers: 8, Intermediate: 512, MaxPositions: 96, Scale: 0.1}))
	train := func(mode string, memory int64) (prm.TrainConfig, string, error) {
		require.NoError(t, emulator.SetMemory(int(memory), false))
		defer func() { require.NoError(t, emulator.SetMemory(0, false)) }()
		var said bytes.Buffer
		c := run(t, base, mode)
		c.Optim.Epochs, c.Progress, c.Quiet, c.Cache = 1, &said, false, t.TempDir()
		_, err := prm.Train(context.Background(), c)
		return c, said.String(), err
	}
	plan := func(mode string) prm.PlanReport {
		lora := prm.DefaultTrainConfig().LoRA
		lora.Rank = 4
		r, err := prm.Plan(prm.PlanOptions{Model: base, Train: mode, DType: "f32", Tokens: 64, MicroBatches: 2, Moments: "bf16",
			Recompute: "layer", LoRA: lora})
		require.NoError(t, err)
		return r
	}
	for _, mode := range []string{"lora", "head"} {
		resident, said, err := train(mode, 0)
		require.NoError(t, err)
		require.NotContains(t, said, "does not fit")
		whole := plan(mode)
		c, said, err := train(mode, whole.Total-whole.Weights/4)
		require.NoError(t, err, mode)
		require.Contains(t, said, "the frozen weights of its layers, 1.6 MiB, are brought there for each micro-batch", mode)
		require.True(t, weightsOf(t, resident) == weightsOf(t, c), mode)
	}
	_, _, err := train("full", plan("full").Total*2/3)
	var memory *engine.MemoryError
	require.ErrorAs(t, err, &memory)
}

// Streamed weights that are cut short or written to while they are in use are an error that names their file, and the network is lost.
func TestEmulatedStreamLosesItsFile(t *testing.T) {
	gpu := openEmulated(t)
	defer func() { require.NoError(t, gpu.Close()) }()
	for name, harm := range map[string]func(path string) error{
		"cut":     func(path string) error { return os.Truncate(path, 4096) },
		"touched": func(path string) error { return os.Chtimes(path, time.Now(), time.Now().Add(time.Hour)) },
	} {
		m := newTiny(t, "dim64")
		n, err := nnet.New(nnet.Spec{Config: m.config, DType: engine.F32, Loss: loss.MSE, Streamed: true,
			Head: nnet.HeadSpec{Kind: nnet.Scalar, Activation: "sigmoid", Final: "shared"}}, gpu, layersOf{nnet.Weights{nnet.InWeights(m.weights)}})
		require.NoError(t, err)
		_, err = n.Score(context.Background(), m.batches[0])
		require.NoError(t, err)
		path := m.weights.Files()[0].Path()
		require.NoError(t, harm(path))
		_, err = n.Score(context.Background(), m.batches[0])
		require.True(t, mmap.Lost(err), "%s: %v", name, err)
		require.ErrorContains(t, err, path)
		require.Error(t, n.Lost(), name)
		require.NoError(t, n.Close())
	}
}

// layersOf gives all weights but the layers' from memory of their own, so that the layers alone hold on to the file.
type layersOf struct{ nnet.Weights }

func (l layersOf) Load(name string, dtype tensor.Dtype, shape []int) (*engine.Tensor, error) {
	t, err := l.Weights.Load(name, dtype, shape)
	if err == nil && !strings.HasPrefix(name, "model.layers.") {
		own := engine.FromDType(dtype, shape...)
		copy(own.Bytes(), t.Bytes())
		t = own
	}
	return t, err
}
