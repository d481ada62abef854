package prm

import (
	"context"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/rng"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

func ones(n int) []float64 {
	list := make([]float64, n)
	for i := range list {
		list[i] = 1
	}
	return list
}

// A row of weight k is k equal rows, and one of weight 0 is none.
func TestRidgeWeights(t *testing.T) {
	const width = 5
	stream := rng.New(8, "ridge weights")
	var x, repeated [][]float64
	var y, weights, repeatedY []float64
	for i := range 40 {
		var row []float64
		for j := range width {
			row = append(row, stream.Float64(uint64(i*10+j)))
		}
		x, y, weights = append(x, row), append(y, row[1]-row[3]*row[2]), append(weights, float64(i%4))
		for range i % 4 {
			repeated, repeatedY = append(repeated, row), append(repeatedY, y[i])
		}
	}
	of := func(list [][]float64) func(dst []float64, i int) ([]float64, error) {
		return func(dst []float64, i int) ([]float64, error) { return append(dst, list[i]...), nil }
	}
	w, b, err := ridge(width, of(x), y, weights, 0.1)
	require.NoError(t, err)
	want, wantB, err := ridge(width, of(repeated), repeatedY, ones(len(repeated)), 0.1)
	require.NoError(t, err)
	require.InDeltaSlice(t, want, w, 1e-12)
	require.InDelta(t, wantB, b, 1e-12)
}

// Labels that weigh nothing in the loss are nowhere: not in the start, not in the counts, not in the evaluation.
func TestWeightlessLabelsAreNowhere(t *testing.T) {
	base := tiny(t, tinymodel.Options{})
	for name, change := range map[string]func(c *TrainConfig, weighed, removed []*data.Trajectory){
		"labels.weights": func(_ *TrainConfig, weighed, removed []*data.Trajectory) {
			for i := 0; i < len(weighed); i += 3 {
				for range weighed[i].Labels.Steps {
					weighed[i].Labels.Weights = append(weighed[i].Labels.Weights, data.Float(0))
				}
				removed[i].Labels.Steps = nil
			}
		},
		"labels.trajectory_weight": func(_ *TrainConfig, weighed, removed []*data.Trajectory) {
			for i := range weighed {
				weighed[i].Labels.TrajectoryWeight, removed[i].Labels.Trajectory = data.Float(0), nil
			}
		},
		"loss.lambda_final": func(c *TrainConfig, _, removed []*data.Trajectory) {
			c.Loss.LambdaFinal.Value = 0
			for _, one := range removed {
				one.Labels.Trajectory = nil
			}
		},
	} {
		for _, init := range []string{"ridge", "zeros"} {
			var heads []string
			var parts [][]string
			var losses [][]float64
			weighed, removed := sums(28, 5), sums(28, 5)
			c := config(t, base)
			change(&c, weighed, removed)
			for i, list := range [][]*data.Trajectory{weighed, removed} {
				c := c
				c.Data.Trajectories, c.Data.EvalShare = Slice(list), new(0.3)
				c.Train, c.Head.Init, c.Out = "head", init, c.Out+string(rune('0'+i))
				c.Optim.Steps, c.Optim.HeadLR, c.Optim.WeightDecay = 1, new(0.0), new(0.0)
				r := train(t, c)
				record, err := readRecord(c.Out + "/" + recordName)
				require.NoError(t, err)
				heads, parts, losses = append(heads, weights(t, c.Out)), append(parts, record.Parts),
					append(losses, []float64{r.Eval.Loss, r.Eval.StepMSE, float64(r.Eval.NStep)})
			}
			require.Equal(t, heads[1], heads[0], "%s: %s", name, init)
			require.Equal(t, parts[1], parts[0], name)
			require.Equal(t, losses[1], losses[0], name)
		}
	}
}

// A run that cannot learn says so before its first step, by a line that begins with the key.
func TestNothingToLearn(t *testing.T) {
	base := tiny(t, tinymodel.Options{})
	each := func(list []*data.Trajectory, change func(*data.Labels)) {
		for _, one := range list {
			change(&one.Labels)
		}
	}
	noFinal := func(l *data.Labels) { l.Trajectory = nil }
	noSteps := func(l *data.Labels) { l.Steps = nil }
	weightless := func(l *data.Labels) {
		l.TrajectoryWeight = data.Float(0)
		for range l.Steps {
			l.Weights = append(l.Weights, data.Float(0))
		}
	}
	for want, change := range map[string]func(c *TrainConfig, list []*data.Trajectory){
		"loss.lambda_step: 0, and no trajectory label weighs anything": func(c *TrainConfig, list []*data.Trajectory) {
			each(list, noFinal)
			c.Loss.LambdaStep = new(0.0)
		},
		"loss.lambda_final: 0, and no step label weighs anything": func(c *TrainConfig, list []*data.Trajectory) {
			each(list, noSteps)
			c.Loss.LambdaFinal.Value = 0
		},
		"loss.lambda_step and loss.lambda_final: both are 0": func(c *TrainConfig, _ []*data.Trajectory) {
			c.Loss.LambdaStep, c.Loss.LambdaFinal.Value = new(0.0), 0
		},
		"labels.weights: every label of the training data weighs 0": func(_ *TrainConfig, list []*data.Trajectory) { each(list, weightless) },
	} {
		c, list := config(t, base), sums(28, 5)
		change(&c, list)
		c.Data.Trajectories = Slice(list)
		_, err := Train(context.Background(), c)
		require.ErrorContains(t, err, want)
		require.NoDirExists(t, c.Out)
	}
	constant := func(l *data.Labels) {
		for i := range l.Steps {
			l.Steps[i] = data.Float(1)
		}
	}
	for want, change := range map[string]func(c *TrainConfig, list []*data.Trajectory){
		"data.train: all 65 step labels that weigh something are 1: nothing tells good from bad": func(_ *TrainConfig,
			list []*data.Trajectory) {
			each(list, constant)
		},
		"data.train: all 10 trajectory labels that weigh something are 0.5: nothing tells good from bad": func(*TrainConfig,
			[]*data.Trajectory) {
		},
		"optim.warmup: 0.05 of 1 steps is 1 of warm-up, at rate 0: nothing will be learnt": func(c *TrainConfig,
			_ []*data.Trajectory) {
			c.Optim.Steps = 1
		},
		"optim.warmup: 4 of 4 steps is 4 of warm-up, the whole run: the rate goes from 0 to " +
			"0.00075 and never reaches 0.001": func(c *TrainConfig, _ []*data.Trajectory) {
			c.Optim.Steps, c.Optim.Warmup = 4, new(4.0)
		},
		"optim.lr, optim.head_lr: the rates of all that is trained are 0": func(c *TrainConfig, _ []*data.Trajectory) {
			c.Optim.LR, c.Optim.HeadLR = new(0.0), new(0.0)
		},
		"batch.trajectories: 40, and there are 28 trajectories to train on: every step's loss is 28/40 of a full batch's": func(c *TrainConfig,
			_ []*data.Trajectory) {
			c.Batch.Trajectories = 40
		},
		"labels.steps: 3 labels are -100": func(c *TrainConfig, list []*data.Trajectory) {
			c.Head.Activation = "identity"
			for _, one := range list[:3] {
				one.Labels.Steps[0] = data.Float(-100)
			}
		},
	} {
		c, list := config(t, base), sums(28, 5)
		c.Data.EvalShare = new(0.0)
		change(&c, list)
		c.Data.Trajectories = Slice(list)
		report, err := DryRun(context.Background(), c)
		require.NoError(t, err)
		found := false
		for _, w := range report.Warnings {
			found = found || len(w) >= len(want) && w[:len(want)] == want
		}
		require.True(t, found, "%s: %q", want, report.Warnings)
	}
	c := config(t, base)
	report, err := DryRun(context.Background(), c)
	require.NoError(t, err)
	require.Len(t, report.Warnings, 2, "%q: all trajectory labels are 0.5, and read with the last step", report.Warnings)
}

// λ_step 1, λ_final 2: a step of one labelled step weighs 1, of two 1/2 (the unlabelled third counts nowhere), a trajectory of label
// weight 1/4 weighs 1/2; the heaviest is 1.
func TestRidgeRows(t *testing.T) {
	label := func(kind data.Kind, target, weight float64) data.ReadOut {
		return data.ReadOut{Kind: kind, Target: target, HasTarget: true, Weight: weight}
	}
	c := DefaultTrainConfig()
	c.Head.Activation = "identity"
	s := &session{c: c, data: &dataset{lambdaFinal: 2, train: []*data.Example{
		{Reads: []data.ReadOut{label(data.KindStep, 7, 1)}},
		{Reads: []data.ReadOut{label(data.KindStep, 8, 1), {Weight: 1}, label(data.KindStep, 9, 0), label(data.KindTrajectory, 3, 0.25)}},
	}}}
	rows := s.ridgeRows(func(data.ReadOut) bool { return true })
	require.Equal(t, []float64{7, 8, 3}, rows.targets)
	require.Equal(t, []float64{1, 0.5, 0.5}, rows.weights)
	require.Equal(t, []int{0, 0, 3}, rows.reads)
	require.Equal(t, (7+8*0.5+3*0.5)/2, s.data.meanTarget(&c))
}
