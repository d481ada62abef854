package prm

import (
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/label"
)

// samplePool is what picking needs to know of all problems; texts are not kept.
type samplePool struct {
	opt      BestOfNOptions
	problems []sampledKeys
	readOut  ReadOut
	result   BestOfNResult
	texts    int  // samples that have a text
	steps    bool // some sample has scores of its steps
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
	noVotes     string // why votes cannot be weighed by it; "": they can
}

// of are the scores of a problem's samples; NaN where one has none.
func (w scoring) of(k *sampledKeys) []float64 {
	scores, alpha := make([]float64, len(k.right)), 1.0
	if w.alpha != nil {
		alpha = *w.alpha
	}
	for i := range scores {
		scores[i] = w.aggregation.Of(k.scores[i], k.trajectory[i], alpha)
	}
	return scores
}

// checkVotes finds a sample whose vote would count against its answer.
func (w scoring) checkVotes(problems []sampledKeys) string {
	for i := range problems {
		k := &problems[i]
		for n, score := range w.of(k) {
			if score < 0 && k.answers[n] >= 0 {
				return fmt.Sprintf("%s: sample %d weighs %.6g by %s", k.where, n, score, w.aggregation)
			}
		}
	}
	return ""
}

func (p *samplePool) add(problem *data.SampledProblem) error {
	k := sampledKeys{where: fmt.Sprintf("problem %q", problem.ID)}
	if problem.Where != "" {
		k.where = problem.Where + ": " + k.where
	}
	if len(problem.Samples) == 0 {
		return fmt.Errorf("%s has no samples", k.where)
	}
	if p.withoutOutcome(problem) {
		p.result.NoOutcome++
		return nil
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
		p.steps = p.steps || len(s.Scores) > 0
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

// withoutOutcome tells whether samples of a problem need the verifier, and nothing can be compared with its gold answer.
func (p *samplePool) withoutOutcome(problem *data.SampledProblem) bool {
	checker, ok := p.opt.Verifier.(label.GoldChecker)
	return ok && problem.Gold != "" && slices.ContainsFunc(problem.Samples, func(s data.Sample) bool { return s.Correct == nil }) &&
		checker.CheckGold(problem.Gold) != nil
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
