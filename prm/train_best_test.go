package prm

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/metrics"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/goprm/goprm/loss"
	"github.com/stretchr/testify/require"
)

// A context that ends when a step is due for its evaluation breaks the evaluation off; the step is saved, and the resumed run makes
// up for it: its lines, weights and best are those of a run that was not stopped.
func TestEvaluationIsBrokenOffAndMadeUpFor(t *testing.T) {
	base := tiny(t, tinymodel.Options{})
	whole := config(t, base)
	want := train(t, whole)
	for _, at := range []int{5, 14} {
		c := config(t, base)
		ctx, cancel := context.WithCancel(context.Background())
		c.OnStep = func(s StepMetrics) {
			if s.Step == at {
				cancel()
			}
		}
		r, err := Train(ctx, c)
		require.NoError(t, err)
		require.True(t, r.Interrupted)
		require.Equal(t, at, r.Steps)
		require.Contains(t, checkpoints(t, c.Out), fmt.Sprintf("step-%08d", at))
		for _, row := range rows(t, c.Out) {
			require.False(t, strings.Contains(row, `"eval"`) && strings.Contains(row, fmt.Sprintf(`"step":%d`, at)), row)
		}
		c = again(c)
		c.OnStep = nil
		r = train(t, c)
		require.Equal(t, at, r.ResumedFrom)
		require.Equal(t, rows(t, whole.Out), rows(t, c.Out))
		require.Equal(t, weights(t, whole.Out), weights(t, c.Out))
		require.Equal(t, want.Best, r.Best)
		require.Equal(t, want.Threshold, r.Threshold)
	}
}

// The model folder holds the weights of the best evaluation: those that a run of that length with the same rates ends with.
func TestSaveBest(t *testing.T) {
	c := config(t, tiny(t, tinymodel.Options{}))
	c.Optim.Schedule, c.Optim.Warmup, c.Optim.LR = ScheduleConstant, new(0.0), new(0.05) // so that it grows worse
	c.Eval.Best, c.Save, c.Threshold = "loss", "best", &Threshold{Auto: true}
	r := train(t, c)
	require.Less(t, r.Best.Step, 14, "a run that does not grow worse shows nothing")
	short := c
	short.Out, short.Save, short.Optim.Steps = c.Out+"-short", "last", r.Best.Step
	want := train(t, short)
	require.Equal(t, weights(t, short.Out), weights(t, c.Out))
	require.Equal(t, want.Threshold, r.Threshold)
	require.Equal(t, 14, r.Steps)

	before := weights(t, c.Out)
	require.NoError(t, os.RemoveAll(r.Model))
	train(t, again(c))
	require.Equal(t, before, weights(t, c.Out), "written again")
}

// PRM800K's rows have one label each: within_auroc is undefined whatever the scores, within_problem_auroc is not.
func TestSaveBestNeedsAMetric(t *testing.T) {
	c := config(t, tiny(t, tinymodel.Options{}))
	var list []*data.Trajectory
	for i := range 24 {
		list = append(list, &data.Trajectory{ID: fmt.Sprint(i), Problem: fmt.Sprintf("Add, sheet %d.", i/4),
			ResponseSteps: []string{fmt.Sprintf("%d+1=%d", i, i+1+i%2)},
			Labels:        data.Labels{Steps: data.Floats(float64(1 - i%2))}})
	}
	c.Data.Trajectories, c.Data.EvalShare, c.Save = Slice(list), new(0.3), "best"
	_, err := Train(context.Background(), c)
	require.ErrorContains(t, err, "save: best: eval.best: within_auroc is undefined on the evaluation data, where within_problem_auroc is "+
		"defined")
	require.NoDirExists(t, c.Out)
	c.Eval.Best = "within_problem_auroc"
	r := train(t, c)
	require.Equal(t, "within_problem_auroc", r.Best.Metric)
	c.Data.EvalShare, c.Out = new(0.0), c.Out+"2"
	_, err = Train(context.Background(), c)
	require.ErrorContains(t, err, "save: best: there is no evaluation data")
}

func TestEvalMax(t *testing.T) {
	c := config(t, tiny(t, tinymodel.Options{}))
	c.Data.EvalShare, c.Eval.Max = new(0.5), 3
	r := train(t, c)
	require.Equal(t, 3, r.Counts.EvalTrajectories)
	require.LessOrEqual(t, r.Eval.NFinal, 3)
	c.Eval.Max, c.Out = -1, c.Out+"2"
	_, err := Train(context.Background(), c)
	require.ErrorContains(t, err, "eval.max: -1 is negative")
}

