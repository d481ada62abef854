package prm

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/safetensors"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

// Two trajectories by hand: one with two labelled steps of three and a trajectory label of weight 0.5, one with a step.
func byHand() (*TrainConfig, *dataset) {
	step := func(i int, target, weight float64) data.ReadOut {
		return data.ReadOut{Kind: data.KindStep, Part: data.PartResponse, Index: i, Target: target, HasTarget: true, Weight: weight}
	}
	a := &data.Example{ID: "a", Tokens: []int32{1}, Reads: []data.ReadOut{
		step(0, 1, 1), {Kind: data.KindStep, Part: data.PartResponse, Index: 1, Weight: 1}, step(2, 0, 3),
		{Kind: data.KindTrajectory, Part: data.PartTrajectory, Index: -1, Target: 0.5, HasTarget: true, Weight: 0.5},
	}}
	b := &data.Example{ID: "b", Tokens: []int32{1}, Reads: []data.ReadOut{step(0, 0.25, 1)}}
	c := DefaultTrainConfig()
	c.Loss.LambdaStep = new(2.0)
	d := &dataset{train: []*data.Example{a, b}, lambdaFinal: 4, about: map[*data.Example]about{a: {lengths: []int32{3, 4, 5}},
		b: {lengths: []int32{6}}}}
	return &c, d
}

func TestEvaluateByHand(t *testing.T) {
	c, d := byHand()
	s := &readScores{values: [][]float64{{0.5, 0.9, 0.5, 1}, {0.75}}, logits: [][][]float64{{{0}, {0}, {0}, {0}}, {{0}}}}
	e, err := evaluate(c, d, d.train, s)
	require.NoError(t, err)
	// Steps: 2/(2·2)·(0.25·1 + 0.25·3) + 2/(2·1)·0.25; trajectory: 4/2·0.5·0.25.
	require.InDelta(t, 0.75, float64(e.LossStep), 1e-15)
	require.InDelta(t, 0.25, float64(e.LossFinal), 1e-15)
	require.InDelta(t, 1, float64(e.Loss), 1e-15)
	require.InDelta(t, 0.25, float64(e.StepMSE), 1e-15)
	require.InDelta(t, 0.25, float64(e.TrajectoryMSE), 1e-15)
	require.Equal(t, []int{3, 1}, []int{e.NStep, e.NFinal})
}

func TestMeanTargetByHand(t *testing.T) {
	c, d := byHand()
	// Weights 1, 3 (2/2 each, times 1 and 3), 2 (4·0.5), 2 of the targets 1, 0, 0.5, 0.25.
	require.InDelta(t, (1+0+1+0.5)/8, d.meanTarget(c), 1e-15)
}

func TestBatchesFollowTheOrder(t *testing.T) {
	c := DefaultTrainConfig()
	c.Batch.Trajectories, c.Seed = 3, new(uint64(8))
	d := &dataset{}
	for range 7 {
		d.train = append(d.train, &data.Example{})
	}
	require.Equal(t, 3, d.stepsPerEpoch(&c))
	for _, s := range []int{5, 0, 8, 1, 2, 7, 3} { // whatever came before
		var want []*data.Example
		order := data.Order(8, s/3, 7)
		for _, i := range order[s%3*3 : min(s%3*3+3, 7)] {
			want = append(want, d.train[i])
		}
		got := d.batch(&c, s)
		require.Len(t, got, len(want))
		for i := range want {
			require.Same(t, want[i], got[i])
		}
	}
	require.NotEqual(t, data.Order(8, 0, 7), data.Order(8, 1, 7))
}

func TestBetter(t *testing.T) {
	nan := math.NaN()
	for _, more := range []string{"within_auroc", "step_auroc", "first_error_f1", "trajectory_pearson", "trajectory_spearman"} {
		require.True(t, better(more, 0.6, 0.5))
		require.False(t, better(more, 0.5, 0.5), "the earlier one stays")
	}
	for _, less := range []string{"loss", "step_mse", "step_ece", "trajectory_mse"} {
		require.True(t, better(less, 0.5, 0.6))
		require.False(t, better(less, 0.6, 0.5))
	}
	require.True(t, better("loss", 1, nan))
	require.False(t, better("loss", nan, 1))
	require.False(t, better("loss", nan, nan))
	e := &Evaluation{Loss: 7}
	e.WithinAUROC = 0.7
	require.Equal(t, 7.0, e.value("loss"))
	require.Equal(t, 0.7, e.value("within_auroc"))
}

// The saved trunk keeps its base's element types; the head is f32.
func TestSaveDType(t *testing.T) {
	for save, want := range map[string][2]safetensors.DType{
		"base": {safetensors.BF16, safetensors.F32}, "f32": {safetensors.F32, safetensors.F32}, "bf16": {safetensors.BF16, safetensors.BF16},
	} {
		c := config(t, tiny(t, tinymodel.Options{DType: safetensors.BF16}))
		c.SaveDType, c.Optim.Steps = save, 1
		r := train(t, c)
		file, err := safetensors.Open(filepath.Join(r.Model, "model.safetensors"))
		require.NoError(t, err)
		trunk, ok := file.Info("model.layers.1.mlp.up_proj.weight")
		require.True(t, ok)
		head, ok := file.Info("score.weight")
		require.True(t, ok)
		require.Equal(t, want, [2]safetensors.DType{trunk.DType, head.DType}, save)
		require.Equal(t, []int{1, 32}, head.Shape)
		require.NoError(t, file.Close())
		config, err := os.ReadFile(filepath.Join(r.Model, "config.json"))
		require.NoError(t, err)
		require.Contains(t, string(config), `"Qwen2ForTokenClassification"`)
		for _, name := range []string{"tokenizer.json", "chat_template.jinja", "goprm.json"} {
			require.FileExists(t, filepath.Join(r.Model, name))
		}
	}
}
