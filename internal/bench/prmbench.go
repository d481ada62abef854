package bench

import (
	"math"
	"slices"
	"strings"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/metrics"
)

// prmClasses are PRMBench's classes, as its files spell them. Of "correct" there are no rows: it is the unmodified
// processes of the redundency rows, as in the benchmark's own evaluation.
var prmClasses = []string{"redundency", "circular", "counterfactual", "step_contradiction", "domain_inconsistency", "confidence",
	"missing_condition", "deception", "multi_solutions", "correct"}

const (
	classOfOriginals = "redundency"
	correctClass     = "correct"
	manySolutions    = "multi_solutions"
)

// readPRMBench reads PRMBench's rows. A case's id is class_idx, as there, whether or not the row's idx begins with the class
// already; a second row of one id is left out, as there.
func readPRMBench(s *Set, row *data.Row) error {
	var class, originalQuestion string
	var original []string
	var wrong []int
	for _, f := range []struct {
		name string
		into any
	}{{"classification", &class}, {"original_question", &originalQuestion}, {"original_process", &original}, {"error_steps", &wrong}} {
		if err := row.Need(f.name, f.into); err != nil {
			return err
		}
	}
	t, err := row.Trajectory("PRMBench")
	switch {
	case err != nil:
		return err
	case t.ID == "":
		return row.FailField("idx", "missing")
	case !slices.Contains(prmClasses, class) || class == correctClass:
		return row.FailField("classification", "%q is no class of PRMBench", class)
	}
	idx := strings.TrimPrefix(t.ID, class+"_")
	if class == classOfOriginals && !s.ids[correctClass+"_"+idx] {
		c := judgedCase(correctClass+"_"+idx, &data.Trajectory{Problem: originalQuestion, ResponseSteps: original})
		c.Group, c.Targets = correctClass, slices.Repeat([]float64{1}, len(original))
		s.Cases = append(s.Cases, c)
	}
	c := judgedCase(class+"_"+idx, t)
	c.Group, c.original = class, correctClass+"_"+idx
	if s.ids[c.ID] {
		s.warnf("%s:%d: a second %q is left out", row.File, row.Line, c.ID)
		return nil
	}
	for _, number := range wrong {
		if number > len(t.ResponseSteps) {
			s.warnf("%s:%d: %q: error step %d of %d steps is passed over", row.File, row.Line, c.ID, number, len(t.ResponseSteps))
		}
	}
	s.Cases = append(s.Cases, c)
	return nil
}

// Places in a case's counts.
const (
	tp = iota // right steps said to be right
	fp        // wrong steps said to be right
	tn
	fn
	firstHit
	firsts
	apart // how far the share of steps said to be right is from that of the original
	pairs
	prmWidth
)

// prmScores are PRMBench's metrics: a step counts as right if it scores above the threshold; f1 is of the right steps,
// negative_f1 of the wrong ones, and PRMScore is their mean (f1 alone for multi_solutions, which have no wrong step).
// total is over all classes but correct.
func prmScores(s *Set, scores [][]float64, opt metrics.Options) measures {
	t := tally{metrics: []string{"PRMScore", "f1", "negative_f1", "precision", "recall", "negative_precision", "negative_recall",
		"total_step_acc", "correct_step_acc", "wrong_step_acc", "first_error_acc", "similarity"}, width: prmWidth}
	for _, class := range prmClasses {
		if slices.Contains(s.groups(), class) {
			t.groups = append(t.groups, class)
		}
	}
	t.groups = append(t.groups, "total")
	t.members, t.counts = make([][]int, len(s.Cases)), make([][]float64, len(s.Cases))
	share := map[string]float64{}
	for i, c := range s.Cases {
		t.members[i] = []int{slices.Index(t.groups, c.Group)}
		if c.Group != correctClass {
			t.members[i] = append(t.members[i], len(t.groups)-1)
		}
		if scores[i] != nil {
			t.counts[i] = prmCounts(c.Targets, scores[i], opt.Threshold)
			share[c.ID] = (t.counts[i][tp] + t.counts[i][fp]) / float64(len(scores[i]))
		}
	}
	for i, c := range s.Cases {
		// An original without a single step said to be right does not count, in the benchmark's own evaluation.
		if whole := share[c.original]; t.counts[i] != nil && whole > 0 {
			t.counts[i][apart], t.counts[i][pairs] = math.Abs(share[c.ID]-whole), 1
		}
	}
	t.finish = func(group string, n []float64) []metrics.Float {
		good, bad := f1(n[tp], n[fp], n[fn]), f1(n[tn], n[fn], n[fp])
		score := (good + bad) / 2
		switch group {
		case manySolutions:
			score = good
		case correctClass:
			score = metrics.Float(math.NaN())
		}
		return []metrics.Float{score, good, bad, ratio(n[tp], n[tp]+n[fp]), ratio(n[tp], n[tp]+n[fn]), ratio(n[tn], n[tn]+n[fn]),
			ratio(n[tn], n[tn]+n[fp]),
			ratio(n[tp]+n[tn], n[tp]+n[tn]+n[fp]+n[fn]), ratio(n[tp], n[tp]+n[fn]), ratio(n[tn], n[tn]+n[fp]), ratio(n[firstHit], n[firsts]),
			ratio(n[apart], n[pairs])}
	}
	return t.measures(s)
}

func prmCounts(targets, scores []float64, threshold float64) []float64 {
	n := make([]float64, prmWidth)
	for k, target := range targets {
		good, said := target == 1, scores[k] > threshold
		switch {
		case good && said:
			n[tp]++
		case good:
			n[fn]++
		case said:
			n[fp]++
		default:
			n[tn]++
		}
		if !good && n[firsts] == 0 {
			n[firsts] = 1
			if !said {
				n[firstHit] = 1
			}
		}
	}
	return n
}
