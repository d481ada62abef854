// Command labelworth asks what the parts of a step's label are worth: how they rank steps whose value is known, beside controls
// that know nothing but a step's place and length.
//
//	labelworth --encoder MINILM --values longcot_mc_values_20.jsonl --errors gsm8k.jsonl --errors math.jsonl
//
// --values are trajectories whose labels are soft values of each step (Monte-Carlo accuracies): Spearman's rank correlation,
// pooled over all steps and as the mean within trajectories. --errors are ones labelled 1 and 0 (ProcessBench's first errors):
// AUROC, pooled and over the pairs within trajectories. Each score is shown over the steps that have it.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/data/label/equations"
	"github.com/goprm/goprm/internal/metrics"
	"github.com/goprm/goprm/internal/rng"
	"github.com/goprm/goprm/nn/bert"

	_ "github.com/goprm/goprm/internal/cpu"
)

type paths []string

func (p *paths) String() string     { return strings.Join(*p, " ") }
func (p *paths) Set(s string) error { *p = append(*p, s); return nil }

func main() {
	var values, faults paths
	folder := flag.String("encoder", "", "folder of a sentence encoder")
	vectors := flag.String("vectors", "", "file of vectors, instead of an encoder")
	flag.Var(&values, "values", "trajectories with soft values of steps; may be given more than once")
	flag.Var(&faults, "errors", "trajectories with right and wrong steps; may be given more than once")
	flag.Parse()
	if err := run(*folder, *vectors, values, faults, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "labelworth:", err)
		os.Exit(1)
	}
}

func run(folder, vectors string, values, faults []string, out io.Writer) error {
	var e label.Encoder
	switch {
	case (folder == "") == (vectors == ""):
		return fmt.Errorf("give --encoder or --vectors")
	case vectors != "":
		v, err := label.ReadVectors(vectors)
		if err != nil {
			return err
		}
		e = v
	default:
		b, err := bert.Open(folder, bert.Options{})
		if err != nil {
			return err
		}
		defer func() { _ = b.Close() }() // nothing was written
		e = b
	}
	for _, set := range []struct {
		files []string
		soft  bool
	}{{values, true}, {faults, false}} {
		for _, file := range set.files {
			t, err := measure(context.Background(), e, file, set.soft)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprint(out, t); err != nil {
				return err
			}
		}
	}
	return nil
}

// trace is a trajectory with the known values of its thinking steps; NaN where a step has none.
type trace struct {
	*label.Case
	known    []float64
	problem  []float32
	thinking [][]float32
	response [][]float32
	quality  []float64 // of the equations judge; NaN where it has no opinion
}

func readTraces(ctx context.Context, e label.Encoder, file string) ([]*trace, error) {
	var all []*trace
	for t, err := range data.Read([]string{file}, data.ReadOptions{}) {
		if err != nil {
			return nil, err
		}
		c := label.CaseOf(t, "\n\n")
		if len(c.Thinking) == 0 { // solutions without thinking are judged as thinking
			c.Thinking, c.Response = c.Response, nil
		}
		one := &trace{Case: c, known: make([]float64, len(c.Thinking)), quality: make([]float64, len(c.Thinking))}
		for i := range one.known {
			one.known[i] = math.NaN()
			if i < len(t.Labels.Steps) && t.Labels.Steps[i] != nil {
				one.known[i] = *t.Labels.Steps[i]
			}
		}
		texts := append(append([]string{c.Problem}, c.Thinking...), c.Response...)
		vectors, err := e.Encode(ctx, texts)
		if err != nil {
			return nil, err
		}
		one.problem, one.thinking, one.response = vectors[0], vectors[1:1+len(c.Thinking)], vectors[1+len(c.Thinking):]
		steps := make([]int, len(c.Thinking))
		for i := range steps {
			steps[i] = i
		}
		verdicts, err := equations.Judge{}.Judge(ctx, c, steps)
		if err != nil {
			return nil, err
		}
		for i, v := range verdicts {
			if one.quality[i] = v.Score; v.Unchecked != "" {
				one.quality[i] = math.NaN()
			}
		}
		all = append(all, one)
	}
	return all, nil
}

// score is one way to rank steps.
type score struct {
	name string
	of   func(number int, t *trace) ([]float64, error) // NaN where it says nothing
}

func measure(ctx context.Context, e label.Encoder, file string, soft bool) (string, error) {
	traces, err := readTraces(ctx, e, file)
	if err != nil {
		return "", err
	}
	steps := 0
	for _, t := range traces {
		steps += len(t.known)
	}
	var b strings.Builder
	head := "Spearman pooled | Spearman within (mean)"
	if !soft {
		head = "AUROC pooled | AUROC within"
	}
	fmt.Fprintf(&b, "## %s: %d trajectories, %d steps, encoder %s\n\n| score | steps | %s |\n|---|---|---|---|\n", filepath.Base(file),
		len(traces), steps, e.ID(), head)
	for _, s := range scores(traces) {
		var pooledScores, pooledKnown []float64
		var each []metrics.Trajectory
		for i, t := range traces {
			got, err := s.of(i, t)
			if err != nil {
				return "", fmt.Errorf("%s: %s: %w", t.ID, s.name, err)
			}
			var one metrics.Trajectory
			for k, v := range got {
				if !math.IsNaN(v) && !math.IsNaN(t.known[k]) {
					one.Scores, one.Targets = append(one.Scores, v), append(one.Targets, t.known[k])
				}
			}
			pooledScores, pooledKnown = append(pooledScores, one.Scores...), append(pooledKnown, one.Targets...)
			each = append(each, one)
		}
		if len(pooledScores) == 0 {
			continue
		}
		pooled, within := metrics.AUROC(pooledScores, pooledKnown), metrics.WithinAUROC(each)
		if soft {
			pooled, within = metrics.Spearman(pooledScores, pooledKnown), meanSpearman(each)
		}
		fmt.Fprintf(&b, "| %s | %d | %s | %s |\n", s.name, len(pooledScores), number(pooled), number(within))
	}
	b.WriteString("\n")
	return b.String(), nil
}

