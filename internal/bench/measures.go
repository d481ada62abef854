package bench

import "github.com/goprm/goprm/internal/metrics"

// name is a metric's place in the result.
type name struct{ group, metric string }

// measures are metrics that can be computed for any weights of the problems.
type measures struct {
	names []name
	of    func(times []float64) []metrics.Float // times: of each problem
}

// join computes several measures together.
func join(list ...measures) measures {
	all := measures{}
	for _, m := range list {
		all.names = append(all.names, m.names...)
	}
	all.of = func(times []float64) []metrics.Float {
		values := make([]metrics.Float, 0, len(all.names))
		for _, m := range list {
			values = append(values, m.of(times)...)
		}
		return values
	}
	return all
}

// tally is metrics that follow from sums over the cases.
type tally struct {
	groups  []string
	metrics []string
	members [][]int     // of each case: the groups that it counts in
	counts  [][]float64 // of each case; nil: it does not count
	width   int         // of counts
	finish  func(group string, sums []float64) []metrics.Float
}

func (t tally) measures(s *Set) measures {
	m := measures{}
	for _, g := range t.groups {
		for _, metric := range t.metrics {
			m.names = append(m.names, name{g, metric})
		}
	}
	m.of = func(times []float64) []metrics.Float {
		sums := make([]float64, len(t.groups)*t.width)
		for i, c := range s.Cases {
			w := times[c.problem]
			if w == 0 {
				continue
			}
			for _, g := range t.members[i] {
				for k, v := range t.counts[i] {
					sums[g*t.width+k] += w * v
				}
			}
		}
		var values []metrics.Float
		for g, group := range t.groups {
			values = append(values, t.finish(group, sums[g*t.width:(g+1)*t.width])...)
		}
		return values
	}
	return m
}

// ratio is a/b, undefined for b = 0.
func ratio(a, b float64) metrics.Float { return metrics.Ratio(a, b) }

// f1 of hits, false alarms and misses; undefined where there is nothing to find and nothing was found.
func f1(hits, alarms, misses float64) metrics.Float { return ratio(2*hits, 2*hits+alarms+misses) }

// ranking are the metrics that no threshold enters: how well the scores of all steps rank the good above the bad, all
// together, within each trajectory, and within each problem. A target of cut or more is good.
func ranking(s *Set, scores [][]float64, cut float64, calibrated bool) measures {
	m := measures{names: []name{{"all", "step_auroc"}, {"all", "within_auroc"}, {"all", "within_problem_auroc"}, {"all", "auprc"}, {"all", "auprc_error"}}}
	var pooled grouped
	within := make([][2]float64, len(s.Cases))
	for i, c := range s.Cases {
		var own grouped
		if scores[i] == nil {
			continue
		}
		for k, target := range c.Targets {
			if target == target {
				own.add(scores[i][k], target >= cut, 0)
				pooled.add(scores[i][k], target >= cut, c.problem)
			}
		}
		within[i][0], within[i][1] = metrics.PairsWon(own.scores, own.good)
	}
	problems := pooled.pairs(len(s.problems))
	ranked := metrics.NewRanked(pooled.scores, pooled.good, pooled.unit)
	if calibrated {
		m.names = append(m.names, name{"all", "brier"}, name{"all", "ece"})
	}
	m.of = func(times []float64) []metrics.Float {
		var won, all, wonP, allP float64
		for i, c := range s.Cases {
			won, all = won+times[c.problem]*within[i][0], all+times[c.problem]*within[i][1]
		}
		for p, pair := range problems {
			wonP, allP = wonP+times[p]*pair[0], allP+times[p]*pair[1]
		}
		rank := ranked.Metrics(times)
		values := []metrics.Float{rank.AUROC, ratio(won, all), ratio(wonP, allP), rank.PrecisionOfGood, rank.PrecisionOfBad}
		if calibrated {
			var c metrics.Calibration
			for i, one := range s.Cases {
				for k, target := range one.Targets {
					if target == target && scores[i] != nil {
						c.Add(scores[i][k], target, times[one.problem])
					}
				}
			}
			values = append(values, c.Brier(), c.ECE())
		}
		return values
	}
	return m
}

// grouped is a list of labelled scores with the unit that each belongs to.
type grouped struct {
	scores []float64
	good   []bool
	unit   []int
}

func (g *grouped) add(score float64, good bool, unit int) {
	g.scores, g.good, g.unit = append(g.scores, score), append(g.good, good), append(g.unit, unit)
}

// pairs counts each unit's (good, bad) pairs, won and all.
func (g *grouped) pairs(units int) [][2]float64 {
	lists := make([]grouped, units)
	for i, u := range g.unit {
		lists[u].add(g.scores[i], g.good[i], 0)
	}
	counts := make([][2]float64, units)
	for u := range lists {
		counts[u][0], counts[u][1] = metrics.PairsWon(lists[u].scores, lists[u].good)
	}
	return counts
}
