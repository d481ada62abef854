package outside

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/prm"
	"github.com/stretchr/testify/require"
)

// certainty is a judge of our own: steps that guess are worth less.
type certainty struct{}

func (certainty) ID() string        { return "certainty/1" }
func (certainty) Sees() label.Sees  { return label.SeesPrefix }
func (certainty) StepsPerCall() int { return 0 }

func (certainty) Judge(_ context.Context, c *label.Case, steps []int) ([]label.Verdict, error) {
	verdicts := make([]label.Verdict, len(steps))
	for i, at := range steps {
		verdicts[i].Score = 0.9
		if strings.Contains(c.Thinking[at], "guess") {
			verdicts[i].Score = 0.1
		}
	}
	return verdicts, nil
}

// A program labels trajectories with its own judge, trains on the labels, and the model tells guesses from steps that are none.
func TestOwnJudgeAndTrainingOnItsLabels(t *testing.T) {
	var list []*data.Trajectory
	for i := range 40 {
		step, answer := fmt.Sprintf("Add %d and %d.", i, i), fmt.Sprint(2*i)
		if i%2 == 1 {
			step = fmt.Sprintf("I guess about %d.", i)
		}
		list = append(list, &data.Trajectory{
			ID: fmt.Sprint(i), Problem: fmt.Sprintf("What is %d+%d?", i, i), Steps: []string{step}, Response: `\boxed{` + answer + `}`,
			Answer: answer,
		})
	}
	out := filepath.Join(t.TempDir(), "labels")
	report, err := prm.Label(ctx, prm.LabelConfig{
		Trajectories: prm.Slice(list), Stages: prm.LabelStages{Judge: certainty{}}, Encoder: prm.EncoderConfig{Kind: "none"},
		Parts: []label.Part{label.Quality}, Trajectory: prm.TrajectoryConfig{Kind: label.Rule}, Out: out,
	})
	require.NoError(t, err)
	require.Equal(t, []int{40, 40}, []int{report.StepLabels, report.TrajectoryLabels})
	var losses []float64
	result, err := prm.Train(ctx, prm.TrainConfig{
		Model: modelFolder(t), Train: "full", Out: filepath.Join(t.TempDir(), "run"), Quiet: true, Seed: new(uint64(7)),
		Data:   prm.DataConfig{Train: []string{filepath.Join(out, label.LabelsFile)}},
		Optim:  prm.Optim{LR: data.Float(3e-3), HeadLR: data.Float(3e-2), Steps: 20},
		OnStep: func(m prm.StepMetrics) { losses = append(losses, m.Loss) },
	})
	require.NoError(t, err)
	require.Len(t, losses, 20)
	require.Less(t, losses[19], losses[0]/3)
	model, err := prm.Open(result.Model, prm.OpenOptions{})
	require.NoError(t, err)
	defer func() { require.NoError(t, model.Close()) }()
	score := func(step string) float64 {
		s, err := model.Score(ctx, &data.Trajectory{Problem: "What is 99+99?", Steps: []string{step}, Response: `\boxed{198}`})
		require.NoError(t, err)
		return s.Steps[0].Score
	}
	require.Greater(t, score("Add 99 and 99."), score("I guess about 99.")+0.3)
}
