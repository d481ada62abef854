package inputs

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/metrics"
	"github.com/goprm/goprm/internal/report"
	"github.com/stretchr/testify/require"
)

// shownPage is a page with its warnings.
type shownPage struct {
	report.Page
	Warnings []string
}

func draw(ctx context.Context, opt Options) (*shownPage, error) {
	page, warnings, err := Page(ctx, opt)
	return &shownPage{page, warnings}, err
}

func reportFile(t *testing.T, name, text string) string {
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

// find is the first block of the type with that title.
func find[B report.Block](t *testing.T, p *shownPage, title string) B {
	t.Helper()
	for _, s := range p.Sections {
		for _, b := range s.Blocks {
			switch v := b.(type) {
			case report.Table:
				if got, ok := b.(B); ok && v.Title == title {
					return got
				}
			case report.LineChart:
				if got, ok := b.(B); ok && strings.HasPrefix(v.Title, title) {
					return got
				}
			case report.Histogram:
				if got, ok := b.(B); ok && v.Title == title {
					return got
				}
			}
		}
	}
	require.Fail(t, "no block "+title)
	panic("unreachable")
}

const reportScores = `{"id":"t1","steps":[{"part":"thinking","score":0.9},{"part":"thinking","score":0.62},{"part":"thinking","score":0.3}],"trajectory":0.8,"mean":0.6}
{"id":"t2","steps":[{"part":"thinking","score":0.95},{"part":"thinking","score":0.45},{"part":"response","score":0.5}],"trajectory":0.4,"mean":0.6}
{"id":"t3","scores":[0.12,0.11]}
{"id":"t4","scores":[0.85]}
{"id":"beyond","scores":[0.5]}
`

const reportLabels = `{"id":"t1","problem":"P one","steps":["a1","a2","a3"],"labels":{"steps":[1,0,null],"trajectory":1},"source":"A"}
{"id":"t2","problem":"P two","thinking":"b1\n\nb2","response":"b3","labels":{"steps":[0.7,1,0.2],"trajectory":0.25},"source":"B"}
{"id":"unscored","problem":"P","steps":["x"],"labels":{"steps":[1]},"source":"B"}
{"id":"t3","problem":"P three","steps":["c1","c2"],"labels":{"steps":[0,0.3]},"source":"A"}
{"id":"t4","problem":"P four","steps":["d1"],"labels":{"steps":[1]}}
`

// Every number was worked out by hand from the eight labelled steps (score, label):
// .9 1, .62 0 | .95 .7, .45 1, .5 .2 | .12 0, .11 .3 | .85 1.
func TestReportScoresByHand(t *testing.T) {
	p, err := draw(context.Background(), Options{Inputs: []string{reportFile(t, "scores.jsonl", reportScores)},
		Data: []string{reportFile(t, "labels.jsonl", reportLabels)}, Worst: 2})
	require.NoError(t, err)
	require.Len(t, p.Warnings, 2)
	require.Contains(t, p.Warnings[0], "1 lines of scores belong to no trajectory")
	require.Contains(t, p.Warnings[1], "1 trajectories of the data have no scores")

	summary := map[string]string{}
	for _, row := range find[report.Table](t, p, "").Rows {
		summary[row[0]] = row[1]
	}
	require.Equal(t, map[string]string{
		"labelled steps": "8", "good ones": "50.0 %", "accuracy": "62.5 %", // right: .9 .95 .12 .11 .85; .5 is not below the threshold
		"step AUROC":            "0.875",                                     // 14 of 16 pairs
		"… within trajectories": "0.667",                                     // 1 of 1, 1 of 2
		"first-error F1":        "0.500",                                     // one of three named, one of one passed
		"squared error (Brier)": "0.115", "calibration error (ECE)": "0.255", // .12 and .11 share a bin: (.1+.62+.25+.55+.3+.07+.15)/8
		"macro F1 of steps":             "0.619", // of the good 3 of 4 with 2 false alarms: 2/3; of the bad 2 of 4 with 1: 4/7
		"squared error of trajectories": "0.031", // (.04+.0225)/2
	}, summary)
	require.Contains(t, find[report.LineChart](t, p, "calibration").Title, "0.255")

	sources := find[report.Table](t, p, "by source")
	require.Equal(t, []string{"B", "1", "3", "3", "0.633", "0.633", "33.3 %", "0.367"}, sources.Rows[1])
	require.Equal(t, []string{"(no source)", "1", "1", "1", "0.850", "1.000", "100.0 %", "0.150"}, sources.Rows[2])
	require.Equal(t, "all", sources.Rows[3][0])
	require.Equal(t, []string{"A", "2", "5", "4"}, sources.Rows[0][:4])

	require.Equal(t, [][]string{
		{"1", "4", "100.0 %", "75.0 %", "0.705", "0.675"},
		{"2", "3", "33.3 %", "33.3 %", "0.393", "0.433"},
		{"3", "1", "0.0 %", "0.0 %", "0.500", "0.200"},
	}, find[report.Table](t, p, "by position").Rows)
	accuracy := find[report.LineChart](t, p, "accuracy by position").Series[0]
	require.Equal(t, []float64{1, 2, 3}, accuracy.X)
	require.Equal(t, []float64{1, 1.0 / 3, 0}, accuracy.Y)

	bins := find[report.Table](t, p, "calibration").Rows
	require.Len(t, bins, 7, "bins without a step are left out")
	require.Equal(t, []string{"0.067 to 0.133", "2", "0.115", "0.150"}, bins[0])
	require.Contains(t, bins, []string{"0.600 to 0.667", "1", "0.620", "0.000"})
	require.Equal(t, report.Facts{{Name: "labelled steps", Value: "8", Note: "in 4 trajectories"},
		{Name: "step AUROC", Value: "0.875", Note: "0.667 within trajectories"},
		{Name: "accuracy", Value: "62.5 %", Note: "50.0 % by saying the same of all"}, {Name: "first-error F1", Value: "0.500"},
		{Name: "calibration error", Value: "0.255", Note: "ECE; 0 is perfect"}}, p.Sections[0].Blocks[0])

	h := find[report.Histogram](t, p, "scores of good and bad steps")
	require.Equal(t, []float64{0, 1, 20}, []float64{h.Low, h.Top, float64(h.Bins)})
	want := [2][]int{make([]int, 20), make([]int, 20)}
	want[0][18], want[0][19], want[0][9], want[0][17] = 1, 1, 1, 1
	want[1][12], want[1][10], want[1][2] = 1, 1, 2
	require.Equal(t, want[0], h.Groups[0].Counts)
	require.Equal(t, want[1], h.Groups[1].Counts)

	worst := p.Sections[1].Blocks[0].(report.Traces).List
	require.Len(t, worst, 2)
	first, second := worst[0], worst[1]
	require.Equal(t, 2, first.Focus)
	require.Equal(t, "t1 (A): step 2 of 3 scores 0.620, its label is 0", first.Title)
	require.Equal(t, "P one", first.Problem)
	require.Equal(t, "t2 (B): step 2 of 3 scores 0.450, its label is 1", second.Title)
	require.Equal(t, []string{"b1", "b2", "b3"}, []string{second.Steps[0].Text, second.Steps[1].Text, second.Steps[2].Text})
	require.Equal(t, []string{"thinking", "response"}, []string{second.Steps[1].Part, second.Steps[2].Part})
	require.True(t, math.IsNaN(first.Steps[2].Label))
	all := p.Sections[2].Blocks[0].(report.Traces).List
	require.Len(t, all, 4)
	require.Equal(t, []string{"t4", "P four", "d1"}, []string{all[3].Title, all[3].Problem, all[3].Steps[0].Text})

	var html bytes.Buffer
	require.NoError(t, report.Write(&html, p.Page))
	for _, text := range []string{"calibration: ECE 0.255", "14", "b2", "<svg"} {
		require.Contains(t, html.String(), text)
	}
}

func TestReportScoresWithoutLabels(t *testing.T) {
	p, err := draw(context.Background(), Options{Inputs: []string{reportFile(t, "scores.jsonl", reportScores)}})
	require.NoError(t, err)
	require.Equal(t, [][]string{{"thinking", "5", "0.300", "0.950"}, {"response", "1", "0.500", "0.500"}, {"steps", "4", "0.110", "0.850"},
		{"all", "10", "0.110", "0.950"}},
		find[report.Table](t, p, "5 trajectories").Rows)
	h := find[report.Histogram](t, p, "scores of trajectories")
	require.Equal(t, 1, h.Groups[0].Counts[16])
	require.Equal(t, 1, h.Groups[0].Counts[8])

	p, err = draw(context.Background(), Options{Inputs: []string{"-"}, Stdin: strings.NewReader(`{"id":"a","scores":[-3,4.5]}`)})
	require.NoError(t, err)
	h = find[report.Histogram](t, p, "scores of steps")
	require.LessOrEqual(t, h.Low, -3.0)
	require.Greater(t, h.Top, 4.5)
}

// Scores that are no probabilities have no calibration and no distance from a label.
func TestReportUnboundedScores(t *testing.T) {
	scores, labels := reportFile(t, "s.jsonl", `{"id":"a","scores":[-2.5,3]}`),
		reportFile(t, "l.jsonl", `{"id":"a","problem":"p","steps":["x","y"],"labels":{"steps":[0,1]}}`)
	p, err := draw(context.Background(), Options{Inputs: []string{scores}, Data: []string{labels}})
	require.NoError(t, err)
	require.Contains(t, p.Warnings[0], "no probabilities")
	for _, s := range p.Sections {
		require.NotContains(t, s.Title, "Worst")
	}
	require.Len(t, find[report.Table](t, p, "by source").Rows[0], 8)
	require.Equal(t, "-", find[report.Table](t, p, "by source").Rows[0][7])
}

// The bins of a growing histogram are those of its last width.
func TestCountsAgainstFixedBins(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for range 200 {
		var c counts
		var values []float64
		scale := math.Pow(10, 9*rng.Float64()-1)
		for range 1 + rng.IntN(300) {
			v := (rng.Float64() - 0.3) * scale
			if rng.IntN(4) == 0 {
				v = math.Round(v)
			}
			values = append(values, v)
			c.add(v)
		}
		require.Less(t, c.high-c.low, mostCounts)
		want := map[int]int{}
		for _, v := range values {
			want[int(math.Floor(v*20/math.Pow(2, float64(c.doublings))))]++
		}
		require.Equal(t, want, c.bins)

		unit := counts{}
		for _, v := range []float64{0, 0.049, 0.05, 0.999, 1} {
			unit.add(v)
		}
		h := histogramOf("", "", []string{"a", "b"}, []*counts{&c, &unit})
		total := 0
		for i, g := range h.Groups {
			sum := 0
			for b, n := range g.Counts {
				sum += n
				width := (h.Top - h.Low) / float64(h.Bins)
				if i == 0 && n > 0 {
					require.True(t, slices.ContainsFunc(values, func(v float64) bool {
						return v >= h.Low+float64(b)*width-1e-9*scale && v <= h.Low+float64(b+1)*width+1e-9*scale
					}))
				}
			}
			total += sum
		}
		require.Equal(t, len(values)+5, total)
	}
	unit := counts{}
	for _, v := range []float64{0, 0.049, 0.05, 0.999, 1} {
		unit.add(v)
	}
	h := histogramOf("", "", []string{"u", "none"}, []*counts{&unit, {}})
	require.Equal(t, []int{2, 1, 0, 2, 20}, []int{h.Groups[0].Counts[0], h.Groups[0].Counts[1], h.Groups[0].Counts[18], h.Groups[0].Counts[19],
		h.Bins})
}

func TestPlaces(t *testing.T) {
	next := 1
	for place := range 45 {
		first, last := rangeOf(place)
		require.Equal(t, next, first)
		require.Equal(t, place, placeOf(first-1))
		require.Equal(t, place, placeOf(last-1))
		next = last + 1
	}
	first, last := rangeOf(33)
	require.Equal(t, []int{65, 128}, []int{first, last})
}

// One step a problem: the worst of all of its trajectories.
func TestWorstAgainstSorting(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for most := range 30 {
		w := worstSteps{most: most}
		type seen struct {
			gap            float64
			title, problem string
		}
		var all []seen
		for k := range 40 {
			one := metrics.Trajectory{}
			texts := make([]string, 5)
			for range texts {
				one.Scores, one.Targets = append(one.Scores, float64(rng.IntN(8))/7), append(one.Targets, float64(rng.IntN(3))/2)
			}
			one.Targets[rng.IntN(5)] = math.NaN()
			trajectory := &data.Trajectory{ID: fmt.Sprint("t", k), Problem: fmt.Sprint("p", rng.IntN(15))}
			w.look(one, trajectory, texts, 5)
			for i, target := range one.Targets {
				if !math.IsNaN(target) {
					all = append(all, seen{math.Abs(one.Scores[i] - target), disagreement(one, trajectory, texts, 5, i).Title, trajectory.Problem})
				}
			}
		}
		slices.SortStableFunc(all, func(a, b seen) int { return cmp.Compare(b.gap, a.gap) })
		var want []string
		problems := map[string]bool{}
		for _, s := range all {
			if !problems[s.problem] && len(want) < most {
				problems[s.problem] = true
				want = append(want, s.title)
			}
		}
		var got []string
		for _, b := range w.traces() {
			got = append(got, b.Title)
		}
		require.Equal(t, want, got)
	}
	require.Equal(t, "äb", clipped("äb"))
	require.Equal(t, strings.Repeat("ä", longestText)+" … (2 characters more)", clipped(strings.Repeat("ä", longestText)+"ö\xff"))
}

// A trajectory that is too long for the page is shown around its worst step.
func TestLongTrajectory(t *testing.T) {
	n := mostSteps + 1
	one := metrics.Trajectory{Scores: make([]float64, n), Targets: make([]float64, n)}
	one.Targets[500] = 1
	b := disagreement(one, &data.Trajectory{ID: "a"}, make([]string, n), n, 500)
	require.Equal(t, []int{481, 501, 41}, []int{b.First, b.Focus, len(b.Steps)})
	require.Contains(t, b.Note, "Steps 481 to 521 of 4001")
	require.Equal(t, 1.0, b.Steps[20].Label)
}

func TestCurveMeans(t *testing.T) {
	for _, n := range []int{1, 399, 400, 401, 1000, 3750} {
		var c curve
		for i := range n {
			c.add(float64(i+1), []float64{float64(i * i % 97), math.NaN()})
		}
		c.flush()
		require.LessOrEqual(t, len(c.x), mostPoints)
		require.Equal(t, (n+c.every-1)/c.every, len(c.x))
		for k := range c.x {
			from, to := k*c.every, min(n, (k+1)*c.every)
			sum := 0.0
			for i := from; i < to; i++ {
				sum += float64(i * i % 97)
			}
			require.Equal(t, float64(to), c.x[k])
			require.InDelta(t, sum/float64(to-from), c.y[k][0], 1e-12)
			require.True(t, math.IsNaN(c.y[k][1]))
		}
	}
}

const reportMetrics = `{"step":1,"loss":0.5,"loss_step":0.3,"loss_final":0.2,"grad_norm":2,"lr":0}
{"step":2,"loss":null,"loss_step":0.25,"loss_final":0.15,"grad_norm":1,"lr":0.1}
{"step":2,"eval":{"loss":0.6,"step_auroc":0.75,"within_auroc":null,"controls":{"depth":{"step_auroc":0.55},"length":{"step_auroc":0.5}}}}
{"step":3,"loss":0.3,"loss_step":0.2,"loss_final":0.1,"grad_norm":1,"lr":0.05}
{"step":3,"eval":{"loss":0.4,"step_auroc":0.875,"within_auroc":0.8,"controls":{"depth":{"step_auroc":0.55}}}}
`

func TestReportRun(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "metrics.jsonl"), []byte(reportMetrics+`{"step":4,"lo`), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "run.json"),
		[]byte(`{"version":"v1","steps":3,"steps_per_epoch":3,"complete":true,"counts":{"trajectories":7},"lambda_final":0.5,"warnings":["w"]}`),
		0o644))
	p, err := draw(context.Background(), Options{Inputs: []string{dir}})
	require.NoError(t, err)
	require.Len(t, p.Warnings, 1)
	require.Contains(t, p.Warnings[0], "last line is not whole")
	loss := find[report.LineChart](t, p, "Training loss")
	require.Equal(t, []float64{1, 2, 3}, loss.Series[0].X)
	require.Equal(t, 0.5, loss.Series[0].Y[0])
	require.True(t, math.IsNaN(loss.Series[0].Y[1]), "an undefined loss is a gap")
	require.Equal(t, []float64{0.3, 0.25, 0.2}, loss.Series[1].Y)
	require.Equal(t, []float64{0.2, 0.15, 0.1}, loss.Series[2].Y)
	require.Equal(t, []float64{0, 0.1, 0.05}, find[report.LineChart](t, p, "Learning rate").Series[0].Y)
	auroc := find[report.LineChart](t, p, "Evaluation: AUROC of steps")
	require.Equal(t, []float64{2, 3}, auroc.Series[0].X)
	require.Equal(t, []float64{0.75, 0.875}, auroc.Series[0].Y)
	require.Equal(t, "depth alone: step_auroc", auroc.Series[1].Name)
	require.Equal(t, 0.5, auroc.Series[2].Y[0])
	require.True(t, math.IsNaN(auroc.Series[2].Y[1]))
	for _, b := range p.Sections[0].Blocks { // one value is no curve
		if chart, ok := b.(report.LineChart); ok {
			require.NotContains(t, chart.Title, "AUROC within")
		}
	}
	require.Contains(t, find[report.Table](t, p, "Evaluation at step 3").Rows, []string{"step_auroc", "0.875", "0.550", "-"})
	require.Contains(t, find[report.Table](t, p, "Evaluation at step 3").Rows, []string{"within_auroc", "0.800", "", ""})
	require.Equal(t, []string{"state", "complete"}, find[report.Table](t, p, "Run").Rows[0])
	require.Equal(t, report.Facts{{Name: "optimizer steps", Value: "3 of 3", Note: "complete"},
		{Name: "training loss", Value: "0.300", Note: "from 0.500"},
		{Name: "held-out loss", Value: "0.400"}, {Name: "step AUROC", Value: "0.875", Note: "0.550 by depth alone"},
		{Name: "AUROC within trajectories", Value: "0.800"}}, p.Sections[0].Blocks[0])

	lone := reportFile(t, "metrics.jsonl", reportMetrics)
	p, err = draw(context.Background(), Options{Inputs: []string{dir, lone}})
	require.NoError(t, err)
	require.Equal(t, "Runs", p.Sections[0].Title)
	require.Len(t, find[report.LineChart](t, p, "Training loss").Series, 2)
}

