package metrics

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/goprm/goprm/internal/rng"
)

// randomSamples have ties, samples without an answer and samples without a score.
func randomSamples(r *rand.Rand, n int) []Sample {
	list := make([]Sample, n)
	for i := range list {
		list[i] = Sample{Answer: []string{"", "1", "2", "3"}[r.IntN(4)], Score: float64(r.IntN(5)) / 4, Length: r.IntN(4), Steps: r.IntN(3)}
		list[i].Correct = list[i].Answer == "2"
		if r.IntN(8) == 0 {
			list[i].Score = nan
		}
	}
	return list
}

// bySubsets runs the picks of [BestOfN], which know nothing of subsets, on every subset, told by the bits of a mask.
func bySubsets(samples []Sample, n int) PickAccuracy {
	var all [][]Sample
	for mask := range 1 << len(samples) {
		var subset []Sample
		for i, s := range samples {
			if mask>>i&1 == 1 {
				subset = append(subset, s)
			}
		}
		if len(subset) == n {
			all = append(all, subset)
		}
	}
	return BestOfN(all)
}

// chances are the same numbers by the formulas, and whether all of them are exact.
func chances(samples []Sample, n int, draws rng.Stream) (PickAccuracy, bool) {
	numbers := map[string]int{"": -1}
	var right []bool
	var score, length, steps, one []float64
	ballot := Ballot{}
	for _, s := range samples {
		if _, seen := numbers[s.Answer]; !seen {
			numbers[s.Answer] = len(numbers) - 1
		}
		ballot.Answers = append(ballot.Answers, numbers[s.Answer])
		right = append(right, s.Correct)
		score, length, steps, one = append(score, s.Score), append(length, -float64(s.Length)), append(steps, -float64(s.Steps)), append(one, 1)
	}
	ballot.Right, ballot.Weights = right, [][]float64{score, one}
	won, exact := ballot.Won(n, draws)
	return PickAccuracy{
		Best: Float(FirstOf(Preferred(score), right, n)), Weighted: Float(won[0]), Majority: Float(won[1]),
		Shortest:    Float(FirstOf(Preferred(length), right, n)),
		FewestSteps: Float(FirstOf(Preferred(steps), right, n)), Random: Float(float64(count(right)) / float64(len(right))),
		Oracle: Float(AnyOf(right, n)),
	}, exact
}

func TestSubsetsAgainstEverySubset(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for range 60 {
		samples := randomSamples(r, 1+r.IntN(9))
		for n := 1; n <= len(samples); n++ {
			want := bySubsets(samples, n)
			got, exact := chances(samples, n, rng.Stream{})
			require.True(t, exact)
			for _, pair := range [][2]Float{{want.Best, got.Best}, {want.Weighted, got.Weighted}, {want.Majority, got.Majority},
				{want.Shortest, got.Shortest},
				{want.FewestSteps, got.FewestSteps}, {want.Random, got.Random}, {want.Oracle, got.Oracle}} {
				require.InDelta(t, float64(pair[0]), float64(pair[1]), 1e-12, "n=%d %+v", n, samples)
			}
		}
	}
}

func TestDrawnSubsetsComeNear(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	samples := randomSamples(r, 18) // C(18, 9) = 48,620: more than are counted one by one
	want := bySubsets(samples, 9)
	got, exact := chances(samples, 9, rng.New(1, "test"))
	require.False(t, exact)
	// four standard errors of a share of DrawnSubsets draws
	tolerance := 4 * 0.5 / math.Sqrt(DrawnSubsets)
	require.InDelta(t, float64(want.Majority), float64(got.Majority), tolerance)
	require.InDelta(t, float64(want.Weighted), float64(got.Weighted), tolerance)
	require.InDelta(t, float64(want.Best), float64(got.Best), 1e-12, "what has a formula is not drawn")
	again, _ := chances(samples, 9, rng.New(1, "test"))
	require.Equal(t, got, again)
}

func TestDrawSubsetIsUniform(t *testing.T) {
	seen := map[[2]int]int{}
	const draws = 60000
	for d := range uint64(draws) {
		s := drawSubset(5, 2, rng.New(3, "uniform"), 2*d)
		require.True(t, slices.IsSorted(s))
		seen[[2]int(s)]++
	}
	require.Len(t, seen, 10)
	for pair, n := range seen {
		require.InDelta(t, draws/10, n, 5*math.Sqrt(draws/10), pair)
	}
}

func TestBinomial(t *testing.T) {
	require.Equal(t, 12870, binomial(16, 8))
	require.Equal(t, 1, binomial(7, 0))
	require.Equal(t, 1, binomial(7, 7))
	require.Equal(t, 7, binomial(7, 6))
	require.Greater(t, binomial(1<<20, 1<<19), MostSubsets)
}

func TestBootstrapOfAMean(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	const n = 400
	values, hits, often := make([]float64, n), 0.0, make([]float64, n)
	for i := range values {
		if r.IntN(10) < 3 {
			values[i], hits = 1, hits+1
		}
	}
	mean := func(times []float64) []Float {
		sum, drawn := 0.0, 0.0
		for i, v := range values {
			often[i] += times[i]
			sum += times[i] * v
			drawn += times[i]
		}
		require.Equal(t, float64(n), drawn)
		return []Float{Float(sum / drawn), undefined()}
	}
	got := Bootstrap(n, 1, mean)
	for i, times := range often { // Poisson with a mean of BootstrapRounds, nearly
		require.InDelta(t, BootstrapRounds, times, 5*math.Sqrt(BootstrapRounds), "unit %d", i)
	}
	p := hits / n
	half := 1.96 * math.Sqrt(p*(1-p)/n) // the normal approximation; the quantiles of 1000 rounds scatter by some 5 %
	require.InDelta(t, p-half, float64(got[0].Low), 0.15*half)
	require.InDelta(t, p+half, float64(got[0].High), 0.15*half)
	require.False(t, got[1].Low.Defined())
	require.Equal(t, got[0], Bootstrap(n, 1, mean)[0])
	require.NotEqual(t, got[0], Bootstrap(n, 2, mean)[0])
	require.Empty(t, Bootstrap(0, 1, func([]float64) []Float { return nil }))
}

func TestQuantile(t *testing.T) {
	// numpy.quantile([1, 2, 4, 8], [0.025, 0.5, 0.975])
	for q, want := range map[float64]float64{0.025: 1.075, 0.5: 3, 0.975: 7.7} {
		require.InDelta(t, want, float64(quantile([]float64{1, 2, 4, 8}, q)), 1e-12)
	}
}
