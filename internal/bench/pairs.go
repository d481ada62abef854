package bench

import (
	"math"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/metrics"
)

// readPair reads two traces of one problem of which one is better: {"id","problem","better":{...},"worse":{...}}, each with
// thinking, response, steps or response_steps; or a row of s1K-1.1, whose R1 traces are taken to be better than Gemini's, as
// in the paper's figure. The cases' ids are the row's with /better and /worse behind it.
func readPair(s *Set, row *data.Row) error {
	id, problem := row.DefaultID(), ""
	if err := row.TakeText("id", &id); err != nil {
		return err
	}
	var better, worse data.Trajectory
	if row.Has("deepseek_thinking_trajectory") {
		for _, f := range []struct {
			name string
			into any
		}{{"question", &problem}, {"deepseek_thinking_trajectory", &better.Thinking}, {"deepseek_attempt", &better.Response},
			{"gemini_thinking_trajectory", &worse.Thinking}, {"gemini_attempt", &worse.Response}} {
			if err := row.Need(f.name, f.into); err != nil {
				return err
			}
		}
	} else {
		if err := row.Need("problem", &problem); err != nil {
			return err
		}
		for _, f := range []struct {
			name string
			into *data.Trajectory
		}{{"better", &better}, {"worse", &worse}} {
			if err := row.Need(f.name, f.into); err != nil {
				return err
			}
		}
	}
	for _, side := range []struct {
		name string
		t    data.Trajectory
	}{{"better", better}, {"worse", worse}} {
		t := side.t
		t.ID, t.Problem, t.Labels = id+"/"+side.name, problem, data.Labels{}
		s.Cases = append(s.Cases, &Case{ID: t.ID, Group: side.name, Trajectory: &t})
	}
	return nil
}

// pairsMetric counts the pairs of equal length.
const pairsMetric = "pairs"

// Bins of the overlap, and how far the lengths of a matched pair may be apart.
const (
	overlapBins   = 20
	matchedLength = 1.25
)

// pairMeasures compare rewards: auroc over all better and worse traces; accuracy is the share of pairs whose better trace
// has the higher reward, a tie counting half, also of the pairs alone whose lengths differ by at most a quarter; overlap is
// the area that the two histograms share, in 20 bins over their common range: 1 tells nothing apart, 0 everything.
func pairMeasures(s *Set, rewards []float64) measures {
	m := measures{names: []name{{"all", "auroc"}, {"all", "accuracy"}, {"all", "overlap"}, {"length_matched", "auroc"},
		{"length_matched", "accuracy"}, {"length_matched", pairsMetric}}}
	type pair struct {
		problem       int
		better, worse float64
		matched       bool
	}
	var list []pair
	var all, matched grouped
	low, high := math.Inf(1), math.Inf(-1)
	for i := 0; i < len(s.Cases); i += 2 {
		p := pair{s.Cases[i].problem, rewards[i], rewards[i+1], false}
		if math.IsNaN(p.better) || math.IsNaN(p.worse) {
			continue
		}
		a, b := float64(total(s.Cases[i].lengths)), float64(total(s.Cases[i+1].lengths))
		p.matched = math.Max(a, b) <= matchedLength*math.Min(a, b)
		for k, reward := range []float64{p.better, p.worse} {
			low, high = math.Min(low, reward), math.Max(high, reward)
			all.add(reward, k == 0, p.problem)
			if p.matched {
				matched.add(reward, k == 0, p.problem)
			}
		}
		list = append(list, p)
	}
	ranked, rankedMatched := metrics.NewRanked(all.scores, all.good, all.unit), metrics.NewRanked(matched.scores, matched.good, matched.unit)
	bin := func(v float64) int {
		if low == high {
			return 0
		}
		return min(overlapBins-1, int((v-low)/(high-low)*overlapBins))
	}
	m.of = func(times []float64) []metrics.Float {
		var won, count, wonMatched, countMatched, overlap float64
		var shares [2][overlapBins]float64
		for _, p := range list {
			w, win := times[p.problem], 0.5
			if p.better != p.worse {
				win = 0
				if p.better > p.worse {
					win = 1
				}
			}
			won, count = won+w*win, count+w
			if p.matched {
				wonMatched, countMatched = wonMatched+w*win, countMatched+w
			}
			shares[0][bin(p.better)] += w
			shares[1][bin(p.worse)] += w
		}
		for b := range overlapBins {
			overlap += math.Min(shares[0][b], shares[1][b])
		}
		return []metrics.Float{ranked.Metrics(times).AUROC, ratio(won, count), ratio(overlap, count), rankedMatched.Metrics(times).AUROC,
			ratio(wonMatched, countMatched), metrics.Float(countMatched)}
	}
	return m
}

func total(list []int) int {
	sum := 0
	for _, v := range list {
		sum += v
	}
	return sum
}