func TestReportResults(t *testing.T) {
	bon := `{
  "problems": 3, "samples": 12, "results": [
    {"method":"best","aggregation":"min","n":1,"accuracy":0.5,"low":0.25,"high":0.75},
    {"method":"best","aggregation":"reward","alpha":0.5,"n":1,"accuracy":0.5,"low":0.25,"high":0.75},
    {"method":"majority","n":1,"accuracy":0.5,"low":0.25,"high":0.75},
    {"method":"best","aggregation":"min","n":4,"accuracy":0.875,"low":0.5,"high":1},
    {"method":"majority","n":4,"accuracy":0.75,"low":0.5,"high":1},
    {"method":"best","aggregation":"mean","n":1,"accuracy":0.5,"low":0.25,"high":0.75},
    {"method":"best","aggregation":"mean","n":4,"accuracy":0.875,"low":0.5,"high":1}
  ], "warnings": ["careful"]}`
	eval := `{"bench":"steps","trajectories":4,"problems":3,"labelled_steps":9,"threshold":0.5,"threshold_from":"the default",` +
		`"metrics":{"all":{"step_auroc":0.8125,"pairs":12,"ece":null}},"intervals":{"all":{"step_auroc":{"low":0.7,"high":0.9}}},` +
		`"controls":{"depth":{"metrics":{"all":{"step_auroc":0.5}}}}}`
	p, err := draw(context.Background(), Options{Inputs: []string{reportFile(t, "bon.json", bon), reportFile(t, "eval.json", eval)},
		Title: "Mine"})
	require.NoError(t, err)
	require.Len(t, p.Warnings, 1)
	require.Contains(t, p.Warnings[0], "careful")
	best := find[report.LineChart](t, p, "Best of n")
	require.True(t, best.Log2)
	require.Equal(t, report.Series{Name: "majority", X: []float64{1, 4}, Y: []float64{50, 75}, Dots: true,
		Below: []float64{25, 50}, Above: []float64{75, 100}}, best.Series[0])
	require.Equal(t, report.Series{Name: "best min = best mean", X: []float64{1, 4}, Y: []float64{50, 87.5}, Dots: true,
		Below: []float64{25, 50}, Above: []float64{75, 100}}, best.Series[1])
	require.Equal(t, "best reward, alpha 0.5", best.Series[2].Name)
	require.Equal(t, []float64{25, 100}, []float64{best.Low, best.High}, "charts share their range")
	ways := find[report.Table](t, p, "Problems answered rightly, %")
	require.Equal(t, []string{"method", "n = 1", "n = 4"}, ways.Columns)
	require.Equal(t, [][]string{{"best min", "50.0 (25.0–75.0)", "87.5 (50.0–100.0)"},
		{"best reward, alpha 0.5", "50.0 (25.0–75.0)", ""},
		{"majority", "50.0 (25.0–75.0)", "75.0 (50.0–100.0)"}, {"best mean", "50.0 (25.0–75.0)", "87.5 (50.0–100.0)"}}, ways.Rows)
	require.Equal(t, report.Facts{{Name: "best min", Value: "87.5 %", Note: "right at n = 4"},
		{Name: "majority", Value: "75.0 %", Note: "right at n = 4"}}, p.Sections[0].Blocks[0])
	require.Equal(t, [][]string{{"all", "ece", "-", "-", "-"}, {"all", "pairs", "12", "-", "-"},
		{"all", "step_auroc", "0.812", "0.700–0.900", "0.500"}}, p.Sections[1].Blocks[0].(report.Table).Rows)
	require.Contains(t, p.Sections[1].Text, "Threshold 0.5, the default")
	require.Equal(t, "Mine", p.Title)
}

