package prm

import (
	"context"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/tinymodel"
)

func TestBlendByHand(t *testing.T) {
	half := 0.5
	for _, c := range []struct {
		opt  BlendOptions
		want float64
	}{
		{BlendOptions{}, 0.25*1 + 0.75*1.6},
		{BlendOptions{Alpha: 1}, 0.25*1 + 0.75*1.6}, // paper: as it is
		{BlendOptions{Scale: "unit", Alpha: 1}, 0.25*1 + 0.75*0.8},
		{BlendOptions{Scale: "unit"}, 0.25*1 + 0.75*1.6}, // no trajectory in it
		{BlendOptions{Scale: "unit", Alpha: 3, Beta: &half}, 0.5 + 0.5*0.4},
	} {
		got, err := Blend(1, 1.6, c.opt)
		require.NoError(t, err)
		require.InDelta(t, c.want, got, 1e-15)
	}
	for _, bad := range []BlendOptions{{Beta: data.Float(1.1)}, {Beta: data.Float(math.NaN())}, {Scale: "units"}, {Alpha: -1},
		{Alpha: math.Inf(1)}} {
		_, err := Blend(1, 1, bad)
		require.Error(t, err)
	}
	_, err := Blend(math.NaN(), 1, BlendOptions{})
	require.ErrorContains(t, err, "reward 0 is NaN")
	_, err = Blend(1, math.NaN(), BlendOptions{})
	require.ErrorContains(t, err, "reward 1 is NaN")
}

func TestBlendDenseSumsToBlend(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	for range 100 {
		n := 1 + r.IntN(5)
		d := DenseReward{Outcome: float64(r.IntN(2)), Tokens: n + r.IntN(5)}
		opt := BlendOptions{Beta: data.Float(r.Float64()), Alpha: r.Float64(), Scale: []string{"paper", "unit"}[r.IntN(2)]}
		sum := 0.0
		for i := range n {
			d.Steps, d.LastTokens = append(d.Steps, r.Float64()), append(d.LastTokens, i)
			sum += d.Steps[i]
		}
		reward := sum / float64(n)
		if r.IntN(2) == 0 {
			d.Trajectory = data.Float(r.Float64())
			reward += opt.Alpha * *d.Trajectory
		}
		tokens, err := BlendDense(d, opt)
		require.NoError(t, err)
		want, err := Blend(d.Outcome, reward, opt)
		require.NoError(t, err)
		got := 0.0
		for _, v := range tokens {
			got += v
		}
		require.InDelta(t, want, got, 1e-12)
	}
	tokens, err := BlendDense(DenseReward{Outcome: 1, Steps: []float64{0.2, 0.8}, LastTokens: []int{1, 3}, Trajectory: data.Float(0.5),
		Tokens: 6}, BlendOptions{Beta: data.Float(0.5), Alpha: 2})
	require.NoError(t, err)
	require.InDeltaSlice(t, []float64{0, 0.05, 0, 0.2, 0, 0.5 + 0.5}, tokens, 1e-15)
	for want, bad := range map[string]DenseReward{
		"nowhere":          {Steps: nil},
		"1 places for 2":   {Steps: []float64{1, 1}, LastTokens: []int{0}, Tokens: 3},
		"step 0: token 3":  {Steps: []float64{1}, LastTokens: []int{3}, Tokens: 3},
		"step 1: token 0":  {Steps: []float64{1, 1}, LastTokens: []int{1, 0}, Tokens: 3},
		"reward 1 is NaN":  {Steps: []float64{1, math.NaN()}, LastTokens: []int{1, 2}, Tokens: 3},
		"reward 1 is +Inf": {Trajectory: data.Float(math.Inf(1)), Tokens: 3},
	} {
		_, err := BlendDense(bad, BlendOptions{Alpha: 1})
		require.ErrorContains(t, err, want)
	}
}

func TestGroupAdvantages(t *testing.T) {
	rewards := []float64{1, 5, 0, 7, 0.1, 0.1, 3, 0.1}
	groups := []string{"a", "b", "a", "one", "same", "same", "b", "same"}
	got, err := GroupAdvantages(rewards, groups, AdvantageOptions{NoStd: true})
	require.NoError(t, err)
	require.Equal(t, []float64{0.5, 1, -0.5, 0, 0, 0, -1, 0}, got)
	got, err = GroupAdvantages(rewards, groups, AdvantageOptions{})
	require.NoError(t, err)
	// torch.std of [1, 0] is 0.70711, of [5, 3] 1.41421
	want := []float64{0.5 / (math.Sqrt(0.5) + 1e-6), 1 / (math.Sqrt2 + 1e-6), -0.5 / (math.Sqrt(0.5) + 1e-6), 0, 0, 0,
		-1 / (math.Sqrt2 + 1e-6), 0}
	require.InDeltaSlice(t, want, got, 1e-12)
	got, err = GroupAdvantages(nil, []int(nil), AdvantageOptions{})
	require.NoError(t, err)
	require.Empty(t, got)
	_, err = GroupAdvantages([]float64{1}, []int{1, 2}, AdvantageOptions{})
	require.ErrorContains(t, err, "1 rewards for 2 groups")
	_, err = GroupAdvantages([]float64{1, math.NaN()}, []int{1, 1}, AdvantageOptions{})
	require.ErrorContains(t, err, "reward 1 is NaN")
	_, err = GroupAdvantages([]float64{1}, []int{1}, AdvantageOptions{Epsilon: -1})
	require.ErrorContains(t, err, "epsilon")
}

func TestTheReleasedCodesTrapsAreAvoided(t *testing.T) {
	c := config(t, tiny(t, tinymodel.Options{}))
	train(t, c)
	m, err := Open(filepath.Join(c.Out, "model"), OpenOptions{})
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	list := []*data.Trajectory{
		{ID: "a", Problem: "One?", ResponseSteps: []string{"First.", "Second.", "Third."}},
		{ID: "b", Problem: "Two?", ResponseSteps: []string{"Quite another text.", "And its end."}},
		{ID: "c", Problem: "One?", ResponseSteps: []string{"First.", "Changed.", "Third."}},
	}
	var together []*Score
	for s, err := range m.ScoreAll(context.Background(), func(yield func(*data.Trajectory, error) bool) {
		for _, t := range list {
			if !yield(t, nil) {
				return
			}
		}
	}, ScoreOptions{}) {
		require.NoError(t, err)
		together = append(together, s)
	}
	for i, tr := range list {
		alone, err := m.Score(context.Background(), tr)
		require.NoError(t, err)
		require.Equal(t, alone, together[i])
		require.Len(t, alone.Steps, len(tr.ResponseSteps))
	}
	require.Equal(t, together[0].Steps[0].Score, together[2].Steps[0].Score, "read at the first step: what follows does not matter")
	require.NotEqual(t, together[0].Steps[1].Score, together[2].Steps[1].Score)
	require.NotEqual(t, together[0].Steps[0].Score, together[0].Steps[2].Score, "not all at the last token")
	_, err = m.Score(context.Background(), &data.Trajectory{ID: "long", Problem: "p", ResponseSteps: []string{strings.Repeat("long ", 2000)}})
	require.ErrorContains(t, err, "long")
}
