//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"context"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/goprm/goprm/cuda/internal/emulator"
	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/parity/testdata"
	"github.com/goprm/goprm/internal/rng"
	"github.com/goprm/goprm/loss"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	_ "github.com/goprm/goprm/internal/cpu"
	_ "github.com/goprm/goprm/nn"
)

// unpack writes a golden folder that this program carries.
func unpack(t testing.TB, name string) string {
	files, err := fs.Sub(testdata.Files, name)
	require.NoError(t, err)
	dir := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.CopyFS(dir, files))
	return dir
}

// tiny is a golden folder's two-layer model, stored as bf16, with batches of its own.
type tiny struct {
	config   *hfmodel.Config
	weights  *hfmodel.Weights
	batches  []nnet.MicroBatch
	streamed bool // the networks bring frozen layers to the device
	kept     bool // and recompute nothing
}

func newTiny(t *testing.T, name string) *tiny {
	return openTiny(t, filepath.Join(unpack(t, name), "bf16"))
}

// openTiny is the same of a folder.
func openTiny(t *testing.T, dir string) *tiny {
	m := &tiny{}
	var err error
	m.config, err = hfmodel.ReadConfig(dir)
	require.NoError(t, err)
	m.weights, err = hfmodel.OpenWeights(dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.weights.Close()) })
	var list []*data.Example
	for i, n := range []int{20, 9, 30} {
		e := &data.Example{ID: fmt.Sprint(i)}
		stream := rng.New(uint64(i), "tokens")
		for j := range n {
			e.Tokens = append(e.Tokens, int32(stream.Uint64(uint64(j))%uint64(m.config.VocabSize)))
		}
		for p := 3; p < n; p += 6 {
			e.Reads = append(e.Reads, data.ReadOut{Pos: int32(p), Kind: data.KindStep, Index: len(e.Reads), Target: stream.Float64(uint64(n + p)),
				HasTarget: true, Weight: 1})
		}
		e.Reads = append(e.Reads, data.ReadOut{Pos: int32(n - 1), Kind: data.KindTrajectory, Target: 0.75, HasTarget: true, Weight: 1})
		list = append(list, e)
	}
	packed, err := data.Pack(list, data.PackOptions{Tokens: 32, N: len(list), LambdaStep: 1, LambdaFinal: 0.5})
	require.NoError(t, err)
	for _, b := range packed {
		m.batches = append(m.batches, nnet.MicroBatch{Batch: b})
	}
	return m
}

func (m *tiny) network(t *testing.T, b engine.Backend, dtype tensor.Dtype, train string) *nnet.Network {
	spec := nnet.Spec{Config: m.config, DType: dtype, Train: train, Loss: loss.MSE, Recompute: !m.kept, Streamed: m.streamed,
		Head: nnet.HeadSpec{Kind: nnet.Scalar, Activation: "sigmoid", Final: "shared"},
		LoRA: nnet.LoRASpec{Rank: 4, Alpha: 8, Targets: []string{"q_proj", "v_proj", "down_proj"}}}
	n, err := nnet.New(spec, b, nnet.Weights{nnet.InWeights(m.weights)})
	require.NoError(t, err)
	for _, p := range n.Parameters() {
		if p.Head || p.Trained && train == nnet.TrainLoRA {
			v, stream := make([]float64, size(p.Shape)), rng.New(9, p.Name)
			for i := range v {
				v[i] = 0.3 * (stream.Float64(uint64(i)) - 0.5)
			}
			require.NoError(t, n.Set(p.Name, v))
		}
	}
	t.Cleanup(func() { require.NoError(t, n.Close()) })
	return n
}

func size(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

var update = nnet.AdamW{LR: 2e-3, HeadLR: 2e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.01, Clip: 1}

// counting counts recordings.
type counting struct {
	*backend
	recorded int
}

func (c *counting) Record(launches func() error) (engine.Recording, error) {
	c.recorded++
	return c.backend.Record(launches)
}

// plain hides everything of a backend that engine.Backend does not ask for: recording too.
type plain struct{ engine.Backend }

// The golden model of each head dimension that the tensor-core kernels are made for trains 20 steps on the emulated GPU, in
// bf16 with f32 sums, by recorded graphs and without, and its losses stay by those of the f32 CPU run, within bf16's
// tolerance of the loss and of what it began with: products read weights rounded to 8 bits, so an update shows when it is
// large enough, and differences add up.
func TestEmulatedSM80Training(t *testing.T) { emulatedTraining(t, openEmulated, 20) }

// The same with the kernels of sm90a, which are slower here.
func TestEmulatedSM90Training(t *testing.T) { emulatedTraining(t, openHopper, 3) }

// emulatedTraining takes a few steps of one model; with GOPRM_EMULATED=all all of both, which takes minutes.
func emulatedTraining(t *testing.T, open func(t testing.TB) engine.Backend, few int) {
	if testing.Short() {
		t.Skip("short: seconds of the emulator")
	}
	require.NoError(t, open(t).Close())
	require.NoError(t, emulator.Configure(emulator.Mode{Jobs: 2}))
	if os.Getenv("GOPRM_EMULATED") != "all" {
		t.Run("dim128/lora", func(t *testing.T) { trains(t, open, "dim128", nnet.TrainLoRA, few) })
		return
	}
	training(t, open)
}

// training compares each kind of training and head dimension.
func training(t *testing.T, open func(t testing.TB) engine.Backend) {
	for _, name := range []string{"dim64", "dim128"} {
		for _, train := range []string{nnet.TrainLoRA, nnet.TrainFull} {
			t.Run(name+"/"+train, func(t *testing.T) { trains(t, open, name, train, 20) })
		}
	}
}

// trains compares the losses of a training run with those of the CPU.
func trains(t *testing.T, open func(t testing.TB) engine.Backend, name, train string, steps int) {
	m := newTiny(t, name)
	cpu, err := engine.Open("cpu", engine.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, cpu.Close()) }()
	gpu := open(t)
	defer func() { require.NoError(t, gpu.Close()) }()
	counted := &counting{backend: gpu.(*backend)}
	exact, got := m.network(t, cpu, engine.F32, train), m.network(t, counted, engine.BFloat16, train)
	launched := m.network(t, plain{gpu}, engine.BFloat16, train)
	var first, last float64
	saw := &seen{}
	defer saw.tell(t)
	for s := range steps {
		want, err := exact.TrainStep(context.Background(), m.batches, update)
		require.NoError(t, err)
		r, err := got.TrainStep(context.Background(), m.batches, update)
		require.NoError(t, err)
		if s == 0 {
			first = want.Loss
			require.InEpsilon(t, want.GradNorm, r.GradNorm, 6e-2)
		}
		require.LessOrEqual(t, math.Abs(r.Loss-want.Loss), 3e-2*(want.Loss+first), "step %d: loss %g, on the CPU %g", s, r.Loss, want.Loss)
		saw.error(math.Abs(r.Loss-want.Loss) / (3e-2 * (want.Loss + first)))
		last = r.Loss
		again, err := launched.TrainStep(context.Background(), m.batches, update)
		require.NoError(t, err)
		require.Equal(t, again, r, "replayed graphs give the bits of single launches")
	}
	if steps == 20 {
		require.Less(t, last, 0.7*first, "it learns")
	}
	require.Equal(t, 3, counted.recorded, "a graph for the first micro-batch of every step, for the others, and for the update")
}
