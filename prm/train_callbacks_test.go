package prm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

// metricsLines are those of a run's metrics.jsonl.
func metricsLines(t *testing.T, out string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(out, metricsName))
	require.NoError(t, err)
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// watch makes callbacks that note what they were told as the lines of metrics.jsonl, and that each was written by then.
func watch(t *testing.T, c *TrainConfig, told *[]string) {
	written := func(line string) {
		*told = append(*told, line)
		all := metricsLines(t, c.Out)
		require.Equal(t, line, all[len(all)-1])
	}
	c.OnStep = func(s StepMetrics) {
		b, err := json.Marshal(s)
		require.NoError(t, err)
		written(string(b))
	}
	c.OnEvaluate = func(e Evaluation) {
		b, err := json.Marshal(e)
		require.NoError(t, err)
		written(fmt.Sprintf(`{"step":%d,"eval":%s}`, e.Step, b))
		e.Controls["depth"] = Control{StepAUROC: 7} // the run's own is another
	}
}

func TestCallbacksAreToldEachLine(t *testing.T) {
	c := config(t, tiny(t, tinymodel.Options{}))
	var told []string
	watch(t, &c, &told)
	ctx, cancel := context.WithCancel(context.Background())
	step := c.OnStep
	c.OnStep = func(s StepMetrics) {
		if step(s); s.Step == 6 {
			cancel()
		}
	}
	r, err := Train(ctx, c)
	require.NoError(t, err)
	require.True(t, r.Interrupted)
	require.Equal(t, 6, r.Steps, "the run goes on after its context was cancelled")
	require.Len(t, told, 7, "six steps, and one evaluation after the fifth")
	require.Equal(t, metricsLines(t, c.Out), told)

	next := again(c)
	watch(t, &next, &told)
	r = train(t, next)
	require.Equal(t, metricsLines(t, c.Out), told, "a resumed run tells of what it does")
	require.Len(t, told, 14+3)
	require.Equal(t, 14, r.Eval.Step)
	require.NotEqual(t, 7.0, r.Eval.Controls["depth"].StepAUROC)

	plain := config(t, c.Model)
	train(t, plain)
	require.Equal(t, rows(t, plain.Out), rows(t, c.Out), "callbacks changed a number")
}

func TestCallbackThatPanics(t *testing.T) {
	base := tiny(t, tinymodel.Options{})
	cause := errors.New("disk full")
	for name, set := range map[string]func(*TrainConfig){
		"OnStep":     func(c *TrainConfig) { c.OnStep = func(s StepMetrics) { _ = map[bool][]int{true: {0}}[s.Step < 5][0] } },
		"OnEvaluate": func(c *TrainConfig) { c.OnEvaluate = func(Evaluation) { panic(cause) } },
	} {
		c := config(t, base)
		set(&c)
		_, err := Train(context.Background(), c)
		require.ErrorContains(t, err, "step 5: "+name+" panicked: ")
		require.ErrorContains(t, err, "callbacks_test.go", "the stack is missing")
		require.Equal(t, name == "OnEvaluate", errors.Is(err, cause))
		require.Contains(t, checkpoints(t, c.Out), "step-00000005", "the step was lost")

		c = again(c)
		c.OnStep, c.OnEvaluate = nil, nil
		r := train(t, c)
		require.Equal(t, 5, r.ResumedFrom)
		require.Equal(t, 14, r.Steps)
	}
}

// A callback that ends its goroutine, as a failed test does, leaves a run that can be resumed.
func TestCallbackThatExits(t *testing.T) {
	c := config(t, tiny(t, tinymodel.Options{}))
	c.OnStep = func(s StepMetrics) {
		if s.Step == 4 {
			runtime.Goexit()
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = Train(context.Background(), c)
	}()
	<-done
	c = again(c)
	c.OnStep = nil
	r := train(t, c)
	require.Equal(t, 3, r.ResumedFrom)
	require.Equal(t, 14, r.Steps)
}

func TestMetricsKeepTheirJSON(t *testing.T) {
	text := `{"step":3,"tokens":12,"trajectories":2,"n_step":5,"n_final":1,"loss":0.75,"loss_step":0.5,"loss_final":null,` +
		`"grad_norm":1.5,"lr":0.001,"nonfinite":"score.weight","tokens_per_s":10.5,"time":"2026-01-02T03:04:05Z"}`
	var s StepMetrics
	require.NoError(t, json.Unmarshal([]byte(text), &s))
	require.Equal(t, []any{3, 12, 2, 5, 1, 0.75, 0.5, 1.5, 0.001, 10.5},
		[]any{s.Step, s.Tokens, s.Trajectories, s.NStep, s.NFinal, s.Loss, s.LossStep, s.GradNorm, s.LR, s.TokensPerS})
	require.True(t, math.IsNaN(s.LossFinal))
	back, err := json.Marshal(s)
	require.NoError(t, err)
	require.Equal(t, text, string(back))

	text = `{"loss":1,"loss_step":2,"loss_final":3,"n_step":4,"n_final":5,"step_mse":6,"step_auroc":7,"within_auroc":8,` +
		`"within_problem_auroc":21,"step_ece":9,"first_error_f1":10,"first_error_acc_error":11,"first_error_acc_correct":12,` +
		`"processbench_f1":22,"step_macro_f1":25,"threshold":13,"trajectory_mse":14,` +
		`"trajectory_pearson":15,"trajectory_spearman":null,` +
		`"controls":{"depth":{"step_auroc":16,"within_auroc":17,"within_problem_auroc":23,"trajectory_spearman":18},` +
		`"length":{"step_auroc":null,"within_auroc":19,"within_problem_auroc":24,"trajectory_spearman":20}}}`
	e := Evaluation{Step: 9}
	require.NoError(t, json.Unmarshal([]byte(text), &e))
	require.Equal(t, 9, e.Step)
	require.Equal(t, []float64{1, 2, 3, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 21, 22, 25}, []float64{e.Loss, e.LossStep, e.LossFinal, e.StepMSE,
		e.StepAUROC, e.WithinAUROC, e.StepECE, e.FirstErrorF1, e.FirstErrorAccError, e.FirstErrorAccRight, e.Threshold,
		e.TrajectoryMSE, e.TrajectoryPearson, e.WithinProblemAUROC, e.ProcessBenchF1, e.StepMacroF1})
	require.True(t, math.IsNaN(e.TrajectorySpearman))
	require.Equal(t, Control{StepAUROC: 16, WithinAUROC: 17, WithinProblemAUROC: 23, TrajectorySpearman: 18}, e.Controls["depth"])
	back, err = json.Marshal(e)
	require.NoError(t, err)
	require.Equal(t, text, string(back))

	var old Evaluation
	require.NoError(t, json.Unmarshal([]byte(`{"loss":1}`), &old))
	require.True(t, math.IsNaN(old.WithinProblemAUROC) && math.IsNaN(old.ProcessBenchF1), "a line of an earlier version")
}
