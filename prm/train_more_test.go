package prm

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/modelfolder"
	"github.com/goprm/goprm/internal/safetensors"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

// fields are the keys of a JSON object, sorted.
func fields(t *testing.T, text []byte) []string {
	t.Helper()
	var object map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(text, &object))
	var names []string
	for name := range object {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func TestRunFolder(t *testing.T) {
	c := config(t, tiny(t, tinymodel.Options{}))
	r := train(t, c)
	require.Equal(t, 2, r.Counts.EvalTrajectories)
	require.Equal(t, filepath.Join(c.Out, "model"), r.Model)

	text, err := os.ReadFile(filepath.Join(c.Out, metricsName))
	require.NoError(t, err)
	var steps, evals, tokens int
	for line := range bytes.Lines(text) {
		if bytes.Contains(line, []byte(`"eval"`)) {
			evals++
			var row struct{ Eval json.RawMessage }
			require.NoError(t, json.Unmarshal(line, &row))
			for _, key := range []string{"loss", "step_mse", "step_auroc", "within_auroc", "step_ece", "first_error_f1", "trajectory_mse",
				"controls"} {
				require.Contains(t, fields(t, row.Eval), key)
			}
			continue
		}
		steps++
		require.Equal(t, []string{"grad_norm", "loss", "loss_final", "loss_step", "lr", "n_final", "n_step", "step", "time", "tokens",
			"tokens_per_s", "trajectories"}, fields(t, line))
		var row struct {
			Step, Tokens, Trajectories int
			Loss                       float64
			LossStep                   float64 `json:"loss_step"`
			LossFinal                  float64 `json:"loss_final"`
		}
		require.NoError(t, json.Unmarshal(line, &row))
		require.Equal(t, steps, row.Step)
		require.InDelta(t, row.LossStep+row.LossFinal, row.Loss, 1e-15)
		// 26 trajectories: six batches of 4 and one of 2 an epoch.
		require.Equal(t, map[bool]int{true: 2, false: 4}[steps%7 == 0], row.Trajectories)
		tokens += row.Tokens
	}
	require.Equal(t, 14, steps)
	require.Equal(t, 3, evals, "after steps 5 and 10 and at the end")
	require.Equal(t, tokens, r.Tokens)
	require.Equal(t, 2*r.Counts.Tokens, r.Tokens, "two epochs of all tokens")

	record, err := readRecord(filepath.Join(c.Out, recordName))
	require.NoError(t, err)
	require.True(t, record.Complete)
	require.Len(t, record.Model.SHA256, 64)
	require.Len(t, record.Tokenizer.SHA256, 64)
	require.Len(t, record.Data.Train.SHA256, 64)
	require.Equal(t, []string{modelfolder.PartResponse, modelfolder.PartTrajectory}, record.Parts)
	effective, err := LoadTrainConfig(filepath.Join(c.Out, configName), []string{"data.train=[x]"})
	require.NoError(t, err)
	require.Equal(t, []string{"f32", "cpu", "portable"}, []string{effective.DType, effective.Device, effective.Backend})

	// The two newest, and the best.
	have := checkpoints(t, c.Out)
	require.Subset(t, have, []string{"step-00000012", "step-00000014", fmt.Sprintf("step-%08d", r.Best.Step)})
	require.LessOrEqual(t, len(have), 3)
	events, err := filepath.Glob(filepath.Join(c.Out, eventsName, "*"))
	require.NoError(t, err)
	require.Len(t, events, 1)
}

// A smaller budget splits batches into more micro-batches, which changes rounding and nothing else.
func TestTokenBudgetChangesRoundingOnly(t *testing.T) {
	base := tiny(t, tinymodel.Options{})
	losses := func(tokens int, dtype string) []float64 {
		c := config(t, base)
		c.Batch.Tokens, c.DType = tokens, dtype
		train(t, c)
		var list []float64
		for _, line := range rows(t, c.Out) {
			var row struct {
				Loss *float64
				Norm float64 `json:"grad_norm"`
			}
			require.NoError(t, json.Unmarshal([]byte(line), &row))
			if row.Loss != nil {
				list = append(list, *row.Loss, row.Norm)
			}
		}
		return list
	}
	for dtype, tolerance := range map[string]float64{"f32": 1e-5, "f64": 1e-12} {
		few, many := losses(1, dtype), losses(100000, dtype)
		require.InEpsilonSlice(t, many, few, tolerance)
		require.NotEqual(t, many, few, "the budget had no effect at all")
	}
}

// The bits do not depend on the number of threads.
func TestThreads(t *testing.T) {
	base := tiny(t, tinymodel.Options{})
	var first string
	for _, threads := range []int{1, 2, 5} {
		c := config(t, base)
		c.Threads, c.Backend, c.Train = threads, "auto", "lora"
		train(t, c)
		w := weights(t, c.Out)
		if first == "" {
			first = w
		}
		require.Equal(t, first, w, threads)
	}
}

// What only some devices have is refused by name.
func TestOffloadNeedsADevice(t *testing.T) {
	c := config(t, tiny(t, tinymodel.Options{}))
	c.Optim.Offload = true
	_, err := Train(context.Background(), c)
	require.ErrorContains(t, err, "optim.offload: cpu/portable computes in the host's memory already")
}

// Numbers that run away stop the run, name the tensor and the step, and leave the last good checkpoint.
func TestNonFiniteStops(t *testing.T) {
	c := config(t, tiny(t, tinymodel.Options{}))
	c.Head.Activation, c.Checkpoint.Every, c.Optim.Schedule = "identity", new(1), ScheduleConstant
	c.Optim.HeadLR, c.Optim.LR, c.Optim.Clip = new(1e30), new(1e30), new(0.0)
	_, err := Train(context.Background(), c)
	var bad *NonFiniteStepError
	require.ErrorAs(t, err, &bad)
	require.NotEmpty(t, bad.Tensor)
	require.Regexp(t, `^step 3: NaN or Inf in .*: the step was not applied; the checkpoint of step 2 is intact, but its weights cannot `+
		`take this step either: begin a new run`, err.Error())
	require.NoDirExists(t, filepath.Join(c.Out, modelName))
	m, err := Open(filepath.Join(c.Out, checkpointsName, "step-00000001"), OpenOptions{})
	require.NoError(t, err)
	require.NoError(t, m.Close())
}

func TestBadLabels(t *testing.T) {
	base := tiny(t, tinymodel.Options{})
	for message, change := range map[string]func(t *data.Trajectory){
		`trajectory "t3": labels.steps[0]: 1.5 is not in [0, 1]`: func(t *data.Trajectory) { t.Labels.Steps[0] = data.Float(1.5) },
		"labels.trajectory: -1 is not in [0, 1]":                 func(t *data.Trajectory) { t.Labels.Trajectory = data.Float(-1) },
		"labels.steps[0]: NaN is not":                            func(t *data.Trajectory) { t.Labels.Steps[0] = data.Float(math.NaN()) },
		"9 labels for":                                           func(t *data.Trajectory) { t.Labels.Steps = make([]*float64, 9) },
		"problem: not valid UTF-8":                               func(t *data.Trajectory) { t.Problem = "\xff" },
	} {
		c := config(t, base)
		list := sums(8, 1)
		change(list[3])
		c.Data.Trajectories = Slice(list)
		_, err := Train(context.Background(), c)
		require.ErrorContains(t, err, message)
		require.ErrorContains(t, err, `"t3"`)
		require.NoDirExists(t, c.Out)
	}
	c := config(t, base)
	list := sums(8, 1)
	for _, trajectory := range list {
		trajectory.Labels = data.Labels{}
	}
	c.Data.Trajectories = Slice(list)
	_, err := Train(context.Background(), c)
	require.ErrorContains(t, err, "not one label")
	c.Data.Trajectories = func(yield func(*data.Trajectory, error) bool) { yield(nil, fmt.Errorf("the source broke")) }
	_, err = Train(context.Background(), c)
	require.ErrorContains(t, err, "the source broke")
}

// What truncation and dropping lose is counted.
func TestLongTrajectories(t *testing.T) {
	base := tiny(t, tinymodel.Options{})
	list := sums(12, 2)
	for range 30 {
		list[0].ResponseSteps = append(list[0].ResponseSteps, "and so on")
		list[0].Labels.Steps = append(list[0].Labels.Steps, nil)
	}
	list[0].Labels.Steps[len(list[0].Labels.Steps)-1] = data.Float(1)
	list[0].Labels.Trajectory = data.Float(1)
	c := config(t, base)
	c.Data.EvalShare, c.Text.MaxTokens, c.Data.Trajectories = new(0.0), 100, Slice(list)
	_, err := Train(context.Background(), c)
	require.ErrorContains(t, err, "more than text.max_tokens (100)")

	c.Text.Long = "truncate"
	r := train(t, c)
	require.Equal(t, 12, r.Counts.Trajectories)
	require.Equal(t, 1, r.Counts.Truncated)
	require.Equal(t, 1, r.Counts.DroppedStepLabels)
	require.Equal(t, 1, r.Counts.DroppedTrajectoryLabels)
	require.Contains(t, strings.Join(r.Warnings, "\n"), "1 trajectories were cut and 0 dropped, with 1 step labels and 1 trajectory labels")

	c.Text.Long, c.Out = "drop", c.Out+"2"
	r = train(t, c)
	require.Equal(t, 11, r.Counts.Trajectories)
	require.Equal(t, 1, r.Counts.DroppedTrajectories)

	// In windows nothing is lost: as many labels as with room for all, and the model scores every step, in windows too.
	whole := c
	whole.Text.Long, whole.Text.MaxTokens, whole.Out = "error", 0, c.Out+"3"
	all := train(t, whole).Counts
	for _, mode := range []string{"lora", "head"} {
		c.Text.Long, c.Train, c.Out = "window", mode, c.Out+mode
		r = train(t, c)
		require.Equal(t, 1, r.Counts.Windowed)
		require.LessOrEqual(t, r.Counts.LongestTokens, 100)
		require.Greater(t, all.LongestTokens, 200)
		require.Equal(t, all.Trajectories, r.Counts.Trajectories)
		require.Equal(t, all.Steps, r.Counts.Steps)
		require.Equal(t, all.StepLabels+all.TrajectoryLabels, r.Counts.StepLabels+r.Counts.TrajectoryLabels)
	}
	m, err := Open(r.Model, OpenOptions{})
	require.NoError(t, err)
	s, err := m.Score(context.Background(), list[0])
	require.NoError(t, err)
	require.Len(t, s.Steps, len(list[0].ResponseSteps))
	require.Greater(t, s.Steps[len(s.Steps)-1].Window, 1)
	require.NoError(t, m.Close())
}

// A batch without labels is a step without gradient; AdamW's own part of it happens.
func TestUnlabelledBatch(t *testing.T) {
	c := config(t, tiny(t, tinymodel.Options{}))
	list := sums(8, 3)
	for _, trajectory := range list[1:] {
		trajectory.Labels = data.Labels{}
	}
	c.Data.EvalShare, c.Data.Trajectories, c.Batch.Trajectories = new(0.0), Slice(list), 1
	c.Loss.LambdaFinal.Balanced = true
	for _, mode := range []string{"full", "head"} {
		c.Train, c.Out = mode, c.Out+mode
		r := train(t, c)
		require.Equal(t, 7, r.Counts.Unlabelled)
		zero, empty := 0, 0
		for _, line := range rows(t, c.Out) {
			if strings.Contains(line, `"loss":0,`) {
				zero++
			}
			if strings.Contains(line, `"n_final":0,"n_step":0`) {
				empty++
			}
		}
		require.Equal(t, []int{14, 14}, []int{zero, empty}, mode)
		record, err := readRecord(filepath.Join(c.Out, recordName))
		require.NoError(t, err)
		require.Equal(t, 8.0, record.LambdaFinal, "one of eight has a trajectory label")
	}
}

func TestOverlapIsRefused(t *testing.T) {
	c := config(t, tiny(t, tinymodel.Options{}))
	c.Data.EvalTrajectories = Slice(sums(3, 9)) // the same problems
	_, err := Train(context.Background(), c)
	require.ErrorContains(t, err, "data.eval: 3 problems are in the training data too (t0, t1, t2)")
	c.Data.AllowOverlap = true
	r := train(t, c)
	require.Equal(t, 3, r.Counts.Overlap)
	require.Contains(t, strings.Join(r.Warnings, "\n"), "3 problems")
}

// The saved model scores what the network scored in training; alone, and in any company.
func TestModelFolders(t *testing.T) {
	base := tiny(t, tinymodel.Options{DType: safetensors.BF16})
	eval := elsewhere(sums(9, 7))
	for mode, save := range map[string]string{"full": "f32", "lora": "base", "head": "base"} {
		c := config(t, base)
		c.Train, c.SaveDType, c.Head.Final = mode, save, "own"
		c.Data.EvalTrajectories = Slice(eval)
		r := train(t, c)
		if file, err := safetensors.Open(filepath.Join(r.Model, "model.safetensors")); err == nil {
			info, _ := file.Info("model.norm.weight")
			require.Equal(t, safetensors.F32, info.DType, "save_dtype: f32")
			require.NoError(t, file.Close())
		} else {
			require.NotEqual(t, "full", mode)
		}
		for _, dir := range []string{r.Model, filepath.Join(c.Out, checkpointsName, "step-00000014")} {
			m, err := Open(dir, OpenOptions{Backend: "portable"})
			require.NoError(t, err)
			info := m.Info()
			require.Equal(t, []string{modelfolder.PartResponse, modelfolder.PartTrajectory}, info.Parts)
			require.True(t, info.HasTrajectory)
			squares, n := 0.0, 0
			var alone []*Score
			for _, trajectory := range eval {
				s, err := m.Score(context.Background(), trajectory)
				require.NoError(t, err)
				alone = append(alone, s)
				mean := 0.0
				for i, step := range s.Steps {
					d := step.Score - *trajectory.Labels.Steps[i]
					squares += d * d
					n++
					mean += step.Score / float64(len(s.Steps))
					require.Equal(t, trajectory.ResponseSteps[i], strings.Join(trajectory.ResponseSteps, "\n\n")[step.Start:step.End])
				}
				require.InDelta(t, mean+*s.Trajectory, s.Reward, 1e-12)
			}
			require.Equal(t, squares/float64(n), r.Eval.StepMSE, mode)
			i := 0
			for s, err := range m.ScoreAll(context.Background(), Slice(eval), ScoreOptions{Alpha: new(1.0)}) {
				require.NoError(t, err)
				require.Equal(t, alone[i], s)
				i++
			}
			require.Equal(t, len(eval), i)
			for s, err := range m.ScoreAll(context.Background(), Slice(eval[:1]), ScoreOptions{Alpha: new(2.0), Tokens: 1}) {
				require.NoError(t, err)
				require.InDelta(t, alone[0].Reward+*s.Trajectory, s.Reward, 1e-12)
			}
			for s, err := range m.ScoreAll(context.Background(), Slice(eval[:1]), ScoreOptions{Alpha: new(0.0), Parts: "thinking"}) {
				require.NoError(t, err)
				text, err := json.Marshal(s)
				require.NoError(t, err)
				require.Contains(t, string(text), `"reward":null`)
				require.Equal(t, []string{"id", "mean", "reward", "steps", "trajectory"}, fields(t, text))
			}
			require.NoError(t, m.Close())
		}
	}
}

// A model that was trained before can be trained on: its head and its adapters are the start.
func TestTrainOn(t *testing.T) {
	base := tiny(t, tinymodel.Options{})
	for _, mode := range []string{"full", "lora", "head"} {
		c := config(t, base)
		c.Train = mode
		first := train(t, c)
		last := first.Eval.Loss
		for i, from := range []string{first.Model, filepath.Join(c.Out, checkpointsName, "step-00000014")} {
			next := config(t, from)
			next.Train, next.Optim.Steps, next.Optim.LR, next.Optim.HeadLR, next.Optim.WeightDecay = mode, 1, new(0.0), new(0.0), new(0.0)
			r := train(t, next)
			require.InDelta(t, float64(last), float64(r.Eval.Loss), 1e-6, "%s %d: it did not start where the other ended", mode, i)
			next.Out, next.Head.Init = next.Out+"zeros", "zeros"
			require.Greater(t, math.Abs(float64(last-train(t, next).Eval.Loss)), 1e-4, "%s: head.init zeros was not followed", mode)
		}
	}
	c := config(t, base)
	c.Train = "head"
	r := train(t, c)
	next := config(t, base)
	next.Train, next.Head.Init, next.Optim.Steps, next.Optim.HeadLR = "head", r.Model, 1, new(0.0)
	require.Equal(t, r.Eval.Loss, train(t, next).Eval.Loss, "head.init: a folder's head")
	next.Head.Final, next.Out = "own", next.Out+"own"
	_, err := Train(context.Background(), next)
	require.ErrorContains(t, err, "holds no head of kind scalar, final own")

	c = config(t, base)
	c.Train = "lora"
	adapted := train(t, c).Model
	c = config(t, adapted)
	_, err = Train(context.Background(), c)
	require.ErrorContains(t, err, "it has adapters, which train: full would leave out")
	c.Train, c.LoRA.Rank = "lora", 2
	_, err = Train(context.Background(), c)
	require.ErrorContains(t, err, "lora: its adapters are")

	// Another base under the same path is not taken for the old one.
	weights := filepath.Join(base, "model.safetensors")
	text, err := os.ReadFile(weights)
	require.NoError(t, err)
	text[len(text)-1] ^= 1
	require.NoError(t, os.WriteFile(weights+".new", text, 0o666))
	require.NoError(t, os.Rename(weights+".new", weights))
	_, err = Open(adapted, OpenOptions{})
	require.ErrorContains(t, err, "is not what this was trained on")
}

func TestThresholdAuto(t *testing.T) {
	c := config(t, tiny(t, tinymodel.Options{}))
	c.Threshold, c.Data.EvalShare = &Threshold{Auto: true}, new(0.4)
	r := train(t, c)
	require.Equal(t, float64(r.Eval.Threshold), r.Threshold)
	require.NotEqual(t, 0.5, r.Threshold)
	m, err := Open(r.Model, OpenOptions{})
	require.NoError(t, err)
	require.Equal(t, r.Threshold, m.Info().Threshold)
	require.NoError(t, m.Close())
}

func TestDryRun(t *testing.T) {
	base := tiny(t, tinymodel.Options{})
	for _, mode := range []string{"full", "lora", "head"} {
		c := config(t, base)
		c.Train = mode
		r, err := DryRun(context.Background(), c)
		require.NoError(t, err)
		require.NoDirExists(t, c.Out)
		require.NoDirExists(t, c.Cache)
		require.Len(t, r.Texts, 3)
		require.Contains(t, r.Texts[0].Marked, "⟦response 0 = ")
		require.Equal(t, []int{14, 7}, []int{r.Steps, r.StepsPerEpoch})
		require.Positive(t, r.Seconds.Training)
		require.Positive(t, r.Memory.Weights)
		require.Positive(t, r.Memory.Trained)
	}
}

// A run that cannot save says so and keeps what it has.
func TestSavingFails(t *testing.T) {
	c := config(t, tiny(t, tinymodel.Options{}))
	interrupt(t, c, 4)
	c = again(c)
	path := filepath.Join(c.Out, modelName)
	require.NoError(t, os.WriteFile(path, []byte("in the way"), 0o666))
	_, err := Train(context.Background(), c)
	require.ErrorContains(t, err, "exists and is not a folder")
	require.Contains(t, checkpoints(t, c.Out), "step-00000014")
	require.NoError(t, os.Remove(path))
	r := train(t, again(c))
	require.Equal(t, 14, r.ResumedFrom)
	require.DirExists(t, r.Model)
}
