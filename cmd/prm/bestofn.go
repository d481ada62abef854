package main

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"text/tabwriter"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/grade"
	"github.com/goprm/goprm/prm"
)

type bestofnCommand struct {
	In          []string          `required:"" sep:"none" help:"Problems and their samples: .jsonl, .gz, .zst, a folder, - without --model."`
	N           []int             `name:"n" help:"Samples to pick from, e.g. 1,2,4,8; by default the powers of two that all problems have."`
	Aggregation []prm.Aggregation `help:"How the steps' scores become the sample's: min, last, mean, prod, reward; all by default."`
	Method      []string          `help:"best, weighted, majority, oracle, random, shortest, fewest_steps; by default all that apply."`
	Alpha       []float64         `help:"Weights of the trajectory's score in the reward, e.g. 0,0.5,1; the model's, else 1, by default."`
	Problems    []string          `sep:"none" help:"Gold answers for rows without one: MATH-500, AIME or GPQA files, found by problem text."`
	Votes       string            `enum:"equal,text" default:"equal" help:"Answers that are one vote: equal as prm grade sees it, or by text."`
	Seed        uint64            `default:"1" help:"Seed of the intervals and of drawn subsets."`
	JSON        bool              `help:"Print JSON."`
	scorerFlags
}

func (bestofnCommand) Help() string {
	return `A row is {"problem","answer","samples":[{"text","pred","correct","scores":[...],"trajectory"}]}, or one of search-and-learn ` +
		"(completions, scores) or of Qwen2.5-Math's evaluation (code, pred, score, pred_score). Each accuracy is the mean over the " +
		"problems and over all subsets of n of a problem's samples: by formula, or, for votes, by counting up to 20,000 subsets and " +
		"drawing 4,000 where there are more. A sample without \"correct\" is graded against the gold answer, one without \"pred\" votes " +
		"for the answer that its text ends with, both as prm grade does. Ties go to the earliest sample; intervals are 95 %, by " +
		"bootstrap over the problems. Example:\n\n" +
		"  prm bestofn --model runs/one/model --in samples.jsonl --n 1,2,4,8 --keep scores.jsonl"
}

func (c bestofnCommand) Run(p *program) error {
	opt := prm.BestOfNOptions{N: c.N, Aggregations: c.Aggregation, Methods: c.Method, Alphas: c.Alpha, Seed: c.Seed}
	if err := errors.Join(opt.Validate(), c.validate(false)); err != nil {
		return usageError(oneLine(err))
	}
	opt.Verifier, opt.Extract = grade.Verifier{}, grade.Extract
	if c.Votes == "equal" {
		opt.Same = func(a, b string) bool { return grade.Equal(a, b).Equal == grade.Yes }
	}
	gold, err := c.gold()
	if err != nil {
		return err
	}
	pool := func() iter.Seq2[*data.SampledProblem, error] {
		return withGold(data.ReadSamples(c.In, data.ReadOptions{Stdin: p.stdin}), gold)
	}
	judge := func(problems iter.Seq2[*data.SampledProblem, error]) error {
		result, err := prm.BestOfN(p.ctx, problems, opt)
		if err != nil {
			return err
		}
		for _, w := range result.Warnings {
			p.console.Warnf("%s", w)
		}
		if c.JSON {
			return p.printJSON(result)
		}
		return writeBestOfN(p.stdout, result)
	}
	if c.Model == "" && len(c.Scores) == 0 {
		return judge(pool())
	}
	total := 0
	if c.Model != "" {
		if slices.Contains(c.In, "-") {
			return usageError("--in -: with --model the input is read more than once; it must be a file")
		}
		for problem, err := range pool() {
			if err != nil {
				return err
			}
			total += len(problem.Samples)
		}
	}
	return p.scored(&c.scorerFlags, "", c.In, func() iter.Seq2[*data.Trajectory, error] { return prm.Samples(pool()) }, total,
		func(scores func() iter.Seq2[*prm.StoredScore, error], info *prm.ModelInfo) error {
			if info != nil && info.HasTrajectory && opt.Alphas == nil {
				opt.Alphas = []float64{info.Alpha}
			}
			return judge(prm.WithScores(pool(), scores()))
		})
}

// gold are the answers of --problems.
func (c bestofnCommand) gold() (map[data.ProblemKey]string, error) {
	gold := map[data.ProblemKey]string{}
	if len(c.Problems) == 0 {
		return gold, nil
	}
	for p, err := range data.ReadProblems(c.Problems, data.ReadOptions{}) {
		if err != nil {
			return nil, err
		}
		key := data.KeyOf(p.Problem)
		if other, seen := gold[key]; seen && other != p.Gold {
			return nil, fmt.Errorf("%s: problem %q has two gold answers, %q and %q", p.Where, p.ID, other, p.Gold)
		}
		gold[key] = p.Gold
	}
	return gold, nil
}

// withGold fills in gold answers where the samples' rows have none.
func withGold(problems iter.Seq2[*data.SampledProblem, error], gold map[data.ProblemKey]string) iter.Seq2[*data.SampledProblem, error] {
	return func(yield func(*data.SampledProblem, error) bool) {
		for p, err := range problems {
			if err == nil && p.Gold == "" {
				p.Gold = gold[data.KeyOf(p.Problem)]
			}
			if !yield(p, err) {
				return
			}
		}
	}
}

// writeBestOfN prints a line a method and a column an n.
func writeBestOfN(w io.Writer, r *prm.BestOfNResult) error {
	type line struct{ method, score string }
	var lines []line
	var sizes []int
	cells := map[line]map[int]string{}
	for _, row := range r.Results {
		l := line{row.Method, string(row.Aggregation)}
		if row.Alpha != nil {
			l.score += fmt.Sprintf(", alpha %g", *row.Alpha)
		}
		if cells[l] == nil {
			cells[l] = map[int]string{}
			lines = append(lines, l)
		}
		if len(sizes) == 0 || sizes[len(sizes)-1] != row.N {
			sizes = append(sizes, row.N)
		}
		if row.Missing != "" {
			cells[l][row.N] = "-"
			continue
		}
		cells[l][row.N] = fmt.Sprintf("%.1f (%.1f to %.1f)", 100*row.Accuracy, 100*row.Low, 100*row.High)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, err := fmt.Fprint(t, "method\tscore")
	for _, n := range sizes {
		_, e := fmt.Fprintf(t, "\tn = %d", n)
		err = errors.Join(err, e)
	}
	for _, l := range lines {
		_, e := fmt.Fprintf(t, "\n%s\t%s", l.method, l.score)
		err = errors.Join(err, e)
		for _, n := range sizes {
			_, e := fmt.Fprintf(t, "\t%s", cells[l][n])
			err = errors.Join(err, e)
		}
	}
	_, e := fmt.Fprintf(t, "\n\n%d problems, %d samples; %% of problems answered rightly (95 %% interval)\n", r.Problems, r.Samples)
	return errors.Join(err, e, t.Flush())
}
