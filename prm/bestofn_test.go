package prm

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/grade"
	"github.com/goprm/goprm/internal/metrics"
)

func problemsOf(list ...*data.SampledProblem) iter.Seq2[*data.SampledProblem, error] {
	return func(yield func(*data.SampledProblem, error) bool) {
		for _, p := range list {
			if !yield(p, nil) {
				return
			}
		}
	}
}

func sample(pred string, right bool, scores ...float64) data.Sample {
	return data.Sample{Text: strings.Repeat("x", 3+len(scores)), Pred: &pred, Correct: &right, Scores: scores}
}

// row finds a result.
func row(t *testing.T, r *BestOfNResult, method string, a Aggregation, n int) BestOfNMethod {
	t.Helper()
	i := slices.IndexFunc(r.Results, func(m BestOfNMethod) bool { return m.Method == method && m.Aggregation == a && m.N == n })
	require.GreaterOrEqual(t, i, 0, "%s %s %d", method, a, n)
	return r.Results[i]
}

func TestAggregationsByHand(t *testing.T) {
	steps, whole := []float64{0.5, 0.25, 0.75}, 0.4
	for a, want := range map[Aggregation]float64{Min: 0.25, Last: 0.75, Mean: 0.5, Prod: 0.09375, Reward: 0.5} {
		require.InDelta(t, want, a.Of(steps, nil, 2), 1e-15, a)
		require.True(t, math.IsNaN(a.Of(nil, nil, 1)), a)
	}
	require.InDelta(t, 0.5+2*0.4, Reward.Of(steps, &whole, 2), 1e-15)
	require.InDelta(t, 0.8, Reward.Of(nil, &whole, 2), 1e-15, "a model that scores the whole alone")
	require.InDelta(t, 0.5, Mean.Of(steps, &whole, 2), 1e-15, "alpha concerns the reward")
	require.ErrorContains(t, Aggregation("median").Validate(), `"median" is none of min, last, mean, prod, reward`)
}

func TestBestOfNByHand(t *testing.T) {
	one := &data.SampledProblem{ID: "one", Samples: []data.Sample{
		sample("7", false, 0.9, 0.1), // min .1, last .1, mean .5, prod .09
		sample("8", true, 0.4, 0.4),  // min .4, last .4, mean .4, prod .16
		sample("7", false, 0.2, 0.3), // min .2, last .3, mean .25, prod .06
	}}
	two := &data.SampledProblem{ID: "two", Samples: []data.Sample{sample("1", true, 0.5), sample("2", false, 0.5), sample("2", false, 0.4)}}
	r, err := BestOfN(context.Background(), problemsOf(one, two), BestOfNOptions{N: []int{1, 2, 3}})
	require.NoError(t, err)
	require.Equal(t, 2, r.Problems)
	require.Equal(t, 6, r.Samples)
	require.Empty(t, r.Warnings)
	for a, want := range map[Aggregation][]float64{
		// Pairs {0,1}, {0,2}, {1,2} of one: 1, 0, 1 by min; by mean 0, 0, 1. Of two, by any: 1 (the tie goes to the first), 1, 0.
		Min:  {1.0 / 3, 2.0 / 3, 1},
		Last: {1.0 / 3, 2.0 / 3, 1},
		Prod: {1.0 / 3, 2.0 / 3, 1},
		Mean: {1.0 / 3, (1.0/3 + 2.0/3) / 2, 0.5},
	} {
		for i, n := range []int{1, 2, 3} {
			require.InDelta(t, want[i], row(t, r, "best", a, n).Accuracy, 1e-12, "%s %d", a, n)
		}
	}
	// Votes among three: one: 7 wins by number; by min 8 has 0.4 against 0.3. Two: 2 wins either way.
	require.InDelta(t, 0.0, row(t, r, "majority", "", 3).Accuracy, 1e-12)
	require.InDelta(t, 0.5, row(t, r, "weighted", Min, 3).Accuracy, 1e-12)
	// Pairs by number: one: {0,1} tie to 0, wrong; {0,2} wrong; {1,2} tie to 1, right. Two: {0,1} and {0,2} right, {1,2} wrong.
	require.InDelta(t, 0.5, row(t, r, "majority", "", 2).Accuracy, 1e-12)
	require.InDelta(t, 1.0, row(t, r, "oracle", "", 3).Accuracy, 1e-12)
	require.InDelta(t, 1.0/3, row(t, r, "random", "", 3).Accuracy, 1e-12)
	require.InDelta(t, 0.5, row(t, r, "shortest", "", 3).Accuracy, 1e-12, "one: all as long, the first is wrong")
	for _, m := range r.Results {
		require.True(t, m.Exact)
		require.LessOrEqual(t, m.Low, m.Accuracy)
		require.GreaterOrEqual(t, m.High, m.Accuracy)
	}
	again, err := BestOfN(context.Background(), problemsOf(one, two), BestOfNOptions{N: []int{1, 2, 3}})
	require.NoError(t, err)
	require.Equal(t, r, again)
}

