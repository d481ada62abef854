package metrics

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

var nan = math.NaN()

// metric is one metric of a list of trajectories, by its name in metrics.jsonl.
func metric(name string, threshold float64, trajectories ...Trajectory) Float {
	return assembled(trajectories, threshold)[name]
}

// mse and ece are the calibration of one list of scores.
func mse(scores, targets []float64) Float {
	return metric("step_mse", 0.5, Trajectory{Scores: scores, Targets: targets})
}

func ece(scores, targets []float64) Float {
	return metric("step_ece", 0.5, Trajectory{Scores: scores, Targets: targets})
}

func pool(trajectories []Trajectory) (scores, targets []float64) {
	for _, t := range trajectories {
		scores, targets = append(scores, t.Scores...), append(targets, t.Targets...)
	}
	return scores, targets
}

// slowAUROC counts every pair, and says how many there were.
func slowAUROC(scores, targets []float64) (won, all float64) {
	for i, good := range targets {
		for j, bad := range targets {
			if good >= 0.5 && bad < 0.5 {
				all++
				switch {
				case scores[i] > scores[j]:
					won++
				case scores[i] == scores[j]:
					won += 0.5
				}
			}
		}
	}
	return won, all
}

// randomTrajectories have ties, soft labels, missing labels and trajectories of one class.
func randomTrajectories(rng *rand.Rand, n int) []Trajectory {
	out := make([]Trajectory, n)
	for i := range out {
		t := Trajectory{Final: rng.Float64(), FinalTarget: rng.Float64()}
		if rng.IntN(4) == 0 {
			t.FinalTarget = nan
		}
		for range rng.IntN(8) {
			t.Scores = append(t.Scores, float64(rng.IntN(10))/10)
			t.Lengths = append(t.Lengths, rng.IntN(50))
			switch rng.IntN(4) {
			case 0:
				t.Targets = append(t.Targets, nan)
			case 1:
				t.Targets = append(t.Targets, 0.2)
			default:
				t.Targets = append(t.Targets, 0.5+rng.Float64()/2)
			}
		}
		out[i] = t
	}
	return out
}

func TestAUROCByHand(t *testing.T) {
	// pairs: 0.8 beats 0.3 and 0.5; 0.5 ties with 0.5 and beats 0.3: 3.5 of 4.
	require.Equal(t, Float(0.875), AUROC([]float64{0.8, 0.5, 0.5, 0.3, 7}, []float64{1, 0.5, 0.49, 0, nan}))
	require.Equal(t, Float(0), AUROC([]float64{0, 1}, []float64{1, 0}))
	require.Equal(t, Float(0.5), AUROC([]float64{3, 3, 3}, []float64{1, 0, 0}))
	require.False(t, AUROC([]float64{1, 2}, []float64{1, 1}).Defined())
	require.False(t, AUROC(nil, nil).Defined())
	require.False(t, AUROC([]float64{1, nan}, []float64{1, 0}).Defined())
	// infinite scores rank at the ends
	require.Equal(t, Float(1), AUROC([]float64{math.Inf(1), math.Inf(-1)}, []float64{1, 0}))
}

func TestAUROCAgainstPairCounting(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		ts := randomTrajectories(rng, 1+rng.IntN(6))
		scores, targets := pool(ts)
		won, all := slowAUROC(scores, targets)
		same(t, ratio(won, all), AUROC(scores, targets))
		same(t, ratio(won, all), metric("step_auroc", 0.5, ts...))
		won, all = 0, 0
		for _, tr := range ts {
			w, a := slowAUROC(tr.Scores, tr.Targets)
			won, all = won+w, all+a
		}
		same(t, ratio(won, all), WithinAUROC(ts))
		same(t, ratio(won, all), metric("within_auroc", 0.5, ts...))
	}
}