func TestReportRefuses(t *testing.T) {
	good, labels := reportFile(t, "good.jsonl", `{"id":"a","scores":[0.5]}`+"\n"),
		reportFile(t, "labels.jsonl", `{"id":"a","problem":"p","steps":["x"],"labels":{"steps":[1]}}`+"\n")
	empty := t.TempDir()
	begun := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(begun, "run.json"), []byte(`{}`), 0o644))
	for _, c := range []struct {
		name, text string
		opt        Options
		want       string
	}{
		{name: "no inputs", opt: Options{}, want: "inputs: none"},
		{name: "stdin twice", opt: Options{Inputs: []string{"-"}, Data: []string{"-"}}, want: "read once"},
		{name: "threshold", opt: Options{Inputs: []string{good}, Threshold: data.Float(math.NaN())}, want: "threshold"},
		{name: "worst", opt: Options{Inputs: []string{good}, Worst: 20000}, want: "worst"},
		{name: "missing", opt: Options{Inputs: []string{filepath.Join(empty, "nowhere")}}, want: "nowhere"},
		{name: "empty folder", opt: Options{Inputs: []string{empty}}, want: "no data files"},
		{name: "run without metrics", opt: Options{Inputs: []string{begun}}, want: "metrics.jsonl"},
		{name: "labels as input", opt: Options{Inputs: []string{labels}}, want: "labelled trajectories are the data"},
		{name: "data without scores", opt: Options{Inputs: []string{reportFile(t, "metrics.jsonl", reportMetrics)}, Data: []string{labels}},
			want: "no scores"},
		{name: "empty", text: "", want: "empty file"},
		{name: "no JSON", text: "hello\n", want: "in.jsonl:1"},
		{name: "something else", text: `{"a":1}`, want: "neither a line of prm score"},
		{name: "bad second row", text: `{"id":"a","scores":[1]}` + "\n" + `{"id":"b","scores":[null]}`, want: "in.jsonl:2"},
		{name: "huge score", text: `{"id":"a","scores":[1e300]}`, want: "no score"},
		{name: "huge trajectory", text: `{"id":"a","scores":[1],"trajectory":-1e10}`, want: "no score"},
		{name: "metrics broken in the middle", text: "{\"step\":1,\"loss\":1}\n{\"st\n{\"step\":2,\"loss\":1}\n", want: "in.jsonl:2"},
		{name: "metrics of another type", text: "{\"step\":1,\"loss\":\"x\"}\n", want: "loss"},
		{name: "cut document", text: "{\n\"results\": [", want: "unexpected end"},
		{name: "other document", text: "{\n\"x\": 1}", want: "neither a result"},
		{name: "accuracy", text: `{"results":[{"method":"best","n":1,"accuracy":7}]}`, want: "results[0]"},
		{name: "no metrics", text: `{"bench":"steps"}`, want: "metrics: missing"},
		{name: "other ids", text: `{"id":"z","scores":[1]}`, opt: Options{Data: []string{labels}},
			want: `no labelled trajectory with the id "z"`},
		{name: "other number of steps", text: `{"id":"a","scores":[1,1]}`, opt: Options{Data: []string{labels}}, want: "2 scores"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.opt.Inputs == nil && c.name != "no inputs" {
				c.opt.Inputs = []string{reportFile(t, "in.jsonl", c.text)}
			}
			_, err := draw(context.Background(), c.opt)
			require.ErrorContains(t, err, c.want)
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := draw(ctx, Options{Inputs: []string{good}})
	require.True(t, errors.Is(err, context.Canceled))
}

// Scores of trajectories without labels can be looked at.
func TestReportUnlabelled(t *testing.T) {
	p, err := draw(context.Background(), Options{Inputs: []string{reportFile(t, "s.jsonl", `{"id":"a","scores":[0.25]}`)},
		Data: []string{reportFile(t, "u.jsonl", `{"id":"a","problem":"p","steps":["x"]}`)}})
	require.NoError(t, err)
	require.Contains(t, p.Warnings[0], "none of its scores has a label")
	step := p.Sections[1].Blocks[0].(report.Traces).List[0].Steps[0]
	require.Equal(t, "x", step.Text)
	require.Equal(t, 0.25, step.Score)
	require.True(t, math.IsNaN(step.Label))
}

// What a configuration says is flattened; runs are compared by what differs.
func TestReportHyperparameters(t *testing.T) {
	metrics := func(dir, config string) string {
		require.NoError(t, os.MkdirAll(dir, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "metrics.jsonl"),
			[]byte(`{"step":1,"tokens":500,"n_final":0,"loss":0.5,"loss_step":0.5,"loss_final":0,"time":"2026-01-02T03:04:05Z"}
{"step":2,"tokens":500,"n_final":0,"loss":0.4,"loss_step":0.4,"loss_final":0,"time":"2026-01-02T03:04:15Z"}
`), 0o644))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(config), 0o644))
		return dir
	}
	root := t.TempDir()
	one := metrics(filepath.Join(root, "one"), "optim:\n  lr: 0.001\n  betas: [0.9, 0.99]\ndata:\n  train: [a.jsonl, b.jsonl]\nout: "+
		"one\ntext:\n  separator: \"\\n\\n\"\n")
	two := metrics(filepath.Join(root, "two"), "optim:\n  lr: 0.002\n  betas: [0.9, 0.99]\ndata:\n  train: [a.jsonl, b.jsonl]\nout: "+
		"two\nseed: 7\n")
	p, err := draw(context.Background(), Options{Inputs: []string{one, two}})
	require.NoError(t, err)
	require.Equal(t, [][]string{{"optim.lr", "0.001"}, {"data.train", "a.jsonl, b.jsonl"}}, find[report.Table](t, p, "Hyperparameters").Rows)
	require.Equal(t, [][]string{{"optim.lr", "0.001"}, {"optim.betas", "0.9, 0.99"}, {"data.train", "a.jsonl, b.jsonl"}, {"out", "one"},
		{"text.separator", `"\n\n"`}},
		find[report.Table](t, p, "All 5 keys of the configuration").Rows)
	require.Equal(t, [][]string{{"optim.lr", "0.001", "0.002"}, {"text.separator", `"\n\n"`, "–"}, {"seed", "–", "7"}},
		find[report.Table](t, p, "Hyperparameters that differ").Rows)
	require.Equal(t, []string{"key", "one", "two"}, find[report.Table](t, p, "Hyperparameters that differ").Columns)
	require.Equal(t, []string{"run", "optimizer steps", "training loss", "held-out loss", "step AUROC", "within", "duration"},
		find[report.Table](t, p, "").Columns)
	require.Equal(t, []string{"one", "2", "0.400", "–", "–", "–", "10s"}, find[report.Table](t, p, "").Rows[0])
	require.Contains(t, p.Sections[1].Blocks[0], report.Fact{Name: "duration", Value: "10s", Note: "100 tokens/s"})
	for _, b := range p.Sections[1].Blocks { // no trajectory labels: no such part of the loss
		if chart, ok := b.(report.LineChart); ok && chart.Title == "Training loss" {
			require.Len(t, chart.Series, 1)
		}
	}
}