// meanSpearman is the mean of the trajectories' own correlations, those that are undefined left out.
func meanSpearman(each []metrics.Trajectory) metrics.Float {
	sum, n := 0.0, 0.0
	for _, t := range each {
		if len(t.Scores) < 5 {
			continue
		}
		if r := float64(metrics.Spearman(t.Scores, t.Targets)); !math.IsNaN(r) {
			sum, n = sum+r, n+1
		}
	}
	return metrics.Float(sum / n)
}

func number(x metrics.Float) string {
	if math.IsNaN(float64(x)) {
		return "–"
	}
	return fmt.Sprintf("%.3f", float64(x))
}

// scores are the controls, the parts and what is fused of them.
func scores(traces []*trace) []score {
	each := func(name string, f func(t *trace, k int) float64) score {
		return score{name, func(_ int, t *trace) ([]float64, error) {
			out := make([]float64, len(t.known))
			for k := range out {
				out[k] = f(t, k)
			}
			return out, nil
		}}
	}
	all := []score{
		each("control: later is better", func(t *trace, k int) float64 { return float64(k) / float64(len(t.known)) }),
		each("control: shorter is better", func(t *trace, k int) float64 { return -float64(len(t.Thinking[k])) }),
		each("control: nearer to the problem is better", func(t *trace, k int) float64 { return label.Cosine(t.problem, t.thinking[k]) }),
		each("quality (equations)", func(t *trace, k int) float64 { return t.quality[k] }),
	}
	pairings := []label.Pairing{label.IndexMerge, label.Proportional, label.Monotone, label.Max}
	for _, p := range pairings {
		all = append(all, score{"align, " + string(p), func(_ int, t *trace) ([]float64, error) { return align(p, t) }})
	}
	standard, papers := label.DefaultCoherence(), label.DefaultCoherence()
	papers.Form, papers.Positive = "log", false
	for _, c := range []label.Coherence{standard, papers} {
		name := fmt.Sprintf("coherence, %s, positive in the sum: %v", c.Form, c.Positive)
		all = append(all, score{name, func(i int, t *trace) ([]float64, error) { return coherence(c, traces, i), nil }})
	}
	for _, f := range []label.Fusion{label.Normalised, label.Mean, label.Min, label.QualityGated, label.Paper} {
		c := standard
		if f == label.Paper {
			c = papers
		}
		fuse := func(name string, p label.Pairing, use ...label.Part) {
			all = append(all, score{name, func(i int, t *trace) ([]float64, error) { return fused(f, p, c, use, traces, i) }})
		}
		if f != label.QualityGated {
			for _, p := range pairings {
				if p == label.DefaultPairing || f == label.Normalised {
					fuse(fmt.Sprintf("%s of align (%s) and coherence", f, p), p, label.Align, label.Coherent)
				}
			}
		}
		fuse(fmt.Sprintf("%s of quality and coherence", f), label.DefaultPairing, label.Quality, label.Coherent)
		fuse(fmt.Sprintf("%s of all three", f), label.DefaultPairing, label.Align, label.Quality, label.Coherent)
	}
	return all
}

func nothing(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = math.NaN()
	}
	return out
}

func align(p label.Pairing, t *trace) ([]float64, error) {
	out := nothing(len(t.known))
	if len(t.response) == 0 || len(t.thinking) == 0 {
		return out, nil
	}
	cos := func(s, m int) float64 { return label.Cosine(t.thinking[s], t.response[m]) }
	to, err := p.Pair(len(t.thinking), len(t.response), cos)
	for s, m := range to {
		out[s] = cos(s, m)
	}
	return out, err
}

// coherence draws the negatives of a step from the steps of other problems.
func coherence(c label.Coherence, traces []*trace, i int) []float64 {
	t := traces[i]
	problem := data.KeyOf(t.Problem)
	var others [][]float32
	for _, o := range traces {
		if data.KeyOf(o.Problem) != problem {
			others = append(others, o.thinking...)
		}
	}
	out := nothing(len(t.known))
	if len(others) < c.Negatives {
		return out
	}
	random := rng.New(1, "negatives "+t.ID)
	negatives := make([][]float32, c.Negatives)
	before := t.problem
	for k, step := range t.thinking {
		for n := range negatives {
			negatives[n] = others[random.Uint64(uint64(k*c.Negatives+n))%uint64(len(others))]
		}
		out[k] = c.Score(before, step, negatives)
		before = step
	}
	return out
}

func fused(f label.Fusion, p label.Pairing, c label.Coherence, use []label.Part, traces []*trace, i int) ([]float64, error) {
	t := traces[i]
	a, err := align(p, t)
	if err != nil {
		return nil, err
	}
	h := coherence(c, traces, i)
	out := nothing(len(t.known))
	for k := range out {
		if reward, _, ok := f.Fuse(map[label.Part]float64{label.Align: a[k], label.Quality: t.quality[k], label.Coherent: h[k]}, use); ok {
			out[k] = reward
		}
	}
	return out, nil
}
