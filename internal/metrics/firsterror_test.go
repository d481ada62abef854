package metrics

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// firstErrorResult are the numbers of trajectories and the metrics made of them.
type firstErrorResult struct {
	NError, NCorrect         int
	AccError, AccCorrect, F1 Float
}

func firstError(ts []Trajectory, threshold float64) (r firstErrorResult) {
	for _, tr := range ts {
		n := FirstError(tr.Scores, tr.Targets, Options{Threshold: threshold, Cut: 0.5})
		r.NError, r.NCorrect = r.NError+int(n[1]), r.NCorrect+int(n[3])
	}
	values := assembled(ts, threshold)
	r.AccError, r.AccCorrect, r.F1 = values["first_error_acc_error"], values["first_error_acc_correct"], values["first_error_f1"]
	return r
}

// slowFirstError predicts and compares step by step, as the definition reads.
func slowFirstError(ts []Trajectory, threshold float64) firstErrorResult {
	var r firstErrorResult
	var named, passed float64
	for _, tr := range ts {
		truth, said, labelled := -1, -1, false
		for i, target := range tr.Targets {
			if math.IsNaN(target) {
				continue
			}
			labelled = true
			if truth < 0 && target < 0.5 {
				truth = i
			}
			if said < 0 && tr.Scores[i] < threshold {
				said = i
			}
		}
		switch {
		case !labelled:
		case truth >= 0:
			r.NError++
			if said == truth {
				named++
			}
		default:
			r.NCorrect++
			if said == -1 {
				passed++
			}
		}
	}
	r.AccError, r.AccCorrect = ratio(named, float64(r.NError)), ratio(passed, float64(r.NCorrect))
	r.F1 = Float(2 / (1/float64(r.AccError) + 1/float64(r.AccCorrect)))
	return r
}

func TestFirstErrorByHand(t *testing.T) {
	ts := []Trajectory{
		{Scores: []float64{0.9, 0.4, 0.1}, Targets: []float64{1, 0, nan}},   // named
		{Scores: []float64{0.9, 0.6, 0.1}, Targets: []float64{1, 0, 0}},     // step 2 instead of 1
		{Scores: []float64{0.3, 0.2}, Targets: []float64{1, 0}},             // too early
		{Scores: []float64{0.5}, Targets: []float64{0}},                     // 0.5 is not below 0.5
		{Scores: []float64{0.9, 0.8}, Targets: []float64{1, 0.5}},           // passes
		{Scores: []float64{0.9, 0.2, 0.9}, Targets: []float64{0.7, nan, 1}}, // passes: the low step has no label
		{Scores: []float64{0.9, 0.2, 0.9}, Targets: []float64{0.7, 0.6, 1}}, // called wrong
		{Scores: []float64{0.1}, Targets: []float64{nan}},                   // not counted
	}
	r := firstError(ts, 0.5)
	require.Equal(t, 4, r.NError)
	require.Equal(t, 3, r.NCorrect)
	require.Equal(t, Float(0.25), r.AccError)
	require.InDelta(t, 2.0/3, float64(r.AccCorrect), 1e-15)
	require.InDelta(t, 2*0.25*(2.0/3)/(0.25+2.0/3), float64(r.F1), 1e-15)

	require.Equal(t, Float(0), firstError(ts, 0).F1, "nothing is below 0: one accuracy is 0")
	require.False(t, firstError(ts[:4], 0.5).F1.Defined())
	require.False(t, firstError(nil, 0.5).F1.Defined())
}

func TestFirstErrorAndBestThresholdAgainstSearch(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	defined := 0
	for range 300 {
		ts := randomTrajectories(rng, 1+rng.IntN(12))
		best := Float(nan)
		for k := -1; k <= 22; k++ { // scores are tenths: these are all tenths and all gaps between them
			threshold := float64(k) / 20
			want := slowFirstError(ts, threshold)
			got := firstError(ts, threshold)
			same(t, want.F1, got.F1)
			require.Equal(t, want.NError, got.NError)
			require.Equal(t, want.NCorrect, got.NCorrect)
			if want.F1.Defined() && !(best >= want.F1) {
				best = want.F1
			}
		}
		threshold, f1 := BestThreshold(ts)
		same(t, best, f1)
		if f1 > 0 {
			defined++
			same(t, f1, firstError(ts, threshold).F1)
		} else {
			require.Equal(t, 0.5, threshold)
		}
	}
	require.Greater(t, defined, 100)
}

func TestBestThresholdTakesTheMiddle(t *testing.T) {
	ts := []Trajectory{
		{Scores: []float64{0.9, 0.2}, Targets: []float64{1, 0}},
		{Scores: []float64{0.8}, Targets: []float64{1}},
	}
	threshold, f1 := BestThreshold(ts)
	require.InDelta(t, 0.5, threshold, 1e-15)
	require.Equal(t, Float(1), f1)
	// neighbours in floating point: the middle would fall on the lower one
	up := math.Nextafter(0.2, 1)
	ts[1].Scores[0] = up
	threshold, f1 = BestThreshold(ts)
	require.Equal(t, up, threshold)
	require.Equal(t, Float(1), f1)
}

func TestBestThresholdPrefersTheMiddleOfTheScale(t *testing.T) {
	// One erroneous trajectory is named for thresholds in (0.1, 0.2], one in (0.4, 0.5], one in (0.8, 0.9]; the correct one always passes.
	ts := []Trajectory{
		{Scores: []float64{0.2, 0.1}, Targets: []float64{1, 0}},
		{Scores: []float64{0.5, 0.4}, Targets: []float64{1, 0}},
		{Scores: []float64{0.9, 0.8}, Targets: []float64{1, 0}},
		{Scores: []float64{1}, Targets: []float64{1}},
	}
	threshold, f1 := BestThreshold(ts)
	require.InDelta(t, 0.45, threshold, 1e-15)
	require.InDelta(t, 0.5, float64(f1), 1e-15) // a third named, all passed
}