func TestBestOfNAlphaSweep(t *testing.T) {
	low, high := 0.1, 0.9
	p := &data.SampledProblem{ID: "p", Samples: []data.Sample{sample("1", false, 0.8), sample("2", true, 0.6)}}
	p.Samples[0].Trajectory, p.Samples[1].Trajectory = &low, &high
	r, err := BestOfN(context.Background(), problemsOf(p), BestOfNOptions{N: []int{2}, Alphas: []float64{0, 0.2, 1},
		Aggregations: []Aggregation{Reward}})
	require.NoError(t, err)
	got := map[float64]float64{}
	for _, m := range r.Results {
		if m.Method == "best" {
			got[*m.Alpha] = m.Accuracy
		}
	}
	require.Equal(t, map[float64]float64{0: 0, 0.2: 0, 1: 1}, got) // 0.82 against 0.78 at 0.2
}

func TestBestOfNOfAModelThatScoresTheWholeAlone(t *testing.T) {
	p := &data.SampledProblem{ID: "p", Samples: []data.Sample{sample("1", false), sample("2", true)}}
	p.Samples[0].Trajectory, p.Samples[1].Trajectory = data.Float(-3), data.Float(2)
	r, err := BestOfN(context.Background(), problemsOf(p), BestOfNOptions{N: []int{2}})
	require.NoError(t, err)
	require.Equal(t, 1.0, row(t, r, "best", Reward, 2).Accuracy)
	require.False(t, slices.ContainsFunc(r.Results, func(m BestOfNMethod) bool { return m.Aggregation == Min || m.Aggregation == Mean }))
	require.Contains(t, r.Warnings[0], "only the reward is picked by")
}

