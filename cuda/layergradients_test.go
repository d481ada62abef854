//go:build linux && (amd64 || arm64) && !nocuda && !gpuonly

package cuda

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/goprm/goprm/cuda/internal/emulator"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/goprm/goprm/loss"
	"github.com/stretchr/testify/require"
)

// grouped notes how many products of launches that make several there are.
type grouped struct {
	*backend
	groups []int
}

func (g *grouped) CompileGroup(calls []engine.Call) (engine.Launch, error) {
	g.groups = append(g.groups, len(calls))
	return g.backend.CompileGroup(calls)
}

// Everything of a model is trained with a launch for a layer's gradients of weights, as with one for each: the same losses, norms and
// parameters, to the bit, with layers recomputed and kept, gradients added over micro-batches, and launches recorded.
func TestEmulatedSM90TrainsByLayers(t *testing.T) {
	require.NoError(t, openHopper(t).Close())
	require.NoError(t, emulator.Configure(emulator.Mode{Jobs: 2}))
	base := filepath.Join(t.TempDir(), "base")
	require.NoError(t, tinymodel.Write(base, tinymodel.Options{Hidden: 72, Intermediate: 136, Heads: 1, KVHeads: 1, Scale: 0.1}))
	m := openTiny(t, base)
	for _, recompute := range []bool{true, false} {
		if !recompute && testing.Short() {
			break
		}
		gpu := openHopperWith(t, fewMultiprocessors).(*backend)
		counted := &grouped{backend: gpu}
		var networks []*nnet.Network
		for _, b := range []engine.Backend{counted, plain{gpu}} {
			n, err := nnet.New(nnet.Spec{Config: m.config, DType: engine.BFloat16, Train: nnet.TrainFull, Loss: loss.MSE, Recompute: recompute,
				Head: nnet.HeadSpec{Kind: nnet.Scalar, Activation: "sigmoid", Final: "shared"}}, b, nnet.Weights{nnet.InWeights(m.weights)})
			require.NoError(t, err)
			networks = append(networks, n)
		}
		for range 3 {
			want, err := networks[1].TrainStep(context.Background(), m.batches, update)
			require.NoError(t, err)
			got, err := networks[0].TrainStep(context.Background(), m.batches, update)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		for _, p := range networks[0].Parameters() {
			want, err := networks[1].Get(p.Name)
			require.NoError(t, err)
			got, err := networks[0].Get(p.Name)
			require.NoError(t, err)
			require.Equal(t, want, got, p.Name)
		}
		require.Equal(t, []int{7, 7}, counted.groups)
		require.Greater(t, len(m.batches), 1)
		for _, n := range networks {
			require.NoError(t, n.Close())
		}
		require.NoError(t, gpu.Close())
	}
}
