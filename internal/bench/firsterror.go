package bench

import (
	"slices"
	"strings"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/metrics"
)

// readProcessBench reads ProcessBench's rows. The subset stands before the id's number: gsm8k-0.
func readProcessBench(s *Set, row *data.Row) error {
	t, err := row.Trajectory("ProcessBench")
	if err != nil {
		return err
	}
	if t.ID == "" {
		return row.FailField("id", "missing")
	}
	c := judgedCase(t.ID, t)
	c.Group = subset(t.ID, row.DefaultID())
	s.Cases = append(s.Cases, c)
	return nil
}

// subset is what stands before an id's number, or the file's name.
func subset(id, defaultID string) string {
	if i := strings.LastIndex(id, "-"); i > 0 {
		return id[:i]
	}
	file, _, _ := strings.Cut(defaultID, ":")
	return file
}

// SubsetOf is the subset of a trajectory that was read from a row of ProcessBench; "": it was not.
func SubsetOf(t *data.Trajectory) string {
	if t.Source != "processbench" {
		return ""
	}
	if line := t.Where[strings.LastIndex(t.Where, ":")+1:]; line != "" && strings.HasSuffix(t.ID, ":"+line) {
		return strings.TrimSuffix(t.ID, ":"+line) // an id that data.Read made, since the row has none
	}
	return subset(t.ID, t.ID)
}

// firstErrors are ProcessBench's metrics: [metrics.FirstError] for each subset, and the average of their F1.
func firstErrors(s *Set, scores [][]float64, opt metrics.Options) measures {
	t := tally{groups: s.groups(), metrics: []string{"acc_err", "acc_corr", "f1"}, width: len(metrics.FirstErrorCounts{})}
	t.members, t.counts = make([][]int, len(s.Cases)), make([][]float64, len(s.Cases))
	for i, c := range s.Cases {
		t.members[i] = []int{slices.Index(t.groups, c.Group)}
		if scores[i] != nil {
			counts := metrics.FirstError(scores[i], c.Targets, opt)
			t.counts[i] = counts[:]
		}
	}
	t.finish = func(_ string, sums []float64) []metrics.Float { return metrics.FirstErrorCounts(sums).Metrics() }
	m := t.measures(s)
	of := m.of
	m.names = append(m.names, name{"average", "f1"})
	m.of = func(times []float64) []metrics.Float {
		values, sum := of(times), metrics.Float(0)
		for g := range t.groups {
			sum += values[3*g+2]
		}
		return append(values, sum/metrics.Float(len(t.groups)))
	}
	return m
}