// same compares to rounding, two undefined values being the same.
func same(t *testing.T, want, got Float) {
	t.Helper()
	require.Equal(t, want.Defined(), got.Defined())
	if want.Defined() {
		require.InDelta(t, float64(want), float64(got), 1e-12)
	}
}

func TestWithinIgnoresDifferencesBetweenTrajectories(t *testing.T) {
	easyAndHard := []Trajectory{
		{Scores: []float64{0.9, 0.8, 0.95}, Targets: []float64{1, 1, 0}}, // two pairs, both lost
		{Scores: []float64{0.1, 0.05}, Targets: []float64{0, 0}},
		{Scores: []float64{0.7, 0.6}, Targets: []float64{1, 0}}, // one pair, won
	}
	require.Equal(t, Float(1.0/3), WithinAUROC(easyAndHard))
	scores, targets := pool(easyAndHard)
	require.Equal(t, Float(9.0/12), AUROC(scores, targets))
	require.False(t, WithinAUROC(easyAndHard[1:2]).Defined())
}

func TestECEByHand(t *testing.T) {
	// bins of 1/15: 0.01 and 0.05 share bin 0 (mean score 0.03, mean target 0.5); 0.95 and 1 share bin 14 (0.975 against 0.8).
	scores := []float64{0.01, 0.05, 0.95, 1, 0.4}
	targets := []float64{0, 1, 0.7, 0.9, nan}
	require.InDelta(t, (2*0.47+2*0.175)/4, float64(ece(scores, targets)), 1e-15)
	require.InDelta(t, 0.5, float64(ece([]float64{1.5, -0.5}, []float64{1, 0})), 1e-15, "outside [0,1]: the end bins")
	require.False(t, ece(nil, nil).Defined())
	require.InDelta(t, 0.1, float64(ece([]float64{0.03, 0.1}, []float64{0.13, 0})), 1e-15, "the two lowest bins are two")
	// the same total gap in two bins that would cancel in one
	require.InDelta(t, 0.05, float64(ece([]float64{0.25, 0.45}, []float64{0.2, 0.5})), 1e-15)
	require.InDelta(t, 0, float64(ece([]float64{0.41, 0.45}, []float64{0.36, 0.5})), 1e-15)
}

func TestECEAgainstBinByBin(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	scores, targets := make([]float64, 300), make([]float64, 300)
	for i := range scores {
		scores[i], targets[i] = rng.Float64(), rng.Float64()
	}
	scores[0], scores[1] = 0, 1
	want := 0.0
	for bin := range 15 {
		var n, score, target float64
		for i, s := range scores {
			if s >= float64(bin)/15 && (s < float64(bin+1)/15 || bin == 14) {
				n, score, target = n+1, score+s, target+targets[i]
			}
		}
		want += n / 300 * math.Abs(score/n-target/n)
	}
	require.InDelta(t, want, float64(ece(scores, targets)), 1e-12)
}

func TestCorrelationsByHand(t *testing.T) {
	x, y := []float64{1, 2, 3, 4, nan}, []float64{1, 3, 2, 5, 9}
	// dx = ±1.5, ±0.5; dy = −1.75, 0.25, −0.75, 2.25: xy = 5.5, xx = 5, yy = 8.75
	require.InDelta(t, 5.5/math.Sqrt(5*8.75), float64(Pearson(x, y)), 1e-14)
	require.InDelta(t, 0.8, float64(Spearman(x, y)), 1e-14) // 1 − 6·2/(4·15)
	require.InDelta(t, 1, float64(Spearman([]float64{1, 2, 3}, []float64{1, 10, 1000})), 1e-14)
	require.InDelta(t, -1, float64(Pearson([]float64{1, 2}, []float64{5, 3})), 1e-14)
	// ties: ranks 1.5 1.5 3 against 1 2 3
	require.InDelta(t, math.Sqrt(3)/2, float64(Spearman([]float64{7, 7, 9}, []float64{1, 2, 3})), 1e-14)
	require.False(t, Pearson([]float64{0.1, 0.1, 0.1}, []float64{1, 2, 3}).Defined())
	require.False(t, Pearson([]float64{1}, []float64{1}).Defined())
	require.InDelta(t, 0.5, float64(mse([]float64{1, 2, 3}, []float64{1, 1, nan})), 1e-15)
	require.False(t, mse([]float64{1}, []float64{nan}).Defined())
}