func TestBestOfNRefusesAndWarns(t *testing.T) {
	two := func(change func(p *data.SampledProblem)) *data.SampledProblem {
		p := &data.SampledProblem{ID: "p", Where: "f:3", Samples: []data.Sample{sample("1", false, 0.8), sample("2", true, 0.6)}}
		change(p)
		return p
	}
	whole := 0.5
	for want, c := range map[string]struct {
		p   *data.SampledProblem
		opt BestOfNOptions
	}{
		`f:3: problem "p" has 2 samples, fewer than n = 4`: {two(func(*data.SampledProblem) {}),
			BestOfNOptions{N: []int{4}}},
		"n: 0 is not at least 1":            {two(func(*data.SampledProblem) {}), BestOfNOptions{N: []int{0}}},
		"alpha: NaN is not a finite number": {two(func(*data.SampledProblem) {}), BestOfNOptions{Alphas: []float64{math.NaN()}}},
		"no trajectory scores to weigh":     {two(func(*data.SampledProblem) {}), BestOfNOptions{Alphas: []float64{1}}},
		"sample 1 has a trajectory score and f:3: problem \"p\": sample 0 has none": {
			two(func(p *data.SampledProblem) { p.Samples[1].Trajectory = &whole }), BestOfNOptions{}},
		"sample 1: it does not say whether it is correct, and there is no verifier": {
			two(func(p *data.SampledProblem) { p.Samples[1].Correct = nil }), BestOfNOptions{}},
		`problem "p" has no samples`: {two(func(p *data.SampledProblem) { p.Samples = nil }), BestOfNOptions{}},
		"a problem is nil":           {nil, BestOfNOptions{}},
	} {
		_, err := BestOfN(context.Background(), problemsOf(c.p), c.opt)
		require.ErrorContains(t, err, want)
	}
	_, err := BestOfN(context.Background(), problemsOf(), BestOfNOptions{})
	require.ErrorContains(t, err, "no problems")

	r, err := BestOfN(context.Background(), problemsOf(two(func(p *data.SampledProblem) {
		p.Samples[0].Scores, p.Samples[1].Pred = []float64{-1, -3}, nil
		p.Samples = append(p.Samples, sample("3", true))
	})), BestOfNOptions{N: []int{3}})
	require.NoError(t, err)
	require.Equal(t, []int{1, 1}, []int{r.Unscored, r.Unanswered})
	require.Len(t, r.Warnings, 3)
	require.Contains(t, r.Warnings[0], "1 of 3 samples have no scores")
	require.Contains(t, r.Warnings[1], "prod is left out")
	require.Contains(t, r.Warnings[2], "weighted has no figure")
	require.Equal(t, 1.0, row(t, r, "best", Min, 3).Accuracy, "0.6 is best; the unscored one is never picked")
	require.False(t, slices.ContainsFunc(r.Results, func(m BestOfNMethod) bool { return m.Aggregation == Prod }))

	r, err = BestOfN(context.Background(), problemsOf(two(func(p *data.SampledProblem) {
		p.Samples[0] = data.Sample{Correct: p.Samples[0].Correct}
		p.Samples[1] = data.Sample{Correct: p.Samples[1].Correct}
	})), BestOfNOptions{})
	require.NoError(t, err)
	var methods []string
	for _, m := range r.Results {
		methods = append(methods, m.Method)
	}
	require.Equal(t, []string{"oracle", "random", "oracle", "random"}, methods,
		"no scores, no texts, no answers: what is left, for n = 1 and 2")
	require.Len(t, r.Warnings, 2)
}

// Votes cannot be weighed by scores below 0: there is no figure for them, and the rest stands. The first problem is the one of which
// three votes of -6.5 together lost against one of -5.
func TestWeightedVotesNeedWeights(t *testing.T) {
	p := &data.SampledProblem{ID: "p", Where: "f:3", Samples: []data.Sample{
		sample("6", false, -5), sample("7", true, -1), sample("7", true, -1), sample("7", true, -4.5),
	}}
	judge := func(opt BestOfNOptions) (*BestOfNResult, error) {
		opt.N, opt.Aggregations = []int{4}, []Aggregation{Last}
		return BestOfN(t.Context(), problemsOf(p), opt)
	}
	r, err := judge(BestOfNOptions{})
	require.NoError(t, err)
	weighted := row(t, r, "weighted", Last, 4)
	require.True(t, math.IsNaN(weighted.Accuracy) && math.IsNaN(weighted.Low) && math.IsNaN(weighted.High))
	require.Equal(t, `f:3: problem "p": sample 0 weighs -5 by last`, weighted.Missing)
	require.Len(t, r.Warnings, 1)
	require.Contains(t, r.Warnings[0], weighted.Missing)
	require.Contains(t, r.Warnings[0], "map the scores to [0, 1]")
	require.Equal(t, []float64{1, 1}, []float64{row(t, r, "best", Last, 4).Accuracy, row(t, r, "majority", "", 4).Accuracy})
	text, err := json.Marshal(weighted)
	require.NoError(t, err)
	require.JSONEq(t, `{"method":"weighted","aggregation":"last","n":4,"accuracy":null,"low":null,"high":null,"exact":true,`+
		`"missing":"f:3: problem \"p\": sample 0 weighs -5 by last"}`, string(text))
	var back BestOfNMethod
	require.NoError(t, json.Unmarshal(text, &back))
	require.True(t, math.IsNaN(back.Accuracy))

	_, err = judge(BestOfNOptions{Methods: []string{"best", "weighted"}})
	require.ErrorContains(t, err, `weighted: f:3: problem "p": sample 0 weighs -5 by last`)
	r, err = judge(BestOfNOptions{Methods: []string{"best", "majority"}})
	require.NoError(t, err)
	require.Len(t, r.Results, 2)
	require.Empty(t, r.Warnings)
	_, err = judge(BestOfNOptions{Methods: []string{"elected"}})
	require.ErrorContains(t, err, `methods: "elected" is none of best, weighted`)

	p.Samples[0].Pred = nil // it does not vote
	p.Samples[1].Scores, p.Samples[2].Scores, p.Samples[3].Scores = []float64{7}, []float64{0}, []float64{2}
	r, err = judge(BestOfNOptions{})
	require.NoError(t, err)
	require.Equal(t, 1.0, row(t, r, "weighted", Last, 4).Accuracy)
	for i := range p.Samples {
		p.Samples[i].Pred = nil
	}
	_, err = judge(BestOfNOptions{Methods: []string{"majority"}})
	require.ErrorContains(t, err, "the samples lack what majority needs")
}

