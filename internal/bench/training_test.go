package bench

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/metrics"
	"github.com/stretchr/testify/require"
)

// What `prm eval` says of labelled steps and of ProcessBench's rows is what an evaluation while training says of the same rows and
// scores, although a bootstrap keeps sums by problem. Within a problem the reference goes through all pairs.
func TestEvaluationsAgree(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 5))
	steps, bench := filepath.Join(t.TempDir(), "steps.jsonl"), filepath.Join(t.TempDir(), "bench.jsonl")
	var lines, benchLines strings.Builder
	for i := range 60 {
		texts, labels := []string{}, []string{}
		for k := range 1 + random.IntN(4) {
			texts = append(texts, fmt.Sprintf("%q", fmt.Sprintf("step %d", k)))
			labels = append(labels, []string{"0", "0.5", "1", "null"}[random.IntN(4)])
		}
		labels[0] = []string{"0", "1"}[i%2]
		fmt.Fprintf(&lines, `{"id":"%d","problem":"p%d","response_steps":[%s],"labels":{"steps":[%s]}}`+"\n", i, i%11, strings.Join(texts, ","),
			strings.Join(labels, ","))
		fmt.Fprintf(&benchLines, `{"id":"%s-%d","problem":"p%d","steps":[%s],"label":%d,"final_answer_correct":true}`+"\n",
			[]string{"gsm8k", "math", "olympiad"}[i%3], i, i%11, strings.Join(texts, ","), random.IntN(len(texts)+1)-1)
	}
	require.NoError(t, os.WriteFile(steps, []byte(lines.String()), 0o666))
	require.NoError(t, os.WriteFile(bench, []byte(benchLines.String()), 0o666))
	const threshold = 0.45
	for name, file := range map[string]string{"steps": steps, "processbench": bench} {
		set, err := Read(name, []string{file}, ReadOptions{})
		require.NoError(t, err)
		scores := NewScores(len(set.Cases))
		var trained []metrics.Trajectory
		for i, c := range set.Cases {
			for range c.lengths {
				scores.Steps[i] = append(scores.Steps[i], math.Round(10*random.Float64())/10) // with ties
			}
			read, err := first(data.Read([]string{file}, data.ReadOptions{}), i)
			require.NoError(t, err)
			trained = append(trained, metrics.Trajectory{Scores: scores.Steps[i], Targets: c.Targets, Lengths: c.lengths,
				Problem: read.Problem, Subset: SubsetOf(read), Final: math.NaN(), FinalTarget: math.NaN()})
		}
		result, err := set.Evaluate(scores, Options{Threshold: threshold, Cut: 0.5})
		require.NoError(t, err)
		report, err := metrics.Evaluate(trained, threshold)
		require.NoError(t, err)
		got := map[string]float64{}
		for _, m := range result.Model.Metrics {
			got[m.Group+"/"+m.Name] = float64(m.Value)
		}
		require.InDelta(t, got["all/step_auroc"], float64(report.Values["step_auroc"]), 1e-12)
		require.InDelta(t, got["all/within_auroc"], float64(report.Values["within_auroc"]), 1e-12)
		require.InDelta(t, got["all/within_problem_auroc"], float64(report.Values["within_problem_auroc"]), 1e-12)
		require.InDelta(t, withinProblem(trained), float64(report.Values["within_problem_auroc"]), 1e-12)
		if name == "processbench" {
			require.InDelta(t, got["average/f1"], float64(report.Values["processbench_f1"]), 1e-12)
			require.NotEqual(t, report.Values["first_error_f1"], report.Values["processbench_f1"])
			continue
		}
		require.InDelta(t, got["all/first_error_f1"], float64(report.Values["first_error_f1"]), 1e-12)
		require.InDelta(t, got["all/ece"], float64(report.Values["step_ece"]), 1e-12)
		require.False(t, report.Values["processbench_f1"].Defined())
	}
}

// withinProblem counts all pairs.
func withinProblem(list []metrics.Trajectory) float64 {
	won, all := 0.0, 0.0
	for _, a := range list {
		for i, good := range a.Targets {
			for _, b := range list {
				for k, bad := range b.Targets {
					if a.Problem != b.Problem || !(good >= 0.5) || !(bad < 0.5) {
						continue
					}
					all++
					switch {
					case a.Scores[i] > b.Scores[k]:
						won++
					case a.Scores[i] == b.Scores[k]:
						won += 0.5
					}
				}
			}
		}
	}
	return won / all
}

func first(rows func(func(*data.Trajectory, error) bool), i int) (found *data.Trajectory, err error) {
	for t, problem := range rows {
		if i == 0 {
			return t, problem
		}
		i--
	}
	return nil, fmt.Errorf("no such row")
}
