package prm

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/rng"
	"github.com/goprm/goprm/internal/safetensors"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

// caches lists the cached hidden states.
func caches(t *testing.T, dir string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, featuresName, "*", "*"+shardEnd))
	require.NoError(t, err)
	return list
}

// Training the head on cached hidden states is training it on the network's own.
func TestFeatureCache(t *testing.T) {
	base := tiny(t, tinymodel.Options{})
	c := config(t, base)
	c.Train = "head"
	train(t, c)
	first := weights(t, c.Out)
	list := caches(t, c.Cache)
	require.Len(t, list, 1)
	before, err := os.Stat(list[0])
	require.NoError(t, err)

	c.Out += "2"
	c.Optim.Epochs = 1
	train(t, c) // other numbers in training, the same hidden states
	require.Equal(t, list, caches(t, c.Cache))
	after, err := os.Stat(list[0])
	require.NoError(t, err)
	require.True(t, os.SameFile(before, after), "they were computed again")

	// Damage is noticed, said and repaired.
	file, err := os.OpenFile(list[0], os.O_RDWR, 0)
	require.NoError(t, err)
	_, err = file.WriteAt([]byte{1, 2, 3}, before.Size()-9)
	require.NoError(t, err)
	require.NoError(t, file.Close())
	c.Out += "3"
	c.Optim.Epochs = 2
	train(t, c)
	require.Contains(t, said(c), "are computed again: damaged: the rows of ")
	require.Len(t, caches(t, c.Cache), 1, "the damaged shard is gone")
	require.Equal(t, first, weights(t, c.Out))

	// What they depend on is part of their name.
	for i, change := range []func(c *TrainConfig){
		func(c *TrainConfig) { c.Text.Separator = " " },
		func(c *TrainConfig) { c.Text.Final = "last_token"; c.Text.Template = "Q {problem} A " },
		func(c *TrainConfig) { c.DType = "f64" },
		func(c *TrainConfig) { c.Model = tiny(t, tinymodel.Options{Seed: 5}) },
		func(c *TrainConfig) { c.Data.Trajectories = Slice(append(sums(28, 5), elsewhere(sums(1, 8))...)) }, // one row more
	} {
		other := c
		other.Out += string(rune('a' + i))
		change(&other)
		train(t, other)
		require.Len(t, caches(t, c.Cache), 2+i)
	}
}

// With the trunk at rest, lora and full learn the head as train: head does from its cache.
func TestHeadModeEqualsFrozenTrunk(t *testing.T) {
	base := tiny(t, tinymodel.Options{})
	var want []float64
	for _, mode := range []string{"head", "full"} {
		c := config(t, base)
		c.Train, c.Optim.LR, c.Optim.WeightDecay, c.Optim.Clip, c.DType, c.Batch.Tokens = mode, new(0.0), new(0.0), new(0.0), "f64", 4096
		c.Head.Init, c.Optim.HeadLR = "zeros", new(0.05)
		r := train(t, c)
		require.Less(t, float64(r.Last.Loss), 0.2)
		var got []float64
		m, err := Open(r.Model, OpenOptions{DType: "f64", Backend: "portable"})
		require.NoError(t, err)
		for _, name := range []string{"score.weight", "score.bias"} {
			values, err := m.network.Get(name)
			require.NoError(t, err)
			got = append(got, values...)
		}
		require.NoError(t, m.Close())
		require.Greater(t, math.Abs(got[0]), 1e-3, "the head did not learn")
		if want == nil {
			want = got
		}
		require.InDeltaSlice(t, want, got, 1e-6)
	}
}

// Kernels with the same bits share what is cached, others do not.
func TestFeatureFolderOfKernels(t *testing.T) {
	at := func(backend, dtype string) string {
		c := featureCache{backend: backend, arithmetic: dtype}
		return c.folder()
	}
	require.Equal(t, at("cpu/avx2", "f32"), at("cpu/avx512", "f32"), "they have the same bits")
	require.NotEqual(t, at("cpu/avx2", "bf16"), at("cpu/avx512bf16", "bf16"))
	require.Equal(t, at("cpu/avx2", "int8"), at("cpu/avx512", "int8"))
	require.NotEqual(t, at("cpu/avx2", "int8"), at("cpu/avx512bf16", "int8"), "attention in bf16")
	require.NotEqual(t, at("cpu/avx2", "f32"), at("cpu/portable", "f32"))
}