type verifier func(gold, text string) (bool, error)

func (verifier) ID() string { return "test" }
func (v verifier) Verify(gold, text string) (bool, string, error) {
	right, err := v(gold, text)
	return right, "", err
}

func TestBestOfNWithAVerifier(t *testing.T) {
	pred := "7.0"
	p := &data.SampledProblem{ID: "p", Gold: "7", Samples: []data.Sample{
		{Text: "so 8", Scores: []float64{0.9}}, {Text: "so 7", Scores: []float64{0.1}}, {Text: "so 8", Pred: &pred, Scores: []float64{0.2}},
		{Text: "odd", Scores: []float64{0.3}},
	}}
	opt := BestOfNOptions{N: []int{4}, Aggregations: []Aggregation{Last},
		Verifier: verifier(func(gold, text string) (bool, error) {
			if text == "odd" {
				return true, errors.New("undecided")
			}
			return strings.TrimSuffix(strings.TrimPrefix(text, "so "), ".0") == gold, nil
		}),
		Extract: func(text string) (string, bool) { return strings.TrimPrefix(text, "so "), text != "odd" },
		Same:    func(a, b string) bool { return strings.TrimSuffix(a, ".0") == strings.TrimSuffix(b, ".0") },
	}
	r, err := BestOfN(context.Background(), problemsOf(p), opt)
	require.NoError(t, err)
	require.Equal(t, []int{3, 1, 1}, []int{r.Graded, r.Ungraded, r.Unanswered})
	require.Contains(t, r.Warnings[0], "could not decide on 1 of 4")
	require.Equal(t, 0.5, row(t, r, "random", "", 4).Accuracy, "a sample with an answer is graded by it, the undecided one is wrong")
	require.Equal(t, 1.0, row(t, r, "majority", "", 4).Accuracy, "7 and 7.0 are two votes for one answer")
	require.Equal(t, 0.0, row(t, r, "weighted", Last, 4).Accuracy)
	opt.Same = nil
	r, err = BestOfN(context.Background(), problemsOf(p), opt)
	require.NoError(t, err)
	require.Equal(t, 0.0, row(t, r, "majority", "", 4).Accuracy, "three votes for three texts: the first")
}

// TestBestOfNWithoutOutcome: a problem whose gold answer cannot be read is left out and counted, as a row of a training run would
// be; an answer that cannot be read is wrong.
func TestBestOfNWithoutOutcome(t *testing.T) {
	samples := []data.Sample{{Text: `\boxed{7}`, Scores: []float64{0.9}}, {Text: `\boxed{\foo{7}}`, Scores: []float64{0.1}}}
	opt := BestOfNOptions{N: []int{2}, Aggregations: []Aggregation{Last}, Verifier: grade.Verifier{}, Extract: grade.Extract}
	r, err := BestOfN(context.Background(), problemsOf(&data.SampledProblem{ID: "p", Gold: "7", Samples: samples},
		&data.SampledProblem{ID: "q", Gold: `\foo{7}`, Samples: samples}), opt)
	require.NoError(t, err)
	require.Equal(t, []int{1, 1, 2, 1, 1}, []int{r.Problems, r.NoOutcome, r.Samples, r.Graded, r.Ungraded})
	require.Contains(t, r.Warnings[0], "1 problems are left out")
	require.Equal(t, 0.5, row(t, r, "random", "", 2).Accuracy)
	_, err = BestOfN(context.Background(), problemsOf(&data.SampledProblem{ID: "q", Gold: `\foo{7}`, Samples: samples}), opt)
	require.ErrorContains(t, err, "nothing can be compared")
}

