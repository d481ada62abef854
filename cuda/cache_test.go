//go:build linux && (amd64 || arm64) && !nocuda && !gpuonly

package cuda

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/goprm/goprm/cuda/internal/emulator"
	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/prefix"
	"github.com/goprm/goprm/internal/rng"
	"github.com/goprm/goprm/prm"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

// A session that grows and forks on the emulated GPU has the bits of its trajectories scored alone there, and the scores of the CPU,
// in windows too; what an append costs is what is new.
func TestEmulatedSession(t *testing.T) {
	if testing.Short() {
		t.Skip("short: seconds of the emulator")
	}
	emulator.Use(t)
	require.NoError(t, emulator.Configure(emulator.Mode{Jobs: 2}))
	dir := filepath.Join("..", "internal", "parity", "testdata", "heads", "pure_linear")
	_, err := prm.Open(dir, prm.OpenOptions{Format: "pure", Device: "cuda:0", DType: "f32", CacheTokens: new(4 << 30 / 128)})
	require.ErrorContains(t, err, "cache_tokens: 33554432 take 128 bytes each", "the device's memory counts, not the host's")
	for _, c := range []struct {
		dtype     string
		window    int
		tolerance float64
	}{{"f32", 0, 2e-5}, {"f32", 128, 2e-5}, {"bf16", 0, 3e-2}} {
		t.Run(fmt.Sprintf("%s/%d", c.dtype, c.window), func(t *testing.T) {
			open := func(device, dtype string, cache *int) *prm.Model {
				m, err := prm.Open(dir, prm.OpenOptions{Format: "pure", Device: device, DType: dtype, MaxTokens: c.window, CacheTokens: cache})
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, m.Close()) })
				return m
			}
			cpu, alone, kept := open("cpu", "f32", new(0)), open("cuda:0", c.dtype, new(0)), open("cuda:0", c.dtype, new(40*prefix.Block))
			s, err := kept.Session("A shelf holds 4 rows of 9 books; 5 are lent out. How many are left?")
			require.NoError(t, err)
			require.Empty(t, s.Cache().Off)
			require.Equal(t, 40*prefix.Block, s.Cache().Tokens)
			tokens, reused, windows := 0, 0, 0
			for i := range 6 {
				step := fmt.Sprintf("Take %d away, then add %d more.", i, i*i)
				other := s.Fork() // which leaves a beginning that the session does not go on from
				_, err := other.AppendResponse(t.Context(), "Or not: "+step)
				require.NoError(t, err)
				got, err := s.AppendResponse(t.Context(), step)
				require.NoError(t, err)
				require.NoError(t, same(t, alone, s.Trajectory(), got, 0))
				require.NoError(t, same(t, cpu, s.Trajectory(), got, c.tolerance))
				tokens, reused, windows = tokens+s.Tokens(), reused+s.Reused(), max(windows, got.Steps[i].Window)
			}
			require.Equal(t, c.window > 0, windows > 0)
			require.Greater(t, reused, tokens/2)
		})
	}
}

// same compares the score with that of a model; without tolerance by its bits.
func same(t *testing.T, m *prm.Model, trajectory *data.Trajectory, got *prm.Score, tolerance float64) error {
	want, err := m.Score(t.Context(), trajectory)
	if err != nil {
		return err
	}
	require.Len(t, got.Steps, len(want.Steps))
	for i, s := range want.Steps {
		if tolerance == 0 {
			require.Equal(t, s, got.Steps[i], "step %d", i)
		}
		require.InDelta(t, s.Score, got.Steps[i].Score, tolerance, "step %d", i)
	}
	return nil
}

// Texts that grow, branch and make room for each other have the bits that they have without a cache, by both families of kernels, by
// recorded launches too.
func TestEmulatedSM80Cache(t *testing.T) { cached(t, openEmulated) }
func TestEmulatedSM90Cache(t *testing.T) { cached(t, openHopper) }

func cached(t *testing.T, open func(testing.TB) engine.Backend) {
	if testing.Short() {
		t.Skip("short: seconds of the emulator")
	}
	require.NoError(t, open(t).Close())
	require.NoError(t, emulator.Configure(emulator.Mode{Late: true, Seed: 1, Jobs: 2}))
	gpu := open(t)
	defer func() { require.NoError(t, gpu.Close()) }()
	m := newTiny(t, "dim64")
	for _, dtype := range []tensor.Dtype{engine.F32, engine.BFloat16} {
		alone, kept := m.network(t, gpu, dtype, nnet.TrainNothing), m.network(t, gpu, dtype, nnet.TrainNothing)
		const room = 12
		require.NoError(t, kept.SetCache(room*prefix.Block))
		known := prefix.New(room*prefix.Block, false)
		reused := 0
		for i := range 6 {
			batch := growing(t, m.config.VocabSize, i)
			plan := known.Plan(batch)
			want, err := alone.Score(context.Background(), nnet.MicroBatch{Batch: batch})
			require.NoError(t, err)
			var s nnet.Scores
			if len(plan.Tokens) > 0 {
				s, err = kept.Score(context.Background(), plan.MicroBatch)
				require.NoError(t, err)
			}
			require.Equal(t, want.Values, plan.Done(s.Values), "%s, batch %d", engine.DTypeName(dtype), i)
			for _, n := range plan.Reused {
				reused += int(n)
			}
		}
		require.Greater(t, reused, 100)
	}
}

// growing packs two texts: the first grows with i, the second goes on from the first's beginning in a way of its own.
func growing(t *testing.T, vocabulary, i int) *data.Batch {
	var list []*data.Example
	for text, seed := range []uint64{1, uint64(2 + i/2)} {
		e := &data.Example{ID: fmt.Sprint(text)}
		for j := range 20 + 12*i {
			from := uint64(1)
			if j > 18 {
				from = seed
			}
			e.Tokens = append(e.Tokens, int32(rng.Mix(from<<32+uint64(j))%uint64(vocabulary)))
			if j%7 == 6 {
				e.Reads = append(e.Reads, data.ReadOut{Pos: int32(j), Kind: data.KindStep, Index: len(e.Reads), HasTarget: true, Weight: 1})
			}
		}
		list = append(list, e)
	}
	packed, err := data.Pack(list, data.PackOptions{Tokens: 400, N: 2, LambdaStep: 1, LambdaFinal: 1})
	require.NoError(t, err)
	require.Len(t, packed, 1)
	return packed[0]
}

// A cache that the device has no memory for is an error, and the network scores on without one.
func TestEmulatedCacheOutOfMemory(t *testing.T) {
	gpu := openEmulated(t)
	defer func() { require.NoError(t, gpu.Close()) }()
	m := newTiny(t, "dim64")
	n := m.network(t, gpu, engine.F32, nnet.TrainNothing)
	want, err := n.Score(context.Background(), m.batches[0])
	require.NoError(t, err)
	free, err := gpu.(engine.ReportsMemory).FreeMemory()
	require.NoError(t, err)
	err = n.SetCache(int(free/int64(n.CacheBytes())) + 1)
	require.ErrorContains(t, err, "a cache of")
	var memory *engine.MemoryError
	require.ErrorAs(t, err, &memory)
	left, err := gpu.(engine.ReportsMemory).FreeMemory()
	require.NoError(t, err)
	require.GreaterOrEqual(t, left, free, "what it had is given back")
	got, err := n.Score(context.Background(), m.batches[0])
	require.NoError(t, err)
	require.Equal(t, want, got)
}
