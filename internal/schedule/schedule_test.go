package schedule

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/goprm/goprm/internal/shareddata"
)

func rates(o Options, base float64) []float64 {
	out := make([]float64, o.Steps)
	for s := range out {
		out[s] = o.Rate(base, s)
	}
	return out
}

func TestByHand(t *testing.T) {
	require.InDeltaSlice(t, []float64{0, 1, 2, 1.5, 1, 0.5}, rates(Options{Kind: Linear, Steps: 6, Warmup: 2}, 2), 1e-15)
	require.InDeltaSlice(t, []float64{0, 1, 2, 2, 2, 2}, rates(Options{Kind: Constant, Steps: 6, Warmup: 2}, 2), 1e-15)
	half := math.Sqrt2 / 2
	require.InDeltaSlice(t, []float64{2, 1 + half, 1, 1 - half}, rates(Options{Kind: Cosine, Steps: 4}, 2), 1e-15)
	require.Zero(t, Options{Kind: Linear, Steps: 4}.Rate(1, 4))
	require.Zero(t, Options{Kind: Cosine, Steps: 4}.Rate(1, 9))
	require.Equal(t, []float64{0, 0.25, 0.5, 0.75}, rates(Options{Steps: 4, Warmup: 4}, 1), "all warm-up")
}

func TestWarmupSteps(t *testing.T) {
	for _, c := range []struct {
		warmup float64
		steps  int
		want   int
	}{{0, 100, 0}, {0.05, 100, 5}, {0.05, 101, 6}, {0.001, 10, 1}, {0.99, 2, 2}, {1, 100, 1}, {30, 100, 30}} {
		o := Options{Warmup: c.warmup, Steps: c.steps}
		require.NoError(t, o.Validate())
		require.Equal(t, c.want, o.WarmupSteps(), "%+v", c)
	}
}

func TestValidate(t *testing.T) {
	for _, bad := range []Options{{}, {Steps: -1}, {Steps: 1, Warmup: -0.1}, {Steps: 1, Warmup: 2.5}, {Steps: 1, Warmup: math.NaN()},
		{Steps: 1, Warmup: math.Inf(1)}, {Steps: 1, Kind: 9}} {
		require.Error(t, bad.Validate(), "%+v", bad)
	}
	var k Kind
	require.NoError(t, k.UnmarshalText([]byte("linear")))
	require.Equal(t, Linear, k)
	require.ErrorContains(t, k.UnmarshalText([]byte("step")), `"step"`)
	_, err := Kind(9).MarshalText()
	require.Error(t, err)
}

func TestAgainstPyTorch(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(shareddata.Dir(t), "data", "goldens", "D", "training.json"))
	require.NoError(t, err)
	var training map[string]map[string]struct{ LR []float64 }
	require.NoError(t, json.Unmarshal(raw, &training))
	want := training["full"]["f64"].LR
	require.Len(t, want, 50)
	got := rates(Options{Kind: Cosine, Steps: 50, Warmup: 5}, 1e-3)
	for s := range want {
		require.InDelta(t, want[s], got[s], 1e-18, "update %d", s)
	}
	require.Equal(t, got, rates(Options{Kind: Cosine, Steps: 50, Warmup: 0.1}, 1e-3), "a tenth of 50 is 5 updates")
}
