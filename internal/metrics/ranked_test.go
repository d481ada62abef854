package metrics

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWeightsAreRepetitions(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	for range 200 {
		n := 1 + r.IntN(12)
		var scores, targets, times, repeatedScores, repeatedTargets []float64
		var good []bool
		var unit []int
		a := NewAssembly(Options{Cut: 0.5}, func(m Metric) bool { return m.Eval != "" })
		for range 4 {
			times = append(times, float64(r.IntN(4)))
		}
		for i := range n {
			scores, good, unit = append(scores, float64(r.IntN(6))/5), append(good, r.IntN(2) == 0), append(unit, r.IntN(4))
			targets = append(targets, 0.3)
			if good[i] {
				targets[i] = 0.8
			}
			a.Add(&Trajectory{Scores: scores[i:], Targets: targets[i:], Unit: unit[i]})
			for range int(times[unit[i]]) {
				repeatedScores, repeatedTargets = append(repeatedScores, scores[i]), append(repeatedTargets, targets[i])
			}
		}
		values := a.Values(times)
		for i, m := range a.Metrics() {
			switch m.Eval {
			case "step_auroc":
				same(t, AUROC(repeatedScores, repeatedTargets), values[i])
			case "ece":
				same(t, ece(repeatedScores, repeatedTargets), values[i])
			case "brier":
				same(t, mse(repeatedScores, repeatedTargets), values[i])
			}
		}
		same(t, AUROC(repeatedScores, repeatedTargets), NewRanked(scores, good, unit).Metrics(times).AUROC)
	}
	require.False(t, NewRanked([]float64{nan, 1}, []bool{true, false}, []int{0, 0}).Metrics([]float64{1}).AUROC.Defined())
}

func TestAveragePrecisionByHand(t *testing.T) {
	// sklearn.metrics.average_precision_score: y = [0, 0, 1, 1], s = [0.1, 0.4, 0.35, 0.8] gives 0.8333
	one := []float64{1}
	m := NewRanked([]float64{0.1, 0.4, 0.35, 0.8}, []bool{false, false, true, true}, []int{0, 0, 0, 0}).Metrics(one)
	require.InDelta(t, 0.5*1+0.5*2/3, float64(m.PrecisionOfGood), 1e-15)
	require.InDelta(t, 0.5*1+0.5*2/3, float64(m.PrecisionOfBad), 1e-15) // 0.1, then 0.35 (good), then 0.4: 1 and 2/3
	// a tie is one point of the curve: y = [1, 0, 1], s = [0.5, 0.5, 0.2]: 0.5·1/2 + 0.5·2/3
	m = NewRanked([]float64{0.5, 0.5, 0.2}, []bool{true, false, true}, []int{0, 0, 0}).Metrics(one)
	require.InDelta(t, 0.25+1.0/3, float64(m.PrecisionOfGood), 1e-15)
	m = NewRanked([]float64{0.5}, []bool{true}, []int{0}).Metrics(one)
	require.Equal(t, Float(1), m.PrecisionOfGood)
	require.False(t, m.PrecisionOfBad.Defined())
	// weights are repetitions: the good 0.8 twice and the bad 0.9 once: precisions 0 of 1, then 2 of 3
	m = NewRanked([]float64{0.8, 0.9, 0.1}, []bool{true, false, false}, []int{0, 1, 2}).Metrics([]float64{2, 1, 0})
	require.InDelta(t, 2.0/3, float64(m.PrecisionOfGood), 1e-15)
	require.InDelta(t, 1.0/3, float64(m.PrecisionOfBad), 1e-15)
}

func TestCalibrationBins(t *testing.T) {
	var c Calibration
	c.Add(0.11, 0.3)
	for range 3 {
		c.Add(0.12, 0)
	}
	c.Add(7, 1)
	bins := c.Bins()
	require.Len(t, bins, CalibrationBins)
	require.Equal(t, 4.0, bins[1].Count)
	require.InDelta(t, (0.11+3*0.12)/4, float64(bins[1].Score), 1e-15)
	require.InDelta(t, 0.3/4, float64(bins[1].Target), 1e-15)
	require.Equal(t, CalibrationBin{1, 7, 1}, bins[CalibrationBins-1])
	require.False(t, bins[0].Score.Defined())
}