func TestEvaluate(t *testing.T) {
	ts := []Trajectory{
		{Scores: []float64{0.9, 0.2, 0.6}, Targets: []float64{1, 0, nan}, Lengths: []int{10, 30, 5}, Final: 0.4, FinalTarget: 0.5},
		{Scores: []float64{0.8, 0.7}, Targets: []float64{1, 1}, Lengths: []int{10, 20}, Final: 0.9, FinalTarget: nan},
	}
	r, err := Evaluate(ts, 0.5)
	require.NoError(t, err)
	require.Equal(t, 4, r.NStep)
	require.Equal(t, 1, r.NFinal)
	require.Equal(t, Float(1), r.Values["step_auroc"])
	require.Equal(t, Float(1), r.Values["within_auroc"])
	require.Equal(t, Float(1), r.Values["first_error_f1"])
	require.InDelta(t, (0.01+0.04+0.04+0.09)/4, float64(r.Values["step_mse"]), 1e-15)
	require.InDelta(t, 0.01, float64(r.Values["trajectory_mse"]), 1e-15)
	require.False(t, r.Values["trajectory_pearson"].Defined())
	// depth: the bad step is number 1, the good ones 0, 0 and 1: 0.5 of 3 pairs, so 2.5/3 the other way round
	require.InDelta(t, 2.5/3, float64(r.Controls["depth"].StepAUROC), 1e-15)
	// length: the bad step is the longest: 0, so 1 the other way round
	require.Equal(t, Float(1), r.Controls["length"].StepAUROC)
	require.Equal(t, Float(1), r.Controls["length"].WithinAUROC)

	ts[0].Lengths = nil
	r, err = Evaluate(ts, 0.5)
	require.NoError(t, err)
	require.False(t, r.Controls["length"].StepAUROC.Defined())
	require.True(t, r.Controls["depth"].StepAUROC.Defined())

	_, err = Evaluate([]Trajectory{{}, {Scores: []float64{1}}}, 0.5)
	require.ErrorContains(t, err, "trajectory 1 has 1 scores for 0 targets")
	_, err = Evaluate([]Trajectory{{Lengths: []int{1}}}, 0.5)
	require.ErrorContains(t, err, "trajectory 0 has 1 lengths for 0 targets")
}

func TestTrajectoryControls(t *testing.T) {
	var ts []Trajectory
	for i, total := range []int{1, 2, 3} {
		n := 3 - i // the more characters, the fewer steps
		tr := Trajectory{Scores: make([]float64, n), Targets: make([]float64, n), Lengths: make([]int, n), FinalTarget: float64(i)}
		tr.Lengths[0] = total
		ts = append(ts, tr)
	}
	r, err := Evaluate(ts, 0.5)
	require.NoError(t, err)
	require.InDelta(t, -1, float64(r.Controls["depth"].TrajectorySpearman), 1e-15)
	require.InDelta(t, 1, float64(r.Controls["length"].TrajectorySpearman), 1e-15)
}

func TestUndefinedIsNull(t *testing.T) {
	r, err := Evaluate(nil, 0.5)
	require.NoError(t, err)
	b, err := json.Marshal(r)
	require.NoError(t, err)
	require.Contains(t, string(b), `"step_auroc":null`)
	require.Zero(t, r.NStep)
	b, err = json.Marshal([]Float{Float(math.Inf(1)), 0.25})
	require.NoError(t, err)
	require.Equal(t, "[null,0.25]", string(b))
}
