package prm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/goprm/goprm/internal/metrics"
	"github.com/goprm/goprm/internal/rng"
)

// choose settles the sizes and the ways of scoring.
func (p *samplePool) choose() error {
	fewest := p.problems[0]
	for _, k := range p.problems {
		if len(k.right) < len(fewest.right) {
			fewest = k
		}
	}
	most := len(fewest.right)
	if p.opt.N == nil {
		for n := 1; n <= most; n *= 2 {
			p.opt.N = append(p.opt.N, n)
		}
	}
	if n := slices.Max(p.opt.N); n > most {
		return fmt.Errorf("%s has %d samples, fewer than n = %d", fewest.where, most, n)
	}
	if p.result.NoOutcome > 0 {
		p.warnf("%d problems are left out, since nothing can be compared with their gold answers", p.result.NoOutcome)
	}
	if p.result.Ungraded > 0 {
		p.warnf("the verifier could not decide on %d of %d samples; they count as wrong", p.result.Ungraded, p.result.Samples)
	}
	if p.result.Unscored == p.result.Samples {
		p.warnf("no sample has scores: nothing is picked by score")
		return nil
	}
	if p.result.Unscored > 0 {
		p.warnf("%d of %d samples have no scores and are never picked by score", p.result.Unscored, p.result.Samples)
	}
	alphas := p.opt.Alphas
	if alphas == nil {
		alphas = []float64{1}
	} else if !p.readOut.has {
		return errors.New("alpha: the samples have no trajectory scores to weigh")
	}
	if !p.steps {
		p.warnf("only the reward is picked by: whole answers have scores, steps have none that count")
	}
	for _, a := range p.opt.Aggregations {
		if a != Reward && !p.steps {
			continue
		}
		if a == Prod && p.beyondUnit() {
			p.warnf("prod is left out: there are scores outside [0, 1], whose product ranks nothing")
			continue
		}
		if a != Reward || !p.readOut.has {
			p.ways = append(p.ways, scoring{aggregation: a})
			continue
		}
		for _, alpha := range alphas {
			p.ways = append(p.ways, scoring{aggregation: a, alpha: &alpha})
		}
	}
	return p.checkWeights()
}

// checkWeights leaves weighted votes without a figure where a weight is below 0: each further vote would lower its answer.
func (p *samplePool) checkWeights() error {
	first := ""
	for i := range p.ways {
		p.ways[i].noVotes = p.ways[i].checkVotes(p.problems)
		first = cmp.Or(first, p.ways[i].noVotes)
	}
	const remedy = "votes are weighed by scores of at least 0, as probabilities are: map the scores to [0, 1] (1/(1+exp(-x)) of an " +
		"identity head's), " +
		"or ask for other methods"
	switch {
	case first == "" || p.opt.Methods != nil && !slices.Contains(p.opt.Methods, "weighted"):
	case p.opt.Methods != nil:
		return fmt.Errorf("weighted: %s; %s", first, remedy)
	default:
		p.warnf("weighted has no figure: %s; %s", first, remedy)
	}
	return nil
}

// beyondUnit tells whether a sample of several steps has a score outside [0, 1].
func (p *samplePool) beyondUnit() bool {
	for _, k := range p.problems {
		for _, scores := range k.scores {
			if len(scores) > 1 && slices.ContainsFunc(scores, func(s float64) bool { return s < 0 || s > 1 }) {
				return true
			}
		}
	}
	return false
}

func (p *samplePool) warnf(format string, args ...any) {
	p.result.Warnings = append(p.result.Warnings, fmt.Sprintf(format, args...))
}

// judge fills the results.
func (p *samplePool) judge(ctx context.Context) (*BestOfNResult, error) {
	votes := p.result.Unanswered < p.result.Samples
	if !votes {
		p.warnf("no sample has an answer (pred): nothing is voted on")
	}
	var chances [][]float64 // [row][problem]
	for _, n := range p.opt.N {
		var rows []BestOfNMethod
		add := func(method string, way scoring) {
			row := BestOfNMethod{Method: method, Aggregation: way.aggregation, Alpha: way.alpha, N: n, Exact: true}
			if method == "weighted" {
				row.Missing = way.noVotes
			}
			rows = append(rows, row)
		}
		for _, way := range p.ways {
			add("best", way)
		}
		add("oracle", scoring{})
		add("random", scoring{})
		if p.texts == p.result.Samples {
			add("shortest", scoring{})
			add("fewest_steps", scoring{})
		}
		voted := len(rows)
		if votes {
			for _, way := range p.ways {
				add("weighted", way)
			}
			add("majority", scoring{})
		}
		list := make([][]float64, len(rows))
		for i, k := range p.problems {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			values, exact := k.chances(n, p.ways, len(rows), voted, rng.New(p.opt.Seed, fmt.Sprintf("subsets/%d/%d", i, n)))
			for r, v := range values {
				list[r] = append(list[r], v)
				rows[r].Exact = rows[r].Exact && (exact || r < voted)
			}
		}
		p.result.Results, chances = append(p.result.Results, rows...), append(chances, list...)
	}
	p.intervals(chances)
	for i := range p.result.Results {
		if row := &p.result.Results[i]; row.Missing != "" {
			row.Accuracy, row.Low, row.High = math.NaN(), math.NaN(), math.NaN()
		}
	}
	p.result.Results = slices.DeleteFunc(p.result.Results, func(row BestOfNMethod) bool {
		return p.opt.Methods != nil && !slices.Contains(p.opt.Methods, row.Method)
	})
	for _, m := range p.opt.Methods {
		if !slices.ContainsFunc(p.result.Results, func(row BestOfNMethod) bool { return row.Method == m }) {
			return nil, fmt.Errorf("methods: the samples lack what %s needs: scores, answers (pred) or texts", m)
		}
	}
	return &p.result, nil
}

// chances are the values of the rows for one problem, in the order in which judge lists them.
func (k *sampledKeys) chances(n int, ways []scoring, rows, voted int, draws rng.Stream) (values []float64, exact bool) {
	ballot := metrics.Ballot{Answers: k.answers, Right: k.right}
	for _, way := range ways {
		scores := way.of(k)
		ballot.Weights = append(ballot.Weights, scores)
		values = append(values, metrics.FirstOf(metrics.Preferred(scores), k.right, n))
	}
	values = append(values, metrics.AnyOf(k.right, n), metrics.AnyOf(k.right, 1))
	if len(values) < voted {
		values = append(values, metrics.FirstOf(metrics.Preferred(k.length), k.right, n), metrics.FirstOf(metrics.Preferred(k.steps), k.right, n))
	}
	if len(values) == rows {
		return values, true
	}
	ones := make([]float64, len(k.right))
	for i := range ones {
		ones[i] = 1
	}
	ballot.Weights = append(ballot.Weights, ones)
	won, exact := ballot.Won(n, draws)
	return append(values, won...), exact
}

func (p *samplePool) intervals(chances [][]float64) {
	means := func(times []float64) []metrics.Float {
		list := make([]metrics.Float, len(chances))
		for r, values := range chances {
			sum := 0.0
			for i, v := range values {
				sum += times[i] * v
			}
			list[r] = metrics.Float(sum / float64(len(values)))
		}
		return list
	}
	for r, interval := range metrics.Bootstrap(len(p.problems), p.opt.Seed, means) {
		row := &p.result.Results[r]
		row.Accuracy, row.Low, row.High = mean(chances[r]), float64(interval.Low), float64(interval.High)
	}
}
