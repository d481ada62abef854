package prm

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/data/label/openai"
	"github.com/goprm/goprm/data/label/store"
	"github.com/goprm/goprm/internal/atomicfile"
)

// JudgeCheck is how a judge's verdicts on steps agree with gold labels, and what they cost. A step is good where its label, or its
// verdict, is at least one half.
type JudgeCheck struct {
	Rows     int `json:"rows"`     // that have a gold label
	Skipped  int `json:"skipped"`  // rows without one
	Bad      int `json:"bad"`      // rows that could not be read
	Steps    int `json:"steps"`    // of the rows, with a gold label or without
	Compared int `json:"compared"` // steps with a gold label and a verdict
	// Good and Wrong are the compared steps by the gold label, each with how many of them the judge calls good.
	Good  GoldSteps `json:"good"`
	Wrong GoldSteps `json:"wrong"`
	// Agreement is the share of compared steps on which both say the same; nil: none was compared.
	Agreement *float64 `json:"agreement"`
	// Kappa is Cohen's κ, (agreement − chance) / (1 − chance); nil where chance alone gives 1, or nothing was compared.
	Kappa *float64 `json:"kappa"`
	// Asked and Stored count the steps that the judge was asked for and those that the store had.
	Asked  int `json:"asked"`
	Stored int `json:"stored"`
	// Open and None count the steps without a verdict by reason: to be asked again, or not to be had.
	Open map[string]int `json:"open"`
	None map[string]int `json:"none"`
	// Tokens and Cost are what this check may have spent, in the currency of the servers' prices.
	Tokens int64   `json:"tokens"`
	Cost   float64 `json:"cost"`
	// TokensPerRow and CostPerRow are for a whole row, at what the steps asked for took; nil where none was.
	TokensPerRow *float64 `json:"tokens_per_row"`
	CostPerRow   *float64 `json:"cost_per_row"`
	// Stopped says why the calls ended early; "": they did not.
	Stopped  string   `json:"stopped,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

// GoldSteps are steps of one gold class.
type GoldSteps struct {
	Steps     int `json:"steps"`
	JudgeGood int `json:"judge_good"`
}

// CheckJudge asks the judge of a labelling about rows whose steps have gold labels. Answers are kept in the store of c.Out, where a
// labelling into that folder finds them, and c.Budget holds; with no c.Out they are kept nowhere. A row without a response is its
// own: the judge is shown its steps as the response. Rows without gold labels are passed over, and counted.
func CheckJudge(ctx context.Context, c LabelConfig) (check JudgeCheck, err error) {
	c.Encoder, c.Parts, c.Trajectory = EncoderConfig{Kind: "none"}, []label.Part{label.Quality}, TrajectoryConfig{}
	c.Stages.Encoder, c.Shard, c.Shards = nil, 0, 0
	if err := c.validateSettings(); err != nil {
		return check, err
	}
	if err := c.validateInput(); err != nil {
		return check, err
	}
	c = c.filled()
	work, err := atomicfile.Scratch(filepath.Join(os.TempDir(), "prm-check"))
	if err != nil {
		return check, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	kept := c.Out
	if kept == "" {
		kept = work
	} else if err := os.MkdirAll(kept, 0o777); err != nil {
		return check, err
	}
	s, err := store.Open(label.StorePath(kept), store.Options{Budget: c.Budget.limit()})
	if err != nil {
		return check, repairable(err, kept)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	before, err := s.Spend()
	if err != nil {
		return check, repairable(err, kept)
	}
	b := &labelBuilder{c: c, ledger: s, keys: true, clients: map[string]*openai.Client{}}
	defer func() { err = errors.Join(err, b.close()) }()
	p, err := b.pipeline(ctx)
	if err != nil {
		return check, err
	}
	p.Store, p.Out = s, work
	g := goldRows{check: &check, split: c.Split}
	report, err := p.Run(ctx, g.of(c.input()))
	if err != nil {
		return check, repairable(err, kept)
	}
	if err := g.compare(work); err != nil {
		return check, err
	}
	after, err := s.Spend()
	if err != nil {
		return check, err
	}
	check.take(report, after.Total(), before.Total())
	return check, nil
}

// goldRows are the gold labels of the rows that went to the judge, in their order.
type goldRows struct {
	check *JudgeCheck
	split string
	gold  [][]*float64
}

// of passes on the rows with gold labels, with the graded steps as the thinking.
func (g *goldRows) of(in iter.Seq2[*data.Trajectory, error]) iter.Seq2[*data.Trajectory, error] {
	return func(yield func(*data.Trajectory, error) bool) {
		for t, err := range in {
			if err != nil {
				if !yield(nil, err) {
					return
				}
				continue
			}
			thinking, response := t.Cut(g.split)
			steps, gold := thinking.Steps, t.Labels.Steps
			asked := &data.Trajectory{ID: t.ID, Problem: t.Problem, Answer: t.Answer, Source: t.Source, ResponseSteps: response.Steps}
			if len(steps) == 0 {
				steps = response.Steps
			}
			gold = gold[:min(len(gold), len(steps))]
			if !slices.ContainsFunc(gold, func(l *float64) bool { return l != nil }) {
				g.check.Skipped++
				continue
			}
			if asked.Steps = steps; len(asked.ResponseSteps) == 0 {
				asked.ResponseSteps = steps
			}
			g.gold = append(g.gold, gold)
			if !yield(asked, nil) {
				return
			}
		}
	}
}

// half is where a label, or a verdict, begins to say that a step is good.
const half = 0.5

// compare reads the verdicts of a run.
func (g *goldRows) compare(dir string) error {
	for row, err := range label.ReadRows(dir) {
		if err != nil {
			return err
		}
		gold := g.gold[row.Made.Row]
		for t, score := range row.Made.Parts[label.Quality] {
			if t >= len(gold) || gold[t] == nil || score == nil {
				continue
			}
			class := &g.check.Wrong
			if *gold[t] >= half {
				class = &g.check.Good
			}
			if class.Steps++; *score >= half {
				class.JudgeGood++
			}
		}
	}
	return nil
}

// take fills in what follows from the counts and from the run.
func (c *JudgeCheck) take(r label.Report, after, before store.Amount) {
	c.Rows, c.Bad, c.Steps, c.Warnings, c.Stopped = r.Trajectories, r.Bad, r.Steps, r.Warnings, r.Stopped
	c.Open, c.None = r.Open[string(label.Quality)], r.None[string(label.Quality)]
	c.Asked, c.Stored = r.Asked["quality"], r.Stored["quality"]
	c.Tokens, c.Cost = after.Tokens-before.Tokens, float64(after.Nanos-before.Nanos)/1e9
	if c.Asked > 0 {
		rows := float64(c.Rows) * float64(c.Asked) / float64(c.Steps)
		c.TokensPerRow, c.CostPerRow = new(float64(c.Tokens)/rows), new(c.Cost/rows)
	}
	c.Compared = c.Good.Steps + c.Wrong.Steps
	if c.Compared == 0 {
		return
	}
	n, judgeGood := float64(c.Compared), c.Good.JudgeGood+c.Wrong.JudgeGood
	agreement := float64(c.Good.JudgeGood+c.Wrong.Steps-c.Wrong.JudgeGood) / n
	chance := (float64(c.Good.Steps)*float64(judgeGood) + float64(c.Wrong.Steps)*float64(c.Compared-judgeGood)) / (n * n)
	c.Agreement = &agreement
	if chance < 1 {
		c.Kappa = new((agreement - chance) / (1 - chance))
	}
}

// repairable says what to do where the store of a folder is damaged.
func repairable(err error, dir string) error {
	if !errors.Is(err, store.ErrDamaged) {
		return err
	}
	return fmt.Errorf("%w; prm label repair --out %s keeps what can be read", err, dir)
}
