//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/goprm/goprm/cuda/internal/emulator"
	"github.com/goprm/goprm/internal/dist"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/stretchr/testify/require"
)

// openRanks opens an emulated GPU for each rank.
func openRanks(t *testing.T, world int) []engine.Backend {
	t.Helper()
	emulator.Use(t)
	t.Setenv("GOPRM_EMU_DEVICES", strconv.Itoa(world))
	list := make([]engine.Backend, world)
	for r := range list {
		var err error
		list[r], err = engine.Open(fmt.Sprintf("cuda:%d", r), engine.Options{})
		require.NoError(t, err)
	}
	return list
}

// onRanks runs f for each rank on a goroutine of its own; who fails gives up the group.
func onRanks(groups []*dist.Group, f func(rank int) error) []error {
	errs := make([]error, len(groups))
	var work sync.WaitGroup
	for r, g := range groups {
		work.Go(func() {
			if errs[r] = f(r); errs[r] != nil {
				g.Fail(errs[r])
			}
		})
	}
	work.Wait()
	return errs
}

// launching is a backend that records nothing.
type launching struct {
	engine.Backend
	engine.RoundsWeights
	engine.ReachesPeers
	engine.PrefersBF16
}

// peerRun is what a rank has at the end.
type peerRun struct {
	losses, scores []float64
	values         map[string][]float64
	early, rounds  int64
	sent           int64
}

// trainPeers takes three steps of bf16 on so many emulated GPUs, which meet by the stand-in NCCL or exchange through the host's memory.
func trainPeers(t *testing.T, m *tiny, train string, world, stage int, meets, records bool) []peerRun {
	t.Helper()
	groups, out := dist.Local(world, time.Minute), make([]peerRun, world)
	networks := make([]*nnet.Network, world)
	for r, b := range openRanks(t, world) {
		if !records {
			own := b.(*backend)
			b = launching{b, own, own, own}
		}
		networks[r] = m.network(t, b, engine.BFloat16, train)
		require.NoError(t, networks[r].Join(groups[r], stage))
	}
	batches := append(m.batches[:len(m.batches):len(m.batches)], m.batches...)
	for _, err := range onRanks(groups, func(r int) error {
		n := networks[r]
		if meets {
			by, why, err := n.Meet()
			if err != nil || by != "NCCL 2.27.3" {
				return fmt.Errorf("%q, %q: %w", by, why, err)
			}
		}
		var mine []nnet.MicroBatch
		for i, b := range batches {
			if i%world == r {
				mine = append(mine, b)
			}
		}
		for range 3 {
			s, err := n.TrainStep(context.Background(), mine, update)
			if err != nil {
				return err
			}
			out[r].losses = append(out[r].losses, s.Loss, s.GradNorm)
		}
		s, err := n.Score(context.Background(), m.batches[0])
		out[r].scores, out[r].values = s.Values, map[string][]float64{}
		for _, p := range n.Parameters() {
			if err == nil && p.Trained {
				out[r].values[p.Name], err = n.Get(p.Name)
			}
		}
		out[r].early, out[r].rounds = n.Overlap()
		out[r].sent = groups[r].Sent
		return err
	}) {
		require.NoError(t, err)
	}
	return out
}

// Ranks on emulated GPUs that exchange by NCCL have the bits of ranks that exchange through the host's memory: losses, norms, parameters,
// and what the products read of them. Their backward pass and update are recorded with the exchanges in them and replayed, with the same
// bits, and most reductions are due before the pass is over.
func TestEmulatedPeers(t *testing.T) {
	if testing.Short() {
		t.Skip("short: seconds of the emulator")
	}
	require.NoError(t, openEmulated(t).Close())
	require.NoError(t, emulator.Configure(emulator.Mode{Jobs: 2}))
	cases := []struct {
		name, train  string
		world, stage int
	}{{"dim64", nnet.TrainLoRA, 2, 1}, {"dim64", nnet.TrainFull, 2, 2}}
	if os.Getenv("GOPRM_EMULATED") == "all" {
		cases = nil
		for i := range 16 {
			cases = append(cases, struct {
				name, train  string
				world, stage int
			}{[]string{"dim64", "dim128"}[i&1], []string{nnet.TrainFull, nnet.TrainLoRA}[i>>1&1], 2 << (i >> 2 & 1), 1 + i>>3})
		}
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%s/%s/%d ranks/stage %d", c.name, c.train, c.world, c.stage), func(t *testing.T) {
			m := newTiny(t, c.name)
			host := trainPeers(t, m, c.train, c.world, c.stage, false, true)
			met := trainPeers(t, m, c.train, c.world, c.stage, true, true)
			launched := trainPeers(t, m, c.train, c.world, c.stage, true, false)
			for r := range met {
				require.Equal(t, host[r].losses, met[r].losses)
				require.Equal(t, host[r].values, met[r].values)
				require.Equal(t, host[r].scores, met[r].scores)
				require.Equal(t, host[0].values, met[r].values)
				require.Equal(t, met[r], launched[r])
				require.Zero(t, host[r].early)
				require.Greater(t, met[r].early, met[r].rounds/3)
				require.Greater(t, met[r].rounds, met[r].early)
			}
		})
	}
}
