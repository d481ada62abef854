package prm_test

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/goprm/goprm/internal/tinyprm"
	"github.com/goprm/goprm/prm"
	"github.com/stretchr/testify/require"
)

// Scores in int8 are near those in f32, the same in any company and in a session, and another dtype's by name.
func TestInt8Scores(t *testing.T) {
	folder, ctx := ridgeModel(t), context.Background()
	var list []*data.Trajectory
	for i := range 6 {
		list = append(list, &data.Trajectory{ID: fmt.Sprint(i), Problem: fmt.Sprint("How many? ", i),
			Steps: []string{"One.", "Two and more.", "Three."}})
	}
	scores := map[string][][]float64{}
	for _, dtype := range []string{"f32", "int8"} {
		m, err := prm.Open(folder, prm.OpenOptions{DType: dtype})
		require.NoError(t, err)
		require.Equal(t, dtype, m.Info().DType)
		for s, err := range m.ScoreAll(ctx, prm.Slice(list), prm.ScoreOptions{}) {
			require.NoError(t, err)
			var steps []float64
			for _, step := range s.Steps {
				steps = append(steps, step.Score)
			}
			scores[dtype] = append(scores[dtype], steps)
		}
		for i, trajectory := range list {
			alone, err := m.Score(ctx, trajectory)
			require.NoError(t, err)
			for j, step := range alone.Steps {
				require.Equal(t, scores[dtype][i][j], step.Score, "%s: trajectory %d alone, step %d", dtype, i, j)
			}
		}
		require.NoError(t, m.Close())
	}
	largest := 0.0
	for i := range list {
		for j, v := range scores["f32"][i] {
			largest = max(largest, math.Abs(v-scores["int8"][i][j]))
		}
	}
	require.Greater(t, largest, 1e-7, "int8 was computed in")
	require.Less(t, largest, 0.02)
}

// Scores in int8 have the bits of AVX2 with AVX-512 too. Where attention multiplies bf16 they are others, near them, and f32's are not; and
// they are the same with keys and values from a session's cache.
func TestInt8ScoresByKernels(t *testing.T) {
	folder, ctx := ridgeModel(t), context.Background()
	text := &data.Trajectory{Problem: "How many?", ResponseSteps: []string{"One.", "Two and more, since one is not enough.", "Three."}}
	scores := map[string][]float64{}
	for _, dtype := range []string{"int8", "f32"} {
		for _, kernels := range []string{"avx2", "avx512", "avx512bf16"} {
			m, err := prm.Open(folder, prm.OpenOptions{DType: dtype, Backend: kernels})
			if err != nil {
				require.Regexp(t, "they need a processor with|want auto, portable$", err.Error()) // builds without assembly have no others
				continue
			}
			require.Equal(t, "cpu/"+kernels, m.Info().Backend)
			s, err := m.Score(ctx, text)
			require.NoError(t, err)
			session, err := m.Session(text.Problem)
			require.NoError(t, err)
			for i, step := range text.ResponseSteps {
				scores[dtype+kernels] = append(scores[dtype+kernels], s.Steps[i].Score)
				got, err := session.AppendResponse(ctx, step)
				require.NoError(t, err)
				require.Equal(t, s.Steps[i].Score, got.Steps[i].Score, "%s, %s: step %d", dtype, kernels, i)
			}
			require.NoError(t, m.Close())
		}
	}
	if scores["int8avx512"] != nil {
		require.Equal(t, scores["int8avx2"], scores["int8avx512"])
	}
	if scores["int8avx512bf16"] != nil {
		require.NotEqual(t, scores["int8avx2"], scores["int8avx512bf16"])
		require.InDeltaSlice(t, scores["int8avx2"], scores["int8avx512bf16"], 0.01)
		require.Equal(t, scores["f32avx2"], scores["f32avx512bf16"])
	}
}

// ridgeModel is a model whose head tells steps apart.
func ridgeModel(t *testing.T) string {
	dir := t.TempDir()
	config := prm.DefaultTrainConfig()
	config.Model, config.Out, config.Train, config.Quiet = filepath.Join(dir, "base"), filepath.Join(dir, "run"), "head", true
	require.NoError(t, tinymodel.Write(config.Model, tinymodel.Options{}))
	var list []*data.Trajectory
	for i := range 12 {
		list = append(list, &data.Trajectory{Problem: fmt.Sprint(i), Steps: []string{"One.", "Two."},
			Labels: data.Labels{Steps: []*float64{data.Float(1), data.Float(float64(i % 2))}}})
	}
	config.Data.Trajectories, config.Data.EvalShare, config.Cache = prm.Slice(list), new(0.0), filepath.Join(dir, "cache")
	config.Head.Init, config.Head.Activation, config.Head.Ridge = "ridge", "identity", new(0.01)
	config.Optim.Steps, config.Optim.Warmup = 1, new(0.0)
	result, err := prm.Train(context.Background(), config)
	require.NoError(t, err)
	return result.Model
}

func TestInt8IsForScoring(t *testing.T) {
	config := prm.DefaultTrainConfig()
	config.Model, config.Out, config.DType = "m", "o", "int8"
	config.Data.Train = []string{"d"}
	require.ErrorContains(t, config.Validate(), "dtype: int8 is for scoring, not for training")
	require.ErrorContains(t, prm.PlanOptions{Model: "m", Tokens: 1, DType: "int8"}.Validate(), "dtype: int8 is for scoring, not for training")
	_, err := prm.Open(tinyprm.Train(t), prm.OpenOptions{DType: "int8", LowMemory: true})
	require.ErrorContains(t, err, "low memory: dtype int8")
}