func TestFeatureKey(t *testing.T) {
	example := func() *data.Example {
		return &data.Example{Tokens: []int32{1, 2, 3}, Reads: []data.ReadOut{{Pos: 1}, {Pos: 2}}, Windows: []int32{1}}
	}
	key := featureKey(example())
	same := example()
	same.ID, same.Reads[0].Target, same.Reads[0].Weight = "other", 0.5, 3
	require.Equal(t, key, featureKey(same), "labels change no hidden state")
	for i, change := range []func(e *data.Example){
		func(e *data.Example) { e.Tokens[1] = 9 },
		func(e *data.Example) { e.Reads[0].Pos = 2 },
		func(e *data.Example) { e.Windows = nil },
		func(e *data.Example) { e.Windows[0] = 2 },
		func(e *data.Example) { e.Tokens, e.Reads = []int32{1, 2}, append(e.Reads, data.ReadOut{Pos: 3}) },
	} {
		e := example()
		change(e)
		require.NotEqual(t, key, featureKey(e), i)
	}
	cache := featureCache{weights: "w", backend: "cpu/portable", dtype: safetensors.F32}
	for i, change := range []func(c *featureCache){
		func(c *featureCache) { c.weights = "v" },
		func(c *featureCache) { c.backend = "cpu/avx2" },
		func(c *featureCache) { c.arithmetic = "bf16" },
		func(c *featureCache) { c.dtype = safetensors.F64 },
		func(c *featureCache) { c.hidden = 1 },
	} {
		c := cache
		change(&c)
		require.NotEqual(t, cache.folder(), c.folder(), i)
	}
}

// At the solution the gradient of Σ(w·z − (y − ȳ))² + strength·n·var(X)·‖w‖² vanishes, and the means meet.
func TestRidge(t *testing.T) {
	const n, width, strength = 700, 9, 3.0 // more rows than a block
	stream := rng.New(4, "ridge")
	x, y := make([][]float64, n), make([]float64, n)
	var all []float64
	for i := range x {
		for j := range width {
			x[i] = append(x[i], stream.Float64(uint64(i*100+j))*float64(j+1)+float64(j*j))
		}
		all = append(all, x[i]...)
		y[i] = 0.3*x[i][2] - x[i][5] + stream.Float64(uint64(i*100+50))
	}
	w, b, err := ridge(width, func(dst []float64, i int) ([]float64, error) { return append(dst, x[i]...), nil }, y, ones(n), strength)
	require.NoError(t, err)
	mean := func(v func(i int) float64, n int) float64 {
		sum := 0.0
		for i := range n {
			sum += v(i)
		}
		return sum / float64(n)
	}
	grand := mean(func(i int) float64 { return all[i] }, len(all))
	variance := mean(func(i int) float64 { return (all[i] - grand) * (all[i] - grand) }, len(all)) * float64(len(all)) / float64(len(all)-1)
	meanY := mean(func(i int) float64 { return y[i] }, n)
	predict := func(i int) float64 {
		p := b
		for j, v := range x[i] {
			p += w[j] * v
		}
		return p
	}
	require.InDelta(t, meanY, mean(predict, n), 1e-10)
	for j := range width {
		m := mean(func(i int) float64 { return x[i][j] }, n)
		gradient := mean(func(i int) float64 { return (x[i][j] - m) * (predict(i) - y[i]) }, n)
		require.InDelta(t, 0, gradient+strength*variance*w[j], 1e-9*variance)
	}
	require.Greater(t, math.Abs(w[5]), 1e-3)
	_, _, err = ridge(2, func(dst []float64, _ int) ([]float64, error) { return append(dst, 1, 1), nil }, []float64{0, 1, 1}, ones(3), 1)
	require.ErrorContains(t, err, "do not vary")
	_, _, err = ridge(2, nil, []float64{1}, ones(1), 1)
	require.ErrorContains(t, err, "needs 2")
}

// A regression start beats the mean target on the data it was fitted to, in every mode, with one row or two.
func TestRidgeInit(t *testing.T) {
	base := tiny(t, tinymodel.Options{})
	for _, mode := range []string{"full", "head"} {
		for _, final := range []string{"shared", "own"} {
			for _, activation := range []string{"sigmoid", "identity"} {
				loss := map[string]float64{}
				for _, init := range []string{"zeros", "ridge"} {
					c := config(t, base)
					c.Train, c.Head.Init, c.Head.Final, c.Head.Activation, c.Head.Ridge = mode, init, final, activation, new(1e-4)
					c.Optim.Steps, c.Optim.LR, c.Optim.HeadLR, c.Batch.Trajectories, c.Batch.Tokens = 1, new(0.0), new(0.0), 32, 4096
					loss[init] = float64(train(t, c).Last.Loss)
				}
				require.Less(t, loss["ridge"], 0.8*loss["zeros"], "%s %s %s", mode, final, activation)
			}
		}
	}
}
