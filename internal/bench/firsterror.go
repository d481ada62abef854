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

// firstErrors are ProcessBench's metrics: a trajectory's first step that scores below the threshold is said to be its first
// error. acc_err is the share of erroneous trajectories in which that is the first bad step, acc_corr that of the others in
// which there is none, f1 their harmonic mean; the average is over the subsets. Steps without a label are passed over.
func firstErrors(s *Set, scores [][]float64, threshold, cut float64) measures {
	t := tally{groups: s.groups(), metrics: []string{"acc_err", "acc_corr", "f1"}, width: 4}
	if s.Bench == "steps" {
		t.groups, t.metrics = []string{"all"}, []string{"first_error_acc_err", "first_error_acc_corr", "first_error_f1"}
	}
	t.members, t.counts = make([][]int, len(s.Cases)), make([][]float64, len(s.Cases))
	counts, alone := make([]float64, t.width*len(s.Cases)), make([][]int, len(t.groups)) // this runs for many thresholds
	for g := range alone {
		alone[g] = []int{g}
	}
	for i, c := range s.Cases {
		truth, said, labelled := -1, -1, false
		for k, target := range c.Targets {
			if target != target || scores[i] == nil {
				continue
			}
			labelled = true
			if truth < 0 && target < cut {
				truth = k
			}
			if said < 0 && scores[i][k] < threshold {
				said = k
			}
		}
		t.members[i] = alone[max(0, slices.Index(t.groups, c.Group))]
		if !labelled {
			continue
		}
		t.counts[i] = counts[t.width*i : t.width*(i+1)]
		at := 2
		if truth >= 0 {
			at = 0
		}
		t.counts[i][at+1] = 1
		if said == truth {
			t.counts[i][at] = 1
		}
	}
	t.finish = func(_ string, sums []float64) []metrics.Float {
		wrong, right := ratio(sums[0], sums[1]), ratio(sums[2], sums[3])
		return []metrics.Float{wrong, right, metrics.Harmonic(wrong, right)}
	}
	m := t.measures(s)
	if s.Bench == "steps" {
		return m
	}
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
