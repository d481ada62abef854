//go:build linux && (amd64 || arm64) && !nocuda && !gpuonly

package cuda

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"unsafe"

	"github.com/goprm/goprm/cuda/internal/driver"
	"github.com/goprm/goprm/cuda/internal/emulator"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/goprm/goprm/loss"
	"github.com/goprm/goprm/prm"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

// unbacked is a GPU whose large tensors are nowhere: it notes what is asked for.
type unbacked struct {
	*backend
	sizes []int // of allocations
	host  int   // bytes of page-locked memory
}

func (c *unbacked) Alloc(bytes int) (unsafe.Pointer, error) {
	c.sizes = append(c.sizes, bytes)
	return c.backend.Alloc(bytes)
}

func (c *unbacked) AllocHost(bytes int) (unsafe.Pointer, error) {
	c.host += bytes
	return addresses(bytes)
}

// Upload leaves out what would come from weights that are not there.
func (c *unbacked) Upload(dst *engine.Tensor, src []byte) error {
	if len(src) > 1<<20 {
		return nil
	}
	return c.backend.Upload(dst, src)
}

// addresses are some where nothing is but zeros.
func addresses(bytes int) (unsafe.Pointer, error) {
	m, err := syscall.Mmap(-1, 0, bytes, syscall.PROT_READ, syscall.MAP_PRIVATE|syscall.MAP_ANON|syscall.MAP_NORESERVE)
	return unsafe.Pointer(unsafe.SliceData(m)), err
}

// nowhere is the source of weights that nobody reads.
type nowhere struct{ at unsafe.Pointer }

func (nowhere) IsBF16(string) bool { return true }

func (n nowhere) Load(_ string, dtype tensor.Dtype, shape []int) (*engine.Tensor, error) {
	return engine.NewTensor(n.at, dtype, shape, nil), nil
}

// config7B is a folder with the configuration of Qwen2.5-7B.
func config7B(t *testing.T) (dir string, config *hfmodel.Config) {
	text := `{"architectures":["Qwen2ForCausalLM"],"model_type":"qwen2","hidden_act":"silu","rms_norm_eps":1e-6,"rope_theta":1e6,` +
		`"max_position_embeddings":32768,"torch_dtype":"bfloat16",` + shape7B + `}`
	dir = t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600))
	config, err := hfmodel.ParseConfig([]byte(text))
	require.NoError(t, err)
	return dir, config
}

// 7B with everything trained and 16 micro-batches a step takes of the emulator's allocator what is planned: the arena to the byte, and all
// together to two in ten thousand, which are inputs, outputs and tables.
func TestEmulated7BTakesWhatIsPlanned(t *testing.T) {
	const tokens, micros, device = 4096, 16, 200 << 30
	emulator.Use(t)
	require.NoError(t, driver.Load())
	require.NoError(t, emulator.SetMemory(device, true))
	t.Cleanup(func() { require.NoError(t, emulator.SetMemory(0, false)) })
	dir, config := config7B(t)
	for _, offload := range []bool{false, true} {
		opt := prm.PlanOptions{Model: dir, Train: nnet.TrainFull, Tokens: tokens, MicroBatches: micros, Moments: "bf16", Offload: offload,
			Recompute: "layer", Memory: device}
		plan, err := prm.Plan(opt)
		require.NoError(t, err)
		gpu := &unbacked{backend: openHopper(t).(*backend)} // whose kernels take the scratch memory that is planned
		_, err = emulator.Peak(0)
		require.NoError(t, err)
		at, err := addresses(4 << 30)
		require.NoError(t, err)
		n, err := nnet.New(nnet.Spec{Config: config, DType: engine.BFloat16, Train: nnet.TrainFull, Loss: loss.MSE, Recompute: true,
			BF16Moments: true, Offload: offload, Head: nnet.HeadSpec{Kind: nnet.Scalar, Activation: "sigmoid", Final: "shared"}}, gpu, nowhere{at})
		require.NoError(t, err)
		batch := nnet.MicroBatch{Batch: tinymodel.Batch(tokens)}
		for range 2 { // the second step is recorded
			r, err := n.TrainStep(context.Background(), slices.Repeat([]nnet.MicroBatch{batch}, micros), update)
			require.NoError(t, err)
			require.Equal(t, micros*tokens/16, r.NumStep)
		}
		_, err = n.Score(context.Background(), batch)
		require.NoError(t, err)
		used, err := emulator.Peak(0)
		require.NoError(t, err)
		require.Contains(t, gpu.sizes, int(plan.Activations), "the arena")
		require.Equal(t, plan.Host, int64(gpu.host), "on the host")
		require.InEpsilon(t, plan.Total, used, 2e-4, "planned %+v", plan)
		require.True(t, plan.Fits)
		t.Logf("offload %v: %.1f GiB, planned %.1f, %.1f on the host", offload, float64(used)/(1<<30), float64(plan.Total)/(1<<30),
			float64(gpu.host)/(1<<30))
		require.NoError(t, n.Close())
		require.NoError(t, gpu.Close())
	}
}
