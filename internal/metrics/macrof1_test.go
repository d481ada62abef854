package metrics

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMacroF1ByHand(t *testing.T) {
	ts := []Trajectory{
		{Scores: []float64{0.9, 0.5, 0.2, 0.1}, Targets: []float64{1, 0.5, 0.7, nan}}, // two good ones found, one missed
		{Scores: []float64{0.8, 0.4}, Targets: []float64{0, 0.2}},                     // one bad one missed, one found
	}
	// good: 2 hits, 1 false alarm, 1 miss: 2/3; bad: 1 hit, 1 false alarm, 1 miss: 1/2
	require.InDelta(t, (2.0/3+0.5)/2, float64(metric("step_macro_f1", 0.5, ts...)), 1e-15)
	require.InDelta(t, 0.375, float64(metric("step_macro_f1", 0, ts...)), 1e-15, "all called good: 6/8 and 0")
	require.Equal(t, Float(1), metric("step_macro_f1", 0.5, Trajectory{Scores: []float64{1, 0}, Targets: []float64{1, 0}}))
	require.False(t, metric("step_macro_f1", 0, ts[0]).Defined(), "no bad step, and none predicted")
	require.False(t, metric("step_macro_f1", 0.5).Defined())
}