// Whatever of a complete run's model folder is missing or has another size is written again.
func TestModelIsWrittenAgain(t *testing.T) {
	c := config(t, tiny(t, tinymodel.Options{}))
	model := train(t, c).Model
	before := weights(t, c.Out)
	for _, damage := range []func() error{
		func() error { return os.RemoveAll(model) },
		func() error { return os.Remove(filepath.Join(model, "tokenizer.json")) },
		func() error { return os.Truncate(filepath.Join(model, "model.safetensors"), 9) },
	} {
		require.NoError(t, damage())
		c = again(c)
		r := train(t, c)
		require.False(t, r.AlreadyComplete)
		require.Contains(t, said(c), "writing the model again")
		require.Equal(t, before, weights(t, c.Out))
		require.FileExists(t, filepath.Join(model, "tokenizer.json"))
		require.True(t, train(t, again(c)).AlreadyComplete)
	}
}

// Rows of ProcessBench as evaluation data give its own metric, the mean over its subsets.
func TestProcessBenchWhileTraining(t *testing.T) {
	file := filepath.Join(t.TempDir(), "processbench.jsonl")
	var lines strings.Builder
	for i := range 8 {
		subset := []string{"gsm8k", "omnimath"}[i%2]
		fmt.Fprintf(&lines, `{"id":"%s-%d","problem":"Sheet %d","steps":["1+1=2","2+2=5"],"label":%d,"final_answer_correct":true}`+"\n", subset,
			i, i, []int{-1, -1, 1, 1}[i%4])
	}
	require.NoError(t, os.WriteFile(file, []byte(lines.String()), 0o666))
	c := config(t, tiny(t, tinymodel.Options{}))
	c.Data.Eval, c.Eval.Best, c.Save = []string{file}, "processbench_f1", "best"
	r := train(t, c)
	require.Equal(t, "processbench_f1", r.Best.Metric)
	require.GreaterOrEqual(t, r.Eval.ProcessBenchF1, 0.0)
	_, err := os.Stat(filepath.Join(r.Model, "goprm.json"))
	require.NoError(t, err)
}

// Several seeds give the runs that each would give alone, with the mean and the deviation of their last evaluations.
func TestSeeds(t *testing.T) {
	base := tiny(t, tinymodel.Options{})
	c := config(t, base)
	c.Seeds = []uint64{4, 9, 2}
	r := train(t, c)
	require.Len(t, r.Seeds, 3)
	var losses []float64
	for i, seed := range c.Seeds {
		alone := config(t, base)
		alone.Seed = &seed
		one := train(t, alone)
		require.Equal(t, weights(t, alone.Out), weights(t, filepath.Join(c.Out, fmt.Sprintf("seed-%d", seed))))
		require.Equal(t, one.Eval.Loss, r.Seeds[i].Eval.Loss)
		losses = append(losses, one.Eval.Loss)
	}
	mean := (losses[0] + losses[1] + losses[2]) / 3
	deviation := math.Sqrt(((losses[0]-mean)*(losses[0]-mean) + (losses[1]-mean)*(losses[1]-mean) + (losses[2]-mean)*(losses[2]-mean)) / 2)
	require.InDelta(t, mean, r.Spread["loss"].Mean, 1e-12)
	require.InDelta(t, deviation, r.Spread["loss"].Deviation, 1e-12)
	_, err := Train(context.Background(), c)
	require.ErrorContains(t, err, "is there already")
	require.Equal(t, r.Spread, train(t, again(c)).Spread)
	one := config(t, base)
	train(t, one)
	one = again(one)
	one.Seeds = c.Seeds
	_, err = Train(context.Background(), one)
	require.ErrorContains(t, err, "is the folder of one run")
	c.Seeds = []uint64{1, 1}
	require.ErrorContains(t, c.Validate(), "seeds: 1 is there twice")
}

// Every metric of training has a field, under the name by which reports and eval.best know it.
func TestEvaluationHoldsEveryMetric(t *testing.T) {
	report := metrics.Report{Values: map[string]metrics.Float{}}
	for i, m := range metrics.Metrics() {
		if m.Name != "" {
			report.Values[m.Name] = metrics.Float(i + 1)
		}
	}
	e, seen := newEvaluation(loss.Parts{}, 0, report), 0
	for _, f := range e.fields() {
		if want, ok := report.Values[f.name]; ok {
			seen++
			require.Equal(t, float64(want), f.float(), f.name)
		}
	}
	require.Equal(t, len(report.Values), seen)
}
