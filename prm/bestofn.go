package prm

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/internal/metrics"
	"github.com/goprm/goprm/internal/rng"
)

// BestOfNOptions say how picking one of N samples is judged; the zero value chooses everything.
type BestOfNOptions struct {
	N            []int         // sizes of the subsets picked from; nil: 1, 2, 4, ... as far as every problem has samples
	Aggregations []Aggregation // nil: all
	Alphas       []float64     // weights of the trajectory's score in the reward; nil: 1
	Seed         uint64        // of the intervals, and of subsets where not all are counted
	Split        string        // cuts a sample's text into steps to count them; "": "\n\n"
	// Verifier grades samples that do not say whether they are right, by their answer, else their text; nil: such a sample is
	// an error.
	Verifier label.Verifier
	// Extract finds the answer of a sample that has none (Pred); nil: such a sample does not vote.
	Extract func(text string) (answer string, ok bool)
	// Same tells whether two answers are the same vote; nil: only equal texts are.
	Same func(a, b string) bool
}

// Validate reports the first option that cannot be used.
func (o BestOfNOptions) Validate() error {
	for _, n := range o.N {
		if n < 1 {
			return fmt.Errorf("n: %d is not at least 1", n)
		}
	}
	for _, a := range o.Aggregations {
		if err := a.Validate(); err != nil {
			return err
		}
	}
	for _, alpha := range o.Alphas {
		if math.IsNaN(alpha) || math.IsInf(alpha, 0) {
			return fmt.Errorf("alpha: %v is not a finite number", alpha)
		}
	}
	return nil
}

// BestOfNResult compares ways of picking one of n samples.
type BestOfNResult struct {
	Problems   int             `json:"problems"`
	Samples    int             `json:"samples"`
	Unscored   int             `json:"unscored"`   // samples without scores: never picked by score
	Unanswered int             `json:"unanswered"` // samples without an answer: they do not vote
	Graded     int             `json:"graded"`     // samples that the verifier decided on
	Ungraded   int             `json:"ungraded"`   // samples on which it could not decide: they count as wrong
	Results    []BestOfNMethod `json:"results"`
	Warnings   []string        `json:"warnings,omitempty"`
}

// BestOfNMethod is how often one way of picking one of n samples finds a right one: the mean over the problems, for each
// of them over all subsets of n of its samples. Ties go to the earliest sample.
type BestOfNMethod struct {
	// best: the highest score; weighted: the answer with the largest sum of scores; majority: the most frequent answer;
	// oracle: right if any is; random: a uniform pick; shortest: the fewest characters; fewest_steps.
	Method      string      `json:"method"`
	Aggregation Aggregation `json:"aggregation,omitempty"` // how steps became the score; "" where no score is used
	Alpha       *float64    `json:"alpha,omitempty"`       // of the reward, where there are trajectory scores
	N           int         `json:"n"`
	Accuracy    float64     `json:"accuracy"`
	Low         float64     `json:"low"` // 95 % bootstrap interval over the problems
	High        float64     `json:"high"`
	// Exact: every subset was counted. Else, for votes among more than metrics.MostSubsets subsets, DrawnSubsets were drawn.
	Exact bool `json:"exact"`
}