// lines writes n lines of scores without holding them.
type scoreLines struct {
	n, at int
	rest  []byte
}

func (s *scoreLines) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		if s.at == s.n {
			return 0, io.EOF
		}
		s.rest = fmt.Appendf(nil, `{"id":"%d","scores":[%g,%g]}`+"\n", s.at, float64(s.at%101)/100, float64(s.at%7)/7)
		s.at++
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func TestReportStreams(t *testing.T) {
	p, err := draw(context.Background(), Options{Inputs: []string{"-"}, Stdin: &scoreLines{n: 10100}})
	require.NoError(t, err)
	h := find[report.Histogram](t, p, "scores of steps")
	require.Equal(t, 20, h.Bins)
	sum := 0
	for _, c := range h.Groups[0].Counts {
		sum += c
	}
	require.Equal(t, 20200, sum)
	require.Equal(t, 600, h.Groups[0].Counts[19], "six of the 101 values are 0.95 or more")
	require.Equal(t, 500+1442, h.Groups[0].Counts[17], "0.85 to 0.89, and 6/7")
}

// The files in testdata were written by the commands; page.html is the page that prm report makes of them, without its style and script,
// whose texts and hashes package report's tests look at.
func TestGoldenPage(t *testing.T) {
	t.Chdir("testdata")
	p, err := draw(context.Background(), Options{Inputs: []string{"run", "bestofn.json", "eval.json", "scores.jsonl"}, Data: []string{"l" +
		"abels.jsonl"}, Worst: 3})
	require.NoError(t, err)
	var page bytes.Buffer
	require.NoError(t, report.Write(&page, p.Page))
	require.Contains(t, page.String(), "<style>"+report.Style()+"</style>")
	require.Contains(t, page.String(), "<script>"+report.Script()+"</script>")
	got := strings.NewReplacer(report.Style(), "", report.Script(), "").Replace(page.String())
	got = regexp.MustCompile(`sha256-.*?=`).ReplaceAllString(got, "sha256-")
	if os.Getenv("GOPRM_UPDATE_REPORT") != "" {
		require.NoError(t, os.WriteFile("page.html", []byte(got), 0o644))
	}
	want, err := os.ReadFile("page.html")
	require.NoError(t, err)
	require.True(t, string(want) == got, "the page differs from testdata/page.html; if it is meant to: GOPRM_UPDATE_REPORT=1 go test "+
		"./internal/report/inputs")
}
