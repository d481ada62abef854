//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/goprm/goprm/cuda/internal/emulator"
	"github.com/goprm/goprm/internal/dist"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/stretchr/testify/require"
)

// Ranks on two emulated GPUs take the steps of one in bf16, by recorded launches too: their losses stay by those of one, and after the last
// step all score with the same bits, so each product reads the parameters that came from other ranks.
func TestEmulatedRanks(t *testing.T) {
	if testing.Short() {
		t.Skip("short: seconds of the emulator")
	}
	require.NoError(t, openEmulated(t).Close())
	require.NoError(t, emulator.Configure(emulator.Mode{Jobs: 2}))
	modes, names := []string{nnet.TrainFull}, []string{"dim64"}
	if os.Getenv("GOPRM_EMULATED") == "all" {
		modes, names = append(modes, nnet.TrainLoRA), append(names, "dim128")
	}
	for _, name := range names {
		for _, mode := range modes {
			alone := onEmulatedGPUs(t, name, mode, 1, 1)
			for stage := 1; stage <= 2; stage++ {
				ranks := onEmulatedGPUs(t, name, mode, 2, stage)
				require.Equal(t, ranks[0].scores, ranks[1].scores)
				require.Equal(t, ranks[0].losses, ranks[1].losses)
				for i, loss := range alone[0].losses {
					require.InEpsilon(t, loss, ranks[0].losses[i], 0.02, "step %d", i) // bf16, see trains
				}
			}
		}
	}
}

type gpuRank struct{ losses, scores []float64 }

// onEmulatedGPUs takes four steps with the model's batches, dealt in turn.
func onEmulatedGPUs(t *testing.T, name, mode string, world, stage int) []gpuRank {
	t.Helper()
	m := newTiny(t, name)
	groups, out := []*dist.Group{nil}, make([]gpuRank, world)
	if world > 1 {
		groups = dist.Local(world, 5*time.Minute)
	}
	networks := make([]*nnet.Network, world)
	for r := range networks { // one after the other: they are tests' helpers
		networks[r] = m.network(t, openEmulated(t), engine.BFloat16, mode)
		require.NoError(t, networks[r].Join(groups[r], stage))
	}
	errs := make([]error, world)
	var work sync.WaitGroup
	for r, n := range networks {
		var mine []nnet.MicroBatch
		for i, b := range m.batches {
			if i%world == r {
				mine = append(mine, b)
			}
		}
		work.Go(func() {
			for range 4 {
				s, err := n.TrainStep(context.Background(), mine, update)
				if err != nil {
					errs[r] = err
					groups[r].Fail(err)
					return
				}
				out[r].losses = append(out[r].losses, s.Loss)
			}
			s, err := n.Score(context.Background(), m.batches[0])
			out[r].scores, errs[r] = s.Values, err
		})
	}
	work.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	return out
}