// BestOfN judges the ways of picking one of a problem's samples. Problems that have no samples, or fewer than the largest
// n, are an error: accuracies for different n must be of the same problems.
func BestOfN(ctx context.Context, problems iter.Seq2[*data.SampledProblem, error], opt BestOfNOptions) (*BestOfNResult, error) {
	if err := opt.Validate(); err != nil {
		return nil, err
	}
	if opt.Aggregations == nil {
		opt.Aggregations = aggregations
	}
	if opt.Split == "" {
		opt.Split = "\n\n"
	}
	pool := samplePool{opt: opt}
	for p, err := range problems {
		if err == nil && p == nil {
			err = errors.New("a problem is nil")
		}
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = pool.add(p)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(pool.problems) == 0 {
		return nil, errors.New("no problems")
	}
	if err := pool.choose(); err != nil {
		return nil, err
	}
	return pool.judge(ctx)
}

// samplePool is what picking needs to know of all problems; texts are not kept.
type samplePool struct {
	opt      BestOfNOptions
	problems []sampledKeys
	readOut  ReadOut
	result   BestOfNResult
	texts    int // samples that have a text
	ways     []scoring
}

// sampledKeys are the samples of one problem.
type sampledKeys struct {
	where         string
	right         []bool
	answers       []int // numbers of the answers, −1: none
	scores        [][]float64
	trajectory    []*float64
	length, steps []float64 // negative, since the least is preferred
}

// scoring is one way of making a sample's score.
type scoring struct {
	aggregation Aggregation
	alpha       *float64
}

func (p *samplePool) add(problem *data.SampledProblem) error {
	k := sampledKeys{where: fmt.Sprintf("problem %q", problem.ID)}
	if problem.Where != "" {
		k.where = problem.Where + ": " + k.where
	}
	if len(problem.Samples) == 0 {
		return fmt.Errorf("%s has no samples", k.where)
	}
	votes := ballotBox{same: p.opt.Same, numbers: map[string]int{}}
	for i, s := range problem.Samples {
		where := fmt.Sprintf("%s: sample %d", k.where, i)
		right, err := p.grade(problem, s)
		if err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
		if len(s.Scores) > 0 || s.Trajectory != nil {
			if err := p.readOut.Check(s.Trajectory != nil, where); err != nil {
				return err
			}
		} else {
			p.result.Unscored++
		}
		if s.Text != "" || len(s.Steps) > 0 {
			p.texts++
		}
		answer := votes.number(p.answer(s))
		if answer < 0 {
			p.result.Unanswered++
		}
		length, steps := size(s, p.opt.Split)
		k.right, k.answers = append(k.right, right), append(k.answers, answer)
		k.scores, k.trajectory = append(k.scores, s.Scores), append(k.trajectory, s.Trajectory)
		k.length, k.steps = append(k.length, -float64(length)), append(k.steps, -float64(steps))
	}
	p.problems = append(p.problems, k)
	p.result.Problems++
	p.result.Samples += len(problem.Samples)
	return nil
}

// size is a sample's length in characters and its number of steps.
func size(s data.Sample, split string) (length, steps int) {
	length = utf8.RuneCountInString(s.Text)
	steps = len(s.Steps)
	if s.Text == "" {
		for _, step := range s.Steps {
			length += utf8.RuneCountInString(step)
		}
	}
	if steps == 0 && s.Text != "" {
		steps = len(data.Split(s.Text, split))
	}
	if steps == 0 {
		steps = len(s.Scores)
	}
	return length, steps
}

// answer is a sample's answer, "" if it has none.
func (p *samplePool) answer(s data.Sample) string {
	if s.Pred != nil {
		return *s.Pred
	}
	if p.opt.Extract != nil {
		if answer, ok := p.opt.Extract(s.Text); ok {
			return answer
		}
	}
	return ""
}

// ballotBox numbers the answers of one problem.
type ballotBox struct {
	same    func(a, b string) bool
	numbers map[string]int
	firsts  []string // the first answer of each number
}

// number is −1 for "". An answer that is the same as several others joins the first of them.
func (b *ballotBox) number(answer string) int {
	if answer == "" {
		return -1
	}
	if n, seen := b.numbers[answer]; seen {
		return n
	}
	n := -1
	if b.same != nil {
		n = slices.IndexFunc(b.firsts, func(first string) bool { return b.same(first, answer) })
	}
	if n < 0 {
		n = len(b.firsts)
		b.firsts = append(b.firsts, answer)
	}
	b.numbers[answer] = n
	return n
}

// grade tells whether a sample is right.
func (p *samplePool) grade(problem *data.SampledProblem, s data.Sample) (bool, error) {
	switch {
	case s.Correct != nil:
		return *s.Correct, nil
	case p.opt.Verifier == nil:
		return false, errors.New("it does not say whether it is correct, and there is no verifier")
	case problem.Gold == "":
		return false, errors.New("it does not say whether it is correct, and the problem has no gold answer to compare with")
	}
	text := s.Text
	if s.Pred != nil {
		text = *s.Pred
	}
	right, _, err := p.opt.Verifier.Verify(problem.Gold, text)
	if err != nil {
		p.result.Ungraded++
		return false, nil
	}
	p.result.Graded++
	return right, nil
}

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
	for _, a := range p.opt.Aggregations {
		if a == Prod && p.beyondUnit() {
			p.warnf("prod is left out: there are scores outside [0, 1], whose product ranks nothing")
			continue
		}
		if a != Reward || !p.readOut.has {
			p.ways = append(p.ways, scoring{aggregation: a})
			continue
		}
		for _, alpha := range alphas {
			p.ways = append(p.ways, scoring{a, &alpha})
		}
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
			rows = append(rows, BestOfNMethod{Method: method, Aggregation: way.aggregation, Alpha: way.alpha, N: n, Exact: true})
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
	return &p.result, nil
}

// chances are the values of the rows for one problem, in the order in which judge lists them.
func (k *sampledKeys) chances(n int, ways []scoring, rows, voted int, draws rng.Stream) (values []float64, exact bool) {
	ballot := metrics.Ballot{Answers: k.answers, Right: k.right}
	for _, way := range ways {
		scores, alpha := make([]float64, len(k.right)), 1.0
		if way.alpha != nil {
			alpha = *way.alpha
		}
		for i := range scores {
			scores[i] = way.aggregation.Of(k.scores[i], k.trajectory[i], alpha)
		}
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
