package bench

import (
	"fmt"

	"github.com/goprm/goprm/internal/metrics"
)

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

// stepMetrics are those metrics of steps that are wanted. Where no threshold is tuned they are the same for all benchmarks.
func stepMetrics(s *Set, scores [][]float64, opt metrics.Options, wanted func(metrics.Metric) bool) measures {
	a := metrics.NewAssembly(opt, func(m metrics.Metric) bool { return m.Eval != "" && wanted(m) })
	for i, c := range s.Cases {
		if scores[i] != nil {
			a.Add(&metrics.Trajectory{Scores: scores[i], Targets: c.Targets, Problem: fmt.Sprint(c.problem), Unit: c.problem})
		}
	}
	m := measures{of: a.Values}
	for _, metric := range a.Metrics() {
		m.names = append(m.names, name{"all", metric.Eval})
	}
	return m
}

// labelledErrors are the thresholded metrics of labelled steps.
func labelledErrors(s *Set, scores [][]float64, opt metrics.Options) measures {
	return stepMetrics(s, scores, opt, func(m metrics.Metric) bool { return m.Thresholded })
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