// At n = N there is one subset, and the picks of metrics.BestOfN know it.
func TestBestOfNOfAllAgainstMetrics(t *testing.T) {
	var list []*data.SampledProblem
	var want [][]metrics.Sample
	for i := range 50 {
		p := &data.SampledProblem{ID: "p"}
		var samples []metrics.Sample
		for k := range 6 {
			h := (i*31 + k*k*17 + i*k*7) % 101
			s := sample([]string{"", "1", "2"}[h%3], h%3 == 1, float64(h%7)/7, float64(h%5)/5)
			s.Text = strings.Repeat("y", h%11) + "z"
			p.Samples = append(p.Samples, s)
			samples = append(samples, metrics.Sample{Answer: *s.Pred, Correct: *s.Correct, Score: min(s.Scores[0], s.Scores[1]), Length: h%11 + 1,
				Steps: 1})
		}
		list, want = append(list, p), append(want, samples)
	}
	r, err := BestOfN(context.Background(), problemsOf(list...), BestOfNOptions{N: []int{6}})
	require.NoError(t, err)
	m := metrics.BestOfN(want)
	for method, pair := range map[string]struct {
		a Aggregation
		v metrics.Float
	}{"best": {Min, m.Best}, "weighted": {Min, m.Weighted}, "majority": {"", m.Majority}, "shortest": {"", m.Shortest},
		"fewest_steps": {"", m.FewestSteps}, "random": {"", m.Random}, "oracle": {"", m.Oracle}} {
		require.InDelta(t, float64(pair.v), row(t, r, method, pair.a, 6).Accuracy, 1e-12, method)
	}
}

func scoresOf(t *testing.T, text string) iter.Seq2[*StoredScore, error] {
	return ReadScores([]string{"-"}, data.ReadOptions{Stdin: strings.NewReader(text)})
}

func TestWithScores(t *testing.T) {
	problems := func() iter.Seq2[*data.SampledProblem, error] {
		return problemsOf(&data.SampledProblem{ID: "a", Samples: []data.Sample{{}, {Scores: []float64{9}}}},
			&data.SampledProblem{ID: "b", Samples: make([]data.Sample, 2)})
	}
	collect := func(scores string) (got [][]float64, failed error) {
		for p, err := range WithScores(problems(), scoresOf(t, scores)) {
			if err != nil {
				return got, err
			}
			for _, s := range p.Samples {
				got = append(got, s.Scores)
			}
		}
		return got, nil
	}
	got, err := collect(`{"id":"a/0","scores":[1,2]}
{"id":"b/0","steps":[{"part":"thinking","score":0.1},{"part":"response","score":0.5}],"trajectory":null,"mean":0.1,"reward":0.1}
{"id":"b/1","steps":[{"part":"thinking","score":0.1},{"part":"response","score":0.5}],"trajectory":null,"mean":0.3,"reward":0.3}
`)
	require.NoError(t, err)
	require.Equal(t, [][]float64{{1, 2}, nil, {0.1}, {0.1, 0.5}}, got, "the steps that the mean is of")
	_, err = collect(`{"id":"b/0","scores":[1]}` + "\n" + `{"id":"a/0","scores":[1]}`)
	require.ErrorContains(t, err, `stdin:2: no row with the id "a/0" where it is due`)
	_, err = collect(`{"id":"a/0"}`)
	require.ErrorContains(t, err, "scores: missing")
	_, err = collect(`{"scores":[1]}`)
	require.ErrorContains(t, err, "id: missing")
	_, err = collect(`{"id":"a/0","steps":[{"score":1}]}`)
	require.ErrorContains(t, err, "steps[0].part: missing")
}
